"""Filters as they are typed after ``--filters``."""

from __future__ import annotations

import re

from dcgan_probe.errors import InputError
from dcgan_probe.networks.config import MAX_FEATURE_MAPS

EXAMPLE = "3,17,40-52"


def numbers(text: str, also: str = "") -> list[int]:
    """Numbers and ranges, in the order in which they are typed, each once.

        >>> numbers("5,0-2,1")
        [5, 0, 1, 2]

    also: what else may be typed, for the message. Raises InputError for anything else. A layer
    refuses a number that is too high; until then it must not fill the memory.
    """
    found: dict[int, None] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,9})(?:-([0-9]{1,9}))?\s*", part)
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if low > high:
            raise InputError(f"--filters: found {part!r}, expected {also}numbers like {EXAMPLE}")
        found |= dict.fromkeys([low, *range(low, min(high, MAX_FEATURE_MAPS) + 1)])
    return list(found)
