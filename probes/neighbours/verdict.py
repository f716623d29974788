"""Test whether samples are closer to training images than held-out images are.

Both tests take distances only. Those of samples and of held-out images to the nearest training
image are compared by the three-sample test; it finds copies, and also samples that are close to
every real image, as blurred ones are. So the preference test asks which real image is nearest to a
sample: one that was trained on, or one that was held out?
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import norm, rankdata  # type: ignore[import-untyped]

LEVEL = 0.01  # of each test
LEAST = 20  # samples, and held-out images, of a cell that counts; the authors' code has it too
DRAWS, CHUNK = 9999, 1000
Z95 = 1.959963984540054


@dataclass(frozen=True)
class ThreeSample:
    """What `three_sample` returns.

    c_t: mean z-score of the cells; below 0 samples are closer than held-out images, above further.
    p_closer, p_further: one-sided. closer: the chance that a sample is closer to its nearest
    training image than a held-out image of the same cell is to its own, ties half; interval: 95%.
    cells: how many count; held_out_share: of held-out images, in those.
    """

    c_t: float
    p_closer: float
    p_further: float
    closer: float
    interval: tuple[float, float]
    cells: int
    held_out_share: float


@dataclass(frozen=True)
class Preference:
    """What `preference` returns.

    share: of samples, those whose nearest real image is a training image. expected: the same if
    it were chance which images were trained on. p: one-sided, for more than that.
    """

    share: float
    expected: float
    p: float

    @property
    def excess(self) -> float:
        """How far the share is on the way from chance, 0, to all samples, 1."""
        return (self.share - self.expected) / (1 - self.expected)


def three_sample(
    samples: np.ndarray,
    held_out: np.ndarray,
    sample_cells: np.ndarray,
    held_out_cells: np.ndarray,
) -> ThreeSample:
    """Compare distances to the nearest training image, of samples and of held-out images.

        >>> near, far, cell = np.arange(50.0), np.arange(50.0) + 60, np.zeros(50, int)
        >>> three_sample(near, far, cell, cell).closer
        1.0

    samples, held_out: m and n distances. sample_cells, held_out_cells: of a partition that does
    not depend on them. A cell counts if it has `LEAST` of either; if none has, all are one cell.
    In each the Mann-Whitney U of the distances is brought to a z-score with the variance for ties,
    without a correction for continuity; C_T is their mean, weighted by held-out images. Given the
    cells the scores are independent, and so the p-values are of a normal of variance sum of squared
    weights. The interval of the effect is DeLong's; where every sample is closer it has no width.

    Source: Meehan, Chaudhuri and Dasgupta (2020), section 4; DeLong et al. (1988), equation 3.
    """
    counted = [
        cell
        for cell in np.unique(held_out_cells)
        if min((sample_cells == cell).sum(), (held_out_cells == cell).sum()) >= LEAST
    ]
    if not counted:
        sample_cells, held_out_cells = np.zeros(len(samples)), np.zeros(len(held_out))
        counted = [0]
    each = np.array(
        [_cell(samples[sample_cells == c], held_out[held_out_cells == c]) for c in counted]
    )
    sizes = np.array([(held_out_cells == c).sum() for c in counted])
    weights = sizes / sizes.sum()
    z, closer, variance = each.T
    c_t, effect = float(weights @ z), float(weights @ closer)
    score = c_t / np.sqrt((weights**2).sum())
    reach = Z95 * np.sqrt(weights**2 @ variance)
    return ThreeSample(
        c_t,
        float(norm.cdf(score)),
        float(norm.sf(score)),
        effect,
        (float(max(0, effect - reach)), float(min(1, effect + reach))),
        len(counted),
        float(sizes.sum() / len(held_out)),
    )


def _cell(samples: np.ndarray, held_out: np.ndarray) -> tuple[float, float, float]:
    """z of Mann-Whitney's U, the share of pairs in which the sample is closer, its variance."""
    m, n = len(samples), len(held_out)
    ranks = rankdata(np.concatenate([samples, held_out]))
    # For each, the share of the others that are closer than it is.
    above = (ranks[:m] - rankdata(samples)) / n
    below = (ranks[m:] - rankdata(held_out)) / m
    _, ties = np.unique(ranks, return_counts=True)
    tied = (ties**3.0 - ties).sum() / ((m + n) * (m + n - 1))
    deviation = np.sqrt(m * n / 12 * (m + n + 1 - tied))
    z = (above.sum() * n - m * n / 2) / deviation if deviation else 0.0
    variance = above.var(ddof=1) / m + below.var(ddof=1) / n
    return z, 1 - above.mean(), variance


