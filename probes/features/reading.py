"""How to read a result of features."""

from dcgan_probe.report.reading import Reading

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
)
