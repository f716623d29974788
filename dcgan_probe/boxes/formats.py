"""What annotation tools write, read into plain rectangles.

One small reader a format, each a translation and nothing more: COCO detection, labelme (a file, or
a folder with a file an image), Label Studio (the export called "JSON") and VIA 1 and 2 (a project,
or its annotations exported as JSON). What the rectangles must fulfil to be boxes on samples is
checked in `boxes`, once for all formats.

A file is recognised by what is in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from dcgan_probe.errors import InputError, unknown
from dcgan_probe.storage.json_values import Value, load, pixels, shown

OWN_FORMAT = "dcgan-probe/boxes/1"

# How far outside the image, in pixels, rounding alone can push an edge: the tools round a corner
# and a size apart. VIA rounds to whole pixels, CVAT's COCO to hundredths, Label Studio's percents
# carry the noise of floating point.
ROUNDING = 0.02
VIA_ROUNDING = 1.0

# Answers about a whole image, and links between regions: Label Studio lists them among the regions.
NOT_REGIONS = {"choices", "datetime", "number", "rating", "relation", "taxonomy", "textarea"}


@dataclass(frozen=True)
class Rectangle:
    """A rectangle that a person drew, in pixels of the image."""

    entry: Value
    label: str
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True)
class Picture:
    """An image that a person looked at, with what they drew on it: perhaps nothing."""

    entry: Value
    file_name: str
    size: tuple[int, int] | None
    rectangles: list[Rectangle]
    rounding: float = ROUNDING


def pictures(value: Value) -> list[Picture]:
    """The pictures of a file in any of the `FORMATS`, recognised by what is in it.

        >>> file = Value({"shapes": [], "imagePath": "a.png"}, "a.json")
        >>> [picture.file_name for picture in pictures(file)]
        ['a.png']

    Raises InputError, which lists the formats, if it is none of them.
    """
    for recognises, read in FORMATS.values():
        if recognises(value.found):
            return read(value)
    raise value.error(f"one of the formats {FORMAT_NAMES}")


def labelme_folder(folder: Path) -> list[Picture]:
    """The pictures of a folder of labelme files, one for each `.json` in it."""
    try:
        paths = sorted(folder.glob("*.json"))
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror or error}") from error
    if not paths:
        raise InputError(f"{folder}: found no .json files, expected a folder of labelme files")
    return [picture for path in paths for picture in _labelme_file(path)]


def _labelme_file(path: Path) -> list[Picture]:
    value = load(path, "boxes")
    if not _is_labelme(value.found):
        raise value.error("a labelme file, like the others in its folder")
    return _labelme(value)


def _identified(entry: Value) -> Value:
    """An entry whose place also gives the id by which its tool knows it."""
    if "id" not in entry:
        return entry
    return Value(entry.found, entry.source, f"{entry.place} (id {shown(entry.found['id'])})")


def _rectangle(entry: Value, label: str, left: float, top: float, w: float, h: float) -> Rectangle:
    return Rectangle(entry, label, left, top, left + w, top + h)


def _refuse_rotated(rotation: Value) -> None:
    if rotation.found is not None and rotation.number() != 0:
        raise rotation.error("0: a box with upright sides, not a rotated one")


def _is_coco(found: Any) -> bool:
    return isinstance(found, dict) and {"images", "annotations"} <= found.keys()


def _coco(value: Value) -> list[Picture]:
    """COCO detection (cocodataset.org, "Data format"): boxes are [left, top, width, height].

    `iscrowd` and `segmentation` are left aside: an annotation has its box whatever its outline.
    """
    categories = {
        _coco_id(category, "id"): category["name"].text()
        for category in value["categories"].items()
    }
    found: dict[int, Picture] = {}
    for entry in map(_identified, value["images"].items()):
        size = pixels(entry["width"]), pixels(entry["height"])
        picture = Picture(entry, entry["file_name"].text(), size, [])
        if found.setdefault(_coco_id(entry, "id"), picture) is not picture:
            raise entry["id"].error("an id that no image before has")
    for entry in map(_identified, value["annotations"].items()):
        picture_of = found.get(_coco_id(entry, "image_id"))
        if picture_of is None:
            raise entry["image_id"].error("the id of one of the images")
        picture_of.rectangles.append(_coco_rectangle(entry, categories))
    return list(found.values())


def _coco_id(entry: Value, key: str) -> int:
    return entry[key].whole(0, 2**63)


def _coco_rectangle(entry: Value, categories: dict[int, str]) -> Rectangle:
    # Not in COCO itself: CVAT exports a rotated box as its upright twin and the angle beside it.
    if "attributes" in entry and "rotation" in entry["attributes"]:
        _refuse_rotated(entry["attributes"]["rotation"])
    category = _coco_id(entry, "category_id")
    if category not in categories:
        raise unknown("category_id", category, categories, entry.where)
    bbox = entry["bbox"].items()
    if len(bbox) != 4:
        raise entry["bbox"].error("a list of left, top, width and height")
    left, top, width, height = (side.number() for side in bbox)
    return _rectangle(entry, categories[category], left, top, width, height)


def _is_labelme(found: Any) -> bool:
    return isinstance(found, dict) and {"shapes", "imagePath"} <= found.keys()


def _labelme(value: Value) -> list[Picture]:
    """labelme's file for one image; before version 4 it did not hold the image's size."""
    size = None
    if "imageWidth" in value:
        size = pixels(value["imageWidth"]), pixels(value["imageHeight"])
    rectangles = [_labelme_rectangle(shape) for shape in value["shapes"].items()]
    return [Picture(value, value["imagePath"].text(), size, rectangles)]


def _labelme_rectangle(shape: Value) -> Rectangle:
    if shape["shape_type"].text() != "rectangle":
        raise shape["shape_type"].error('"rectangle"')
    points = [[number.number() for number in point.items()] for point in shape["points"].items()]
    if [len(point) for point in points] != [2, 2]:
        raise shape["points"].error("two opposite corners, each x and y")
    # The corners are in the order of the drawing, which may start at any of the four.
    (x0, x1), (y0, y1) = (sorted(axis) for axis in zip(*points, strict=True))
    return Rectangle(shape, shape["label"].text(), x0, y0, x1, y1)


def _is_label_studio(found: Any) -> bool:
    return (
        isinstance(found, list)
        and len(found) > 0
        and isinstance(found[0], dict)
        and {"data", "annotations"} <= found[0].keys()
    )


def _label_studio(value: Value) -> list[Picture]:
    """Label Studio's JSON export (labelstud.io/guide/task_format): a list of tasks.

    The boxes of all annotators of a task count. A task without an annotation, or that everybody
    skipped, was not looked at; one with an empty annotation was, and holds nothing.
    """
    tasks = map(_identified, Value(value.found, value.source, "tasks").items())
    return [picture for task in tasks for picture in _label_studio_task(task)]


def _label_studio_task(task: Value) -> list[Picture]:
    annotations = [
        annotation
        for annotation in task["annotations"].items()
        if not ("was_cancelled" in annotation and annotation["was_cancelled"].found)
    ]
    regions = [
        _identified(result)
        for annotation in annotations
        for result in annotation["result"].items()
        if result["type"].text() not in NOT_REGIONS
    ]
    # One picture an annotation: a region's size is checked against all others' in `boxes`.
    file_name = unquote(task["data"]["image"].text())
    drawn = [_label_studio_region(region, file_name) for region in regions]
    return [Picture(task, file_name, None, []), *drawn] if annotations else []


def _label_studio_region(region: Value, file_name: str) -> Picture:
    if region["type"].text() != "rectanglelabels":
        raise region["type"].error('"rectanglelabels"')
    value = region["value"]
    for holder, key in ((value, "rotation"), (region, "image_rotation")):
        if key in holder:
            _refuse_rotated(holder[key])
    size = pixels(region["original_width"]), pixels(region["original_height"])
    # Percents of the image's sides.
    left, width = (value[key].number() * size[0] / 100 for key in ("x", "width"))
    top, height = (value[key].number() * size[1] / 100 for key in ("y", "height"))
    labels = [label.text() for label in value["rectanglelabels"].items()]
    if not labels:
        raise value["rectanglelabels"].error("at least one label")
    rectangles = [_rectangle(region, label, left, top, width, height) for label in labels]
    return Picture(region, file_name, size, rectangles)


def _is_via(found: Any) -> bool:
    if not isinstance(found, dict) or not found:
        return False
    return "_via_img_metadata" in found or all(
        isinstance(entry, dict) and {"filename", "regions"} <= entry.keys()
        for entry in found.values()
    )


def _via(value: Value) -> list[Picture]:
    """VIA (robots.ox.ac.uk/~vgg/software/via): an entry an image, under its name and file size.

    VIA does not store the size of an image in pixels.
    """
    entries = value["_via_img_metadata"] if "_via_img_metadata" in value else value
    return [_via_picture(entry) for entry in entries.members()]


def _via_picture(entry: Value) -> Picture:
    regions = entry["regions"]
    # A list since VIA 2, an object with keys "0", "1", ... in VIA 1.
    listed = regions.members() if isinstance(regions.found, dict) else regions.items()
    rectangles = [rectangle for region in listed for rectangle in _via_rectangles(region)]
    return Picture(entry, entry["filename"].text(), None, rectangles, VIA_ROUNDING)


def _via_rectangles(region: Value) -> list[Rectangle]:
    shape = region["shape_attributes"]
    if shape["name"].text() != "rect":
        raise shape["name"].error('"rect"')
    left, top, width, height = (shape[key].number() for key in ("x", "y", "width", "height"))
    labels = _via_labels(region["region_attributes"])
    return [_rectangle(region, label, left, top, width, height) for label in labels]


def _via_labels(attributes: Value) -> list[str]:
    """Every value of every attribute: which of them names the object only the user knows.

    Text, radio buttons and menus have one value; checkboxes are an object of those ticked.
    """
    labels: list[str] = []
    for attribute in attributes.members():
        if isinstance(attribute.found, dict):
            labels += [option for option, ticked in attribute.found.items() if ticked is True]
        elif attribute.found != "":
            labels.append(attribute.text())
    if not labels:
        raise attributes.error("at least one attribute with a value, to be the label")
    return labels


FORMATS: dict[str, tuple[Callable[[Any], bool], Callable[[Value], list[Picture]]]] = {
    "COCO": (_is_coco, _coco),
    "labelme": (_is_labelme, _labelme),
    "Label Studio JSON": (_is_label_studio, _label_studio),
    "VIA": (_is_via, _via),
}
FORMAT_NAMES = ", ".join([OWN_FORMAT, *FORMATS])
