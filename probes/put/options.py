"""Parse the options of put: the place, and the sample to copy from."""

from __future__ import annotations

import re

from dcgan_probe.errors import InputError

Edges = tuple[float, float, float, float]


def read_sample(text: str) -> tuple[int, int]:
    """A sample by seed and index; InputError for another text.

    >>> read_sample("0:142")
    (0, 142)
    """
    match = re.fullmatch(r"([0-9]{1,18}):([0-9]{1,9})", text)
    if match is None:
        raise InputError(f"--from: found {text!r:.60}, expected a sample as SEED:INDEX, 0:142")
    return int(match[1]), int(match[2])
