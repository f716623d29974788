"""Labelled images: labels from folders, from a CSV, or from the same `.mat`."""

from __future__ import annotations

import csv
import math
import os
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path, PurePosixPath

import numpy as np

from dcgan_probe.errors import InputError, unknown
from dcgan_probe.images import arrays, matlab
from dcgan_probe.images.containers import Folder, shown
from dcgan_probe.images.sources import ImageSource
from dcgan_probe.images.subsets import Chosen
from dcgan_probe.storage import files

FOLDERS, Y = "folders", "y"
PARTS = {"train": False, "test": True}
TEST_SHARE = 0.2
# What the column of the images' names is called, the first that is there.
NAME_COLUMNS = ["name", "file", "file_name", "filename", "image_id", "path"]
MAX_TABLE = 200_000_000  # bytes


@dataclass(frozen=True, eq=False)
class Labelled:
    """What `read` returns: images, and of each its class and whether it is for testing.

    labels: N int64, numbers of `classes`. test: N bool.
    """

    images: Chosen
    labels: np.ndarray
    classes: tuple[str, ...]
    test: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def only(self, rows: np.ndarray) -> Labelled:
        """Some of the images, N numbers of rows."""
        images = self.images.only(rows.tolist())
        return replace(self, images=images, labels=self.labels[rows], test=self.test[rows])

    def fewer(self, n: int, seed: int) -> Labelled:
        """At most n of the images for training and n of those for testing, drawn by the seed.

        As equally of each class as can be. Raises InputError for fewer than one of each class.
        """
        if n < len(self.classes):
            raise InputError(
                f"--n: found {n}, expected at least one image of each of the {len(self.classes)} "
                "classes"
            )
        rng = np.random.default_rng(seed)
        rows: list[int] = []
        for test in (False, True):
            of_class = [
                rng.permutation(np.flatnonzero((self.labels == k) & (self.test == test))).tolist()
                for k in range(len(self.classes))
            ]
            # In turns: the first of every class, then the second of every class, and so on.
            turns = sorted(
                (turn, row) for class_rows in of_class for turn, row in enumerate(class_rows)
            )
            rows += sorted(row for _, row in turns[:n])
        return self.only(np.array(rows))


def read(
    path: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    size: int,
    channels: int,
    *,
    test: str | os.PathLike[str] | None = None,
    column: str = "label",
    name_column: str | None = None,
    resize: bool = False,
    seed: int = 0,
) -> Labelled:
    """Open images with their labels; those for training come first.

        >>> data = read("cifar10.zip", "folders", size=32, channels=3)
        >>> len(data), data.classes[:2], data.test.sum()
        (60000, ('airplane', 'automobile'), np.int64(10000))

    labels: "folders", the folder directly under the root, or under ``train`` and ``test`` there, as
    in torchvision's ImageFolder; "y", the variable beside X in a `.mat`; or a CSV with a column of
    the images' names, one called as `column` says, and perhaps ``split``. name_column: the one of
    names, if it is not one of `NAME_COLUMNS`; names may be without their ending. test: other
    images, for testing. By default they are recognised by a folder ``train`` or ``test`` above the
    image, or by the CSV's ``split``; where neither is, a fifth of each class is drawn by the seed.
    resize: see `Chosen`.

    Raises InputError for images without a label and labels without an image, for labels of another
    number than the images, for one class only, and for a class of one side only.
    """
    opened = [ImageSource(path, size, channels)]
    if test is not None:
        opened.append(ImageSource(test, size, channels))
    class_names: list[str] = []
    part: list[bool | None] = []
    table = None if labels in (FOLDERS, Y) else _Table(Path(labels), column, name_column)
    for number, source in enumerate(opened):
        if table is not None:
            names, own = table.of(source)
        elif labels == Y:
            names, own = _beside(source), [None] * len(source)
        else:
            names, own = _folders(source)
        class_names += names
        part += own if test is None else [bool(number)] * len(source)
    if table is not None:
        table.check_all_taken([source.path for source in opened])
    classes = tuple(sorted(set(class_names), key=_natural))
    if len(classes) < 2:
        raise InputError(f"{path}: found one class only, {classes[0]!r}, expected two or more")
    number_of = {name: k for k, name in enumerate(classes)}
    numbers = np.array([number_of[name] for name in class_names])
    for_test = _split(opened[0].path, part, numbers, len(classes), seed)
    _check_sides(path, numbers, for_test, classes)
    images = Chosen([(source, range(len(source))) for source in opened], resize)
    order = np.argsort(for_test, kind="stable")
    return Labelled(images, numbers, classes, for_test).only(order)


def _folders(source: ImageSource) -> tuple[list[str], list[bool | None]]:
    above = [_above(name) for name in source.names]
    wrapped = not isinstance(source.container, Folder) and _wrapper(above)
    names, parts = [], []
    for name, folders in zip(source.names, above, strict=True):
        parts.append(next((PARTS[folder] for folder in folders if folder in PARTS), None))
        below = folders[1:] if wrapped else folders
        below = below[1:] if below and below[0] in PARTS else below
        if not below or below[0] in PARTS:
            raise InputError(
                f"{source.path}: {shown(name)}: found no folder of a class around it, expected one"
            )
        names.append(below[0])
    return names, parts


def _above(name: str) -> tuple[str, ...]:
    return tuple(part for part in PurePosixPath(name).parts[:-1] if part not in (".", "/"))


def _wrapper(above: list[tuple[str, ...]]) -> bool:
    """Whether all of an archive lies in one folder, as it does where a folder was packed."""
    tops = {folders[:1] for folders in above}
    ((*top,), *others) = tops
    return not others and bool(top) and top[0] not in PARTS and min(map(len, above)) > 1


