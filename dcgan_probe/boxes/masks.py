"""Boxes around the connected parts of masks."""

from __future__ import annotations

import cv2
import numpy as np

from dcgan_probe.boxes.boxes import Box, Boxes
from dcgan_probe.errors import InputError

Extent = tuple[int, int, int, int]


def from_masks(
    masks: np.ndarray,
    label: str,
    seed: int,
    checkpoint: str | None = None,
    least_area: float = 1,
    least_side: int = 1,
) -> Boxes:
    """Draw a box around every connected part of the masks of samples 0, 1, ... of a seed.

        >>> masks = np.zeros((2, 64, 64), bool); masks[1, 8:20, 10:30] = True
        >>> boxes = from_masks(masks, "window", seed=0)
        >>> boxes.images, boxes.boxes
        ((0, 1), (Box(image=1, label='window', x0=10, y0=8, x1=30, y1=20),))

    masks: N x H x W bool, in the order of the samples; parts touch at a side, not at a corner.
    checkpoint: SHA-256 of the generator's file, `session.checkpoint.sha256`. Parts of fewer than
    `least_area` pixels, or narrower than `least_side`, are left out. Raises InputError for another
    shape or type.
    """
    masks = np.asarray(masks)
    if masks.ndim != 3 or masks.dtype != bool:
        raise InputError(
            f"masks: found {' x '.join(map(str, masks.shape)) or 'one'} {masks.dtype}, expected "
            "N x H x W bool"
        )
    boxes = tuple(
        Box(image, label, *edges)
        for image, mask in enumerate(masks)
        for edges in extents(mask, least_area, least_side)
    )
    height, width = masks.shape[1:]
    return Boxes(boxes, tuple(range(len(masks))), (width, height), seed, checkpoint=checkpoint)


def extents(
    mask: np.ndarray, least_area: float, least_side: int, connectivity: int = 4
) -> list[Extent]:
    """The extents (x0, y0, x1, y1) of the connected parts of H x W bool, small ones left out.

    >>> mask = np.zeros((64, 64), bool); mask[8:20, 10:30] = True
    >>> extents(mask, least_area=40, least_side=6)
    [(10, 8, 30, 20)]
    """
    marks = mask.astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(marks, connectivity=connectivity)
    return sorted(
        (x, y, x + width, y + height)
        for x, y, width, height, area in stats[1:].tolist()  # the first is the ground
        if area >= least_area and min(width, height) >= least_side
    )
