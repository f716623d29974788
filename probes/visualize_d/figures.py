"""What neurons see, above what in it raised their responses."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from dcgan_probe.figures.panels import tile
from dcgan_probe.figures.rasters import signed

# Pixels that a response is drawn wide, about, and responses in a line.
SIDE, COLUMNS = 96, 5
BETWEEN = 6  # white pixels below a filter


def draw_responses(images: np.ndarray, guided: Tensor, fields: Tensor) -> np.ndarray:
    """What each neuron sees of its image, above its guided signal, in lines of at most `COLUMNS`.

    images: F x k x H x W x 3 uint8; guided: F x k x C x H x W; fields: F x k x 4, x0, y0, x1, y1.
    Every window is as large as the largest receptive field: one that the image's edge cuts shows
    some of what is beside it. Returns F x height x width x 3 uint8.
    """
    signals = signed(guided.flatten(0, 1)).reshape(images.shape)
    boxes = fields.flatten(0, 1)
    size = (boxes[:, 2:] - boxes[:, :2]).amax(dim=0).tolist()
    zoom = max(1, round(SIDE / max(size)))
    count = images.shape[1]
    columns = -(-count // -(-count // COLUMNS))
    drawn = []
    for f, rows in enumerate(fields.tolist()):
        pairs = [
            np.concatenate(
                [part[f, i][_window(box, size, images.shape)] for part in (images, signals)]
            )
            for i, box in enumerate(rows)
        ]
        filter_ = tile(np.stack(pairs), columns, zoom)
        drawn.append(np.pad(filter_, ((0, BETWEEN), (0, 0), (0, 0)), constant_values=255))
    return np.stack(drawn)


def _window(box: list[int], size: list[int], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The rows and columns of a window of a size around a box, inside of the image."""
    x0, y0, x1, y1 = box
    height, width = shape[2:4]
    left = min(max((x0 + x1 - size[0]) // 2, 0), width - size[0])
    top = min(max((y0 + y1 - size[1]) // 2, 0), height - size[1])
    return slice(top, top + size[1]), slice(left, left + size[0])
