"""Tables of a result's values as pandas data frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dcgan_probe.errors import InputError, unknown

if TYPE_CHECKING:
    from pandas import DataFrame


def frame(values: dict[str, Any], table: str | None, where: str) -> DataFrame:
    """A table of values as a data frame; see `Result.to_frame`. where: the result, for errors.

    >>> list(frame({"rows": [{"left": {"value": 0.1}}, {"left": {"value": 0.2}}]}, None, ""))
    ['left.value']
    """
    try:
        import pandas
    except ImportError as error:
        raise InputError(
            "to_frame: found no package pandas, expected it: pip install pandas"
        ) from error
    found = dict(tables(values))
    if table is None and not found:
        return pandas.json_normalize(values)
    if table is None:
        table = next((place for place, rows in found.items() if len(rows) > 1), next(iter(found)))
    if table not in found:
        raise unknown("table", table, found, where=where)
    rows = found[table]
    if isinstance(rows, list):
        return pandas.json_normalize(rows)
    normal = pandas.json_normalize(list(rows.values()))
    normal.index = pandas.Index(list(rows), name=table)
    return normal


def tables(value: Any, place: str = "") -> Iterator[tuple[str, list[Any] | dict[str, Any]]]:
    """All tables in values, with their places: lists of objects, and objects of alike objects.

    >>> [place for place, _ in tables({"objects": [{"filters": [{"filter": 0}, {"filter": 1}]}]})]
    ['objects', 'objects.0.filters']
    """
    inner = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(inner, list):
        return
    alike = all(isinstance(each, dict) for each in inner)
    if isinstance(value, dict):
        alike = alike and len(inner) > 1 and all(each.keys() == inner[0].keys() for each in inner)
    if place and inner and alike:
        yield place, value
    for key, each in value.items() if isinstance(value, dict) else enumerate(value):
        yield from tables(each, f"{place}.{key}" if place else str(key))
