"""How to read a result of invert."""

from __future__ import annotations

from dcgan_probe.report.plots import say
from dcgan_probe.report.reading import Reading

READING = Reading(
    "The photograph, the nearest images that were found, and a sample of the generator that was "
    "searched in the same way. The error of that sample is the error of the search.",
    "An image that was not found may still exist, because the search has few starts. A "
    "photograph that is found well shows that the generator can draw it, not that it often "
    "does.",
    {"verdict": "verdict"},
    {"invert": "The photograph, the nearest images found, and their difference"},
    finding=lambda values: say(values, "{verdict}"),
)
