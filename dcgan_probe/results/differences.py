"""Compare two results: how they were made, what they found, what they drew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dcgan_probe.results.loading import Saved
from dcgan_probe.storage import json_values

_ABSENT = object()
LARGEST = 1e300  # of numbers that are subtracted: the change of two of them is still a float


@dataclass(frozen=True)
class Difference:
    """One place where two results differ; None where only the other has it.

    part: "made_with", "values" or "files". change: b - a, where both are numbers.
    """

    part: str
    place: str
    a: Any
    b: Any

    @property
    def change(self) -> float | None:
        return self.b - self.a if _is_number(self.a) and _is_number(self.b) else None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        both = {"a": self.a, "b": self.b, "change": self.change}
        return {"part": self.part, "place": self.place, **both}

    def __str__(self) -> str:
        a, b = self.a, self.b
        if self.part == "files":  # a few digits of a hash tell it from another
            a, b = (each and each[:8] for each in (a, b))
        line = f"{self.place}: {_shown(a)} -> {_shown(b)}"
        if self.change is None:
            return line
        relative = f", {self.change / abs(self.a):+.3g} of it" if self.a else ""
        return f"{line} ({self.change:+.6g}{relative})"


def differences(a: Saved, b: Saved) -> list[Difference]:
    """Where two results differ, in the order of the first.

        >>> [str(each) for each in differences(load_result("a"), load_result("b"))]
        ['seed: 0 -> 1 (+1)', 'brightness: 0.25 -> 0.5 (+0.25, +1 of it)']

    Numbers are compared exactly: the same line on the same device writes the same bytes. Lists are
    compared element by element, and longer ones have elements that the other has not.
    """
    pairs = [
        ("made_with", a.made_with, b.made_with),
        ("values", a.values, b.values),
        ("files", a.files, b.files),
    ]
    return [
        Difference(part, place, *(None if value is _ABSENT else value for value in values))
        for part, first, second in pairs
        for place, *values in _leaves(first, second, "")
    ]


def describe(discrepancies: list[Difference]) -> str:
    """Differences for a person, by part.

    >>> describe([])
    'no differences'
    """
    lines = []
    for part in dict.fromkeys(each.part for each in discrepancies):
        lines.append(f"{part}:")
        lines += [f"  {each}" for each in discrepancies if each.part == part]
    return "\n".join(lines) or "no differences"


def _leaves(a: Any, b: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in dict.fromkeys([*a, *b]):
            at = f"{place}.{key}" if place else key
            yield from _leaves(a.get(key, _ABSENT), b.get(key, _ABSENT), at)
    elif isinstance(a, list) and isinstance(b, list):
        for i in range(max(len(a), len(b))):
            first, second = (each[i] if i < len(each) else _ABSENT for each in (a, b))
            yield from _leaves(first, second, f"{place}[{i}]")
    elif type(a) is not type(b) and not (_is_number(a) and _is_number(b)) or a != b:
        yield place, a, b


def _is_number(value: Any) -> bool:
    # A whole number in JSON may have hundreds of digits.
    return isinstance(value, int | float) and type(value) is not bool and abs(value) <= LARGEST


def _shown(value: Any) -> str:
    return "(none)" if value is None else json_values.shown(value)
