"""Strips of the same samples before and after an edit, for the sliders of a report."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dcgan_probe.figures.rasters import write_image

# Halves of a picture in the same folder, unlabelled: a report lays one over the other.
STRIPS = ("before.png", "after.png")


def write(folder: Path, before: np.ndarray, after: np.ndarray) -> None:
    """Write before.png and after.png: images side by side, without labels or gaps.

    before, after: N x H x W x 3 uint8, of the same latents.
    """
    for name, images in zip(STRIPS, (before, after), strict=True):
        write_image(folder / name, np.concatenate(images, axis=1))
