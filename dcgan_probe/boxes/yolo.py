"""YOLO: a text file for each image, rows of class and box, and one file that names the classes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from dcgan_probe.boxes.pictures import Picture, Rectangle, Size, as_number, as_whole, need_size
from dcgan_probe.errors import InputError
from dcgan_probe.storage import files, json_values
from dcgan_probe.storage.json_values import Value

NAMES = ("classes.txt", "obj.names", "data.yaml")
# Lists of images and notes next to the labels that are not labels.
OTHERS = {"train.txt", "valid.txt", "val.txt", "test.txt", "readme.roboflow.txt"}
OTHERS |= {"readme.dataset.txt", *NAMES}
_MAX_NAMES = 1_000_000  # bytes


def recognises(text: str) -> bool:
    """Whether the first row is one of numbers, the first of them whole."""
    row = text.split("\n", 1)[0].split()
    numbers = [as_number(word) for word in row]
    return len(row) >= 5 and all(isinstance(number, float) for number in numbers)


def find_names(path: Path, top: Path) -> Path:
    """The file of class names of a label file: beside it, or in a folder above, to two above `top`.

    Raises InputError if there is none, or where two in one folder disagree.
    """
    ends = [top.absolute(), *top.absolute().parents[:2]]
    for folder in path.absolute().parents:
        there = [folder / name for name in NAMES if (folder / name).exists()]
        if there:
            first, *others = there
            for other in others:
                if read_names(other) != read_names(first):
                    raise InputError(f"{other}: found other class names than in {first.name}")
            return first
        if folder == ends[-1]:
            break
    raise InputError(
        f"{path}: found YOLO labels without {' or '.join(NAMES)}, expected one of them"
    )


def read_names(path: Path) -> list[str]:
    """The names of the classes, by number."""
    if path.suffix == ".yaml":
        return _read_yaml(path)
    text = json_values.read_text(path, "a file of class names")
    names = [line.strip() for line in text.rstrip().split("\n")]
    return [Value(name, str(path), f"line {i}").text() for i, name in enumerate(names, start=1)]


def _read_yaml(path: Path) -> list[str]:
    if importlib.util.find_spec("yaml") is None:
        raise InputError(
            f"{path}: found class names in YAML, expected the package PyYAML to read it with: pip "
            "install pyyaml (or classes.txt beside it, a name on each line)"
        )
    import yaml  # type: ignore[import-untyped]

    data = files.read_bytes(path, "a file of class names", _MAX_NAMES)
    try:
        content: Any = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: found no YAML that can be read: {error}") from error
    names = Value(content, str(path))["names"]
    if isinstance(names.found, dict):
        numbered = {as_whole(str(key)): member for key, member in names.found.items()}
        if set(numbered) != set(range(len(numbered))):
            raise names.error("names by number, from 0 on, each once")
        names = Value([numbered[i] for i in range(len(numbered))], str(path), "names")
    return [Value(str(name.found), str(path), name.place).text() for name in names.items()]


def read(path: Path, names: list[str], size: Size | None) -> list[Picture]:
    """The image of a label file; an empty one was looked at and holds nothing.

    A row is the class and, in shares of the image's sides, centre x, centre y, width, height.
    """
    text = json_values.read_text(path, "YOLO labels")
    source = str(path)
    width, height = need_size(Value({}, source), size, "shares of an unknown size")
    rectangles = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        row = [as_number(word) for word in line.split()]
        entry = Value(row, source, f"line {number}")
        if len(row) != 5:
            raise entry.error("class, centre x, centre y, width and height: a box, not an outline")
        kind = Value(as_whole(line.split()[0]), source, f"line {number}: class")
        label = names[kind.whole(0, len(names) - 1)]
        x, y, w, h = (part.number() for part in entry.items()[1:])
        left, right = (x - w / 2) * width, (x + w / 2) * width
        top, bottom = (y - h / 2) * height, (y + h / 2) * height
        rectangles.append(Rectangle(entry, label, left, top, right, bottom))
    name = Value(f"{path.stem}.png", source, "the file's own name")
    return [Picture(Value({}, source), (name,), None, rectangles)]
