"""Photographs with the guided gradient of a response as light."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from dcgan_probe.figures.rasters import outlined


def light_photographs(images: np.ndarray, guided: Tensor, fields: Tensor, zoom: int) -> np.ndarray:
    """Photographs with the guided signal as light, and the receptive field as a frame.

    images: F x k x H x W x 3 uint8; guided: F x k x C x H x W; fields: F x k x 4, x0, y0, x1, y1.
    Returns them at whole-number zoom, F x k x zoomed H x zoomed W x 3 uint8.
    """
    signals = guided.abs().amax(dim=2).numpy()
    drawn = []
    for index in np.ndindex(images.shape[:2]):
        signal = signals[index] / max(float(np.quantile(signals[index], 0.99)), 1e-30)
        light = 0.25 + 0.75 * np.clip(signal, 0, 1)[..., None]
        picture = (images[index] * light).round().astype(np.uint8)
        drawn.append(outlined(picture, [fields[index].tolist()], zoom))
    return np.stack(drawn).reshape(*images.shape[:2], *drawn[0].shape)
