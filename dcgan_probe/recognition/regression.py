"""Logistic regression on activations: which filters separate inside from outside the boxes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dcgan_probe.errors import InputError

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

# scikit-learn takes seconds to import, so the functions that need it do: commands start sooner.

MAX_ITERATIONS = 1000
FOLDS = 5
SPARSE = (0.003, 0.01, 0.03, 0.1, 0.3)  # strengths of the L1 penalty as C, strongest first


@dataclass(frozen=True, eq=False)
class Cells:
    """Activations at places of a layer, half of them (or more) inside of boxes.

    activations: N x filters float32. inside: N bool. images: N int64, which image each is of.
    """

    activations: np.ndarray
    inside: np.ndarray
    images: np.ndarray


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted regression. weights: one for each filter; converged: within `MAX_ITERATIONS`."""

    weights: np.ndarray
    bias: float
    converged: bool

    def logit(self, activations: np.ndarray) -> np.ndarray:
        """... x filters activations to ... logits of being inside."""
        return activations @ self.weights + self.bias


def cells_of(maps: np.ndarray, inside: np.ndarray, seed: int, where: str = "boxes") -> Cells:
    """All places inside the boxes, and as many outside, drawn at random from the same images.

    maps: N x filters x h x w. inside: N x h x w bool. Raises InputError if no place is inside, or
    none outside. Source: section 6.3.1.
    """
    rng = np.random.default_rng(seed)
    activations, targets, images = [], [], []
    for i in np.flatnonzero(inside.any(axis=(1, 2))):
        is_in = inside[i].ravel()
        outside = np.flatnonzero(~is_in)
        # A box may fill more than half of an image: then there are fewer places outside than in.
        drawn = rng.choice(outside, min(int(is_in.sum()), len(outside)), replace=False)
        both = np.concatenate([np.flatnonzero(is_in), drawn])
        activations.append(maps[i].reshape(len(maps[i]), -1).T[both])
        targets.append(is_in[both])
        images.append(np.full(len(both), i))
    if not activations:
        raise InputError(f"{where}: found no place inside a box, expected a finer layer")
    cells = Cells(*(np.concatenate(parts) for parts in (activations, targets, images)))
    if cells.inside.all():
        raise InputError(f"{where}: found no place outside the boxes, expected a finer layer")
    return cells


def fit(activations: np.ndarray, inside: np.ndarray) -> Fit:
    """Fit scikit-learn's LogisticRegression (L2, C = 1) on activations that are not scaled.

    Newton's method in float64 ends at the minimum. The default solver stops short of it, and how
    short depends on the last bit of a sum, so that 1 and 2 threads ranked filters differently.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        solver = LogisticRegression(solver="newton-cholesky", tol=1e-8, max_iter=MAX_ITERATIONS)
        model = solver.fit(activations.astype(np.float64), inside)
    converged = True
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            converged = False
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    return Fit(model.coef_[0], float(model.intercept_[0]), converged)


def sparse(cells: Cells) -> np.ndarray:
    """Weights of the sparsest L1 regression that is about as accurate as any.

    Activations are brought to deviation 1, so that the penalty is the same for all filters; of the
    penalties in `SPARSE` the strongest one is taken whose held-out accuracy is within 0.01 of the
    best. Returns one float64 a filter, in units of these activations; those left out are 0.
    """
    from sklearn.linear_model import LogisticRegression

    scale = cells.activations.std(axis=0) + 1e-6

    def fitted(rows: np.ndarray, c: float) -> LogisticRegression:
        # l1_ratio 1 is the L1 penalty; liblinear minimises it to the end, and from a seed.
        model = LogisticRegression(l1_ratio=1, solver="liblinear", C=c, random_state=0)
        return model.fit(cells.activations[rows] / scale, cells.inside[rows])

    def accuracy(c: float) -> float:
        right = [
            fitted(train, c).score(cells.activations[test] / scale, cells.inside[test])
            for train, test in folds(cells)
        ]
        return float(np.mean(right)) if right else 0.0

    accuracies = [accuracy(c) for c in SPARSE]
    best = max(accuracies)
    c = next(c for c, score in zip(SPARSE, accuracies, strict=True) if score >= best - 0.01)
    return fitted(np.arange(len(cells.inside)), c).coef_[0]


def folds(cells: Cells) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows to learn from and to test on, 5 times: no image is on both sides."""
    from sklearn.model_selection import GroupKFold

    count = len(np.unique(cells.images))
    if count < 2:
        return []
    return list(GroupKFold(min(FOLDS, count)).split(cells.inside, groups=cells.images))


def held_out_accuracy(cells: Cells) -> list[float]:
    """Accuracy on each of 5 folds by image: no image is on both sides. Empty if one has boxes."""
    accuracy = []
    for train, test in folds(cells):
        logit = fit(cells.activations[train], cells.inside[train]).logit(cells.activations[test])
        accuracy.append(float(((logit > 0) == cells.inside[test]).mean()))
    return accuracy
