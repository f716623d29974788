"""Small SVG charts with a label for every mark, readable by mouse and keyboard."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 12, 44
MOST = 2000  # marks of one chart
BLUE, ORANGE, GREEN, GREY = range(4)  # colours, by their number in the style sheet


@dataclass(frozen=True)
class Mark:
    """A value at a place, and what it is in words."""

    x: float
    y: float
    says: str
    colour: int = BLUE


@dataclass(frozen=True)
class Chart:
    """Marks over two axes. legend: what each colour is; bars: from zero, side by side; or dots."""

    title: str
    x: str
    y: str
    marks: tuple[Mark, ...]
    legend: tuple[tuple[int, str], ...] = ()
    bars: bool = False

    def drawn(self) -> Drawn:
        """Where everything is on the picture, in its pixels."""
        xs = [mark.x for mark in self.marks]
        ys = [mark.y for mark in self.marks]
        if self.bars:
            low_x, high_x = min(xs) - 0.5, max(xs) + 0.5
            low_y, high_y = min(0.0, *ys), max(0.0, *ys)
        else:
            (low_x, high_x), (low_y, high_y) = _room(xs), _room(ys)
        if low_y == high_y:
            high_y = low_y + 1
        across, up = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

        def at_x(value: float) -> float:
            return LEFT + (value - low_x) / (high_x - low_x) * across

        def at_y(value: float) -> float:
            return TOP + (high_y - value) / (high_y - low_y) * up

        wide = across / (high_x - low_x)
        gap = 1 if wide > 3 else 0

        def shape(mark: Mark) -> Shape:
            x, y = round(at_x(mark.x), 2), round(at_y(mark.y), 2)
            if not self.bars:
                return Shape(x, y, 0, 0, mark.says, mark.colour)
            left, top, foot = x - wide / 2 + gap / 2, min(y, at_y(0)), max(y, at_y(0))
            sides = round(max(wide - gap, 0.5), 2), round(max(foot - top, 1), 2)
            return Shape(round(left, 2), round(top, 2), *sides, mark.says, mark.colour)

        return Drawn(
            tuple(map(shape, self.marks)),
            tuple((round(at_x(value), 2), label) for value, label in ticks(low_x, high_x)),
            tuple((round(at_y(value), 2), label) for value, label in ticks(low_y, high_y)),
            round(at_y(0), 2) if low_y < 0 < high_y else None,
        )


@dataclass(frozen=True)
class Shape:
    """A bar, or a dot where width is 0."""

    x: float
    y: float
    width: float
    height: float
    says: str
    colour: int


@dataclass(frozen=True)
class Drawn:
    """A chart in pixels. zero: height of the zero line, where there are values on both sides."""

    shapes: tuple[Shape, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    zero: float | None


def _room(values: Sequence[float]) -> tuple[float, float]:
    """The range of values with some room around; from zero where it is near."""
    low, high = min(values), max(values)
    if 0 <= low < 0.4 * high:
        low = 0.0
    pad = (high - low) * 0.05 or 0.5
    return low - pad, high + pad


def ticks(low: float, high: float) -> list[tuple[float, str]]:
    """About five round numbers between two, with how they are written.

    >>> [label for _, label in ticks(0, 1)]
    ['0', '0.2', '0.4', '0.6', '0.8', '1']
    """
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [(i * step, f"{i * step:.6g}") for i in range(first, last + 1)]
