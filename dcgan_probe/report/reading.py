"""How to read a probe's result: `Reading`, and where each probe provides its own.

A probe has a `Reading` under the name READING: in a module ``reading`` beside the module that its
entry point names, or in that module itself. The report knows no probe by name.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dcgan_probe import plugins, terminal
from dcgan_probe.errors import InputError, brief, guarded
from dcgan_probe.report import plots
from dcgan_probe.report.charts import Chart
from dcgan_probe.report.tables import cell, cut

NAME = "READING"
Values = dict[str, Any]


@dataclass(frozen=True)
class Reading:
    """What the report says of a probe beside its result.

        >>> READING = Reading(
        ...     how="Samples in the order of their index.",
        ...     doubt="A sheet shows what is common; rare failures need more samples.",
        ...     key={"samples": "count", "brightest": lambda values: max(values["brightness"])},
        ...     pictures={"sheet": "Samples in the order of their index"},
        ...     finding=lambda values: say(values, "brightness {mean} on average"),
        ... )

    how: how to read the result; doubt: when not to believe it. key: the numbers to name first, by
    heading: a place in the values of the result, as "objects.0.label", or a function of the values;
    one that gives None is left out. pictures: what is on them, by the name of the file without its
    ending. charts: makes charts of the values and the selections beside them, of what no picture
    shows. finding: what was found, in a line, which is the headline; `plots.say` fills one in. None
    if the values say nothing. variant: the reading of a result that needs another one, such as that
    of an option; None keeps this one.
    """

    how: str
    doubt: str
    key: Mapping[str, str | Callable[[Values], Any]] = field(default_factory=dict)
    pictures: Mapping[str, str] = field(default_factory=dict)
    charts: Callable[[Values, Sequence[Values]], Iterable[Chart]] | None = None
    finding: Callable[[Values], str | None] | None = None
    variant: Callable[[Values], Reading | None] | None = None


@dataclass(frozen=True)
class Interpretation:
    """A result as its probe's reading explains it. fault: why a reading was not used."""

    reading: Reading | None = None
    key: tuple[tuple[str, str], ...] = ()
    charts: tuple[Chart, ...] = ()
    finding: str = ""
    fault: str = ""


def interpret(command: str, values: Values, selections: Sequence[Values]) -> Interpretation:
    """Apply the reading of a command's probe to its result.

    A probe that is not installed, or brings no reading, has none. What goes wrong in another
    package's reading is reported as the fault, so that the report is written all the same; what
    goes wrong in one that ships is a bug, and raised.
    """
    try:
        points = plugins.find(only_ours=terminal.current().only_ours).get(command, [])
        point = plugins.entry_point(points) if points else None
    except InputError as error:  # two packages have the name
        return Interpretation(fault=str(error))
    if point is None:
        return Interpretation()
    try:
        reading = discover(point.module)
        if reading is None:
            return Interpretation()
        reading = (reading.variant(values) if reading.variant else None) or reading
        charts = tuple(reading.charts(values, selections)) if reading.charts else ()
        for chart in charts:
            chart.drawn()  # one that cannot be drawn is a fault of its reading, not of the page
        finding = reading.finding(values) if reading.finding else None
        numbers = tuple(key_numbers(reading, values))
        return Interpretation(reading, numbers, charts, cut(finding or ""))
    except Exception as error:
        if plugins.is_ours(point):
            raise
        return Interpretation(fault=f"reading of {plugins.owner(point)}: {brief(error)}")


def discover(module: str) -> Reading | None:
    """The reading beside a command's module, or in it; None where there is neither.

        >>> discover("dcgan_probe.probes.sample").pictures["sheet"]
        'Samples in the order of their index'

    module: as an entry point names it. Raises InputError for a module that cannot be imported, and
    for a READING that is not a `Reading`.
    """
    package, _, _ = module.rpartition(".")
    beside = f"{package}.reading"
    for name in (beside, module):
        with guarded(f"{name}: cannot be imported"):
            if name == beside and (not package or importlib.util.find_spec(beside) is None):
                continue
            reading = getattr(importlib.import_module(name), NAME, None)
        if reading is not None:
            if not isinstance(reading, Reading):
                kind = type(reading).__name__
                raise InputError(f"{name}.{NAME}: found {kind}, expected a Reading")
            return reading
    return None


def key_numbers(reading: Reading, values: Values) -> list[tuple[str, str]]:
    """The key numbers that a result has, by heading, in words."""
    numbers = {
        heading: plots.at(values, place) if isinstance(place, str) else place(values)
        for heading, place in reading.key.items()
    }
    cells = {heading: cell(number) for heading, number in numbers.items() if number is not None}
    return [(heading, c.text) for heading, c in cells.items() if c is not None and c.text != "none"]
