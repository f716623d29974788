"""The chart of an evaluation: metrics of samples next to those of held-out images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dcgan_probe.figures import charts
from dcgan_probe.figures.canvas import BLUE, FONT, INK, PALE, blank
from dcgan_probe.probes.evaluate.comparison import ScaleComparison, Spread
from dcgan_probe.results.numbers import align_decimals

FLOOR_COLOUR = "#BBBBBB"


def chart_comparisons(
    panels: Sequence[tuple[str, Mapping[str, ScaleComparison]]], width: int, height: int
) -> Figure:
    """Bars of numbers beside those of the held-out images.

    panels: a title, and numbers by their label, for each; width and height in pixels.
    """
    figure = blank(width, height)
    ratios = [len(rows) + 0.4 for _, rows in panels]
    grid = figure.subplots(len(panels), 1, height_ratios=ratios)
    for axes, (title, rows) in zip(grid, panels, strict=True):
        each = rows.values()
        samples, held_out = [one.samples for one in each], [one.held_out for one in each]
        texts = align_decimals(spread.mean for spread in samples + held_out)
        _bars(axes, "samples", samples, texts[: len(rows)], -0.2, BLUE)
        _bars(axes, "held-out images", held_out, texts[len(rows) :], 0.2, FLOOR_COLOUR)
        axes.set_title(title, loc="left", fontsize=9, fontfamily=FONT)
        charts.style(axes, hidden=("top", "right", "left"))
        axes.set_yticks(range(len(rows)), list(rows), **charts.TEXT)
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.margins(x=0.15)
        # Kernel distances go below 0 by chance.
        lowest = min(spread.range[0] for spread in samples + held_out)
        axes.set_xlim(left=min(0, 1.2 * lowest))
        axes.xaxis.get_offset_text().set(fontsize=8, fontfamily=FONT)
    handles = grid[0].get_legend_handles_labels()
    charts.legend(figure, *handles, loc="upper right", ncols=2)
    figure.tight_layout(rect=(0, 0, 1, 0.95))
    return figure


def _bars(
    axes: Axes,
    label: str,
    spreads: Sequence[Spread],
    texts: Sequence[str],
    shift: float,
    colour: str,
) -> None:
    """Means as bars, with the least and the most as whiskers, and a text beside each."""
    means = [spread.mean for spread in spreads]
    reach = [
        [spread.mean - min(spread.values) for spread in spreads],
        [max(spread.values) - spread.mean for spread in spreads],
    ]
    places = np.arange(len(spreads)) + shift
    axes.barh(places, means, 0.36, xerr=reach, color=colour, ecolor=PALE, label=label)
    for place, spread, text in zip(places, spreads, texts, strict=True):
        axes.annotate(
            text,
            (max(spread.values), place),
            (5, 0),
            textcoords="offset points",
            va="center",
            color=INK,
            **charts.TEXT,
        )
