"""95% intervals: of proportions, of means, and from bootstrap resamples.

Two ways to resample. The multinomial bootstrap draws as many samples as there are, with
replacement. The Poisson bootstrap counts each sample a Poisson(1) number of times: samples that
arrive in batches can be resampled without knowing how many will come (Chamandy et al. 2012,
section 2). Both give weights, the first row of which counts every sample once; statistics of the
rows then go to `percentile_interval`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# scipy.stats takes a second to import, so the functions that need it do: commands start sooner.

RESAMPLES = 1000
ENDS = (0.025, 0.975)


@dataclass(frozen=True)
class Interval:
    """A number with its 95% interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, statistics: np.ndarray) -> Interval:
        """The number of all samples, with its `percentile_interval`.

        >>> Interval.of(np.arange(102.0))
        Interval(value=0.0, low=3.5, high=98.5)
        """
        low, high = percentile_interval(statistics)
        return cls(float(statistics[0]), float(low), float(high))

    def values(self) -> dict[str, float] | None:
        """As JSON values; None where nothing could be measured.

        >>> Interval(0.5, 0.4, 0.6).values(), UNKNOWN.values()
        ({'value': 0.5, 'low': 0.4, 'high': 0.6}, None)
        """
        ends = {"value": self.value, "low": self.low, "high": self.high}
        return ends if all(map(math.isfinite, ends.values())) else None

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


UNKNOWN = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Proportion:
    """A proportion with its 95% Wilson interval, from independent samples.

    >>> str(Proportion(7, 40))
    '0.17 (0.09 to 0.32)'

    count: how many of `total` samples have the property; both whole numbers, total above 0.
    """

    count: int
    total: int

    @property
    def value(self) -> float:
        return self.count / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends, in [0, 1]."""
        from scipy import stats  # type: ignore[import-untyped]

        wilson = stats.binomtest(self.count, self.total).proportion_ci(method="wilson")
        return float(wilson.low), float(wilson.high)

    def values(self) -> dict[str, float]:
        """As JSON values.

        >>> Proportion(0, 4).values()["of"]
        4
        """
        low, high = self.interval
        return {"share": self.value, "low": low, "high": high, "of": self.total}

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.2f} ({low:.2f} to {high:.2f})"


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95% interval of the mean of normal values, by Student's t.

        >>> low, high = mean_interval([1.0, 2.0, 3.0])
        >>> round(low, 2), round(high, 2)
        (-0.48, 4.48)

    values: two or more.
    """
    from scipy import stats

    values = np.asarray(values, np.float64).tolist()
    count = len(values)
    mean = sum(values) / count
    half = stats.t.ppf(0.975, count - 1) * np.std(values, ddof=1) / math.sqrt(count)
    return float(mean - half), float(mean + half)


def resampled_mean(values: np.ndarray, seed: int, resamples: int = RESAMPLES) -> Interval:
    """The mean of independent values, with its interval from bootstrap resamples.

        >>> str(resampled_mean(np.array([0.0, 1.0, 1.0, 0.0]), seed=0))
        '0.500 (0.000 to 1.000)'

    values: one or more, float64.
    """
    weights = bootstrap_weights(len(values), np.random.default_rng(seed), resamples)
    return Interval.of((weights @ np.asarray(values, np.float64)) / weights.sum(1))


def resampled_ratio(
    above: np.ndarray, below: np.ndarray, seed: int | Sequence[int], resamples: int = RESAMPLES
) -> Interval:
    """One sum over samples divided by another, with its interval from bootstrap resamples.

        >>> str(resampled_ratio(np.array([1.0, 1.0]), np.array([2.0, 2.0]), seed=0))
        '0.500 (0.500 to 0.500)'

    above, below: one number for each sample, float64; those below are not all 0.
    """
    weights = bootstrap_weights(len(above), np.random.default_rng(seed), resamples)
    return Interval.of(divide(*(weights @ np.asarray(each, np.float64) for each in (above, below))))


def bootstrap_weights(
    samples: int, rng: np.random.Generator, resamples: int = RESAMPLES, *, poisson: bool = False
) -> np.ndarray:
    """How often each sample counts in each bootstrap resample.

        >>> bootstrap_weights(5, np.random.default_rng(0), resamples=3).sum(axis=1).tolist()
        [5.0, 5.0, 5.0, 5.0]

    Returns (1 + resamples) x samples float64; the first row counts every sample once. poisson:
    independent Poisson(1) counts, for samples that arrive in batches; rows then differ in sum.
    """
    if poisson:
        counts = rng.poisson(1.0, (resamples, samples))
    else:
        counts = rng.multinomial(samples, np.full(samples, 1 / samples), resamples)
    return np.vstack([np.ones(samples), counts])


def divide(numerator: Any, denominator: Any) -> np.ndarray:
    """Divide statistics of resamples; NaN where a resample has nothing to divide by.

    >>> divide(np.array([1.0, 0.0]), np.array([2.0, 0.0])).tolist()
    [0.5, nan]
    """
    return numerator / np.where(denominator == 0, np.nan, denominator)


def percentile_interval(statistics: np.ndarray) -> tuple[Any, Any]:
    """The 2.5th and 97.5th percentile over resamples.

        >>> low, high = percentile_interval(np.arange(102.0))
        >>> float(low), float(high)
        (3.5, 98.5)

    statistics: (1 + resamples) x ..., of the rows of `bootstrap_weights`. The first, of all
    samples, does not count, nor does a NaN. Returns two arrays of the shape after the first axis.
    """
    low, high = np.nanquantile(statistics[1:], ENDS, axis=0)
    return low, high
