"""The pictures of `features`: accuracy by labels, confusion of classes, what layers carry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import dcgan_probe as dp

from ._classified import labels_of

if TYPE_CHECKING:
    from ._classified import Classified

COLOURS = (dp.figures.BLUE, dp.figures.INK, dp.figures.ORANGE, dp.figures.GREEN)
WIDTH, HEIGHT = 640, 400
LINE = 16  # of text, pixels
TEXT = {"fontfamily": dp.figures.FONT, "fontsize": 8}
MOST_NUMBERS = 20  # classes; with more the numbers would not be legible in their cells


def curves(result: Classified, path: Path) -> None:
    """Accuracy by the number of labels, one line a kind of features, published ones dashed."""
    height = HEIGHT + 50 * len(result.protocol.published)

    def plot(axes: Any) -> None:
        for i, (row, colour) in enumerate(zip(result.rows, COLOURS, strict=False)):
            x = [point.labels * 1.02**i for point in row.points]  # bars beside each other
            y = [100 * point.score.mean for point in row.points]
            reach = [[100 * end for end in point.score.interval] for point in row.points]
            errors = [
                [value - low for value, (low, _) in zip(y, reach, strict=True)],
                [high - value for value, (_, high) in zip(y, reach, strict=True)],
            ]
            name = f"{row.name}, {row.features} features"
            axes.errorbar(
                x, y, errors, color=colour, marker="o", markersize=4, capsize=3, label=name
            )
        least = min(point.labels for row in result.rows for point in row.points)
        lines = [
            (100 * one.accuracy, f"published: {one.name}, {100 * one.accuracy:.1f}", "--")
            for one in result.protocol.published
        ]
        lines.append((100 / len(result.classes), "chance", ":"))
        above = -np.inf
        for value, words, style in sorted(lines):
            axes.axhline(value, color=dp.figures.PALE, linestyle=style, linewidth=0.7)
            above = max(value + 0.4, above + 100 * LINE / height)  # no label on another
            ground = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            axes.text(least, above, words, va="bottom", bbox=ground, **TEXT)
        axes.set_ylim(0, 100)
        axes.set_xscale("log")
        axes.minorticks_off()
        ticks = sorted({point.labels for row in result.rows for point in row.points})
        axes.set_xticks(ticks, [str(tick) for tick in ticks], **TEXT)
        axes.set_xlabel("labels", **TEXT)
        axes.set_ylabel("test accuracy, %", **TEXT)
        key = {"family": dp.figures.FONT, "size": 8}
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, prop=key)

    _draw(
        path,
        "How much a linear machine reads in the features",
        plot,
        f"Accuracy on {result.counts[2]} test images by how many labels were trained on, with 95% "
        "intervals: of the mean over draws of labels, and for a single draw over test images. C "
        f"chosen on {result.counts[1]} other images. {_departs(result)}{result.caption}.",
        height,
    )


def confusion(result: Classified, path: Path) -> None:
    """Which class is taken for which, rows brought to 100%."""
    share = 100 * result.confusion / result.confusion.sum(1, keepdims=True)
    point = result.rows[0].points[-1]
    side = max(360, 36 * len(share)) if len(share) <= MOST_NUMBERS else 720

    def plot(axes: Any) -> None:
        axes.imshow(share, cmap="viridis", vmin=0, vmax=100)
        ticks = range(len(share))
        axes.set_xticks(ticks, list(result.classes), rotation=90, **TEXT)
        axes.set_yticks(ticks, list(result.classes), **TEXT)
        axes.set_xlabel("predicted", **TEXT)
        axes.set_ylabel("true", **TEXT)
        axes.spines[:].set_visible(False)
        if len(share) > MOST_NUMBERS:
            return
        for i, row in enumerate(share):
            for j, value in enumerate(row):
                colour = dp.figures.INK if value > 60 else "white"
                axes.text(j, i, f"{value:.0f}", ha="center", va="center", color=colour, **TEXT)

    _draw(
        path,
        "Which class is taken for which",
        plot,
        "Percent of the test images of each class, by the class predicted, with "
        f"{labels_of(point)}: {point.score} right. {result.images}. {result.caption}.",
        side,
        side + 100,
    )


def layers(result: Classified, path: Path) -> None:
    """What each layer reaches alone, beside its share of the weight of all."""
    names = [layer.layer for layer in result.layers]
    places = np.arange(len(names))
    point = result.rows[0].points[-1]

    def plot(axes: Any) -> None:
        alone = [100 * layer.point.score.mean for layer in result.layers]
        share = [100 * layer.share for layer in result.layers]
        for shift, values, colour, label in (
            (-0.2, alone, dp.figures.BLUE, "test accuracy of the layer alone"),
            (0.2, share, dp.figures.ORANGE, "share of the squared weight of all"),
        ):
            axes.barh(places + shift, values, 0.36, color=colour, label=label)
            for place, value in zip(places + shift, values, strict=True):
                at = (value, place)
                axes.annotate(
                    f"{value:.1f}", at, (4, 0), "data", "offset points", va="center", **TEXT
                )
        whole = 100 * point.score.mean
        axes.axvline(whole, color=dp.figures.INK, linestyle="--", linewidth=0.8)
        axes.annotate(
            f"all layers {whole:.1f}", (whole, -0.6), (4, 0), "data", "offset points", **TEXT
        )
        axes.set_ylim(len(names) - 0.4, -0.8)
        axes.set_yticks(places, names, **TEXT)
        axes.set_xlabel("%", **TEXT)
        axes.set_xlim(0, 100)
        key = {"family": dp.figures.FONT, "size": 8}
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, prop=key)

    top = ", ".join(f"{f.layer} {f.filter} ({f.speaks_for})" for f in result.filters)
    _draw(
        path,
        "Which layers carry the answer",
        plot,
        f"Blue: the same machine on one layer, with its own C, {labels_of(point)}. Orange: of the "
        "squared weight of the machine on all layers, in units of each feature's deviation. "
        f"Filters with the most of it, and the class they speak for: {top}. {result.caption}.",
        120 + 70 * len(names),
    )


def _departs(result: Classified) -> str:
    if not result.departs:
        return ""
    return f"NOT the protocol {result.protocol.name} to the letter: {'; '.join(result.departs)}. "


def _draw(
    path: Path,
    title: str,
    plot: Callable[[Any], None],
    caption: str,
    height: int,
    width: int = WIDTH,
) -> None:
    figure = dp.figures.blank(width, height)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    plot(axes)
    figure.tight_layout()
    chart = dp.figures.rendered(figure)
    dp.figures.draw(path, title, [dp.figures.Block("", chart[None, None])], [""], caption, zoom=1)
