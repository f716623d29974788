"""Parse the options of put: the place, and the sample to copy from."""

from __future__ import annotations

import re

from dcgan_probe.edits.filters import region_edges
from dcgan_probe.errors import InputError
from dcgan_probe.storage.json_values import Value

Edges = tuple[float, float, float, float]


def read_at(text: str) -> Edges:
    """A place as it is typed, x0,y0,x1,y1 in pixels; InputError for another text.

    >>> read_at("10,8,30,25")
    (10.0, 8.0, 30.0, 25.0)
    """
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"--at: found {text!r:.60}, expected x0,y0,x1,y1") from error
    return region_edges(Value(numbers, "--at"))


def read_sample(text: str) -> tuple[int, int]:
    """A sample by seed and index; InputError for another text.

    >>> read_sample("0:142")
    (0, 142)
    """
    match = re.fullmatch(r"([0-9]{1,18}):([0-9]{1,9})", text)
    if match is None:
        raise InputError(f"--from: found {text!r:.60}, expected a sample as SEED:INDEX, 0:142")
    return int(match[1]), int(match[2])
