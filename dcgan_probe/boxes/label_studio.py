"""Label Studio's exports called "JSON" and "JSON-MIN" (labelstud.io/guide/export)."""

from __future__ import annotations

from typing import Any

from dcgan_probe.boxes.pictures import (
    Picture,
    Size,
    identified,
    need_size,
    rectangle,
    refuse_rotated,
)
from dcgan_probe.boxes.samples import find_samples
from dcgan_probe.errors import InputError
from dcgan_probe.storage.json_values import Value, pixels

KIND = "rectanglelabels"
# Answers about a whole image, and links between regions: Label Studio lists them among the regions.
NOT_REGIONS = {
    "choices",
    "datetime",
    "number",
    "pairwise",
    "ranker",
    "rating",
    "relation",
    "taxonomy",
    "textarea",
}


def recognises(content: Any) -> bool:
    return _are_tasks(content) and {"data", "annotations"} <= content[0].keys()


def read(value: Value, size: Size | None) -> list[Picture]:
    """The tasks of the full export.

    The boxes of all annotators of a task count. A task without an annotation, or that everybody
    skipped, was not looked at; one with an empty annotation was, and holds nothing.
    """
    tasks = map(identified, Value(value.found, value.source, "tasks").items())
    return [picture for task in tasks for picture in _task(task, size)]


def recognises_min(content: Any) -> bool:
    return _are_tasks(content) and any(
        "annotation_id" in task or any(map(_are_regions, task.values()))
        for task in content
        if isinstance(task, dict)
    )


def read_min(value: Value, size: Size | None) -> list[Picture]:
    """The tasks of the short export: data and regions side by side, under keys of the project."""
    pictures = []
    for task in map(identified, Value(value.found, value.source, "tasks").items()):
        names = _names(task, task)
        pictures.append(Picture(task, names, None, []))
        for member in task.members():
            for region in member.items() if _has_regions(member.found) else ():
                pictures.append(_region(region, region, names, size))
    return pictures


def _are_tasks(content: Any) -> bool:
    return isinstance(content, list) and bool(content) and isinstance(content[0], dict)


def _are_regions(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(r, dict) and KIND in r for r in value)


def _has_regions(value: Any) -> bool:
    """Whether a list holds regions of any kind: unsupported kinds are refused."""
    return isinstance(value, list) and any(isinstance(r, dict) and "x" in r for r in value)


def _task(task: Value, size: Size | None) -> list[Picture]:
    annotations = [
        annotation
        for annotation in task["annotations"].items()
        if not ("was_cancelled" in annotation and annotation["was_cancelled"].found)
    ]
    names = _names(task["data"], task)
    pictures = [Picture(task, names, None, [])] if annotations else []
    for annotation in annotations:
        for region in map(identified, annotation["result"].items()):
            kind = region["type"].text()
            if kind in NOT_REGIONS:
                continue
            if kind != KIND:
                raise region["type"].error(f'"{KIND}"')
            pictures.append(_region(region, region["value"], names, size))
    return pictures


def _names(data: Value, task: Value) -> tuple[Value, ...]:
    """What may name the image: its key is the project's own, so the text that names a sample."""
    texts = [member for member in data.members() if isinstance(member.found, str)]
    named = [member for member in texts if find_samples(member.found)]
    if not named and "image" in data:
        data["image"].text()
        named = [data["image"]]
    if not named:
        raise InputError(
            f"{data.where}: found no name of a sample in {len(texts)} texts, expected one such as "
            "1a2b3c4d_seed3_0017.png"
        )
    if "file_upload" in task and isinstance(task["file_upload"].found, str):
        named.append(task["file_upload"])
    return tuple(named)


def _region(region: Value, value: Value, names: tuple[Value, ...], size: Size | None) -> Picture:
    """One picture for each region: its size is checked against all others' in `boxes`."""
    for holder, key in ((value, "rotation"), (region, "image_rotation")):
        if key in holder:
            refuse_rotated(holder[key])
    own = _size(region)
    width, height = own or need_size(region, size, "percents without original_width")
    # Percents of the image's sides.
    left, w = (value[key].number() * width / 100 for key in ("x", "width"))
    top, h = (value[key].number() * height / 100 for key in ("y", "height"))
    labels = [label.text() for label in value[KIND].items()]
    if not labels:
        raise value[KIND].error("at least one label")
    rectangles = [rectangle(region, label, left, top, w, h) for label in labels]
    return Picture(region, names, own, rectangles)


def _size(region: Value) -> Size | None:
    sides = [region[key] for key in ("original_width", "original_height") if key in region]
    if all(side.found is None for side in sides):
        return None
    return pixels(region["original_width"]), pixels(region["original_height"])
