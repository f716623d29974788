"""How to read a result of concepts suggest."""

from __future__ import annotations

from dcgan_probe.report.plots import say
from dcgan_probe.report.reading import Reading

READING = Reading(
    "The samples that meet the conditions best, according to the classifier.",
    "A classifier ranks what it is most certain of first, not what is typical. Look before you "
    "name a concept after them.",
    {"name": "name", "share of samples that show it": "frequency"},
    {"suggestions": "Suggested samples with their scores"},
    finding=lambda values: say(values, "a share of {frequency} of the samples shows {shows}"),
)
