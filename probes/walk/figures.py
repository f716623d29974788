"""The chart of a walk: how much each step changes the image."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from dcgan_probe.figures import charts
from dcgan_probe.figures.canvas import BLUE, ORANGE, PALE, blank

SAMPLE = re.compile(r"\d+:\d+")


def chart_steps(
    lengths: Mapping[str, np.ndarray], points: Sequence[str], unrelated: float, width: int
) -> Figure:
    """The length of every step along the points, one line for each path.

    lengths: by the name of the path, S x (steps - 1); unrelated: the mean distance of unrelated
    samples. width: of the chart, in pixels.
    """
    figure = blank(width, 250)
    axes = figure.subplots()
    for (way, each), colour in zip(lengths.items(), (BLUE, ORANGE), strict=False):
        rows, steps = each.shape
        at = (np.arange(rows * steps) + 0.5) / steps
        axes.plot(at, each.ravel(), ".-", color=colour, label=way, linewidth=1)
    axes.axhline(unrelated, color=PALE, linestyle="--", linewidth=1)
    note = {"textcoords": "offset points", "color": PALE, "va": "bottom", **charts.TEXT}
    axes.annotate("unrelated samples", (0, unrelated), (3, 1), **note)  # off both of its lines
    for point in range(len(points)):
        axes.axvline(point, color="#DDDDDD", linewidth=0.7, zorder=0)
    samples = all(SAMPLE.fullmatch(point) for point in points)
    name = "sample (seed:index)" if samples else "point: a sample (seed:index) or a name"
    charts.style(axes, x=name, y="change per step")
    axes.set_xticks(range(len(points)), points, **charts.TEXT)
    longest = max(float(each.max()) for each in lengths.values())
    axes.set_ylim(0, 1.2 * max(unrelated, longest))  # a jump may be the longest of all
    charts.legend(axes, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.2)
    figure.subplots_adjust(
        left=max(0.08, 70 / width),  # room for the label
        right=1 - 24 / width,  # and for half of the last number
        bottom=0.2,
        top=0.9,
    )
    return figure
