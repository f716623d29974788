"""Compare samples with their nearest training and held-out images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dcgan_probe.results.numbers import align_decimals

from .verdict import Verdict

CLOSEST, TYPICAL = 4, 4
PAIRED = 3  # of either, in the picture of two checkpoints


@dataclass(frozen=True, eq=False)
class Comparison:
    """One set of samples compared with real images, in one space.

    distances, nearest: m x 5 of each sample to its nearest training images, and their numbers.
    held_out: of each held-out image to its nearest training image. to_held_out,
    nearest_held_out: m, of each sample to its nearest held-out image, and its number. Empty, and
    verdict None, without held-out images.
    """

    space: str
    unit: str
    distances: np.ndarray
    nearest: np.ndarray
    held_out: np.ndarray
    to_held_out: np.ndarray
    nearest_held_out: np.ndarray
    verdict: Verdict | None

    def shown(self, closest: int = CLOSEST, typical: int = TYPICAL) -> list[tuple[str, int]]:
        """The samples of the picture, and why: the closest, and those about the median."""
        order = np.argsort(self.distances[:, 0], kind="stable").tolist()
        rest = order[closest:]
        start = max(0, (len(rest) - typical) // 2)
        return [("closest", i) for i in order[:closest]] + [
            ("typical", i) for i in rest[start : start + typical]
        ]

    def values(self) -> dict[str, Any]:
        held = float(np.median(self.held_out)) if len(self.held_out) else None
        return {
            "unit": self.unit,
            "median_distance": {
                "samples": float(np.median(self.distances[:, 0])),
                "held_out": held,
            },
            **({} if self.verdict is None else self.verdict.values()),
        }

    def __str__(self) -> str:
        line = f"{self.space}: to the nearest training image (median; {self.unit}): samples "
        own = np.median(self.distances[:, 0])
        if self.verdict is None:
            return line + align_decimals([own])[0]
        samples, held_out = align_decimals([own, np.median(self.held_out)])
        line += f"{samples}, held-out images {held_out}"
        return "\n  ".join([line, *self.verdict.numbers(), str(self.verdict)])


@dataclass(frozen=True, eq=False)
class SampleSet:
    """The samples of one checkpoint. pixels: m x H x W x 3 uint8; near: one for each space."""

    name: str
    pixels: np.ndarray
    near: tuple[Comparison, ...]

    def values(self) -> dict[str, Any]:
        return {"checkpoint": self.name, **{near.space: near.values() for near in self.near}}

    def __str__(self) -> str:
        return "\n".join(map(str, self.near))


@dataclass(frozen=True, eq=False)
class Examples:
    """Images of the picture of one space, m x columns x H x W x 3 uint8; held_out may be empty."""

    training: np.ndarray
    held_out: np.ndarray


@dataclass(frozen=True, eq=False)
class Pairs:
    """Some samples of two checkpoints from the same latents, and their nearest images.

    rows: the latents. examples: by checkpoint and space, one training and one held-out image each.
    """

    rows: tuple[int, ...]
    examples: tuple[tuple[Examples, ...], ...]
