"""Where an object is on the grids of several layers, learnt from boxes and calibrated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dcgan_probe.edits.regression import Linear, PlaceRegression, evidence
from dcgan_probe.errors import InputError
from dcgan_probe.metrics.ranking import Estimate, auc_by_image
from dcgan_probe.recognition.logistic import CrossFit, Problem, cross_fit

FOLDS = 5
ROWS = 5000  # locations that a layer's own regression learns from, half of them outside
JOINT_ROWS = 10_000
RIDGES = (3.0, 30.0)
JOINT_RIDGES = (1.0, 10.0, 100.0)


@dataclass(frozen=True, eq=False)
class FittedPlaces:
    """A regression of where an object is, and what it says of images that it has not seen.

    regression: fitted on all images. held_out: N x h x w logits by layer, each image's by
    regressions that have not seen it; empty where there are too few images to hold any out. auc:
    of those at the finest layer, inside boxes against outside, chance 0.5; None likewise.
    """

    regression: PlaceRegression
    held_out: dict[str, Tensor]
    auc: Estimate | None

    @property
    def better_than_chance(self) -> bool:
        """Whether held-out locations inside are told from those outside."""
        return self.auc is not None and self.auc.low > 0.5


def fit_places(
    maps: Mapping[str, Tensor], mask: np.ndarray, seed: int = 0, where: str = "boxes"
) -> FittedPlaces:
    """Learn where an object is from boxes.

        >>> fit_places(maps, boxes.mask((64, 64))).regression.layers
        ('8x8', '16x16', '32x32')

    maps: N x filters x h x w float32 by layer, of all images that were looked at, those without an
    object too. mask: N x S x S bool, inside of boxes at the pixels. Two stages (see
    `PlaceRegression`), each a ridge logistic regression whose target is the share of a location
    that lies inside; its ridge is chosen by folds of images, and nothing is balanced, so that
    sigmoid(logit) is a probability. The second stage learns from held-out logits of the first.
    Raises InputError if everything is inside, or nothing, and for NaN.
    """
    pixels = torch.from_numpy(mask)
    if not pixels.any() or pixels.all():
        found = "nothing" if not pixels.any() else "everything"
        raise InputError(f"{where}: found {found} inside of boxes, expected a part of the images")
    for name, each in maps.items():
        if not each.isfinite().all():
            raise InputError(f"layer {name!r}: found NaN or infinity, expected finite maps")
    inside = {name: _share(pixels, (h.shape[2], h.shape[3])) for name, h in maps.items()}
    fold_of = _folds(pixels.flatten(1).any(1))
    own, logits = {}, {}
    for name, each in maps.items():
        own[name], logits[name] = _stage(each, inside[name], fold_of, ROWS, RIDGES, seed)
    joint, held_out = {}, {}
    for name, each in inside.items():
        values = evidence(logits, (each.shape[1], each.shape[2]))
        joint[name], held_out[name] = _stage(
            values, each, fold_of, JOINT_ROWS, JOINT_RIDGES, seed
        )
    regression = PlaceRegression(tuple(maps), tuple(own.values()), tuple(joint.values()))
    if int(fold_of.max()) == 0:
        return FittedPlaces(regression, {}, None)
    finest = list(maps)[-1]
    share = inside[finest]
    auc = auc_by_image(held_out[finest], share > 0.5, (share == 0) | (share > 0.5), seed)
    return FittedPlaces(regression, held_out, auc)


def _share(pixels: Tensor, grid: tuple[int, int]) -> Tensor:
    """The share of every location that lies inside, N x h x w float32."""
    return F.adaptive_avg_pool2d(pixels[:, None].float(), grid)[:, 0]


def _folds(boxed: Tensor) -> Tensor:
    """The fold of every image, with as many boxed ones in each as there can be."""
    fold_of = torch.empty(len(boxed), dtype=torch.long)
    folds = max(1, min(FOLDS, int(boxed.sum())))
    for group in (boxed, ~boxed):
        count = int(group.sum())
        fold_of[group] = torch.arange(count) % folds
    return fold_of


def _stage(
    values: Tensor,
    inside: Tensor,
    fold_of: Tensor,
    rows: int,
    ridges: tuple[float, ...],
    seed: int,
) -> tuple[Linear, Tensor]:
    """A regression of `inside` on values, and its held-out logits N x h x w."""
    n, count, height, width = values.shape
    y = inside.double().flatten()
    group = torch.arange(n).repeat_interleave(height * width)
    picked, weight = _thinned(y, rows, seed)
    x = values.permute(0, 2, 3, 1).reshape(-1, count)[picked]
    mean, deviation = x.mean(0), x.std(0, correction=0) + 1e-4
    x = (x - mean) / deviation
    problem = Problem(x, y[picked], weight / weight.mean(), group[picked], torch.zeros(len(x)))
    fitted = cross_fit(problem, fold_of, ridges)
    whole = _in_units(fitted.whole, mean, deviation)
    return whole, _held_out(values, fitted, fold_of, mean, deviation)


def _held_out(
    values: Tensor, fitted: CrossFit, fold_of: Tensor, mean: Tensor, deviation: Tensor
) -> Tensor:
    if not len(fitted.parts):
        return _in_units(fitted.whole, mean, deviation)(values)
    logits = torch.empty(len(values), *values.shape[2:])
    for i, part in enumerate(fitted.parts):
        logits[fold_of == i] = _in_units(part, mean, deviation)(values[fold_of == i])
    return logits


def _thinned(y: Tensor, rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Rows to learn from, at most half of them of either kind, and how many each stands for."""
    random = torch.Generator().manual_seed(seed)
    picked, weights = [], []
    for kind in (y > 0, y == 0):
        at = torch.where(kind)[0]
        drawn = at[torch.randperm(len(at), generator=random)[: rows // 2]]
        picked.append(drawn)
        weights.append(torch.full((len(drawn),), len(at) / max(1, len(drawn)), dtype=torch.float64))
    return torch.cat(picked), torch.cat(weights)


def _in_units(w: Tensor, mean: Tensor, deviation: Tensor) -> Linear:
    """A regression on standardised values as one on the values themselves."""
    weights = w[:-1] / deviation.double()
    # As the numbers are used: in float32.
    rounded = weights.float()
    bias = float(w[-1] - (weights * mean.double()).sum())
    return Linear(tuple(rounded.tolist()), bias)
