"""Render JSON values as facts, tables and folding lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

LONGEST = 400  # characters of a text, elements of a list, rows of a table that are shown
IN_A_LINE = 12  # elements of a list that are not folded
MAX_COLUMNS = 14
FEW = 2  # facts of an object that stand among those around it
MAX_DEPTH = 5
LARGEST = 1e300  # of an interval; JSON may hold whole numbers that no float is as large as


@dataclass(frozen=True)
class Cell:
    """A value in words. exact: as it is in the file, where the words are rounded."""

    text: str
    number: bool = False
    exact: str = ""


@dataclass(frozen=True)
class Table:
    """Rows under headings; the first cell of a row names it. more: rows that are not shown."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    more: int = 0


@dataclass(frozen=True)
class Listing:
    """A list too long for a line. more: elements that are not shown; numbers: if all are such."""

    title: str
    items: tuple[Cell, ...]
    more: int = 0
    numbers: tuple[float, ...] = ()


@dataclass(frozen=True)
class Group:
    """Named values: one line for each fact, then longer values."""

    title: str
    facts: tuple[tuple[str, Cell], ...] = ()
    parts: tuple[Table | Listing | Group, ...] = field(default=())


def words(key: object) -> str:
    """A key as a heading.

    >>> words("held_out_accuracy")
    'held out accuracy'
    """
    return cut(str(key).replace("_", " "), 120)


def cut(text: str, longest: int = LONGEST) -> str:
    """A text that may be long, with how much of it is not shown."""
    over = len(text) - longest
    return text if over <= 0 else f"{text[:longest]}… ({over} more characters)"


def number(value: float) -> str:
    """A number to four digits, whole ones in full.

    >>> number(0.0630416), number(2537), number(1.0)
    ('0.06304', '2537', '1')
    """
    if isinstance(value, int):
        return cut(str(value), 20)
    return f"{value:.4g}"


def interval(value: float, low: float, high: float) -> str:
    """A number with the two ends of its interval.

    >>> interval(0.0630416, 0.0371735, 0.0915248)
    '0.063 (0.037 to 0.092)'
    """
    if max(map(abs, (value, low, high))) >= 100:
        return f"{value:.4g} ({low:.4g} to {high:.4g})"
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def cell(value: Any) -> Cell | None:
    """A value in one line; None if it needs more room."""
    if value is None:
        return Cell("none")
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    if isinstance(value, int | float):
        text, exact = number(value), cut(repr(value))
        return Cell(text, True, "" if text == exact else exact)
    if isinstance(value, str):
        return Cell(cut(value) if value.strip() else "(empty)")
    if isinstance(value, dict):
        return _interval(value) or (None if value else Cell("none"))
    return _line(value)


def _interval(value: Mapping[str, Any]) -> Cell | None:
    """A value, or a share, with low and high."""
    main = next((name for name in ("value", "share") if name in value), None)
    if main is None or not {"low", "high"} <= set(value) <= {main, "low", "high", "of"}:
        return None
    if not all(_is_number(part) and abs(part) < LARGEST for part in value.values()):
        return None
    text = interval(value[main], value["low"], value["high"])
    suffix = f" of {value['of']}" if "of" in value else ""
    return Cell(text + suffix, True, ", ".join(f"{name} {v!r}" for name, v in value.items()))


def _line(values: Sequence[Any]) -> Cell | None:
    if not values:
        return Cell("none")
    if len(values) > IN_A_LINE or any(isinstance(v, list | dict) for v in values):
        return None
    cells = [cell(v) for v in values]
    text = ", ".join(c.text for c in cells if c)
    if len(text) > LONGEST:
        return None
    numbers = all(map(_is_number, values))
    return Cell(text, False, ", ".join(map(repr, values)) if numbers else "")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def group(values: Mapping[str, Any], title: str = "", depth: int = 0) -> Group:
    """An object of a result, with all that is in it.

    >>> group({"samples": 64, "change": {"inside": 0.5, "outside": 0.15}}).facts[0]
    ('samples', Cell(text='64', number=True, exact=''))
    """
    values = _flat(_joined(values))
    facts = {key: fact for key, value in values.items() if (fact := cell(value)) is not None}
    rest = {key: value for key, value in values.items() if key not in facts}
    parts: list[Table | Listing | Group] = []
    alike = _alike(rest)
    if len(alike) > 1 and (table := _table("", alike, "")):
        parts.append(table)
        rest = {key: value for key, value in rest.items() if key not in alike}
    parts += [_part(words(key), value, depth + 1) for key, value in rest.items()]
    return Group(title, tuple((words(key), fact) for key, fact in facts.items()), tuple(parts))


