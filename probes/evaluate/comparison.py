"""Compute the metrics on every split, for samples and for held-out images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dcgan_probe.results.numbers import align_decimals


@dataclass(frozen=True)
class Spread:
    """One number, measured on every split."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return sum(self.values) / len(self.values)

    @property
    def range(self) -> tuple[float, float]:
        """The least and the most."""
        return min(self.values), max(self.values)


@dataclass(frozen=True, kw_only=True)
class ScaleComparison:
    """A number for samples, and the same for as many held-out images: the floor of a distance."""

    samples: Spread
    held_out: Spread

    def values(self) -> dict[str, list[float]]:
        return {"samples": list(self.samples.values), "held_out": list(self.held_out.values)}


def describe(comparisons: Iterable[ScaleComparison]) -> list[tuple[str, str]]:
    """Samples and floor in words: means with the least and the most, all with equal decimals.

    >>> describe([ScaleComparison(samples=Spread((12.0, 13.25)), held_out=Spread((9.0,)))])
    [('12.6 (12.0 to 13.2)', '9.0 (9.0 to 9.0)')]
    """
    pairs = [(each.samples, each.held_out) for each in comparisons]
    numbers = [[spread.mean, *spread.range] for pair in pairs for spread in pair]
    texts = align_decimals(number for three in numbers for number in three)
    words = [f"{texts[i]} ({texts[i + 1]} to {texts[i + 2]})" for i in range(0, len(texts), 3)]
    return list(zip(words[::2], words[1::2], strict=True))
