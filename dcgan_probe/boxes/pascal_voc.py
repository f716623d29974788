"""Pascal VOC: an XML file for each image, as labelImg, CVAT, Label Studio and others write it.

Edges are taken as the tools write them, 0 for the image's left and top side. (The boxes of the VOC
data sets themselves count pixels from 1 and include the last.)
"""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

from dcgan_probe.boxes.pictures import Picture, Rectangle, Size, as_number, as_whole
from dcgan_probe.errors import InputError
from dcgan_probe.storage.json_values import Value, pixels

# labelImg rounds each edge to a whole pixel, and writes 1 where it is 0.
ROUNDING = 1.0


def read(root: Element, source: str, size: Size | None) -> list[Picture]:
    """The one image of a file and its objects."""
    entry = Value({}, source)
    names = [
        Value(text.strip(), source, tag)
        for tag in ("filename", "path")
        if (text := root.findtext(tag)) and text.strip()
    ]
    names.append(Value(f"{Path(source).stem}.png", source, "the file's own name"))
    own = None
    if (size_element := root.find("size")) is not None:
        sides = [
            Value(as_whole(size_element.findtext(side)), source, f"size.{side}")
            for side in ("width", "height")
        ]
        # Tools that do not know the size write 0.
        if any(side.found for side in sides):
            own = pixels(sides[0]), pixels(sides[1])
    rectangles = [
        _rectangle(each, Value({}, source, f"object[{i}]"))
        for i, each in enumerate(root.findall("object"))
    ]
    return [Picture(entry, tuple(names), own, rectangles, ROUNDING)]


def _rectangle(element: Element, entry: Value) -> Rectangle:
    for shape in ("polygon", "robndbox", "mask", "keypoints"):
        if element.find(shape) is not None:
            raise InputError(f"{entry.where}: found a {shape}, expected a bndbox alone")
    box = element.find("bndbox")
    if box is None:
        raise InputError(f"{entry.where}: found no bndbox, expected one")
    label = Value(element.findtext("name"), entry.source, f"{entry.place}.name").text().strip()
    xmin, ymin, xmax, ymax = (
        Value(as_number(box.findtext(side)), entry.source, f"{entry.place}.bndbox.{side}").number()
        for side in ("xmin", "ymin", "xmax", "ymax")
    )
    return Rectangle(entry, label, xmin, ymin, xmax, ymax)