def _beside(source: ImageSource) -> list[str]:
    if not isinstance(source.container, arrays.Mat):
        raise InputError(f"{source.path}: found no .mat, expected one with labels y beside X")
    variable = matlab.variables(source.path).get("y")
    shape = None if variable is None else variable.shape
    if shape is None or math.prod(shape) != len(source) or max(shape) != len(source):
        words = "none" if shape is None else " x ".join(map(str, shape))
        raise InputError(
            f"{source.path}: y: found {words}, expected {len(source)} labels, one an image of X"
        )
    values = matlab.read(source.path, "y").ravel()
    if not (np.isfinite(values) & (values == np.rint(values))).all():
        raise InputError(f"{source.path}: y: found fractions or NaN, expected whole numbers")
    return [str(int(value)) for value in values]


class _Table:
    """The rows of a CSV, by the name of the image."""

    def __init__(self, path: Path, column: str, name_column: str | None):
        self.path = path
        try:
            text = files.read_bytes(path, "a CSV", MAX_TABLE).decode("utf-8-sig")
            lines = list(csv.reader(StringIO(text, newline=""), skipinitialspace=True))
        except InputError:
            if not path.exists():
                raise unknown("labels", path, [FOLDERS, Y, "the path of a CSV"]) from None
            raise
        except (UnicodeDecodeError, csv.Error, ValueError) as error:
            raise InputError(f"{path}: cannot be read as a CSV: {error}") from error
        columns = [name.strip() for name in lines[0]] if lines else []
        known = [name_column] if name_column else NAME_COLUMNS
        names = [name for name in known if name in columns]
        if not names or column not in columns:
            raise InputError(
                f"{path}: found columns {', '.join(columns) or '(none)'}, expected "
                f"{name_column or 'name'} and {column}"
            )
        twice = [name for name in (names[0], column, "split") if columns.count(name) > 1]
        if twice:
            raise InputError(f"{path}: found two columns {twice[0]}, expected one")
        self.rows: dict[str, tuple[str, bool | None]] = {}
        for number, line in enumerate(lines[1:], start=2):
            if line:
                cells = [cell.strip() for cell in line] + [""] * (len(columns) - len(line))
                row = dict(zip(columns, cells, strict=False))
                self._add(number, row[names[0]], row[column], row.get("split"))
        self.taken: set[str] = set()

    def _add(self, number: int, name: str, label: str, split: str | None) -> None:
        if split is not None and split not in PARTS:
            raise InputError(
                f"{self.path}: line {number}: split: found {split!r}, expected train or test"
            )
        name = name.removeprefix("./")
        if not label or name in self.rows:
            noun = "no label" if not label else "a second label"
            raise InputError(f"{self.path}: line {number}: found {noun} of {name!r}")
        self.rows[name] = label, None if split is None else PARTS[split]

    def _spelt(self, source: ImageSource) -> dict[str, str]:
        """How the table spells the names of the images: whole, or without their ending."""
        plain = {name: name for name in source.names}
        stems = {name: str(PurePosixPath(name).with_suffix("")) for name in source.names}
        if len(set(stems.values())) < len(stems) or any(name in self.rows for name in plain):
            return plain  # with "a.png" and "a.jpg" there, "a" could be either
        return stems if any(stem in self.rows for stem in stems.values()) else plain

    def of(self, source: ImageSource) -> tuple[list[str], list[bool | None]]:
        spelt = self._spelt(source)
        missing = [name for name in source.names if spelt[name] not in self.rows]
        if missing:
            raise InputError(
                f"{self.path}: found labels of {len(source) - len(missing)} of the {len(source)} "
                f"images of {source.path}, expected all: none of {shown(missing[0])}"
            )
        self.taken.update(spelt.values())
        entries = [self.rows[spelt[name]] for name in source.names]
        return [label for label, _ in entries], [part for _, part in entries]

    def check_all_taken(self, paths: list[Path]) -> None:
        strange = [name for name in self.rows if name not in self.taken]
        if strange:
            raise InputError(
                f"{self.path}: found {len(self.rows)} labels, {len(strange)} of no image of "
                f"{' or '.join(map(str, paths))}, expected one an image: {strange[0]}"
            )


def _split(
    path: Path, parts: list[bool | None], labels: np.ndarray, classes: int, seed: int
) -> np.ndarray:
    """Which images are for testing, N bool."""
    if None not in parts:
        return np.array(parts, bool)
    if any(part is not None for part in parts):
        known = sum(part is not None for part in parts)
        raise InputError(
            f"{path}: found {known} of {len(parts)} images in a folder train or test, expected all"
        )
    test = np.zeros(len(parts), bool)
    rng = np.random.default_rng(seed)
    for k in range(classes):
        of_class = rng.permutation(np.flatnonzero(labels == k))
        test[of_class[: round(len(of_class) * TEST_SHARE)]] = True
    return test


def _check_sides(
    path: str | os.PathLike[str], labels: np.ndarray, test: np.ndarray, classes: tuple[str, ...]
) -> None:
    for k, name in enumerate(classes):
        for purpose, side in (("training", ~test), ("testing", test)):
            if not (side & (labels == k)).any():
                raise InputError(
                    f"{path}: class {name}: found no image for {purpose}, expected at least one"
                )


def _natural(name: str) -> tuple[bool, int, str]:
    """Numbers by their value, before words."""
    return not name.isdecimal(), int(name) if name.isdecimal() else 0, name
