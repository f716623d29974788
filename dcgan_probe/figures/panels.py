"""Samples in blocks, with a title, labelled rows and columns, and a caption.

White ground, one font, images at whole-number zoom without smoothing; the caption says what is
seen, on which checkpoint, with which seed.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.transforms import Affine2D, Bbox

from dcgan_probe.figures.canvas import DPI, FONT, INK, PALE, WARNING, blank, look, size
from dcgan_probe.figures.output import columns_or, save

GAP = 2
_TITLE, _LABEL, _LINE, _MARGIN = 14, 10, 18, 16


def zoom_for(size: int) -> int:
    """The whole number that brings images of a size to about 128 pixels."""
    return max(1, 128 // size)


def tile(
    images: np.ndarray, columns: int, zoom: int = 1, gap: int = GAP, line: int = 0
) -> np.ndarray:
    """N x H x W x 3 uint8 images side by side in rows, at whole-number zoom without smoothing.

    line: pixels that are left white beneath each.

    >>> tile(np.zeros((6, 8, 8, 3), np.uint8), columns=3, zoom=2).shape
    (34, 52, 3)
    """
    n, height, width, _ = images.shape
    rows = -(-n // columns)
    height, width = height * zoom, width * zoom
    shape = (rows * (height + line + gap) - gap, columns * (width + gap) - gap, 3)
    canvas = np.full(shape, 255, np.uint8)
    for i, image in enumerate(images):
        y, x = (i // columns) * (height + line + gap), (i % columns) * (width + gap)
        canvas[y : y + height, x : x + width] = image.repeat(zoom, 0).repeat(zoom, 1)
    return canvas


def grid(images: np.ndarray, columns: int) -> np.ndarray:
    """N x H x W x 3 uint8 images in rows, the last filled up with white, for a `Block`.

    columns: how many in a row, unless `also` asks for others.

    >>> grid(np.zeros((6, 8, 8, 3), np.uint8), columns=4).shape
    (2, 4, 8, 8, 3)
    """
    n, *shape = images.shape
    columns = min(columns_or(columns), max(n, 1))
    rows = -(-n // columns)
    padding = np.full((rows * columns - n, *shape), 255, np.uint8)
    return np.concatenate([images, padding]).reshape(rows, columns, *shape)


@dataclass(frozen=True)
class Block:
    """Images under one heading: rows x columns x H x W x 3 uint8. labels: a line beneath each."""

    heading: str
    images: np.ndarray
    labels: Sequence[Sequence[str]] = ()

    def sheet(self, zoom: int, line: int) -> np.ndarray:
        """The images side by side. line: pixels that are left free beneath each."""
        flat = self.images.reshape(-1, *self.images.shape[2:])
        return tile(flat, self.images.shape[1], zoom, line=line)


@look()
def draw(
    path: str | os.PathLike[str],
    title: str,
    blocks: Sequence[Block],
    rows: Sequence[str],
    caption: str,
    zoom: int = 2,
    below: Figure | None = None,
    beside: Figure | None = None,
    warnings: Sequence[str] = (),
) -> None:
    """Write a figure of blocks side by side, with labelled rows, a title above and a caption below.

    below: a chart between the blocks and the caption, or `beside` the blocks: a figure of `blank`,
    which keeps its size in the picture. warnings: lines under the title that say why not to believe
    what is seen. Written as `save` does.

    >>> draw("a.png", "Title", [Block("left", images), Block("right", images)], ["row"], "Caption.")
    """
    for block in blocks:
        if len(block.images) != len(rows):
            raise ValueError(
                f"block {block.heading!r} has {len(block.images)} rows, expected {len(rows)}"
            )
    line = _LINE if any(block.labels for block in blocks) else 0
    sheets = [block.sheet(zoom, line) for block in blocks]
    longest = max((len(part) for row in rows for part in row.split("\n")), default=0)
    left = _MARGIN + longest * 7 + 8
    width = left + sum(s.shape[1] for s in sheets) + _MARGIN * len(sheets)
    tall = max((s.shape[0] for s in sheets), default=0)
    under = 0
    if beside is not None:
        across, high = size(beside)
        width, tall = width + across + _MARGIN, max(tall, high)
    elif below is not None:
        across, high = size(below)
        width, under = max(width, across + 2 * _MARGIN), high + 12
    width = max(width, 480)
    characters = max(40, (width - 2 * _MARGIN) // 7)
    lines = textwrap.wrap(caption, characters)
    title_lines = textwrap.wrap(title, max(30, (width - 2 * _MARGIN) // 9))
    warned = [part for warning in warnings for part in textwrap.wrap(warning, characters)]
    top = _MARGIN + len(title_lines) * 22 + len(warned) * _LINE + _LINE + 10
    bottom = top + tall
    height = bottom + under + 12 + len(lines) * _LINE + _MARGIN

    if beside is not None:
        place = (width - _MARGIN - across, height - top - high)
        figure = _framed(beside, (width, height), place)
    elif below is not None:
        figure = _framed(below, (width, height), (_MARGIN, height - bottom - high))
    else:
        figure = blank(width, height)

    def write(
        x: float, y: float, text: str, pixels: int, colour: str = INK, **more: object
    ) -> None:
        at = {"fontsize": pixels * 72 / DPI, "color": colour, "fontfamily": FONT, **more}
        figure.text(x / width, 1 - y / height, text, **at)  # type: ignore[arg-type]

    for i, text in enumerate(title_lines):
        write(_MARGIN, _MARGIN + 22 * i, text, _TITLE + 2, va="top", fontweight="bold")
    for i, text in enumerate(warned):
        y = _MARGIN + 22 * len(title_lines) + _LINE * i
        write(_MARGIN, y, text, _LABEL + 1, WARNING, va="top")
    x = left
    for block, sheet in zip(blocks, sheets, strict=True):
        write(x, top - 6, block.heading, _LABEL + 2, va="bottom")
        _show(figure, sheet, x / width, 1 - (top + sheet.shape[0]) / height)
        _, _, image_height, image_width, _ = block.images.shape
        for row, labels in enumerate(block.labels):
            y = top + (row + 1) * (image_height * zoom + line + GAP) - GAP - line / 2
            for column, text in enumerate(labels):
                middle = x + column * (image_width * zoom + GAP) + image_width * zoom / 2
                write(middle, y, text, _LABEL, va="center", ha="center")
        x += sheet.shape[1] + _MARGIN
    for i, name in enumerate(rows):
        y = top + (i + 0.5) * (block.images.shape[2] * zoom + line + GAP)
        write(left - 8, y, name, _LABEL + 1, va="center", ha="right", linespacing=1.3)
    for i, text in enumerate(lines):
        y = bottom + under + 14 + i * _LINE
        write(_MARGIN, y, text, _LABEL + 1, PALE, va="top")
    save(path, figure)


def _show(figure: Figure, image: np.ndarray, x: float, y: float) -> None:
    """Show an image pixel for pixel; x, y: its lower left corner, as shares of the figure."""
    height, width, _ = image.shape
    across, up = size(figure)
    axes = figure.add_axes((x, y, width / across, height / up))
    axes.set_axis_off()
    axes.imshow(image, interpolation="none", aspect="auto")


def _framed(chart: Figure, whole: tuple[int, int], at: tuple[int, int]) -> Figure:
    """Grow a chart's figure to a size, with the chart at a place, counted from below, in pixels."""
    width, height = size(chart)
    place = Affine2D().scale(width / whole[0], height / whole[1])
    place.translate(at[0] / whole[0], at[1] / whole[1])
    for axes in chart.axes:
        axes.set_position(Bbox(place.transform(axes.get_position(original=True).get_points())))
    for legend in chart.legends:
        legend.set_bbox_to_anchor(Bbox(place.transform([(0, 0), (1, 1)])), chart.transFigure)
    for text in chart.texts:
        x, y = place.transform(text.get_position())
        text.set_position((x, y))
    chart.set_size_inches(whole[0] / DPI, whole[1] / DPI)
    return chart


def sheet(
    path: str | os.PathLike[str],
    title: str,
    images: np.ndarray,
    labels: Sequence[str],
    caption: str,
    columns: int,
) -> None:
    """Write a figure of images in rows, each with its label beneath.

    images: N x H x W x 3 uint8; labels: one for each.

    >>> sheet("a.png", "Title", images, [f"3:{i}" for i in range(12)], "Caption.", columns=6)
    """
    rows = grid(images, columns)
    columns = rows.shape[1]
    lines = [labels[start : start + columns] for start in range(0, len(labels), columns)]
    block = Block("", rows, lines)
    draw(path, title, [block], [""] * len(rows), caption, zoom_for(images.shape[2]))
