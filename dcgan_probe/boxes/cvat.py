"""CVAT for images 1.1: one XML file for all images of a task."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from dcgan_probe.boxes.pictures import (
    Picture,
    Rectangle,
    Size,
    as_number,
    as_whole,
    refuse_rotated,
)
from dcgan_probe.errors import InputError
from dcgan_probe.storage.json_values import Value, pixels

# CVAT rounds to hundredths of a pixel.
ROUNDING = 0.02
# A tag is an answer about the whole image; the others describe shapes, or nothing drawn.
_SHAPES = ("polygon", "polyline", "points", "ellipse", "cuboid", "skeleton", "mask")


def read(root: Element, source: str, size: Size | None) -> list[Picture]:
    """The images of a task, those without a box included."""
    if root.find("track") is not None:
        raise InputError(f"{source}: found tracks of a video, expected CVAT for images 1.1")
    return [_picture(image, source, i) for i, image in enumerate(root.findall("image"))]


def _picture(image: Element, source: str, number: int) -> Picture:
    place = f"image[{number}] (id {image.get('id')})"
    name = Value(image.get("name"), source, f"{place}.name")
    name.text()
    for shape in _SHAPES:
        if image.find(shape) is not None:
            raise InputError(f"{source}: {place}: found a {shape}, expected boxes")
    sides = [Value(as_whole(image.get(k)), source, f"{place}.{k}") for k in ("width", "height")]
    rectangles = [
        _rectangle(box, Value({}, source, f"{place}.box[{i}]"))
        for i, box in enumerate(image.findall("box"))
    ]
    own = pixels(sides[0]), pixels(sides[1])
    return Picture(Value({}, source, place), (name,), own, rectangles, ROUNDING)


def _rectangle(box: Element, entry: Value) -> Rectangle:
    def number(key: str) -> Value:
        return Value(as_number(box.get(key)), entry.source, f"{entry.place}.{key}")

    refuse_rotated(number("rotation"))
    label = Value(box.get("label"), entry.source, f"{entry.place}.label").text()
    x0, y0, x1, y1 = (number(edge).number() for edge in ("xtl", "ytl", "xbr", "ybr"))
    return Rectangle(entry, label, x0, y0, x1, y1)
