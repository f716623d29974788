"""Read numbers from the values of a result of any version, and chart long lists."""

from __future__ import annotations

import math
import re
from typing import Any

from dcgan_probe.report.charts import Chart, Mark
from dcgan_probe.report.tables import IN_A_LINE, Listing, cell, number


def at(value: Any, place: str) -> Any:
    """What is at a place of a result, as "objects.0.label"; None if nothing is."""
    for part in place.split("."):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def say(values: Any, *sentences: str) -> str | None:
    """Fill in the first sentence whose places in braces all have a value; None if none has.

    >>> say({"label": "lamp", "left": {"value": 0.1, "low": 0, "high": 0.2}}, "{label}: {left}")
    'lamp: 0.100 (0.000 to 0.200)'

    Numbers have three digits.
    """
    for sentence in sentences:
        found = {place: _brief(at(values, place)) for place in re.findall("{(.+?)}", sentence)}
        if all(found.values()):
            parts = re.split("{(.+?)}", sentence)  # text and places in turn
            return "".join(str(found[part]) if i % 2 else part for i, part in enumerate(parts))
    return None


def _brief(value: Any) -> str | None:
    if isinstance(value, float):
        return f"{value:.3g}"
    shown = None if value is None else cell(value)
    return shown.text if shown else None


def chart_list(values: Listing) -> Chart | None:
    """Draw a long list of numbers as bars; None for a short one, or one of anything else."""
    if len(values.numbers) <= IN_A_LINE or not all(map(drawable, values.numbers)):
        return None
    marks = tuple(Mark(i, v, f"{i}: {number(v)}") for i, v in enumerate(values.numbers))
    return Chart(values.title, "place in the list", "", marks, bars=True)


def drawable(value: Any) -> bool:
    """Whether it is a number that fits on an axis."""
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return real and math.isfinite(value) and abs(value) < 1e15


def as_list(value: Any) -> list[Any]:
    """The value, if it is a list; results of other versions may hold anything."""
    return value if isinstance(value, list) else []


def rows_with(value: Any, *names: str) -> list[dict[str, Any]]:
    """The objects of a list that have numbers under all these names."""
    return [
        r for r in as_list(value) if isinstance(r, dict) and all(drawable(r.get(n)) for n in names)
    ]
