"""Pictures: the one look of everything that is drawn."""

from __future__ import annotations

import os

import cv2
import numpy as np
import torch
from torch import Tensor

from dcgan_probe import files

GAP = 2


def pixels(images: Tensor) -> np.ndarray:
    """Images in [-1, 1] as N x H x W x 3 uint8 RGB.

        >>> pixels(torch.zeros(1, 1, 2, 2)).shape
        (1, 2, 2, 3)

    images: N x C x H x W float32, C 1 or 3; values outside of the range are clamped.
    """
    scaled = images.detach().cpu().float().clamp(-1, 1).add(1).mul(127.5).round()
    array = scaled.to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return np.repeat(array, 3, axis=3) if array.shape[3] == 1 else array


def tile(images: Tensor, columns: int, zoom: int = 1, gap: int = GAP) -> np.ndarray:
    """Images side by side in rows, as H x W x 3 uint8, at whole-number zoom without smoothing."""
    return tile_pixels(pixels(images), columns, zoom, gap)


def tile_pixels(images: np.ndarray, columns: int, zoom: int = 1, gap: int = GAP) -> np.ndarray:
    """N x H x W x 3 uint8 images side by side in rows; see `tile`."""
    n, height, width, _ = images.shape
    rows = -(-n // columns)
    height, width = height * zoom, width * zoom
    sheet = np.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8
    )
    for i, image in enumerate(images):
        y, x = (i // columns) * (height + gap), (i % columns) * (width + gap)
        sheet[y : y + height, x : x + width] = image.repeat(zoom, 0).repeat(zoom, 1)
    return sheet


def write_image(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Write H x W x 3 uint8 RGB as PNG, whole or not at all."""
    done, data = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))
    assert done, "OpenCV encodes every uint8 RGB array as PNG"
    files.write_bytes(path, data.tobytes())
