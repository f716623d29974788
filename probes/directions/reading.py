"""How to read a result of directions."""

from __future__ import annotations

from typing import Any

from dcgan_probe.report.plots import as_list, at
from dcgan_probe.report.reading import Reading


def _how_many(values: dict[str, Any]) -> str:
    """How many directions have a name, of how many."""
    return f"{at(values, 'named')} of {len(as_list(values.get('directions')))}"


def _finding(values: dict[str, Any]) -> str:
    names = [at(each, "name") for each in as_list(values.get("directions"))]
    named = ", ".join(dict.fromkeys(str(name) for name in names if name))
    return f"{_how_many(values)} directions have a name{f': {named}' if named else ''}"


READING = Reading(
    "Each row is a direction: one sample moved along it, and the mean change over many samples. A "
    "good direction changes one thing in every sample.",
    "The order depends on the layer, and on the seed if shares are close. A direction is named "
    "after the label or concept that changes most; anything without a label has no name. Far "
    "along a direction there are no samples.",
    {"by": "by", "named": _how_many, "reach": "reach"},
    {"directions": "One sample moved along each direction"},
    finding=_finding,
)
