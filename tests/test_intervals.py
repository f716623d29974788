"""Intervals and splits against scipy, plain formulas and what the bootstrap is known to do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from dcgan_probe.metrics import intervals, splits


@pytest.mark.parametrize(("count", "total"), [(0, 10), (7, 40), (40, 40)])
def test_a_proportion_has_the_interval_of_wilsons_formula(count, total):
    z, p = stats.norm.ppf(0.975), count / total
    centre = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(p * (1 - p) / total + z * z / (4 * total**2)) / (1 + z * z / total)
    low, high = intervals.Proportion(count, total).interval
    assert (low, high) == pytest.approx((centre - half, centre + half), abs=1e-12)


def test_the_interval_of_a_mean_is_that_of_scipy():
    values = [0.61, 0.65, 0.58, 0.66]
    theirs = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert intervals.mean_interval(values) == pytest.approx(theirs)


@pytest.mark.parametrize("poisson", [False, True])
def test_bootstrap_weights_count_every_sample_once_in_the_first_row_and_in_the_mean(poisson):
    rng = np.random.default_rng(0)
    weights = intervals.bootstrap_weights(40, rng, 20_000, poisson=poisson)
    assert weights.shape == (20_001, 40)
    assert (weights[0] == 1).all()
    assert weights.mean(0) == pytest.approx(1, abs=0.05)
    # Of one sample's count: 1 for a Poisson, 1 - 1/40 for a multinomial.
    assert weights[1:].var(0).mean() == pytest.approx(1 if poisson else 1 - 1 / 40, abs=0.02)
    assert (weights.sum(1) == 40).all() != poisson


@pytest.mark.parametrize("poisson", [False, True])
def test_the_bootstrap_of_a_mean_is_that_of_scipy(poisson):
    values = np.random.default_rng(1).normal(3, 2, 400)
    rng = np.random.default_rng(2)
    weights = intervals.bootstrap_weights(len(values), rng, 4000, poisson=poisson)
    means = intervals.divide(weights @ values, weights.sum(1))
    theirs = stats.bootstrap((values,), np.mean, method="percentile", rng=3).confidence_interval
    assert means[0] == pytest.approx(values.mean())
    assert intervals.percentile_interval(means) == pytest.approx(
        (theirs.low, theirs.high), abs=0.03
    )


def test_a_resample_without_a_number_does_not_count():
    ratios = intervals.divide(np.array([1.0, 2.0, 0.0, 4.0]), np.array([1.0, 1.0, 0.0, 1.0]))
    assert intervals.percentile_interval(ratios) == (2.05, 3.95)
    columns = np.stack([ratios, 10 * ratios], axis=1)
    low, high = intervals.percentile_interval(columns)
    assert (low.tolist(), high.tolist()) == ([2.05, 20.5], [3.95, 39.5])


@pytest.mark.parametrize("sizes", [(5, 4), (2, 0), (1, 8), (6, 7)])
def test_halves_share_each_group_and_no_row(sizes):
    rows = np.random.default_rng(0).permutation(sum(sizes))
    groups = rows[: sizes[0]], rows[sizes[0] :]
    first, second = splits.halves(*groups)
    assert sorted([*first, *second]) == list(range(sum(sizes)))
    assert (np.diff(first) > 0).all() and (np.diff(second) > 0).all()
    for group in groups:
        taken = np.isin(group, first)
        assert taken.tolist() == [i % 2 == 0 for i in range(len(group))]


def test_rows_are_held_out_evenly():
    counts = np.zeros(12)
    for seed in range(3000):
        left, held_out = splits.hold_out(12, 3, np.random.default_rng(seed))
        assert sorted([*left, *held_out]) == list(range(12)) and len(held_out) == 3
        counts[held_out] += 1
    assert stats.chisquare(counts).pvalue > 0.001
