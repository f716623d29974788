"""How to read a result of neighbours."""

from dcgan_probe.report.plots import say
from dcgan_probe.report.reading import Reading

READING = Reading(
    "Samples next to their nearest training images, compared with the distances of held-out "
    "images. If samples are much nearer, they are copies; if they are as near, there is no sign "
    "of copying.",
    "Without held-out images no verdict is given. In pixels, a shifted or mirrored copy is far "
    "away. Blurred samples are near to everything.",
    {
        "verdict in pixels": "samples.pixels.verdict",
        "in features": "samples.features.verdict",
    },
    {
        "pixels": "Samples with their nearest training images, in pixels",
        "features": "Samples with their nearest training images, in the discriminator's features",
        "before_after": "The same latents in the earlier checkpoint and in this one",
    },
    finding=lambda values: say(
        values,
        "in pixels: {samples.pixels.verdict}; in features: {samples.features.verdict}",
        "in pixels: {samples.pixels.verdict}",
        "in features: {samples.features.verdict}",
        "no verdict without held-out images",
    ),
)