def _joined(values: Mapping[str, Any]) -> dict[str, Any]:
    """`effect` beside its `effect_95`, a list of two, as one interval."""
    joined = dict(values)
    for key, value in values.items():
        ends = values.get(f"{key}_95")
        if _is_number(value) and isinstance(ends, list) and len(ends) == 2:
            if not all(map(_is_number, ends)):
                continue
            joined[key] = {"value": value, "low": ends[0], "high": ends[1]}
            del joined[f"{key}_95"]
    return joined


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """One or two numbers with a name in common, such as change: inside and outside, as facts."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        few = isinstance(value, dict) and len(value) <= FEW and cell(value) is None
        if few and all(cell(one) is not None for one in value.values()):
            flat |= {f"{key}, {name}": one for name, one in value.items()}
        else:
            flat[key] = value
    return flat


def _alike(values: Mapping[str, Any]) -> dict[str, Any]:
    """The objects among values that have the keys of the first object among them."""
    objects = {key: value for key, value in values.items() if isinstance(value, dict)}
    first = next(iter(objects.values()), {})
    return {key: value for key, value in objects.items() if list(value) == list(first)}


def _part(title: str, value: Any, depth: int) -> Table | Listing | Group:
    if depth > MAX_DEPTH:
        return Listing(title, (Cell(cut(repr(value))),))
    if isinstance(value, dict):
        whole = len(value) > 1 and all(isinstance(v, dict) for v in value.values())
        return (_table(title, value, "") if whole else None) or group(value, title, depth)
    if len(value) > 1:
        named = dict(enumerate(value))
        if all(isinstance(v, dict) for v in value) and (table := _table(title, named, "number")):
            return table
        if all(isinstance(v, list) for v in value) and (table := _matrix(title, value)):
            return table
    cells = [cell(v) for v in value[:LONGEST]]
    if all(cells):
        shown = tuple(c for c in cells if c)
        numbers = tuple(value[:LONGEST]) if all(map(_is_number, value)) else ()
        return Listing(title, shown, max(0, len(value) - LONGEST), numbers)
    one = len(value) == 1
    if one and isinstance(value[0], dict):
        return group(value[0], title, depth)
    shown = value[:IN_A_LINE]
    parts = [
        _part(f"{title} {i}", v if isinstance(v, list | dict) else [v], depth + 1)
        for i, v in enumerate(shown)
    ]
    over = len(value) - len(shown)
    facts = (("not shown", Cell(f"{over} more")),) if over else ()
    return Group(title, facts, tuple(parts))


def _table(title: str, rows: Mapping[Any, Mapping[str, Any]], corner: str) -> Table | None:
    """Objects as rows; None if one does not fit into cells. A numbered row needs no number if the
    objects begin with a name or number of their own."""
    shown = {key: _joined(row) for key, row in list(rows.items())[:LONGEST]}
    columns = list(dict.fromkeys(name for row in shown.values() for name in row))
    if not columns or len(columns) > MAX_COLUMNS:
        return None
    body = []
    named = corner == "" or not all(next(iter(row), None) == columns[0] for row in shown.values())
    for key, row in shown.items():
        cells = [cell(row[name]) if name in row else Cell("") for name in columns]
        if not all(cells):
            return None
        own = [Cell(words(key), corner == "number")] if named else []
        body.append(tuple(own + [c for c in cells if c]))
    heads = ([corner] if named else []) + [words(name) for name in columns]
    return Table(title, tuple(heads), tuple(body), len(rows) - len(shown))


def _matrix(title: str, rows: Sequence[Sequence[Any]]) -> Table | None:
    width = max(map(len, rows))
    if not width or width > MAX_COLUMNS + 10:
        return None
    named = {i: {str(j): v for j, v in enumerate(row)} for i, row in enumerate(rows)}
    shown = list(named.items())[:LONGEST]
    body = []
    for i, row in shown:
        cells = [cell(row.get(str(j), "")) for j in range(width)]
        if any(c is None for c in cells):
            return None
        body.append((Cell(str(i), True), *(c for c in cells if c)))
    return Table(title, ("", *map(str, range(width))), tuple(body), len(rows) - len(shown))
