"""How to read a result of walk, and its steps as a chart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dcgan_probe.report.charts import GREY, MOST, Chart, Mark
from dcgan_probe.report.plots import as_list, at, drawable
from dcgan_probe.report.reading import Reading
from dcgan_probe.report.tables import cut


def charts(values: dict[str, Any], _: Sequence[dict[str, Any]]) -> Iterable[Chart]:
    """The distance of every step, a colour a path."""
    ways = values.get("ways")
    points = as_list(values.get("points"))
    marks: list[Mark] = []
    legend = []
    for i, (way, track) in enumerate(ways.items() if isinstance(ways, dict) else ()):
        colour = i % GREY
        legend.append((colour, cut(way, 40)))
        along = 0
        for k, part in enumerate(as_list(at(track, "step_lengths"))):
            for j, length in enumerate(as_list(part)):
                along += 1
                if drawable(length) and len(marks) < MOST:
                    ends = " to ".join(cut(str(p), 30) for p in points[k : k + 2])
                    text = f"{cut(way, 40)}, {ends}, step {j + 1}: {length:.3f}"
                    marks.append(Mark(along, length, text, colour))
    if marks:
        title = "How much each step changes the image"
        yield Chart(title, "step of the walk", "distance", tuple(marks), tuple(legend))


def _mean_of_spherical_alone(values: dict[str, Any]) -> Any:
    """The mean step of the spherical way, where no linear way was walked beside it."""
    return None if at(values, "ways.linear") else at(values, "ways.spherical.mean")


def _largest_of_first(values: dict[str, Any]) -> Any:
    """The largest step of the first way that was walked."""
    ways = values.get("ways")
    return at(next(iter(ways.values())), "largest") if isinstance(ways, dict) and ways else None


READING = Reading(
    "Between two samples the images should change a little at every step. Distances are of "
    "the discriminator's features (of pixels where there is none), beside that of unrelated "
    "samples. Of the largest step, walked again in 8 parts, an even change has a largest part "
    "near 0.12; a jump has 1.",
    "Smoothness shows that the generator did not store single images; it does not show that "
    "what lies between is good. The discriminator that measures was trained against this "
    "very generator.",
    {
        "mean step, linear": "ways.linear.mean",
        "mean step, spherical": _mean_of_spherical_alone,
        "largest": _largest_of_first,
        "unrelated samples": "distance_of_unrelated_samples",
    },
    {"walk": "Images along the walk, from point to point"},
    charts,
)
