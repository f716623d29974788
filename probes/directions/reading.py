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
    "A row is a direction: the first sample moved along it, and beside it what changes on average. "
    "A good one changes a single thing, whatever the sample.",
    "Which directions come first, and in what order, depends on the layer and the seed where the "
    "shares are close. A name is the label or concept that changes most, of those that were given: "
    "what has no label has no name. Far along it no sample lies.",
    {"by": "by", "named": _how_many, "reach": "reach"},
    {"directions": "The first sample, moved along each direction"},
    finding=_finding,
)
