"""How to read a result of put, and its numbers as a chart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dcgan_probe.report.charts import BLUE, ORANGE, Chart, Mark
from dcgan_probe.report.plots import at, drawable, rows_with
from dcgan_probe.report.reading import Reading
from dcgan_probe.report.tables import cut


def charts(values: dict[str, Any], _: Sequence[dict[str, Any]]) -> Iterable[Chart]:
    """Every way that was tried: overlap with the box, against the change outside of it."""
    marks = []
    for row in rows_with(values.get("tried"), "margin"):
        overlap, outside = at(row, "iou.value"), at(row, "outside.value")
        if drawable(overlap) and drawable(outside):
            layers = " and ".join(cut(str(name), 30) for name in row.get("layers", ()))
            text = f"{layers}, {cut(str(row.get('fill')), 20)}, {row['margin']:.2g} pixels beyond"
            said = f"{text}: overlap {overlap:.3f}, change outside {outside:.4f}"
            marks.append(Mark(outside, overlap, said, BLUE if row.get("fill") == "mix" else ORANGE))
    if marks:
        yield Chart(
            "Ways to put the object, tried on held-out ones",
            "mean absolute change outside of the box",
            "overlap with the box",
            tuple(marks),
            ((BLUE, "mixed in"), (ORANGE, "cloned")),
        )


PUT = "fresh_samples.0.edits.put"
READING = Reading(
    "The rows hold the same latents, of samples without the object at the place. A good transplant "
    "shows it in the box, spares what is outside and has no seam. A judge that did not choose says "
    "on fresh samples whether it is there; its overlap with the box is held against what it gives "
    "objects that nobody put.",
    "A detector calls pasted pixels an object too. So the rim is measured beside it: the share of "
    "the generator's own objects whose edge jumps less. 0.5 is usual, 1 is a seam. All samples get "
    "the same object: nothing was shown of how the generator varies it.",
    {
        "there": f"{PUT}.there",
        "overlap with the box": f"{PUT}.iou",
        "overlap of unedited objects": (
            "fresh_samples.0.overlap_of_unedited_objects_with_their_boxes"
        ),
        "change outside": f"{PUT}.outside",
        "rim stands out": f"{PUT}.rim",
        "rim of pasted pixels": "fresh_samples.0.edits.pixels pasted.rim",
    },
    {"put": "Samples as they are, with the object put in, pasted, and by filters turned up"},
    charts,
)