def preference(
    to_training: np.ndarray,
    nearest_training: np.ndarray,
    to_held_out: np.ndarray,
    nearest_held_out: np.ndarray,
    training: int,
    held_out: int,
    seed: int = 0,
) -> Preference:
    """Is the real image that is nearest to a sample a training image more often than by chance?

        >>> rows, ones = np.arange(50), np.ones(50)
        >>> preference(0 * ones, rows, ones, rows, training=100, held_out=900).expected
        0.1

    to_training, to_held_out: distances of m samples; nearest_training, nearest_held_out: numbers
    of those images, and counts of training and held-out images. Samples at equal distances say
    nothing. If the generator does not know which images it was trained on, any of them might as
    well have been held out: p is a share of random assignments (`DRAWS`), in which an image takes
    all samples it is nearest to along, so that one image near to many counts as one.
    """
    unequal = to_training != to_held_out
    mine = to_training[unequal] < to_held_out[unequal]
    expected = training / (training + held_out)
    if not unequal.any():
        return Preference(expected, expected, 1.0)
    # Held-out images are numbered after the training images.
    nearest = np.where(mine, nearest_training[unequal], nearest_held_out[unequal] + training)
    _, takes = np.unique(nearest, return_counts=True)
    rng = np.random.default_rng(seed)
    least = 0
    for start in range(0, DRAWS, CHUNK):
        count = min(CHUNK, DRAWS - start)
        trained = rng.hypergeometric(training, held_out, len(takes), count)
        shuffled = rng.permuted(np.tile(takes, (count, 1)), axis=1)
        sums = np.concatenate([np.zeros((count, 1), int), shuffled.cumsum(1)], axis=1)
        least += int((sums[np.arange(count), trained] >= mine.sum()).sum())
    return Preference(float(mine.mean()), expected, (1 + least) / (1 + DRAWS))


COPIED = "SIGNS OF COPYING"
LEANS = "LEANS ON TRAINING IMAGES"
PLAIN = "CLOSE TO ALL REAL IMAGES"
FURTHER = "UNDERFIT"
FINE = "NO SIGN OF COPYING"
_WORDS = {
    COPIED: "samples are closer to training images than held-out images are, and their nearest "
    "real image is a training image too often",
    LEANS: "samples are no closer to training images than held-out images are, but their nearest "
    "real image is a training image too often",
    PLAIN: "samples are closer to training images than held-out images are, but no more to those "
    "than to held-out images: plain or blurred rather than copied",
    FURTHER: "samples are further from training images than held-out images are, and do not prefer "
    "them",
    FINE: "samples are as far from training images as held-out images are, and do not prefer them",
}


@dataclass(frozen=True)
class Verdict:
    """Both tests on one set of samples, and what they say together."""

    three_sample: ThreeSample
    preference: Preference

    @property
    def name(self) -> str:
        """One of COPIED, LEANS, PLAIN, FURTHER, FINE; each test at the level `LEVEL`."""
        prefers = self.preference.p < LEVEL
        if self.three_sample.p_closer < LEVEL:
            return COPIED if prefers else PLAIN
        if prefers:
            return LEANS
        return FURTHER if self.three_sample.p_further < LEVEL else FINE

    def __str__(self) -> str:
        return f"{self.name}: {_WORDS[self.name]}"

    def sentence(self) -> str:
        """What the tests found, in plain words for a caption."""
        test, share = self.three_sample, self.preference
        low, high = test.interval
        words = _WORDS[self.name]
        return (
            f"{words[0].upper()}{words[1:]}. In {test.closer:.0%} of pairs ({low:.0%} to "
            f"{high:.0%}) the sample is closer to its nearest training image than the held-out "
            "image is to its own; 50% if both are alike. The real image nearest to a sample "
            f"is a training image for {share.share:.0%} of the samples, {share.expected:.0%} by "
            "chance."
        )

    def numbers(self) -> list[str]:
        """The tests, one on each line."""
        test, share = self.three_sample, self.preference
        side, p = ("closer", test.p_closer) if test.c_t < 0 else ("further", test.p_further)
        low, high = test.interval
        return [
            f"three-sample test: C_T {test.c_t:.2f}, p {p:.2g} for {side}; a sample is closer than "
            f"a held-out image with probability {test.closer:.3f} ({low:.3f} to {high:.3f}); "
            f"{test.cells} cells with {test.held_out_share:.0%} of held-out images",
            f"preference: the nearest real image is a training image for {share.share:.3f} of the "
            f"samples, {share.expected:.3f} by chance, p {share.p:.2g} for more; "
            f"{share.excess:.2f} of the way from chance to all",
        ]

    def values(self) -> dict[str, Any]:
        return {
            "verdict": self.name,
            "three_sample": asdict(self.three_sample),
            "preference": asdict(self.preference),
        }
