"""What the readers of annotation files return: images, and the rectangles drawn on them."""

from __future__ import annotations

from dataclasses import dataclass

from dcgan_probe.errors import InputError
from dcgan_probe.storage.json_values import Value, shown

# Label of a rectangle that was drawn without one.
UNLABELLED = "unlabelled"


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
    """An image that a person looked at, with what they drew on it: perhaps nothing.

    names: every name that the file gives the image, each with its place. size: width and height
    in pixels; None if the file does not say. rounding: how far outside of the image, in pixels,
    the tool can push an edge because it stores whole pixels.
    """

    entry: Value
    names: tuple[Value, ...]
    size: tuple[int, int] | None
    rectangles: list[Rectangle]
    rounding: float = 0.0


Size = tuple[int, int]


def identified(entry: Value) -> Value:
    """An entry whose place also gives the id by which its tool knows it."""
    if "id" not in entry:
        return entry
    return Value(entry.found, entry.source, f"{entry.place} (id {shown(entry.found['id'])})")


def rectangle(entry: Value, label: str, left: float, top: float, w: float, h: float) -> Rectangle:
    """A rectangle of its left top corner and its size."""
    return Rectangle(entry, label, left, top, left + w, top + h)


def refuse_rotated(rotation: Value) -> None:
    """Raise InputError for a rotation other than 0 or null."""
    if rotation.found is not None and rotation.number() != 0:
        raise rotation.error("0: a box with upright sides, not a rotated one")


def need_size(entry: Value, size: Size | None, why: str) -> Size:
    """The size that the caller gave; InputError if it did not and the file needs it."""
    if size is None:
        raise InputError(f"{entry.where}: found {why}, expected image_size to be given")
    return size


def as_number(text: object) -> object:
    """Text of a number as that number; other text as it is, for `Value` to refuse.

    >>> as_number("10.5"), as_number("wide")
    (10.5, 'wide')
    """
    try:
        if isinstance(text, str) and "_" not in text:
            return float(text)
    except ValueError:
        pass
    return text


def as_whole(text: object) -> object:
    """Text of a whole number as that number; other text as it is.

    >>> as_whole("64"), as_whole("64.0"), as_whole("wide")
    (64, 64, 'wide')
    """
    number = as_number(text)
    if isinstance(number, float) and number.is_integer() and abs(number) < 2**53:
        return int(number)
    return number
