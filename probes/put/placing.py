"""Find where a boxed object lands if it is moved by whole locations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dcgan_probe.boxes.boxes import Box
from dcgan_probe.probes.put.options import Edges

# A box that comes so near to a side of the image, in pixels, is of an object that the side cuts.
CUT = 0.5


@dataclass(frozen=True)
class Placement:
    """A boxed object at the place that is asked for, as near as whole locations allow.

    moved: by how many pixels, to the right and down. landed: its box there. overlap: intersection
    over union with the box that is asked for. rounded: how far the middle of the box is from where
    it was asked for, in pixels, to the right and down.
    """

    box: Box
    moved: tuple[float, float]
    landed: Edges
    overlap: float
    rounded: tuple[float, float]

    def values(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "image": self.box.image,
            "box": list(self.box.edges),
            "moved": list(self.moved),
            "landed": list(self.landed),
            "overlap": self.overlap,
            "rounded": list(self.rounded),
        }


@dataclass(frozen=True)
class Placements:
    """All boxed objects that can be put at a place, the one that fits it best first.

    leaving: how many would leave the image. cut: how many are cut by a side of the image, which
    they would be moved away from.
    """

    fitting: tuple[Placement, ...]
    leaving: int
    cut: int


def step_of(grids: Sequence[tuple[int, int]], size: int) -> tuple[float, float]:
    """The least move to the right and down that is of whole locations of every grid, in pixels.

    >>> step_of([(8, 8), (16, 16)], 64)
    (8.0, 8.0)
    """
    across = math.gcd(*(width for _, width in grids))
    down = math.gcd(*(height for height, _ in grids))
    return size / across, size / down


def place(boxes: Sequence[Box], at: Edges, step: tuple[float, float], size: int) -> Placements:
    """Move every box to a place, by whole steps, and leave out those that do not fit there.

    >>> place([Box(0, "window", 8, 8, 24, 24)], (33, 8, 49, 24), (4, 4), 64).fitting[0].moved
    (24, 0)
    """
    fitting, leaving, cut = [], 0, 0
    for box in boxes:
        wanted = ((at[0] + at[2] - box.x0 - box.x1) / 2, (at[1] + at[3] - box.y0 - box.y1) / 2)
        sides = (
            [math.floor(want / by) * by, math.ceil(want / by) * by]
            for want, by in zip(wanted, step, strict=True)
        )
        found = []
        for right, down in itertools.product(*sides):
            landed = (box.x0 + right, box.y0 + down, box.x1 + right, box.y1 + down)
            if min(landed) >= 0 and max(landed) <= size:
                rounded = (right - wanted[0], down - wanted[1])
                overlap = overlap_of(at, landed)
                found.append(Placement(box, (right, down), landed, overlap, rounded))
        if not found:
            leaving += 1
            continue
        whole = [each for each in found if not _is_cut(box, each.moved, size)]
        if not whole:
            cut += 1
            continue
        fitting.append(max(whole, key=lambda each: each.overlap))
    fitting.sort(key=lambda each: (-each.overlap, each.box))
    return Placements(tuple(fitting), leaving, cut)


def overlap_of(a: Edges, b: Edges) -> float:
    """Intersection over union of two boxes.

    >>> overlap_of((0, 0, 2, 2), (1, 0, 3, 2))
    0.3333333333333333
    """
    across = min(a[2], b[2]) - max(a[0], b[0])
    down = min(a[3], b[3]) - max(a[1], b[1])
    both = max(across, 0.0) * max(down, 0.0)
    areas = ((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b))
    return both / (sum(areas) - both)


def grown(edges: Edges, by: float, size: int) -> Edges:
    """A box grown by some pixels on all sides, inside the image."""
    x0, y0, x1, y1 = edges
    return max(x0 - by, 0.0), max(y0 - by, 0.0), min(x1 + by, size), min(y1 + by, size)


def _is_cut(box: Box, moved: tuple[float, float], size: int) -> bool:
    """Whether a side of the image cuts the object, and it is moved along that side's normal."""
    (right, down) = moved
    across = box.x0 <= CUT or box.x1 >= size - CUT
    along = box.y0 <= CUT or box.y1 >= size - CUT
    return bool((across and right) or (along and down))
