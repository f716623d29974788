"""How to read a result of arithmetic."""

from __future__ import annotations

from typing import Any

from dcgan_probe.report.plots import at, say
from dcgan_probe.report.reading import Reading


def _of_means(values: dict[str, Any]) -> Any:
    """The sum of mean latents, "mean of 3", for any number of exemplars."""
    methods = at(values, "success.methods")
    for name, method in methods.items() if isinstance(methods, dict) else ():
        if name.startswith("mean of "):
            return method
    return None


def _finding(values: dict[str, Any]) -> str | None:
    told = say(
        _of_means(values),
        "{has_what_was_asked.share} of the sums meet the target, and {kept_mean} of their other "
        "labels are unchanged",
        "{has_what_was_asked.share} of the sums meet the target",
    )
    return told or say(values, "{expression}: one picture, nothing measured")


READING = Reading(
    "The mean latents of each concept are added and subtracted. The sum is shown among eight "
    "neighbours, which have noise added to z. Below is the same sum of pixels: compare the two.",
    "A single sum that works may have been picked. With a classifier, many draws of exemplars "
    "are counted and compared with the unchanged base. Without one, there is one picture and no "
    "number.",
    {
        "sum": "expression",
        "meets the target": lambda values: at(_of_means(values), "has_what_was_asked"),
    },
    {
        "arithmetic": "Exemplars of each concept, images of their mean latents, and the sum",
        "success": "The first draws of every method, and how often each meets the target",
    },
    finding=_finding,
)
