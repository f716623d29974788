"""Regions of an image: read them, and find the locations of a layer that they hold."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from dcgan_probe.boxes.boxes import Box, Boxes
from dcgan_probe.errors import InputError
from dcgan_probe.networks.config import AnyConfig
from dcgan_probe.storage.json_values import Value


def cells(boxes: Boxes, layer: str, shape: tuple[int, ...], config: AnyConfig) -> np.ndarray:
    """Which locations of a generator's layer are inside boxes: N x h x w bool, as `Boxes.mask`.

        >>> cells(boxes, "8x8", (1, 512, 8, 8), session.config).shape
        (150, 8, 8)

    shape: of the layer's output. Raises InputError for a layer without feature maps, and for
    boxes without a location of it; the message names the coarsest layer that has one.
    """
    where = boxes.source or "boxes"
    if len(shape) != 4:
        raise InputError(f"{where}: layer {layer!r}: found values without places, expected maps")
    mask = boxes.mask((shape[2], shape[3]))
    if not mask.any():
        grids = config.hidden("generator")
        resolving = [name for name, grid in grids.items() if boxes.mask(grid).any()]
        expected = (
            f"layer {resolving[0]}, the coarsest that has one" if resolving else "a larger one"
        )
        raise InputError(
            f"{where}: found no location of layer {layer!r} with its centre inside, expected "
            f"{expected}"
        )
    return mask


def region_of(where: tuple[float, float, float, float], config: AnyConfig, source: str) -> Boxes:
    """A region x0, y0, x1, y1 as a box on one image of a network.

    source: the path that it was read from, for the message, or "". Raises InputError if it is not
    inside the image.
    """
    side, place = config.size, f"{source}: " if source else ""
    place += f"region {listed(where)}"
    for name, edge, extent in (("x1", where[2], "width"), ("y1", where[3], "height")):
        if edge > side:
            raise InputError(
                f"{place}: found {name} = {edge:g}, expected at most {side}, the {extent} of the "
                "image"
            )
    return Boxes((Box(0, "region", *where),), (0,), (side, side), seed=0, source=place)


def cells_in_and_out(
    boxes: Boxes, layer: str, shape: tuple[int, ...], config: AnyConfig
) -> np.ndarray:
    """Like `cells`, but also raises InputError for boxes that leave no location outside."""
    mask = cells(boxes, layer, shape, config)
    if mask.all():
        grids = config.hidden("generator")
        resolving = [name for name, grid in grids.items() if not boxes.mask(grid).all()]
        expected = (
            f"layer {resolving[0]}, the coarsest that has one"
            if resolving
            else "boxes that leave something out"
        )
        raise InputError(
            f"{boxes.source or 'boxes'}: found no location of layer {layer!r} outside of the "
            f"boxes, expected {expected}"
        )
    return mask


def region_edges(where: Value) -> tuple[float, float, float, float]:
    """The four edges of a region; InputError if they are not 0 <= x0 < x1 and 0 <= y0 < y1."""
    edges = [edge.number() for edge in where.items()]
    if len(edges) != 4:
        raise where.error("four numbers x0, y0, x1, y1")
    x0, y0, x1, y1 = edges
    if not (0 <= x0 < x1 and 0 <= y0 < y1):
        raise InputError(
            f"{where.where}: found {listed(edges)}, expected x0,y0,x1,y1 with 0 <= x0 < x1 and "
            "0 <= y0 < y1"
        )
    return x0, y0, x1, y1


def read_region(text: str, option: str) -> tuple[float, float, float, float]:
    """A region as it is typed, x0,y0,x1,y1 in pixels; InputError for another text.

    >>> read_region("10,8,30,25", "--where")
    (10.0, 8.0, 30.0, 25.0)
    """
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise InputError(f"{option}: found {text!r:.60}, expected x0,y0,x1,y1 in pixels")
    return region_edges(Value(numbers, option))


def listed(edges: Iterable[float]) -> str:
    """Edges as they are typed.

    >>> listed((10.0, 8.0, 30.5, 25.0))
    '10,8,30.5,25'
    """
    return ",".join(f"{edge:g}" for edge in edges)
