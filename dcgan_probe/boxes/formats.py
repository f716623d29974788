"""Read boxes of any supported format, recognised by content; each has its own small module.

What the rectangles must fulfil to be boxes on samples is checked in `boxes`, once for all formats.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dcgan_probe.boxes import (
    coco,
    cvat,
    label_studio,
    labelme,
    native,
    pascal_voc,
    via,
    yolo,
)
from dcgan_probe.boxes.native import OWN_FORMAT as OWN_FORMAT
from dcgan_probe.boxes.pictures import Picture, Size
from dcgan_probe.errors import InputError
from dcgan_probe.storage import json_values, xml_values
from dcgan_probe.storage.json_values import Value, shown

Read = Callable[[Value, Size | None], list[Picture]]
JSON: dict[str, tuple[Callable[[Any], bool], Read]] = {
    "COCO": (coco.recognises, coco.read),
    "labelme": (labelme.recognises, labelme.read),
    "Label Studio JSON": (label_studio.recognises, label_studio.read),
    "Label Studio JSON-MIN": (label_studio.recognises_min, label_studio.read_min),
    "VIA": (via.recognises, via.read),
}
FORMAT_NAMES = ", ".join(
    [OWN_FORMAT, *JSON, "VIA CSV", "Pascal VOC XML", "CVAT for images XML", "YOLO"]
)
# Of other files that exports put beside the boxes.
_BESIDE = {"notes.json"}


def read(path: Path, size: Size | None) -> dict[str, Any] | list[Picture]:
    """The fields of `Boxes` from this package's own JSON, or the pictures of another tool's export.

    path: a file, or a folder with a file an image (labelme, Pascal VOC, YOLO). size: width and
    height of the samples, for formats that do not store them. Raises InputError, which lists the
    formats, for a file of none of them.
    """
    return _folder(path, size) if os.path.isdir(path) else _file(path, size)


def _file(path: Path, size: Size | None) -> dict[str, Any] | list[Picture]:
    text = json_values.read_text(path, "a file of boxes")
    source, head = str(path), text[:4096].lstrip()
    if path.suffix == ".txt" or yolo.recognises(head):
        return yolo.read(path, yolo.read_names(yolo.find_names(path, path.parent)), size)
    if head.startswith("<"):
        return _xml(text, source, size)
    if via.recognises_csv(head):
        return via.read_csv(text, source)
    if head and not head.startswith(("{", "[", '"')) and not _is_scalar(text):
        raise InputError(
            f"{source}: found text that begins with {shown(head.splitlines()[0][:30])}, expected "
            f"one of the formats {FORMAT_NAMES}"
        )
    value = Value(json_values.parse(text, path, "boxes"), source)
    if native.recognises(value):
        return native.read(value)
    for recognises, read_format in JSON.values():
        if recognises(value.found):
            return read_format(value, size)
    raise value.error(f"one of the formats {FORMAT_NAMES}")


def _is_scalar(text: str) -> bool:
    return text.strip() in ("null", "true", "false")


def _xml(text: str, source: str, size: Size | None) -> list[Picture]:
    root = xml_values.parse(text, source)
    match root.tag:
        case "annotation":
            return pascal_voc.read(root, source, size)
        case "annotations":
            return cvat.read(root, source, size)
    raise InputError(
        f"{source}: found XML of <{root.tag:.40}>, expected one of the formats {FORMAT_NAMES}"
    )


def _folder(folder: Path, size: Size | None) -> list[Picture]:
    """The pictures of a folder with a file for each image, of one format."""
    try:
        paths = sorted(
            path for path in folder.rglob("*.*") if path.name.lower() not in yolo.OTHERS | _BESIDE
        )
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror or error}") from error
    kinds = {
        "labelme": [path for path in paths if path.suffix == ".json"],
        "Pascal VOC": [path for path in paths if path.suffix == ".xml"],
        "YOLO": [path for path in paths if path.suffix == ".txt"],
    }
    there = {kind: group for kind, group in kinds.items() if group}
    if len(there) != 1:
        words = ", ".join(f"{len(group)} files of {kind}" for kind, group in there.items())
        raise InputError(
            f"{folder}: found {words or 'no .json, .xml or .txt files'}, expected a folder of "
            "labelme files, of Pascal VOC or of YOLO"
        )
    ((kind, chosen),) = there.items()
    if kind == "YOLO":
        names = {path: yolo.find_names(path, folder) for path in chosen}
        read_once = {path: yolo.read_names(path) for path in set(names.values())}
        return [
            picture for path in chosen for picture in yolo.read(path, read_once[names[path]], size)
        ]
    return [picture for path in chosen for picture in _one(path, kind, size)]


def _one(path: Path, kind: str, size: Size | None) -> list[Picture]:
    if kind == "labelme":
        value = json_values.load(path, "boxes")
        if not labelme.recognises(value.found):
            raise value.error("a labelme file, like the others in its folder")
        return labelme.read(value, size)
    root = xml_values.parse(json_values.read_text(path, "a file of boxes"), str(path))
    if root.tag != "annotation":
        raise InputError(f"{path}: found XML of <{root.tag:.40}>, expected one of Pascal VOC")
    return pascal_voc.read(root, str(path), size)
