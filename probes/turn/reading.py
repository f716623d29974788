"""How to read a result of turn, and the probabilities along the axis as a chart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dcgan_probe.report.charts import Chart, Mark
from dcgan_probe.report.plots import at, drawable
from dcgan_probe.report.reading import Reading
from dcgan_probe.report.tables import words


def charts(values: dict[str, Any], _: Sequence[dict[str, Any]]) -> Iterable[Chart]:
    """The labels that change most along the axis, a colour each."""
    places, mean = values.get("at"), at(values, "response.mean")
    if not isinstance(places, list) or not isinstance(mean, dict):
        return
    curves = {
        label: curve
        for label, curve in mean.items()
        if isinstance(curve, list) and len(curve) == len(places) and all(map(drawable, curve))
    }
    if not curves or not all(map(drawable, places)):
        return
    most = sorted(curves, key=lambda label: -abs(curves[label][-1] - curves[label][0]))[:3]
    marks = [
        Mark(x, y, f"{words(label)} at {x:+.2g}: {y:.2f}", most.index(label))
        for label in most
        for x, y in zip(places, curves[label], strict=True)
    ]
    title = "What the classifier sees along the axis: the three labels that change most"
    legend = tuple(enumerate(map(words, most)))
    yield Chart(title, "lengths of the axis", "mean probability", tuple(marks), legend)


READING = Reading(
    "Every row is one sample, with the axis between two concepts subtracted to one side and "
    "added to the other. A good axis moves what it is named after, and alone.",
    "An axis of few exemplars also carries whatever else they had in common. Far along it, "
    "latents leave what the generator was trained on.",
    {"from": "from", "to": "to", "length of the axis": "length_of_axis"},
    {"turn": "Samples along the axis between two concepts"},
    charts,
)
