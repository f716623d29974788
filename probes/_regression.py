"""Logistic regression on activations: which filters tell the inside of boxes from the outside."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dcgan_probe as dp
from dcgan_probe.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

MAX_ITERATIONS = 1000
FOLDS = 5


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
    """A fitted regression. weights: one a filter; converged: within `MAX_ITERATIONS`."""

    weights: np.ndarray
    bias: float
    converged: bool

    def logit(self, activations: np.ndarray) -> np.ndarray:
        """... x filters activations to ... logits of being inside."""
        return activations @ self.weights + self.bias


def maps_of(session: dp.Session, z: Tensor, layer: str) -> Tensor:
    """Feature maps of a generator's layer for latents, N x filters x h x w float32, on the CPU."""
    import torch

    parts = []
    with torch.no_grad():
        for batch in z.split(dp.session.BATCH):
            maps = dp.hooks.activations(session.generator, layer, batch.to(session.device))
            if maps.dim() != 4:
                raise InputError(f"layer {layer!r}: found {maps.dim() - 1}-d values, expected maps")
            parts.append(maps.cpu())
    return torch.cat(parts)


def cells_of(maps: np.ndarray, inside: np.ndarray, seed: int, where: str = "boxes") -> Cells:
    """All places inside the boxes, and as many outside, drawn at random from the same images.

    maps: N x filters x h x w. inside: N x h x w bool. Raises InputError if no place is inside, or
    none outside. Source: section 6.3.1.
    """
    import numpy as np

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
    """scikit-learn's LogisticRegression as it comes (L2, C = 1), on activations as they are."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = LogisticRegression(max_iter=MAX_ITERATIONS).fit(activations, inside)
    converged = True
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            converged = False
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    return Fit(model.coef_[0], float(model.intercept_[0]), converged)


def held_out_accuracy(cells: Cells) -> list[float]:
    """Accuracy on each of 5 folds by image: no image is on both sides. Empty if one has boxes."""
    import numpy as np
    from sklearn.model_selection import GroupKFold

    count = len(np.unique(cells.images))
    if count < 2:
        return []
    accuracy = []
    for train, test in GroupKFold(min(FOLDS, count)).split(cells.inside, groups=cells.images):
        logit = fit(cells.activations[train], cells.inside[train]).logit(cells.activations[test])
        accuracy.append(float(((logit > 0) == cells.inside[test]).mean()))
    return accuracy
