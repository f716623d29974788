"""Agreement: the IoU of thresholded feature maps with boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dcgan_probe.errors import InputError
from dcgan_probe.metrics import splits


@dataclass(frozen=True, eq=False)
class Agreement:
    """How well map > threshold matches boxes, for each filter; arrays of filters float64.

    threshold: of the highest intersection over union on half of the images, which is iou;
    held_out_iou: that of the same threshold on the other half. chance: the IoU there of a mask of
    all places, the best that needs no filter.
    """

    threshold: np.ndarray
    iou: np.ndarray
    held_out_iou: np.ndarray
    chance: float


def agreement(maps: np.ndarray, inside: np.ndarray, where: str = "boxes") -> Agreement:
    """Choose a threshold for each filter on half of the images, and score it on the other half.

        >>> inside = np.zeros((4, 8, 8), bool); inside[:, 2:5, 2:5] = True
        >>> maps = np.stack([inside, ~inside], axis=1).astype(np.float32)
        >>> agreement(maps, inside).held_out_iou.round(2).tolist()
        [1.0, 0.0]

    maps: N x filters x h x w float32. inside: N x h x w bool. All images of a half are taken
    together. Raises InputError, which begins with `where`, as `halves` does.

    GAN Dissection (Bau et al. 2019, section 3.1) compares maps with segmentations in this way, at
    the size of the image; here it is boxes, at the size of the layer.
    """
    chosen, held_out = halves(inside, where)
    count = maps.shape[1]
    chance = float(inside[held_out].mean())
    match = Agreement(np.zeros(count), np.zeros(count), np.zeros(count), chance)
    for f in range(count):
        threshold, match.iou[f] = best_threshold(maps[chosen, f].ravel(), inside[chosen].ravel())
        match.threshold[f] = threshold
        match.held_out_iou[f] = iou(maps[held_out, f] > threshold, inside[held_out])
    return match


def halves(inside: np.ndarray, where: str = "boxes") -> tuple[np.ndarray, np.ndarray]:
    """Every second image with a place inside, and every second without: rows of two halves.

    Raises InputError where fewer than two images have a place inside.
    """
    with_object = inside.any(axis=(1, 2))
    count = int(with_object.sum())
    if count < 2:
        raise InputError(
            f"{where}: found {count} image with a place inside a box, expected at least 2: one "
            "half chooses the thresholds, the other scores them"
        )
    order = np.argsort(~with_object, kind="stable")
    return splits.halves(order)


def best_threshold(values: np.ndarray, inside: np.ndarray) -> tuple[float, float]:
    """The threshold whose values > threshold match `inside` best, and their IoU.

        >>> best_threshold(np.array([0.0, 3.0, 2.0, 1.0]), np.array([False, True, True, False]))
        (1.0, 1.0)

    values: N floats. inside: N bool, some True. Every cut between two values that differ is tried,
    so this is the maximum and not that of a grid. Where all are equal nothing is marked: IoU 0.
    """
    order = np.argsort(-values, kind="stable")
    highest = values[order]
    hits = np.cumsum(inside[order])[:-1]
    marked = np.arange(1, len(values))
    scores = np.where(highest[:-1] > highest[1:], hits / (marked + inside.sum() - hits), 0.0)
    if not scores.any():
        return float(highest[0]), 0.0
    best = int(scores.argmax())
    return float(highest[best + 1]), float(scores[best])


def iou(marked: np.ndarray, inside: np.ndarray) -> float:
    """Intersection over union of two arrays of bool, of which the second is not all False.

    >>> iou(np.array([True, True, False]), np.array([False, True, True])) == 1 / 3
    True
    """
    return float((marked & inside).sum() / (marked | inside).sum())
