"""The settings of a training, apart from the networks and the images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dcgan_probe.errors import InputError, unknown

RECIPES = {
    "paper": "G and D in turn, each with latents of its own (the authors' code)",
    "shared": "one generator pass serves both updates (pytorch/examples), about a tenth faster",
}
PRECISIONS = ("float32", "bfloat16")
# As in the scripts that the recipes are named after: faces/train_uncond_dcgan.py of the authors and
# dcgan/main.py of pytorch/examples.
OWN = -1
_BATCH = {"paper": 128, "shared": 64}
_L2 = {"paper": 1e-5, "shared": 0.0}
# Fields that were added later, and what trainings from before did.
SINCE: dict[str, Any] = {
    "augment": False,
    "decay_steps": 0,
    "l2": 0.0,
    "leftover": False,
    "r1": 0.0,
}


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; the defaults are the paper's.

        >>> Recipe(ema=0.999).batch, Recipe("shared").batch
        (128, 64)

    name: "paper" or "shared", see `RECIPES`; how the two networks take turns.
    batch: images in a minibatch, over all processes together; `OWN` is the recipe's, 128 or 64.
    rate, beta1: of Adam, for both networks.
    l2: this times the weight is added to every gradient, before Adam; `OWN` is the recipe's, 1e-5
        for the paper's and 0 for the shared one.
    leftover: show the images that are left over at the end of an epoch in a smaller minibatch.
    ema: decay of the running mean of the generator that is saved in place of the last generator;
        0 saves the last one, as the paper does.
    flip: mirror each image with probability one half; the paper augments nothing.
    augment: change the colours of all that the discriminator sees, real and generated, shift it and
        cut a square out (`augment.augment`); for small sets of images.
    decay_steps: the step at which the rate reaches 0; constant for the first half of them, it then
        falls linearly. 0 keeps it constant, as the paper does.
    precision: "float32", or "bfloat16" for the arithmetic of both networks (weights, Adam and
        losses stay float32).
    seed: of the initial weights, the order of the images, the flips and every z.
    r1: weight of the R1 penalty on the discriminator (`Trainer`); 0 for none, as the paper does.

    Raises InputError for a value outside of these. Source: section 4; the authors' code for the
    order of updates and the separate batches.
    """

    name: str = "paper"
    batch: int = OWN
    rate: float = 2e-4
    beta1: float = 0.5
    ema: float = 0.0
    flip: bool = False
    augment: bool = False
    decay_steps: int = 0
    precision: str = "float32"
    seed: int = 0
    l2: float = OWN
    leftover: bool = True
    r1: float = 0.0

    def __post_init__(self) -> None:
        if self.name not in RECIPES:
            raise unknown("recipe", self.name, RECIPES)
        for field, own in (("batch", _BATCH), ("l2", _L2)):
            if getattr(self, field) == OWN:
                object.__setattr__(self, field, own[self.name])
        if self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS)
        for name, ok, expected in (
            ("batch", self.batch >= 2, "at least 2"),
            ("rate", 0 < self.rate <= 1, "above 0 and at most 1"),
            ("beta1", 0 <= self.beta1 < 1, "at least 0 and below 1"),
            ("ema", 0 <= self.ema < 1, "at least 0 and below 1"),
            ("decay_steps", self.decay_steps >= 0, "at least 0"),
            ("seed", self.seed >= 0, "at least 0"),
            ("l2", 0 <= self.l2 < 1, "at least 0 and below 1"),
            ("r1", self.r1 >= 0, "at least 0"),
        ):
            if not ok:
                raise InputError(
                    f"recipe: {name}: found {getattr(self, name)!r}, expected {expected}"
                )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """The recipe in a checkpoint's ``info["recipe"]``, which may be of an older version.

        >>> Recipe.from_dict({"name": "paper", "batch": 128}).l2
        0.0
        """
        return cls(**{**SINCE, **values})

    def rate_at(self, step: int) -> float:
        """The rate of step `step`, counted from 0.

        >>> recipe = Recipe(rate=0.4, decay_steps=100)
        >>> [recipe.rate_at(step) for step in (0, 50, 75, 100)]
        [0.4, 0.4, 0.2, 0.0]
        """
        if not self.decay_steps:
            return self.rate
        left = 1 - step / self.decay_steps
        return self.rate * min(1.0, max(0.0, 2 * left))

    @property
    def minibatches(self) -> int:
        """Minibatches of images that one step uses up.

        The authors' code takes a minibatch for every turn, also for the generator's, which does
        not look at it. So their epoch shows the discriminator half of the images.
        """
        return 2 if self.name == "paper" else 1
