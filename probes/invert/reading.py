"""How to read a result of invert."""

from __future__ import annotations

from dcgan_probe.report.plots import say
from dcgan_probe.report.reading import Reading

READING = Reading(
    "The photograph beside the nearest images that the generator was found to make, and a "
    "sample of its own searched for in the same way: how well that is found again is what the "
    "search can do at best.",
    "An image that is not found may still be there: the search has few starts. A photograph "
    "that is found well shows that the generator can draw it, not that it often does.",
    {"verdict": "verdict"},
    {"invert": "The photograph, the nearest images found, and their difference"},
    finding=lambda values: say(values, "{verdict}"),
)
