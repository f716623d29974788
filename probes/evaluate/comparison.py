"""Compute the metrics on every split, for samples and for held-out images."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """One number, measured on every split."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return sum(self.values) / len(self.values)

    def __str__(self) -> str:
        return f"{self.mean:.3g} ({min(self.values):.3g} to {max(self.values):.3g})"


@dataclass(frozen=True, kw_only=True)
class ScaleComparison:
    """A number for samples, and the same for as many held-out images: the floor of a distance."""

    samples: Spread
    held_out: Spread

    def values(self) -> dict[str, list[float]]:
        return {"samples": list(self.samples.values), "held_out": list(self.held_out.values)}
