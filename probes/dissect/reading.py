"""How to read a result of dissect, and its filters as a chart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dcgan_probe.report.charts import BLUE, GREY, MOST, Chart, Mark
from dcgan_probe.report.plots import as_list, at, drawable, rows_with, say
from dcgan_probe.report.reading import Reading
from dcgan_probe.report.tables import cut, interval, number


def charts(values: dict[str, Any], _: Sequence[dict[str, Any]]) -> Iterable[Chart]:
    """A dot a filter: how it matches the object, and how the object depends on it."""
    layer = cut(str(values.get("layer")), 40)
    for one in as_list(values.get("objects")):
        rows = rows_with(at(one, "filters"), "filter", "held_out_iou", "effect")
        marks = []
        for row in rows[:MOST]:
            x, y, ends = row["held_out_iou"], row["effect"], _ends(row)
            effect, clear = f"{y:.3f}", False
            if ends:
                effect, clear = interval(y, *ends), ends[0] > 0 or ends[1] < 0
            text = f"filter {number(row['filter'])} of layer {layer}: IoU {x:.3f}, effect {effect}"
            marks.append(Mark(x, y, text, BLUE if clear else GREY))
        if marks:
            yield Chart(
                f"Looks like “{cut(str(at(one, 'label')), 60)}”, and causes it? A dot is a filter",
                "held-out IoU with the boxes",
                "effect",
                tuple(marks),
                ((BLUE, "interval without zero"), (GREY, "interval with zero")),
            )


def _finding(values: dict[str, Any]) -> str | None:
    """The filter that the first object needs most, and how much is left without it."""
    rows = rows_with(at(values, "objects.0.filters"), "filter", "effect")
    if not rows:
        return None
    most = max(rows, key=lambda row: float(row["effect"]))
    known = {"label": at(values, "objects.0.label"), "filter": most["filter"]}
    return say({**known, "effect": _effect(most)}, "{label}: most by filter {filter}, {effect}")


def _effect(row: dict[str, Any]) -> str:
    """The effect of a filter, with its interval where it has one."""
    ends = _ends(row)
    return interval(row["effect"], *ends) if ends else number(row["effect"])


def _ends(row: dict[str, Any]) -> list[Any] | None:
    ends = row.get("effect_95")
    known = isinstance(ends, list) and len(ends) == 2 and all(map(drawable, ends))
    return ends if known else None


READING = Reading(
    "IoU measures whether a filter's map matches the object. Effect is the share of the "
    "object's area that disappears if the filter is dropped; below zero, the object grows. If a "
    "filter is high on the object and changes it without an effect, other filters would draw "
    "the object anyway.",
    "Each effect is that of one filter; effects do not add up. Each interval is for one filter: "
    "of many filters that do nothing, 1 in 20 excludes zero by chance. The effect depends on "
    "the detector. A filter that draws the object by being low has no agreement.",
    {
        "object": "objects.0.label",
        "correlation of looking like it with effect": ("objects.0.rank_correlation_of_iou.effect"),
        "IoU of a mask of all places": "objects.0.chance_iou",
    },
    {"dissect": "Filters of most effect: where each is high, and what dropping it changes"},
    charts,
    _finding,
)
