"""Options that several commands share: boxes, and filters by number."""

from __future__ import annotations

import re
from pathlib import Path

import click

from dcgan_probe.errors import InputError
from dcgan_probe.networks.config import MAX_FEATURE_MAPS

EXAMPLE = "3,17,40-52"

boxes_option = click.option(
    "--boxes",
    "path",
    type=click.Path(path_type=Path),
    help="Boxes on samples of this checkpoint. Default: those that ship with it.",
)


def parse_filters(text: str, also: str = "") -> list[int]:
    """Read numbers and ranges, in the order in which they are typed, each once.

        >>> parse_filters("5,0-2,1")
        [5, 0, 1, 2]

    also: what else may be typed, for the message. Raises InputError for any other text. Ranges end
    at the most filters that a layer may have, so that a large number does not fill the memory;
    whether the layer has a filter is checked when it is used.
    """
    numbers: dict[int, None] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,9})(?:-([0-9]{1,9}))?\s*", part)
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if low > high:
            raise InputError(f"--filters: found {part!r}, expected {also}numbers like {EXAMPLE}")
        numbers |= dict.fromkeys([low, *range(low, min(high, MAX_FEATURE_MAPS) + 1)])
    return list(numbers)
