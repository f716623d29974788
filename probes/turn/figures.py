"""The chart of an axis: what a classifier sees along it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dcgan_probe.figures import charts
from dcgan_probe.figures.canvas import BLUE, GREEN, ORANGE, blank, rendered

COLOURS = (BLUE, ORANGE, GREEN)


def chart_response(at: Sequence[float], means: Mapping[str, Sequence[float]]) -> np.ndarray:
    """Mean probabilities along the axis, a line a label, H x W x 3 uint8.

    means: by label, at each place of `at`; the first labels are in colour and named.
    """
    figure = blank(620, 260)
    axes = figure.subplots()
    for rank, (label, mean) in reversed(list(enumerate(means.items()))):
        own = rank < len(COLOURS)
        colour, width = (COLOURS[rank], 2.0) if own else ("#CCCCCC", None)
        axes.plot(at, mean, label=label if own else None, color=colour, linewidth=width)
    axes.set_ylim(0, 1)
    charts.style(axes, x="lengths of the axis", y="mean probability", ticks=10)
    handles, labels = axes.get_legend_handles_labels()
    charts.legend(axes, handles[::-1], labels[::-1], loc="upper left")
    figure.subplots_adjust(left=0.1, right=0.98, bottom=0.18, top=0.97)
    return rendered(figure)
