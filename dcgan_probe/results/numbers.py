"""Numbers as text, for a reader who compares them."""

from __future__ import annotations

import math
from collections.abc import Iterable


def align_decimals(values: Iterable[float]) -> list[str]:
    """Write numbers with equal decimals: as many as show three digits of the largest.

    >>> align_decimals([0.49, 0.4061])
    ['0.490', '0.406']
    >>> align_decimals([14.69, 8.62, -0.3])
    ['14.7', '8.6', '-0.3']

    Zeros, and numbers that are not finite, do not count as the largest.
    """
    numbers = [float(value) for value in values]
    sizes = [abs(number) for number in numbers if math.isfinite(number) and number != 0]
    decimals = max(0, 2 - math.floor(math.log10(max(sizes, default=1.0))))
    return [f"{number:.{decimals}f}" for number in numbers]
