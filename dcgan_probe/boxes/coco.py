"""COCO detection (cocodataset.org, "Data format"), as CVAT, Roboflow and others export it."""

from __future__ import annotations

from typing import Any

from dcgan_probe.boxes.pictures import (
    Picture,
    Rectangle,
    Size,
    identified,
    rectangle,
    refuse_rotated,
)
from dcgan_probe.boxes.samples import find_samples
from dcgan_probe.errors import unknown
from dcgan_probe.storage.json_values import Value, pixels

Id = int | float | str


def recognises(content: Any) -> bool:
    return isinstance(content, dict) and {"images", "annotations"} <= content.keys()


def read(value: Value, size: Size | None) -> list[Picture]:
    """The images and their boxes, which are [left, top, width, height].

    `iscrowd` and `segmentation` are left aside: an annotation has its box whatever its outline.
    """
    categories: dict[Id, str] = {}
    for category in map(identified, value["categories"].items()):
        number = _id(category, "id")
        if number in categories:
            raise category["id"].error("an id that no category before has")
        categories[number] = category["name"].text()
    pictures: dict[Id, Picture] = {}
    for entry in map(identified, value["images"].items()):
        number = _id(entry, "id")
        if number in pictures:
            raise entry["id"].error("an id that no image before has")
        own = pixels(entry["width"]), pixels(entry["height"])
        pictures[number] = Picture(entry, _names(entry), own, [])
    for entry in map(identified, value["annotations"].items()):
        picture = pictures.get(_id(entry, "image_id"))
        if picture is None:
            raise entry["image_id"].error("the id of one of the images")
        picture.rectangles.append(_rectangle(entry, categories))
    return list(pictures.values())


def _names(entry: Value) -> tuple[Value, ...]:
    """The image's name before Roboflow renamed it, if it did, and its file."""
    entry["file_name"].text()
    if (
        "extra" in entry
        and "name" in entry["extra"]
        and find_samples(entry["extra"]["name"].text())
    ):
        return entry["extra"]["name"], entry["file_name"]
    return (entry["file_name"],)


def _id(entry: Value, key: str) -> Id:
    """An id: COCO's are whole numbers; other programs write text, or numbers with a point."""
    if isinstance(entry[key].found, str):
        return entry[key].text()
    if isinstance(entry[key].found, int):
        return entry[key].whole(-(2**63), 2**63)
    return entry[key].number()


def _rectangle(entry: Value, categories: dict[Id, str]) -> Rectangle:
    # Not in COCO itself: CVAT exports a rotated box as its upright twin and the angle beside it.
    if "attributes" in entry and "rotation" in entry["attributes"]:
        refuse_rotated(entry["attributes"]["rotation"])
    category = _id(entry, "category_id")
    if category not in categories:
        raise unknown("category_id", category, categories, entry.where)
    bbox = entry["bbox"].items()
    if len(bbox) != 4:
        raise entry["bbox"].error("a list of left, top, width and height")
    left, top, width, height = (side.number() for side in bbox)
    return rectangle(entry, categories[category], left, top, width, height)
