"""How to read a result of concepts suggest."""

from __future__ import annotations

from dcgan_probe.report.plots import say
from dcgan_probe.report.reading import Reading

READING = Reading(
    "Samples that meet the conditions best, as the classifier sees them.",
    "Samples at the top of a classifier's list are its surest, not the most typical. Look "
    "before you name a concept after them.",
    {"name": "name", "share of samples that show it": "frequency"},
    {"suggestions": "Suggested samples with their scores"},
    finding=lambda values: say(values, "a share of {frequency} of the samples shows {shows}"),
)
