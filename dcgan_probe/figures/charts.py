"""Charts: the one look of all axes and legends that matplotlib draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from dcgan_probe.figures.canvas import FONT

# For whatever text a chart writes beside its axes.
TEXT: dict[str, Any] = {"fontfamily": FONT, "fontsize": 8}


def style(
    axes: Axes,
    x: str | None = None,
    y: str | None = None,
    labels: float = 9,
    ticks: float = 8,
    hidden: Sequence[str] = ("top", "right"),
) -> None:
    """Give axes the common look: names, and no frame where nothing is read off it.

        >>> axes = blank(600, 240).subplots()
        >>> style(axes, x="step", y="loss")

    x, y: what the axes show; labels, ticks: sizes of their names and numbers in points; hidden:
    sides of the frame that are left out.
    """
    axes.spines[list(hidden)].set_visible(False)
    axes.tick_params(labelsize=ticks, which="both")
    if x is not None:
        axes.set_xlabel(x, fontsize=labels, fontfamily=FONT)
    if y is not None:
        axes.set_ylabel(y, fontsize=labels, fontfamily=FONT)


def legend(owner: Axes | Figure, *handles: Any, size: float = 8, **place: Any) -> None:
    """Write a legend without a frame. place: as matplotlib's `Axes.legend` takes it.

    >>> legend(axes, loc="upper right", ncols=2)
    """
    owner.legend(*handles, frameon=False, prop={"family": FONT, "size": size}, **place)


def label_points(axes: Axes, points: Sequence[tuple[float, float]], labels: Sequence[str]) -> None:
    """Write labels beside points, each where it hides nothing; without room it is left out.

        >>> label_points(axes, [(0.1, 0.9), (0.2, 0.4)], ["15", "30"])

    Lines, points and labels that the axes hold already stay free, so call it last, when the size of
    the axes is final.
    """
    axes.autoscale_view()  # else their limits may not be known
    taken = [text.get_window_extent() for text in axes.texts]
    for point, label in zip(points, labels, strict=True):
        for x, y in ((-1, -1), (1, 1), (1, -1), (-1, 1)):
            text = axes.annotate(
                label,
                point,
                (3 * x, 3 * y),
                textcoords="offset points",
                ha="right" if x < 0 else "left",
                va="top" if y < 0 else "bottom",
                **TEXT,
            )
            place = text.get_window_extent()
            free = axes.bbox.padded(-2)
            inside = free.contains(*place.min) and free.contains(*place.max)
            if inside and not place.count_overlaps(taken) and not _hides(axes, place):
                taken.append(place.padded(2))
                break
            text.remove()


def _hides(axes: Axes, place: Bbox) -> bool:
    """Whether a line, an error bar or a point of axes is in a box, given in pixels."""
    for bars in axes.collections:
        if isinstance(bars, LineCollection):
            paths = [path.transformed(bars.get_transform()) for path in bars.get_paths()]
            if any(path.intersects_bbox(place, filled=False) for path in paths):
                return True
    for line in axes.lines:
        path = line.get_path().transformed(line.get_transform())
        drawn = line.get_linestyle() != "None" and path.intersects_bbox(place, filled=False)
        radius = line.get_markersize() / 2 * axes.figure.dpi / 72
        away = path.vertices - np.clip(path.vertices, place.min, place.max)
        marked = line.get_marker() != "None" and (np.hypot(*away.T) < radius + 1).any()
        if drawn or marked:
            return True
    return False


def spread(values: Sequence[float], apart: float) -> list[float]:
    """Places as near to values as may be, in their order, each so far from the next, in [0, 1].

    >>> [round(place, 2) for place in spread([0.5, 0.5, 0.9], 0.1)]
    [0.45, 0.55, 0.9]

    values: in [0, 1]; more of them than there is room for lie closer.
    """
    apart = min(apart, 1 / max(1, len(values) - 1))
    order = np.argsort(values, kind="stable")
    # Each group of neighbours that overlap is moved apart around its own middle.
    groups: list[list[int]] = []
    middles: list[float] = []
    for index in order:
        groups.append([int(index)])
        middles.append(values[index])
        while True:
            half = apart * (len(groups[-1]) - 1) / 2
            middles[-1] = min(max(middles[-1], half), 1 - half)
            if len(groups) < 2:
                break
            below = apart * (len(groups[-2]) - 1) / 2
            if middles[-1] - half - (middles[-2] + below) >= apart - 1e-9:
                break
            joined = groups[-2] + groups[-1]
            middle = float(np.mean([values[i] for i in joined]))
            groups[-2:], middles[-2:] = [joined], [middle]
    places = [0.0] * len(values)
    for group, middle in zip(groups, middles, strict=True):
        for rank, index in enumerate(group):
            places[index] = middle + apart * (rank - (len(group) - 1) / 2)
    return places
