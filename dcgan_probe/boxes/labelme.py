"""labelme and X-AnyLabeling: a JSON file for each image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dcgan_probe.boxes.pictures import Picture, Rectangle, Size
from dcgan_probe.storage.json_values import Value, pixels

# Corners of one upright rectangle differ by no more than the noise of floating point.
_NOISE = 1e-3


def recognises(content: Any) -> bool:
    return isinstance(content, dict) and {"shapes", "imagePath"} <= content.keys()


def read(value: Value, size: Size | None) -> list[Picture]:
    """The image of a file; before version 4 labelme did not store its size."""
    own = None
    if "imageWidth" in value:
        own = pixels(value["imageWidth"]), pixels(value["imageHeight"])
    rectangles = [_rectangle(shape) for shape in value["shapes"].items()]
    value["imagePath"].text()
    # The file is named after the image.
    beside = Value(f"{Path(value.source).stem}.png", value.source, "the file's own name")
    return [Picture(value, (value["imagePath"], beside), own, rectangles)]


def _rectangle(shape: Value) -> Rectangle:
    if shape["shape_type"].text() != "rectangle":
        raise shape["shape_type"].error('"rectangle"')
    points = [[number.number() for number in point.items()] for point in shape["points"].items()]
    if not all(len(point) == 2 for point in points) or not _is_upright(points):
        raise shape["points"].error(
            "two opposite corners, or the four of an upright rectangle in turn, each x and y"
        )
    # The corners are in the order of the drawing, which may start at any of the four.
    x, y = zip(*points, strict=True)
    return Rectangle(shape, shape["label"].text(), min(x), min(y), max(x), max(y))


def _is_upright(points: list[list[float]]) -> bool:
    if len(points) != 4:
        return len(points) == 2
    a, b, c, d = points

    def agree(axis: int, *pairs: tuple[list[float], list[float]]) -> bool:
        return all(abs(p[axis] - q[axis]) <= _NOISE for p, q in pairs)

    across = agree(1, (a, b), (c, d)) and agree(0, (b, c), (d, a))
    down = agree(0, (a, b), (c, d)) and agree(1, (b, c), (d, a))
    return across or down
