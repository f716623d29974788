"""How to read a result of put."""

from __future__ import annotations

from dcgan_probe.report.plots import say
from dcgan_probe.report.reading import Reading

PUT = "fresh_samples.0.edits.put"
READING = Reading(
    "The rows show the same latents, of samples without the object at the place. A good "
    "transplant shows the object in the box, changes nothing outside, and has no seam. An "
    "independent judge decides on new samples whether it is there. Compare the overlap with the "
    "box with that of unedited objects.",
    "A detector also accepts pasted pixels, so the rim is measured too: the share of the "
    "generator's own objects whose edge jumps less. 0.5 is typical, 1 is a seam. All samples "
    "get the same object; this does not show how the generator varies it.",
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
    finding=lambda values: say(
        values,
        f"{{label}}: there in a share of {{{PUT}.there}}, change outside {{{PUT}.outside.value}}",
    ),
)
