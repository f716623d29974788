"""Locate an object on several layers, by regressions learned from boxes and calibrated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dcgan_probe.edits.regression import Linear, PlaceRegression, evidence
from dcgan_probe.errors import InputError
from dcgan_probe.metrics.intervals import Interval
from dcgan_probe.metrics.ranking import auc_by_image
from dcgan_probe.recognition.logistic import LogisticProblem, cross_fit, draw_rows
from dcgan_probe.recognition.masks import shares

FOLDS = 3
ROWS = 5000  # locations that a layer's own regression learns from, half of them outside
JOINT_ROWS = 10_000
RIDGES = (3.0, 30.0)
JOINT_RIDGES = (1.0, 10.0, 100.0)


@dataclass(frozen=True, eq=False)
class FittedPlaces:
    """A regression of where an object is, and what it says of images that it has not seen.

    regression: fitted on all images. parts: for every fold of images, one that has not seen it;
    none where a single image has boxes. fold_of: N int64. auc: of held-out images at the finest
    layer, locations inside of boxes against those outside, chance 0.5; None where none is held out.
    """

    regression: PlaceRegression
    parts: tuple[PlaceRegression, ...]
    fold_of: Tensor
    auc: Interval | None

    @property
    def better_than_chance(self) -> bool:
        """Whether held-out locations inside score higher than those outside."""
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
        extent = "nothing" if not pixels.any() else "everything"
        raise InputError(f"{where}: found {extent} inside of boxes, expected a part of the images")
    for name, each in maps.items():
        if not each.isfinite().all():
            raise InputError(f"layer {name!r}: found NaN or infinity, expected finite maps")
    inside = {name: shares(pixels, (h.shape[2], h.shape[3])) for name, h in maps.items()}
    fold_of = _folds(pixels.flatten(1).any(1))
    finest = list(maps)[-1]
    own, logits = {}, {}
    for name, each in maps.items():
        own[name], logits[name] = _stage(each, inside[name], fold_of, ROWS, RIDGES, seed)
    joint, held_out = {}, {}
    for name, each in inside.items():
        values = evidence(logits, (each.shape[1], each.shape[2]))
        joint[name], held_out[name] = _stage(values, each, fold_of, JOINT_ROWS, JOINT_RIDGES, seed)
    whole, *parts = (
        PlaceRegression(
            tuple(maps),
            tuple(own[name][i] for name in maps),
            tuple(joint[name][i] for name in maps),
        )
        for i in range(len(own[finest]))
    )
    if not parts:
        return FittedPlaces(whole, (), fold_of, None)
    share = inside[finest]
    auc = auc_by_image(held_out[finest], share > 0.5, (share == 0) | (share > 0.5), seed)
    return FittedPlaces(whole, tuple(parts), fold_of, auc)


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
) -> tuple[list[Linear], Tensor]:
    """A regression of `inside` on values and those of the folds; held-out logits N x h x w."""
    n, count, height, width = values.shape
    y = inside.double().flatten()
    group = torch.arange(n).repeat_interleave(height * width)
    picked, weight = draw_rows((y > 0, y == 0), rows // 2, seed)
    x = values.permute(0, 2, 3, 1).reshape(-1, count)[picked]
    mean, deviation = x.mean(0), x.std(0, correction=0) + 1e-4
    x = (x - mean) / deviation
    offset = torch.zeros(len(x), dtype=torch.float64)
    problem = LogisticProblem(x, y[picked], weight, group[picked], offset)
    fitted = cross_fit(problem, fold_of, ridges)
    whole, *parts = (_in_units(w, mean, deviation) for w in (fitted.whole, *fitted.parts))
    if not parts:
        return [whole], whole(values)
    logits = torch.empty(n, height, width)
    for i, part in enumerate(parts):
        logits[fold_of == i] = part(values[fold_of == i])
    return [whole, *parts], logits


def _in_units(w: Tensor, mean: Tensor, deviation: Tensor) -> Linear:
    """A regression on standardised values as one on the values themselves."""
    weights = w[:-1] / deviation.double()
    # As the numbers are used: in float32.
    rounded = weights.float()
    bias = float(w[-1] - (weights * mean.double()).sum())
    return Linear(tuple(rounded.tolist()), bias)
