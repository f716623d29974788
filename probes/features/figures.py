"""The pictures of features: accuracy by labels, confusion matrix, contribution of layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dcgan_probe import figures
from dcgan_probe.figures import charts

from .accuracy import Row
from .contributions import Contribution
from .protocols import Published

COLOURS = (figures.BLUE, figures.INK, figures.ORANGE, figures.GREEN)
WIDTH, HEIGHT = figures.WIDEST, 400
LINE = 16  # of text, pixels
NUMBER = 8  # percent of the axis that a number takes beside its bar
MOST_NUMBERS = 20  # classes; with more the numbers would not be legible in their squares


def draw_accuracy(
    path: Path, rows: Sequence[Row], published: Sequence[Published], chance: float, caption: str
) -> None:
    """Accuracy by the number of labels, one line for each kind of features, published ones dashed.

    chance: the accuracy of guessing, in [0, 1].
    """
    height = HEIGHT + 50 * len(published)
    counts = sorted({point.labels for row in rows for point in row.points})

    def plot(axes: Any) -> None:
        for i, (row, colour) in enumerate(zip(rows, COLOURS, strict=False)):
            _plot_row(axes, row, colour, 1.02**i)  # bars beside each other
        # Twenties that end above all, so that no half of the chart is empty.
        ends = [point.score.interval[1] for row in rows for point in row.points]
        high = 100 * max(chance, *ends)
        top = 100 if published else min(100, 20 * math.ceil((high + 5) / 20))
        lines = [
            (100 * one.accuracy, f"published: {one.name}, {100 * one.accuracy:.1f}", "--")
            for one in published
        ]
        lines.append((100 * chance, "chance", ":"))
        above = -np.inf
        for value, words, style in sorted(lines):
            axes.axhline(value, color=figures.PALE, linestyle=style, linewidth=0.7)
            above = max(value + 0.4, above + top * LINE / height)  # no label on another
            ground = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            axes.text(counts[0], above, words, va="bottom", bbox=ground, **charts.TEXT)
        axes.set_ylim(0, top)
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xticks(counts, [str(count) for count in counts], **charts.TEXT)
        charts.style(axes, x="labels", y="test accuracy, %", labels=8)
        charts.legend(axes, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)

    _draw(path, "Test accuracy of a linear SVM on the features", plot, caption, height)


def draw_confusion(path: Path, confusion: np.ndarray, classes: Sequence[str], caption: str) -> None:
    """Which class is taken for which, rows brought to 100%. confusion: K x K counts."""
    share = 100 * confusion / confusion.sum(1, keepdims=True)
    side = max(360, 36 * len(share)) if len(share) <= MOST_NUMBERS else 720

    def plot(axes: Any) -> None:
        axes.imshow(share, cmap="viridis", vmin=0, vmax=100)
        ticks = range(len(share))
        axes.set_xticks(ticks, list(classes), rotation=90, **charts.TEXT)
        axes.set_yticks(ticks, list(classes), **charts.TEXT)
        charts.style(axes, x="predicted", y="true", labels=8, hidden=list(axes.spines))
        if len(share) > MOST_NUMBERS:
            return
        for i, row in enumerate(share):
            for j, value in enumerate(row):
                colour = figures.INK if value > 60 else "white"
                axes.text(
                    j, i, f"{value:.0f}", ha="center", va="center", color=colour, **charts.TEXT
                )

    _draw(path, "Which class is taken for which", plot, caption, side, side + 100)


def draw_layers(
    path: Path, layers: Sequence[Contribution], all_layers: float, chance: float, caption: str
) -> None:
    """The accuracy of each layer alone, beside its share of the weight of all.

    all_layers: the accuracy of all layers together, chance: that of guessing, both in [0, 1].
    """
    names = [layer.layer for layer in layers]
    places = np.arange(len(names))

    def plot(axes: Any) -> None:
        alone = [100 * layer.point.score.mean for layer in layers]
        ends = [[100 * end for end in layer.point.score.interval] for layer in layers]
        share = [100 * layer.share for layer in layers]
        reach = np.abs(np.transpose(ends) - alone)
        lines = (100 * chance, 100 * all_layers)
        for shift, values, colour, label, errors, tips in (
            (-0.2, alone, figures.BLUE, "accuracy of the layer alone", reach, [e[1] for e in ends]),
            (0.2, share, figures.ORANGE, "share of the squared weights", None, share),
        ):
            axes.barh(
                places + shift,
                values,
                0.36,
                color=colour,
                label=label,
                xerr=errors,
                error_kw={"ecolor": figures.INK, "capsize": 3, "elinewidth": 1},
            )
            for place, value, tip in zip(places + shift, values, tips, strict=True):
                axes.annotate(
                    f"{value:.1f}",
                    (_beside(tip, lines), place),
                    (5, 0),
                    textcoords="offset points",
                    va="center",
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
                    **charts.TEXT,
                )
        for value, words, style in (
            (100 * all_layers, f"all layers {100 * all_layers:.1f}", "--"),
            (100 * chance, f"chance {100 * chance:.1f}", ":"),
        ):
            line = {"color": figures.INK, "linestyle": style, "linewidth": 0.8, "zorder": 0.5}
            axes.axvline(value, label=words, **line)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_yticks(places, names, **charts.TEXT)
        charts.style(axes, x="%", labels=8)
        axes.set_xlim(0, 110)
        axes.set_xticks(range(0, 101, 20))
        charts.legend(axes, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)

    title = "Accuracy of each layer alone, and its share of the weights"
    _draw(path, title, plot, caption, 120 + 70 * len(names))


def _beside(tip: float, lines: Iterable[float]) -> float:
    """Where a number beside the end of a bar begins: behind a line that it would be on."""
    for line in sorted(lines):
        if tip < line < tip + NUMBER:
            tip = line
    return tip


def _plot_row(axes: Any, row: Row, colour: str, shift: float) -> None:
    """The line of one kind of features, with its intervals. shift: factor of the labels."""
    x = [point.labels * shift for point in row.points]
    y = [100 * point.score.mean for point in row.points]
    ends = [[100 * end for end in point.score.interval] for point in row.points]
    errors = [
        [value - low for value, (low, _) in zip(y, ends, strict=True)],
        [high - value for value, (_, high) in zip(y, ends, strict=True)],
    ]
    name = f"{row.name}, {row.features} features"
    axes.errorbar(x, y, errors, color=colour, marker="o", markersize=4, capsize=3, label=name)


def _draw(
    path: Path,
    title: str,
    plot: Callable[[Any], None],
    caption: str,
    height: int,
    width: int = WIDTH,
) -> None:
    figure = figures.blank(width, height)
    axes = figure.subplots()
    plot(axes)
    figure.tight_layout()
    figures.draw(path, title, [], [], caption, below=figure)
