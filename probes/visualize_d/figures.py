"""What neurons see, above what in it raised their responses."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from dcgan_probe.figures.panels import tile
from dcgan_probe.figures.rasters import signed

# Pixels that a response is drawn wide, about, and responses in a line.
SIDE, COLUMNS = 96, 5
BETWEEN = 6  # white pixels below a filter
# What is outside a receptive field: grey diagonals, `APART` pixels of the image from each other.
HATCH, APART = 210, 6


def draw_responses(images: np.ndarray, guided: Tensor, fields: Tensor) -> np.ndarray:
    """What each neuron sees of its image, above its guided signal, in lines of at most `COLUMNS`.

    images: F x k x H x W x 3 uint8; guided: F x k x C x H x W; fields: F x k x 4, x0, y0, x1, y1.
    Every tile is as large as the largest receptive field. One that the image's edge cuts is hatched
    where it leaves the image, in both tiles alike. Returns F x height x width x 3 uint8.
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
            np.concatenate([_seen(part[f, i], box, size) for part in (images, signals)])
            for i, box in enumerate(rows)
        ]
        filter_ = tile(np.stack(pairs), columns, zoom)
        drawn.append(np.pad(filter_, ((0, BETWEEN), (0, 0), (0, 0)), constant_values=255))
    return np.stack(drawn)


def _seen(image: np.ndarray, box: list[int], size: list[int]) -> np.ndarray:
    """The pixels in a receptive field, at their place in a tile of a size; hatched elsewhere.

    image: H x W x 3 uint8; box: x0, y0, x1, y1; size: width and height of the tile.
    """
    x0, y0, x1, y1 = box
    left = _offset(x0, x1, size[0], image.shape[1])
    top = _offset(y0, y1, size[1], image.shape[0])
    lines = np.add.outer(np.arange(size[1]), np.arange(size[0])) % APART == 0
    drawn = np.where(lines[..., None], HATCH, 255).astype(np.uint8).repeat(3, 2)
    drawn[top : top + y1 - y0, left : left + x1 - x0] = image[y0:y1, x0:x1]
    return drawn


def _offset(low: int, high: int, size: int, whole: int) -> int:
    """Where a field begins in a tile: what an edge of the image cuts off is missing at that side.

    low, high: ends of the field; whole: of the image; size: of the tile.
    """
    missing = size - (high - low)
    cut_low, cut_high = low == 0, high == whole
    return missing // 2 if cut_low == cut_high else missing * cut_low
