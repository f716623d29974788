"""The chart of an axis: a classifier's probabilities along it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dcgan_probe.figures import charts
from dcgan_probe.figures.canvas import BLUE, GREEN, ORANGE, PALE, WARNING, blank
from dcgan_probe.metrics.intervals import Proportion

COLOURS = (BLUE, ORANGE, GREEN, WARNING)
HEIGHT, TOP, BOTTOM = 340, 0.92, 0.14
# The names are next to the lines: this many have room, and this much of the scale is between two.
NAMED, APART = 16, 0.068
# Of the width, in pixels: names, the scale, and what is between two charts.
NAMES, SCALE, GAP, LONGEST = 130, 48, 12, 16


# From the edge of a name to the end of its line.
CLOSE = {"relpos": (0, 0.5), "shrinkA": 1, "shrinkB": 0}


@dataclass(frozen=True, eq=False)
class Line:
    """One label along an axis: means, their intervals, and in how many samples the ends differ."""

    mean: Sequence[float]
    spans: Sequence[tuple[float, float]]
    differs: Proportion


def chart_responses(
    at: Sequence[float], means: Mapping[str, Mapping[str, Line]], width: int
) -> Figure:
    """Mean probabilities along axes side by side, one line for each label; width in pixels.

    means: by the name of an axis, by label, at each place of `at`; the labels of all axes in one
    order. The first are in colour, the same in each chart; each is named at the end of its line, at
    most `NAMED`.
    """
    figure = blank(width, HEIGHT)
    panels = figure.subplots(1, len(means), squeeze=False)[0]
    share = 1 / len(means)
    for i, (axes, (name, lines)) in enumerate(zip(panels, means.items(), strict=True)):
        left, right = i * share + SCALE / width, (i + 1) * share - NAMES / width
        _draw(axes, at, lines, 1 + GAP / (width * (right - left)))
        axes.set_title(name, loc="left", **charts.TEXT)
        axes.set_position((left, BOTTOM, right - left, TOP - BOTTOM))
        charts.style(axes, x="lengths of the axis")
    panels[0].set_ylabel("mean probability", **charts.TEXT)
    return figure


def _draw(axes: Axes, at: Sequence[float], lines: Mapping[str, Line], beside: float) -> None:
    """Draw lines, their names at `beside`, a fraction of the axes' width."""
    ranked = list(lines)
    for rank, label in reversed(list(enumerate(ranked))):
        own = rank < len(COLOURS)
        colour, width = (COLOURS[rank], 2.0) if own else ("#BBBBBB", 1.0)
        line = lines[label]
        axes.plot(at, line.mean, color=colour, linewidth=width)
        if own:
            low, high = zip(*line.spans, strict=True)
            axes.fill_between(at, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.set_ylim(0, 1)
    axes.set_xlim(at[0], at[-1])
    axes.set_xticks((at[0], 0, at[-1]), [f"{at[0]:+.2g}", "0", f"{at[-1]:+.2g}"])
    named = ranked[:NAMED]
    ends = [lines[label].mean[-1] for label in named]
    for label, end, place in zip(named, ends, charts.spread(ends, APART), strict=True):
        rank = ranked.index(label)
        colour = COLOURS[rank] if rank < len(COLOURS) else PALE
        name = label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}…"
        axes.annotate(
            f"{name} {lines[label].differs.value:.0%}",
            (at[-1], end),
            (beside, place),
            textcoords="axes fraction",
            color=colour,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": "#DDDDDD", "linewidth": 0.7, **CLOSE},
            **charts.TEXT,
        )
    if len(ranked) > NAMED:
        text = f"and {len(ranked) - NAMED} more"
        axes.text(beside, -0.09, text, color=PALE, transform=axes.transAxes, **charts.TEXT)
