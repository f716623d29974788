"""How to read a result of ablate."""

from dcgan_probe.report.plots import say
from dcgan_probe.report.reading import Reading

READING = Reading(
    "The columns are the same latents before and after the edit. The last row is the mean "
    "absolute change of their pixels, on images in [-1, 1].",
    "A change in pixels shows that something changed, not what. Later layers never saw feature "
    "maps of zeros, or many amplified together. An effect that also appears with --replace mean "
    "is more likely to come from the filters.",
    {
        "mean change": "change.everywhere",
        "inside": "change.inside",
        "outside": "change.outside",
        "lifted": "lifted",
    },
    {"ablate": "Samples before, after, and where they changed"},
    finding=lambda values: say(
        values,
        "pixels change by {change.inside} inside, {change.outside} outside",
        "pixels change by {change.everywhere} on average",
        "lifted: {lifted}",
    ),
)
