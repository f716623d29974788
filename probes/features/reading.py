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
    "Accuracy of a linear classifier on the discriminator's features, by labels a class, "
    "beside other features of the same images. What training did is the difference to random "
    "weights.",
    "An interval of a single draw is over test images only. With few images held out the "
    "choice of C is a guess. A layer with little weight is not one that knows little: layers "
    "repeat each other.",
    {"images": "images", "testing": "testing"},
    {
        "accuracy": "Accuracy by labels a class",
        "confusion": "True classes down, told ones across",
        "layers": "What every layer carries",
    },
    finding=_finding,
)
