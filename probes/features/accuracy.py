"""Accuracy by number of labels: means, intervals, and the C that was chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dcgan_probe.metrics.intervals import Proportion, mean_interval


@dataclass(frozen=True)
class Score:
    """Accuracies in [0, 1], one for each draw of labels, over the same `tested` images."""

    accuracies: tuple[float, ...]
    tested: int

    @property
    def mean(self) -> float:
        return sum(self.accuracies) / len(self.accuracies)

    @property
    def spread(self) -> float:
        """1.96 standard deviations over draws, as the authors print; 0 of one draw."""
        return 1.96 * float(np.std(self.accuracies))

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the mean over draws (Student's t); of one draw, over images (Wilson)."""
        if len(self.accuracies) == 1:
            return Proportion(round(self.mean * self.tested), self.tested).interval
        low, high = mean_interval(self.accuracies)
        return max(0.0, low), min(1.0, high)

    def values(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "mean": self.mean,
            "interval_95": list(self.interval),
            "spread_1.96_sd": self.spread,
            "draws": list(self.accuracies),
            "tested": self.tested,
        }

    def __str__(self) -> str:
        low, high = self.interval
        words = f"{100 * self.mean:.2f}% ({100 * low:.2f} to {100 * high:.2f})"
        if len(self.accuracies) > 1:
            words += f", {100 * self.spread:.2f} = 1.96 sd of {len(self.accuracies)} draws"
        return words


@dataclass(frozen=True)
class Point:
    """One point of a learning curve. per_class: labels of each class, None is all there are.

    labels: how many in all. c, chosen: the C of the best mean accuracy on the images held out, and
    that accuracy by C. edge: the best C is the first or last that was tried.
    """

    per_class: int | None
    labels: int
    c: float
    chosen: dict[float, float]
    score: Score

    @property
    def edge(self) -> bool:
        return len(self.chosen) > 1 and self.c in (min(self.chosen), max(self.chosen))

    def values(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "per_class": self.per_class,
            "labels": self.labels,
            "c": self.c,
            "validation_accuracy": {f"{c:.3g}": value for c, value in self.chosen.items()},
            "accuracy": self.score.values(),
        }

    def describe_labels(self) -> str:
        """How many labels there are, in words."""
        if self.per_class is None:
            return f"all {self.labels} labels"
        return f"{self.per_class} a class, {self.labels} labels"


@dataclass(frozen=True)
class Row:
    """One kind of features on the images. detail: how they are made. points: by labels a class."""

    name: str
    detail: str
    features: int
    points: tuple[Point, ...]
