"""Images as uint8 pixels: samples, gradients, heat maps, boxes drawn on them, and PNG files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib import colormaps
from torch import Tensor

from dcgan_probe.figures.canvas import ORANGE
from dcgan_probe.images import opencv
from dcgan_probe.storage import files


def pixels(images: Tensor) -> np.ndarray:
    """Images in [-1, 1] as N x H x W x 3 uint8 RGB.

        >>> pixels(torch.zeros(1, 1, 2, 2)).shape
        (1, 2, 2, 3)

    images: N x C x H x W float32, C 1 or 3; values outside of the range are clamped.
    """
    scaled = images.detach().cpu().float().clamp(-1, 1).add(1).mul(127.5).round()
    array = scaled.to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return np.repeat(array, 3, axis=3) if array.shape[3] == 1 else array


def signed(signal: Tensor) -> np.ndarray:
    """Gradients as N x H x W x 3 uint8: grey is zero, each image scaled to its own largest values.

    signal: N x C x H x W. The scale is the 99.5th percentile of the magnitude, so that a single
    pixel does not turn the rest grey; a signal of zeros is grey.
    """
    magnitude = signal.detach().cpu().float().abs().flatten(1)
    scale = magnitude.quantile(0.995, dim=1)
    scale = torch.where(scale > 0, scale, magnitude.amax(dim=1)).clamp_min(1e-30)
    return pixels(signal.detach().cpu() / scale.view(-1, 1, 1, 1))


def heat(values: np.ndarray, low: float, high: float, size: tuple[int, int]) -> np.ndarray:
    """N x h x w values as N x H x W x 3 uint8 in the viridis colours, each value a plain square."""
    scaled = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    coloured = (colormaps["viridis"](scaled)[..., :3] * 255).round().astype(np.uint8)
    sized = [cv2.resize(one, size, interpolation=cv2.INTER_NEAREST) for one in coloured]
    return np.stack(sized)


def outlined(
    image: np.ndarray,
    boxes: Sequence[Sequence[float]],
    zoom: int,
    colour: str = ORANGE,
    width: int | None = None,
    apart: int = 0,
) -> np.ndarray:
    """An image at whole-number zoom with boxes (x0, y0, x1, y1 in its pixels) drawn around.

    width: of the lines, in pixels after the zoom; by default half of one before it.
    apart: how far outside of its box each line is drawn, in pixels after the zoom.
    """
    large = np.ascontiguousarray(image.repeat(zoom, 0).repeat(zoom, 1))
    rgb = tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
    for box in boxes:
        x0, y0, x1, y1 = (round(edge * zoom) for edge in box)
        start, end = (x0 - apart, y0 - apart), (x1 - 1 + apart, y1 - 1 + apart)
        cv2.rectangle(large, start, end, rgb, width or max(1, zoom // 2))
    return large


def read_image(path: str | os.PathLike[str]) -> np.ndarray | None:
    """A PNG as H x W x 3 uint8 RGB; None if there is none."""
    if not Path(path).exists():
        return None
    image = opencv.imdecode(Path(path).read_bytes(), cv2.IMREAD_COLOR)
    return None if image is None else image[..., ::-1]


def write_image(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Write H x W x 3 uint8 RGB as PNG, whole or not at all."""
    files.write_bytes(path, png(image))


def png(image: np.ndarray) -> bytes:
    """H x W x 3 uint8 RGB as a PNG."""
    done, data = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))
    assert done, "OpenCV encodes every uint8 RGB array as PNG"
    return data.tobytes()
