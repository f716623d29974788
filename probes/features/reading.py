"""How to read a result of features."""

from typing import Any

from dcgan_probe.report.plots import as_list, at, drawable, say
from dcgan_probe.report.reading import Reading


def _finding(values: dict[str, Any]) -> str | None:
    """The accuracy with all labels of each kind of features."""
    told = []
    for row in as_list(values.get("rows")):
        points = as_list(at(row, "points"))
        mean = at(points[-1], "accuracy.mean") if points else None
        if mean is not None and drawable(mean):
            told.append(f"{at(row, 'name')} {100 * mean:.1f}%")
    if told:
        return f"test accuracy: {', '.join(told)}"
    return say(values, "{images} images, {features} features each")


READING = Reading(
    "Accuracy of a linear classifier on the discriminator's features by number of labels per "
    "class, compared with other features of the same images. The benefit of training is the "
    "difference to random weights.",
    "The interval of a single draw covers only the test images. With few held-out images, the "
    "choice of C is uncertain. A layer with little weight may still hold much information: "
    "layers repeat each other.",
    {"images": "images", "testing": "testing"},
    {
        "accuracy": "Accuracy by labels a class",
        "confusion": "True classes down, told ones across",
        "layers": "What every layer carries",
    },
    finding=_finding,
)
