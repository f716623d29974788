"""JSON written by users: values know their place in the file, for one-line errors."""

from __future__ import annotations

import json
import math
import unicodedata
from collections import Counter
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from dcgan_probe.errors import InputError
from dcgan_probe.storage import files

MAX_BYTES = 100_000_000
# Of whatever size, a value takes some hundred bytes of memory at most.
MAX_VALUES = 4_000_000
# Joiners that Persian, Indic scripts and emoji are spelt with, and marks of reading direction.
_INVISIBLE = frozenset("\u200b\u200c\u200d\u200e\u200f\u2060")


class Value:
    """A value in a JSON file with its place there: what is wrong with it can say where.

        >>> file = Value({"boxes": [{"x0": "10"}]}, "windows.json")
        >>> file["boxes"].items()[0]["x0"].number()
        Traceback (most recent call last):
        dcgan_probe.errors.InputError: windows.json: boxes[0].x0: found "10", expected a number

    `found` is the bare value. Every method that takes something out raises InputError if it is
    missing, or not of the kind that was asked for.
    """

    def __init__(self, found: Any, source: str, place: str = ""):
        self.found = found
        self.source = source
        self.place = place

    @property
    def where(self) -> str:
        """File and place, as an error message begins."""
        return f"{self.source}: {self.place}" if self.place else self.source

    def error(self, expected: str) -> InputError:
        """The error that this value was found where something else was expected."""
        return InputError(f"{self.where}: found {shown(self.found)}, expected {expected}")

    def __contains__(self, key: str) -> bool:
        return isinstance(self.found, dict) and key in self.found

    def __getitem__(self, key: str) -> Value:
        if not isinstance(self.found, dict):
            raise self.error(f"an object with {shown(key)}")
        if key not in self.found:
            raise InputError(
                f"{self.where}: found no {shown(key)}, expected it beside {self._keys()}"
            )
        return Value(self.found[key], self.source, f"{self.place}.{key}" if self.place else key)

    def _keys(self) -> str:
        return ", ".join(map(shown, list(self.found)[:8])) or "nothing"

    def items(self) -> list[Value]:
        """The elements of a list."""
        if not isinstance(self.found, list | tuple):
            raise self.error("a list")
        return [Value(item, self.source, f"{self.place}[{i}]") for i, item in enumerate(self.found)]

    def members(self) -> list[Value]:
        """The values of an object."""
        if not isinstance(self.found, dict):
            raise self.error("an object")
        return [
            Value(member, self.source, f"{self.place}[{shown(key)}]")
            for key, member in self.found.items()
        ]

    def whole(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        # bool is an int to Python, but the file's author meant true as a boolean.
        right = isinstance(self.found, Integral) and not isinstance(self.found, bool)
        if not right or not low <= self.found <= high:
            raise self.error(f"a whole number from {low} to {high}")
        return int(self.found)

    def number(self) -> float:
        """A finite number; JSON as Python reads it also has NaN and Infinity."""
        right = isinstance(self.found, Real) and not isinstance(self.found, bool)
        if not right:
            raise self.error("a number")
        try:
            number = float(self.found)
        except OverflowError:  # an integer of hundreds of digits
            number = math.inf
        if not math.isfinite(number):
            raise self.error("a finite number")
        return number

    def text(self) -> str:
        """Text of at least one visible character and no control characters."""
        if not isinstance(self.found, str) or _INVISIBLE.issuperset("".join(self.found.split())):
            raise self.error("text")
        if not all(map(_is_text, self.found)):
            raise self.error("text of printable characters")
        return self.found

    def size(self) -> tuple[int, int]:
        """Width and height of an image: a list of two whole numbers, in pixels."""
        sides = self.items()
        if len(sides) != 2:
            raise self.error("a list of width and height")
        return pixels(sides[0]), pixels(sides[1])


def _is_text(character: str) -> bool:
    blank = unicodedata.category(character) == "Zs"  # a no-break space, an ideographic one
    return character.isprintable() or blank or character in _INVISIBLE


def shown(value: Any) -> str:
    """A value as an error message shows it: as in the file, but short."""
    if isinstance(value, dict):
        keys = ", ".join(map(shown, list(value)[:5]))
        return f"an object with keys {keys}" if value else "an empty object"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else text[:57] + "..."


def pixels(side: Value) -> int:
    """One side of an image, in pixels."""
    return side.whole(1, 65_536)


def load(path: Path, kind: str) -> Value:
    """The JSON in a file; kind says what it should be, as "boxes".

    Raises InputError, with line and column where there are any, if the file cannot be read, is
    larger than 100 MB or of more than 4 million values, is not JSON, or names a key twice.
    """
    return Value(parse(read_text(path, f"a file of {kind}"), path, kind), str(path))


def read_own(path: Path, kind: str, written: str) -> Value:
    """Load JSON whose "format" is `written`; raises as `load` does, or for another format."""
    file = load(path, kind)
    if "format" not in file or file["format"].found != written:
        format_name = file["format"].found if "format" in file else None
        raise InputError(f"{path}: format: found {format_name!r}, expected {written!r}")
    return file


def check_replaceable(path: Path, written: str) -> None:
    """Make sure that what is at a path may be written over: nothing, or JSON of format `written`.

    Raises InputError for whatever else is there; `--force` does not overwrite it.
    """
    if not path.exists() and not path.is_symlink():
        return
    try:
        read_own(path, f"JSON of {written}", written)
    except InputError as error:
        raise InputError(f"{error}; it is left unchanged, expected another name") from error


def read_text(path: Path, expected: str) -> str:
    """UTF-8 text of a regular file of at most 100 MB, without a byte order mark."""
    try:
        return files.read_bytes(path, expected, MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: byte {error.start}: found bytes that are not UTF-8 text, expected {expected}"
        ) from error


def parse(text: str, path: Path, kind: str) -> Any:
    """The value of JSON text; raises as `load` does."""
    if not text or text.isspace():
        raise InputError(f"{path}: found an empty file, expected JSON")
    if text[:1000].lstrip().startswith("<"):
        raise InputError(f"{path}: found HTML or XML, expected JSON")
    values = sum(map(text.count, ",:[{"))
    if values > MAX_VALUES:
        raise InputError(
            f"{path}: found JSON of about {values} values, expected {kind} of at most {MAX_VALUES}"
        )
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}: line {error.lineno}, column {error.colno}: "
            f"found broken or cut-off JSON ({error.msg}), expected a whole JSON file"
        ) from error
    except _Twice as error:
        raise InputError(f"{path}: found {error}, expected each key once") from None
    except RecursionError as error:
        raise InputError(f"{path}: found JSON nested too deeply, expected {kind}") from error
    except ValueError as error:  # an integer of more than 4300 digits
        raise InputError(f"{path}: found a number of endless digits, expected {kind}") from error


class _Twice(Exception):
    """A key that an object names twice. Python would keep the last value and say nothing."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        others = ", ".join(shown(key) for key in list(made)[:5])
        raise _Twice(f"the key {shown(twice)} twice in the object with keys {others}")
    return made


def check(value: Any, place: str) -> None:
    """Make sure that a value can be JSON and come back the same; InputError says where it cannot.

    >>> check({"brightness": [0.5, None]}, "Report")
    """
    if isinstance(value, dict):
        for key, member in value.items():
            if not isinstance(key, str):
                raise InputError(f"{place}: found a name {key!r}, expected text")
            check(member, f"{place}: {key}" if ":" not in place else f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            check(item, f"{place}[{i}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{place}: found {value}, expected a finite number or None")
    elif value is not None and not isinstance(value, str | bool | int | float):
        kind = type(value).__name__
        raise InputError(
            f"{place}: found a {kind}, expected text, a number, a list, a dict or None"
        )
