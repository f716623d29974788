"""VIA 1 and 2 (robots.ox.ac.uk/~vgg/software/via): a project, or its annotations as JSON or CSV."""

from __future__ import annotations

import csv
import json
import re
from io import StringIO
from typing import Any

from dcgan_probe.boxes.pictures import (
    UNLABELLED,
    Picture,
    Rectangle,
    Size,
    as_number,
    rectangle,
)
from dcgan_probe.errors import InputError
from dcgan_probe.storage.json_values import Value

# VIA rounds a corner and a size apart, each to whole pixels.
ROUNDING = 1.0
_SIZE = re.compile(r"(?<=\.png)-?[0-9]+\Z")
COLUMNS = (
    "filename",
    "file_size",
    "file_attributes",
    "region_count",
    "region_id",
    "region_shape_attributes",
    "region_attributes",
)


def recognises(content: Any) -> bool:
    if not isinstance(content, dict) or not content:
        return False
    return "_via_img_metadata" in content or all(
        isinstance(entry, dict) and {"filename", "regions"} <= entry.keys()
        for entry in content.values()
    )


def read(value: Value, size: Size | None) -> list[Picture]:
    """An entry for each image, under its name and file size. VIA does not store size in pixels."""
    entries = value["_via_img_metadata"] if "_via_img_metadata" in value else value
    return [
        _picture(key, entry) for key, entry in zip(entries.found, entries.members(), strict=True)
    ]


def recognises_csv(text: str) -> bool:
    """Whether the first line names VIA's columns."""
    first = (text.splitlines() or [""])[0].lstrip("#").split(",")
    return set(COLUMNS) <= {name.strip(' "') for name in first}


def read_csv(text: str, source: str) -> list[Picture]:
    """A row for each region, with JSON in its cells, and one for each image without a region."""
    try:
        rows = list(csv.DictReader(StringIO(text.lstrip("#")), skipinitialspace=False))
    except csv.Error as error:
        raise InputError(f"{source}: cannot be read as a CSV: {error}") from error
    pictures = []
    for number, row in enumerate(rows, start=2):
        entry = Value(
            {(key or "").strip(): cell for key, cell in row.items()}, source, f"row {number}"
        )
        entry["filename"].text()
        shape, attributes = (
            _cell(entry, "region_shape_attributes"),
            _cell(entry, "region_attributes"),
        )
        rectangles = _rectangles(entry, shape, attributes) if shape.found else []
        if not rectangles and as_number(entry["region_count"].found) != 0:
            raise entry["region_shape_attributes"].error(
                f"a shape, as region_count is {entry['region_count'].found}"
            )
        pictures.append(Picture(entry, (entry["filename"],), None, rectangles, ROUNDING))
    return pictures


def _cell(entry: Value, column: str) -> Value:
    text = entry[column]
    try:
        cell = json.loads(text.found)
    except (TypeError, ValueError, RecursionError):
        raise text.error("an object in JSON") from None
    return Value(cell, text.source, text.place)


def _picture(key: str, entry: Value) -> Picture:
    regions = entry["regions"]
    # A list since VIA 2, an object with keys "0", "1", ... in VIA 1.
    listed = regions.members() if isinstance(regions.found, dict) else regions.items()
    rectangles = [
        rectangle
        for region in listed
        for rectangle in _rectangles(
            region, region["shape_attributes"], region["region_attributes"]
        )
    ]
    entry["filename"].text()
    names = [entry["filename"]]
    # The key is the name with the file's size behind it, or the name alone.
    names.append(Value(_SIZE.sub("", key), entry.source, f"{entry.place}, its key"))
    return Picture(entry, tuple(names), None, rectangles, ROUNDING)


def _rectangles(region: Value, shape: Value, attributes: Value) -> list[Rectangle]:
    if shape["name"].text() != "rect":
        raise shape["name"].error('"rect"')
    left, top, width, height = (shape[key].number() for key in ("x", "y", "width", "height"))
    return [rectangle(region, label, left, top, width, height) for label in _labels(attributes)]


def _labels(attributes: Value) -> list[str]:
    """Every value of every attribute: which of them names the object only the user knows.

    Text, radio buttons and menus have one value; checkboxes are an object of those ticked.
    """
    labels: list[str] = []
    for attribute in attributes.members():
        if isinstance(attribute.found, dict):
            labels += [option for option, ticked in attribute.found.items() if ticked is True]
        elif isinstance(attribute.found, int | float) and not isinstance(attribute.found, bool):
            attribute.number()
            labels.append(str(attribute.found))
        elif attribute.found != "":
            labels.append(attribute.text())
    return labels or [UNLABELLED]
