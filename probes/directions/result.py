"""The result of directions: vectors in latent space, and what each changes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats  # type: ignore[import-untyped]
from torch import Tensor

from dcgan_probe.figures.panels import Block, draw, zoom_for
from dcgan_probe.latents.sampling import write as write_latents
from dcgan_probe.metrics.intervals import Interval
from dcgan_probe.results.result import Result

FILE = "directions.safetensors"
# Samples on which a classifier names directions, and how much it must see change.
MEASURED, LEAST = 200, 0.1
# A concept names a direction that is nearer to it than this share of random directions.
NEAR = 0.99
TITLES = {
    "pca": "Principal directions of layer {layer}",
    "sefa": "Directions of the weights of layer {layer}",
    "regression": "Directions of labels",
}
SHARES = {
    "pca": "share of the layer's variance",
    "sefa": "share of the layer's squared weights",
    "regression": "R^2 of the label",
}
LENGTHS = {
    "pca": "standard deviations of the component",
    "sefa": "standard deviations of z",
    "regression": "standard deviations of z",
}


def by_chance(size: int) -> float:
    """The cosine, of either sign, that `NEAR` of random directions of z_size numbers stay below.

    >>> round(by_chance(100), 2)
    0.26
    """
    # Its square has this distribution.
    return float(stats.beta.ppf(NEAR, 0.5, (size - 1) / 2)) ** 0.5 if size > 1 else 1.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Direction:
    """One direction, z_size float32, and what it moves.

    name: the label or concept that it moves most, which rises along it; None if it moves none
    surely. share: as `SHARES` says. changes: by label the change of its mean probability from end
    to end, None without a classifier. cosines: by concept, None with one, or without concepts.
    sample: the one that is drawn, "seed:index".
    """

    z: Tensor
    name: str | None
    share: float
    changes: dict[str, Interval] | None
    cosines: dict[str, float] | None
    sample: str

    @property
    def moved(self) -> list[str]:
        """What it moves most, in words: at most three labels or concepts, with how much."""
        if self.changes is not None:
            by = {label: change.value for label, change in self.changes.items()}
            least = LEAST
        else:
            by = self.cosines or {}
            least = by_chance(len(self.z))
        most = sorted(by, key=lambda label: -abs(by[label]))[:3]
        return [f"{label} {by[label]:+.2f}" for label in most if abs(by[label]) >= least]

    def values(self) -> dict[str, Any]:
        changes = None
        if self.changes is not None:
            changes = {
                label: {"mean": change.value, "low": change.low, "high": change.high}
                for label, change in self.changes.items()
            }
        return {
            "name": self.name,
            "share": self.share,
            "length": float(self.z.norm()),
            "sample": self.sample,
            "changes": changes,
            "cosines": self.cosines,
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class Directions(Result):
    """What `run` returns. by: "pca", "sefa" or "regression"; known: what is known of all of them.
    classifier, about: its name, and what is known of it.

    pixels: k x places x H x W x 3 uint8, the sample of each at `at`, in lengths of the direction.
    """

    by: str
    directions: tuple[Direction, ...]
    known: dict[str, Any]
    classifier: str | None
    about: dict[str, Any] | None
    at: tuple[float, ...]
    pixels: np.ndarray
    caption: str

    def values(self) -> dict[str, Any]:
        return {
            "by": self.by,
            **self.known,
            "classifier": self.classifier,
            "about_classifier": self.about,
            "reach": self.at[-1],
            "directions": [direction.values() for direction in self.directions],
            "named": sum(direction.name is not None for direction in self.directions),
        }

    def draw(self, folder: Path) -> None:
        import torch

        sha = self.made_with["checkpoint"]["sha256"]
        write_latents(folder / FILE, torch.stack([d.z for d in self.directions]), sha)
        rows = [
            "\n".join([f"{i + 1}  ({direction.share:.2f})", *direction.moved, direction.sample])
            for i, direction in enumerate(self.directions)
        ]
        draw(
            folder / "directions.png",
            TITLES[self.by].format(**self.known),
            [Block(f"{self.at[0]:+.2g} to {self.at[-1]:+.2g} {LENGTHS[self.by]}", self.pixels)],
            rows,
            f"Each row is one direction and one sample (seed:index), unchanged in the middle. In "
            f"brackets: the {SHARES[self.by]}. {self._words()} {self.caption}.",
            zoom=zoom_for(self.pixels.shape[2]),
        )

    def _words(self) -> str:
        """What the words beside each direction are, and which sample is drawn."""
        if self.classifier is not None:
            return (
                f"Below: the up to three labels whose probability, by the classifier "
                f"{self.classifier}, changes most from end to end, mean of {MEASURED} samples; at "
                f"least {LEAST}. The sample: the one in which the label that changes most "
                "changes by the median."
            )
        if self.directions[0].cosines:
            return (
                "Below: the cosine with concepts, if it is larger than that of "
                f"{NEAR:.0%} of random directions."
            )
        return "Without a classifier or concepts, directions have no names."

    def __str__(self) -> str:
        lines = [TITLES[self.by].format(**self.known)]
        if self.by == "regression":
            lines[0] += (
                f": {len(self.directions)} of {self.known['explained_labels']} labels that "
                f"change linearly with z, of {self.known['of_labels']}"
            )
        for i, direction in enumerate(self.directions):
            moved = ", ".join(direction.moved) or "nothing that is known"
            lines.append(f"{i + 1} ({SHARES[self.by]} {direction.share:.3f}): {moved}")
        lines.append(
            f"turn takes them up: --axis direction1 in this line, FOLDER/{FILE}:1 in others"
        )
        return "\n".join(lines)
