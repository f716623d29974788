"""Brush strokes, and how much of each location of a layer they cover."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dcgan_probe.errors import InputError
from dcgan_probe.storage.json_values import Value

MAX_POINTS = 512
MAX_SIDE = 65_536


@dataclass(frozen=True)
class Stroke:
    """A brush drawn along points of the image, in its pixels.

        >>> stroke = Stroke(((10, 8), (22, 8)), radius=4)
        >>> stroke.reached((16, 16), 64).sum()              # locations of 16x16, 4 pixels each
        8

    points: x, y, at least one; between them the way is straight. radius: above 0. strength: from 0
    to 1, how much of a location it takes in. restores: it undoes earlier strokes
    instead. Raises InputError for anything else.
    """

    points: tuple[tuple[float, float], ...]
    radius: float
    strength: float = 1.0
    restores: bool = False

    def __post_init__(self) -> None:
        for name, value in _checked(Value(vars(self), "stroke")).items():
            object.__setattr__(self, name, value)

    @classmethod
    def read(cls, value: Value) -> Stroke:
        """The stroke of `to_dict`; InputError, with the place in the file, for anything else."""
        return cls(**_checked(value))

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; strength and restores only where they are not what is usual."""
        value: dict[str, Any] = {"points": [list(p) for p in self.points], "radius": self.radius}
        if self.strength != 1:
            value["strength"] = self.strength
        if self.restores:
            value["restores"] = True
        return value

    def reached(self, grid: tuple[int, int], size: int) -> np.ndarray:
        """Which locations of a layer it reaches: h x w bool.

        Those whose centre is no further from the way than the radius; of a brush that is smaller
        than a location, those that it touches. size: side of the image, in pixels.
        """
        side = np.array([size / grid[1], size / grid[0]])
        least = float(np.hypot(*side)) / 2  # no brush falls between the centres
        limit = max(self.radius, least) + 1e-9
        points = np.array(self.points, dtype=np.float64)
        begins, ends = (points[:-1], points[1:]) if len(points) > 1 else (points, points)
        inside = np.zeros(grid, bool)
        # Only the part of the grid that the brush can reach is looked at.
        low = np.floor((points.min(0) - limit) / side - 0.5).astype(int).clip(0)
        high = np.ceil((points.max(0) + limit) / side + 0.5).astype(int).clip(0, grid[::-1])
        if (low >= high).any():
            return inside
        xs = (np.arange(low[0], high[0]) + 0.5) * side[0]
        ys = (np.arange(low[1], high[1]) + 0.5) * side[1]
        centres = np.stack(np.meshgrid(xs, ys), -1)  # h x w x 2
        near = np.zeros(centres.shape[:2], bool)
        for begin, end in zip(begins, ends, strict=True):
            way = end - begin
            length = float(way @ way)
            at = ((centres - begin) @ way / length).clip(0, 1) if length else 0.0
            nearest = begin + np.multiply.outer(at, way) if length else begin
            near |= np.square(centres - nearest).sum(-1) <= limit * limit
        inside[low[1] : high[1], low[0] : high[0]] = near
        return inside


def weights(
    strokes: Sequence[Stroke], grid: tuple[int, int], size: int, begin: np.ndarray | None = None
) -> np.ndarray:
    """How much of each location strokes take in, one after the other: h x w float64 from 0 to 1.

        >>> painted = Stroke(((32, 32),), 12)
        >>> weights([painted, Stroke(((32, 32),), 4, restores=True)], (16, 16), 64).max()
        1.0

    begin: what is taken in before the first, h x w; nothing if not given. Where a stroke paints,
    the stronger of it and what is there counts; where one restores, its share is taken away.
    """
    found = np.zeros(grid) if begin is None else begin.astype(np.float64)
    for stroke in strokes:
        reached = stroke.reached(grid, size)
        if stroke.restores:
            found[reached] *= 1 - stroke.strength
        else:
            found[reached] = np.maximum(found[reached], stroke.strength)
    return found


def _point(value: Value) -> tuple[float, float]:
    numbers = [number.number() for number in value.items()]
    if len(numbers) != 2:
        raise value.error("x and y")
    if max(map(abs, numbers)) > MAX_SIDE:
        raise InputError(f"{value.where}: found a place outside of any image, expected x and y")
    return numbers[0], numbers[1]


def _checked(value: Value) -> dict[str, Any]:
    points = value["points"].items()
    if not 1 <= len(points) <= MAX_POINTS:
        raise value["points"].error(f"1 to {MAX_POINTS} points")
    radius = value["radius"].number()
    if not 0 < radius <= MAX_SIDE:
        raise value["radius"].error(f"a number above 0, at most {MAX_SIDE}")
    strength = value["strength"].number() if "strength" in value else 1.0
    if not 0 < strength <= 1:
        raise value["strength"].error("a number above 0, at most 1")
    restores = value["restores"].found if "restores" in value else False
    if not isinstance(restores, bool):
        raise value["restores"].error("true or false")
    places = tuple(_point(point) for point in points)
    return {"points": places, "radius": radius, "strength": strength, "restores": restores}
