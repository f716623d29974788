"""The chart of how often sums of concepts succeed."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from dcgan_probe.figures import charts
from dcgan_probe.figures.canvas import BLUE, ORANGE, blank
from dcgan_probe.figures.panels import WIDEST
from dcgan_probe.metrics.intervals import Interval, Proportion

# From the middle of a row to its marks: intervals that overlap stay apart.
OFFSET = 0.15


def chart_methods(methods: Mapping[str, tuple[Proportion, Interval | None]]) -> Figure:
    """By method, the share that meets the target, and the mean share of unchanged other labels.

    Both with their intervals. A mean that is None is not drawn.
    """
    figure = blank(WIDEST, 40 + 34 * len(methods))
    axes = figure.subplots()
    for row, (has, kept) in enumerate(methods.values()):
        marks = [(has.value, has.interval, -OFFSET, "o", BLUE, "meets the target")]
        if kept is not None:
            span = (kept.low, kept.high)
            marks.append((kept.value, span, OFFSET, "D", ORANGE, "other labels unchanged"))
        for at, span, off, mark, colour, label in marks:
            axes.plot(span, [row + off] * 2, color=colour, linewidth=2)
            axes.plot(at, row + off, mark, color=colour, label=None if row else label)
    charts.style(axes, x="share of draws")
    axes.set_yticks(range(len(methods)), list(methods), **charts.TEXT)
    axes.invert_yaxis()
    axes.set_xlim(-0.02, 1.02)
    axes.grid(axis="x", color="#EEEEEE")
    charts.legend(axes, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    figure.subplots_adjust(left=0.27, right=0.98, bottom=0.18, top=0.88)
    return figure
