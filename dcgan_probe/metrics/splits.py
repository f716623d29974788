"""Split rows into disjoint parts: alternating halves, or a random held-out part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def halves(*groups: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split rows in two: every second row of each group goes to the first half.

        >>> [half.tolist() for half in halves([4, 5, 6], [0, 1])]
        [[0, 4, 6], [1, 5]]

    groups: rows in their order, as of images with an object and of images without, so that both
    halves have some of each. Returns the rows of both halves, int64, ascending.
    """
    return _joined(groups, 0), _joined(groups, 1)


def hold_out(
    rows: int | np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Hold out rows at random: the rows that are left, and those held out.

        >>> left, held_out = hold_out(10, 3, np.random.default_rng(0))
        >>> len(left), len(held_out), sorted([*left, *held_out]) == list(range(10))
        (7, 3, True)

    rows: N rows, or N for all from 0. count: maximum number of held-out rows. Both ascend.
    """
    drawn = rng.permutation(rows)
    return np.sort(drawn[count:]), np.sort(drawn[:count])


def _joined(groups: Sequence[Sequence[int] | np.ndarray], first: int) -> np.ndarray:
    parts = [np.asarray(group, np.int64)[first::2] for group in groups]
    return np.sort(np.concatenate(parts))
