"""AUC of location scores, with intervals by image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from dcgan_probe.errors import InputError
from dcgan_probe.metrics.inputs import Numbers, shape, tensor
from dcgan_probe.metrics.intervals import (
    RESAMPLES,
    UNKNOWN,
    Interval,
    bootstrap_weights,
    divide,
)

BINS = 1024


def auc_by_image(
    scores: Numbers, inside: Numbers, clear: Numbers, seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """Area under the ROC curve over the places of all images together.

        >>> auc_by_image(scores, inside, torch.ones_like(inside)).value
        0.97

    scores: N x h x w. inside, clear: bool of the same shape; what is not clear does not count.
    Chance is 0.5. NaN where there is no place of one kind. The interval is of images drawn again;
    for it scores are put into 1,024 bins of as many places each.
    """
    from sklearn.metrics import roc_auc_score  # takes seconds, which few commands need

    scores, inside, clear = _places(scores, inside, clear)
    ranked = np.sort(scores[clear].double().numpy())
    if not len(ranked):
        return UNKNOWN
    edges = ranked[np.linspace(0, len(ranked) - 1, BINS + 1).astype(int)[1:-1]]
    bins = np.searchsorted(edges, scores.double().flatten(1).numpy())
    has, has_not = (
        np.stack(
            [np.bincount(row[keep], minlength=BINS) for row, keep in zip(bins, kind, strict=True)]
        )
        for kind in ((inside & clear).flatten(1).numpy(), (~inside & clear).flatten(1).numpy())
    )
    below = has_not.cumsum(1) - has_not / 2  # of one bin half are taken to be below
    about = resampled(has @ below.T, np.outer(has.sum(1), has_not.sum(1)), seed, resamples)
    y = inside[clear].numpy()
    if y.all() or not y.any():
        return about
    return replace(about, value=float(roc_auc_score(y, scores[clear].numpy())))


def matched_auc(
    scores: Numbers,
    inside: Numbers,
    clear: Numbers,
    fold_of: Numbers,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """AUC of pairs of two images at the same place, of which one shows the object there.

        >>> matched_auc(torch.zeros(8, 4, 4), inside, clear, torch.zeros(8, dtype=int)).value
        0.5

    It is 0.5 for whatever depends on the place alone. fold_of: N int64; only images of one fold,
    whose scores are of one regression, are paired. NaN where there is no such pair.
    """
    scores, inside, clear = _places(scores, inside, clear)
    fold_of = tensor(fold_of, "fold_of")
    n = len(scores)
    won, pairs = np.zeros((n, n)), np.zeros((n, n))
    for fold in fold_of.unique():
        at = torch.where(fold_of == fold)[0]
        has = (inside[at] & clear[at]).flatten(1).double()
        has_not = (~inside[at] & clear[at]).flatten(1).double()
        mine = scores[at].flatten(1)
        block = np.ix_(at.numpy(), at.numpy())
        pairs[block] = (has @ has_not.T).numpy()
        for i, score, places in zip(at.tolist(), mine, has, strict=True):
            above = (score > mine).double() + 0.5 * (score == mine).double()
            won[i, at.numpy()] = ((above * has_not) @ places).numpy()
    return resampled(won, pairs, seed, resamples)


def _places(*given: Numbers) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, and what is inside and clear as bool; InputError unless all have one shape."""
    names = ("scores", "inside", "clear")
    scores, inside, clear = (
        tensor(each, name).detach().cpu() for each, name in zip(given, names, strict=True)
    )
    if scores.ndim != 3 or not scores.shape == inside.shape == clear.shape:
        found = ", ".join(map(shape, (scores, inside, clear)))
        raise InputError(f"scores, inside, clear: found {found}, expected N x h x w of each")
    return scores, inside.bool(), clear.bool()


def resampled(
    won: np.ndarray, pairs: np.ndarray, seed: int, resamples: int = RESAMPLES
) -> Interval:
    """The share of pairs that were won, from N x N counts by image, and its interval."""
    if not pairs.sum():
        return UNKNOWN
    weights = bootstrap_weights(len(won), np.random.default_rng(seed), resamples)
    return Interval.of(
        divide(((weights @ won) * weights).sum(1), ((weights @ pairs) * weights).sum(1))
    )
