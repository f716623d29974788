"""Compare samples with their nearest training and held-out images."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .verdict import Verdict

CLOSEST, TYPICAL = 4, 4


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

    def shown(self) -> list[tuple[str, int]]:
        """The samples of the picture, and why: the closest, and those about the median."""
        order = np.argsort(self.distances[:, 0], kind="stable").tolist()
        closest = [("closest", i) for i in order[:CLOSEST]]
        rest = order[CLOSEST:]
        start = max(0, (len(rest) - TYPICAL) // 2)
        return closest + [("typical", i) for i in rest[start : start + TYPICAL]]

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
            return line + written([own])[0]
        samples, held_out = written([own, np.median(self.held_out)])
        line += f"{samples}, held-out images {held_out}"
        return "\n  ".join([line, *self.verdict.numbers(), str(self.verdict)])


def written(distances: Iterable[float]) -> list[str]:
    """Distances to be compared, with as many decimals as show three digits of the largest.

    >>> written([0.49, 0.4061])
    ['0.490', '0.406']
    """
    values = [float(d) for d in distances]
    decimals = max(0, 2 - math.floor(math.log10(max(values) or 1.0)))
    return [f"{value:.{decimals}f}" for value in values]


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
