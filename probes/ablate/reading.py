"""How to read a result of ablate."""

from dcgan_probe.report.plots import say
from dcgan_probe.report.reading import Reading

READING = Reading(
    "The columns are the same latents before and after the edit; the last row is the mean "
    "absolute change of their pixels, in [-1, 1].",
    "A change in pixels says that something changed, not what. Maps of zeros, or turned up "
    "together, are something the layers after never saw: what also shows when filters are "
    "replaced by their mean is more likely to be of the filters.",
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
