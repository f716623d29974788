"""Samples in blocks, with a title, labelled rows and columns, and a caption.

White ground, one font, images at whole-number zoom without smoothing; the caption says what is
seen, on which checkpoint, with which seed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.transforms import Affine2D, Bbox

from dcgan_probe.figures.canvas import (
    DPI,
    FONT,
    INK,
    PALE,
    WARNING,
    blank,
    look,
    magnification,
    size,
)
from dcgan_probe.figures.lettering import text_width, wrap
from dcgan_probe.figures.output import columns_or, save

GAP = 2
# Sizes of text in pixels of a picture as wide as a page.
_TITLE, _HEADING, _TEXT = 17, 13, 12
_LEADING, _MARGIN, _LEAST = 1.45, 16, 480


def chart_width(images: int) -> int:
    """The width of a chart that stands below images and is as wide. images: their pixels.

    In a picture that is wider than a page a chart is drawn larger, as all text is.
    """
    return round(images / magnification(images + 2 * _MARGIN))


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
    labels = max((text_width(part, _TEXT) for row in rows for part in row.split("\n")), default=0)
    widths = [b.images.shape[1] * (b.images.shape[3] * zoom + GAP) - GAP for b in blocks]
    content = 8 + sum(widths) + _MARGIN * (len(widths) + 1)
    grows = labels  # what is drawn larger with the text
    if beside is not None:
        content, grows = content + _MARGIN, labels + size(beside)[0]
    elif below is not None:
        content = max(content, size(below)[0] + 2 * _MARGIN)
    content = max(content, _LEAST - grows)
    # Labels take room, which makes the picture wider, which makes the labels larger.
    scale = magnification(content, grows)
    chart = below if beside is None else beside
    across, high = (0, 0) if chart is None else (math.ceil(side * scale) for side in size(chart))
    left = _MARGIN + (round(8 + labels * scale) if labels else 0)
    width = round(content + grows * scale)
    leading = _TEXT * scale * _LEADING
    line = round(leading) if any(block.labels for block in blocks) else 0
    label_height = max(((row.count("\n") + 1) * leading for row in rows), default=0)
    images_height = max((block.images.shape[2] * zoom for block in blocks), default=0)
    line = max(line, math.ceil(label_height - images_height))
    sheets = [block.sheet(zoom, line) for block in blocks]
    tall = max((s.shape[0] for s in sheets), default=0)
    under = 0
    if beside is not None:
        tall = max(tall, high)
    elif below is not None:
        under = high + 12

    def lines_of(text: str, pixels: float, room: float, bold: bool = False) -> list[str]:
        return wrap(text, pixels * scale, room, bold)

    room = width - 2 * _MARGIN
    title_lines = lines_of(title, _TITLE, room, bold=True)
    warned = [part for warning in warnings for part in lines_of(warning, _TEXT, room)]
    captioned = lines_of(caption, _TEXT, room)
    headings = [
        lines_of(b.heading, _HEADING, room if len(blocks) == 1 else across + _MARGIN - 4)
        for b, across in zip(blocks, widths, strict=True)
    ]
    title_height = len(title_lines) * _TITLE * scale * _LEADING
    heading_height = max(map(len, headings), default=0) * _HEADING * scale * _LEADING
    top = round(_MARGIN + title_height + len(warned) * leading + heading_height + 8 * scale)
    bottom = top + tall
    height = round(bottom + under + 12 + len(captioned) * leading + _MARGIN)
    if beside is not None:
        place = (width - _MARGIN - across, height - top - high)
        figure = _framed(beside, (width, height), place, scale)
    elif below is not None:
        figure = _framed(below, (width, height), (_MARGIN, height - bottom - high), scale)
    else:
        figure = blank(width, height, scale)

    def write(
        x: float, y: float, text: str, pixels: float, colour: str = INK, **more: object
    ) -> None:
        at = {"fontsize": pixels * 72 / DPI, "color": colour, "fontfamily": FONT, **more}
        figure.text(x / width, 1 - y / height, text, **at)  # type: ignore[arg-type]

    for i, text in enumerate(title_lines):
        y = _MARGIN + i * _TITLE * scale * _LEADING
        write(_MARGIN, y, text, _TITLE, va="top", fontweight="bold")
    for i, text in enumerate(warned):
        write(_MARGIN, _MARGIN + title_height + i * leading, text, _TEXT, WARNING, va="top")
    x = left
    for block, sheet, heading in zip(blocks, sheets, headings, strict=True):
        write(x, top - 5 * scale, "\n".join(heading), _HEADING, va="bottom")
        _show(figure, sheet, x / width, 1 - (top + sheet.shape[0]) / height)
        _, _, image_height, image_width, _ = block.images.shape
        for row, below_images in enumerate(block.labels):
            y = top + row * (image_height * zoom + line + GAP) + image_height * zoom + leading / 2
            for column, text in enumerate(below_images):
                middle = x + column * (image_width * zoom + GAP) + image_width * zoom / 2
                write(middle, y, text, _TEXT - 1, va="center", ha="center")
        x += sheet.shape[1] + _MARGIN
    for i, name in enumerate(rows):
        y = top + i * (images_height + line + GAP) + (images_height + line) / 2
        write(left - 8, y, name, _TEXT, va="center", ha="right", linespacing=1.3)
    for i, text in enumerate(captioned):
        write(_MARGIN, bottom + under + 14 + i * leading, text, _TEXT, PALE, va="top")
    save(path, figure)


def _show(figure: Figure, image: np.ndarray, x: float, y: float) -> None:
    """Show an image pixel for pixel; x, y: its lower left corner, as shares of the figure."""
    height, width, _ = image.shape
    across, up = size(figure)
    axes = figure.add_axes((x, y, width / across, height / up))
    axes.set_axis_off()
    axes.imshow(image, interpolation="none", aspect="auto")


def _framed(chart: Figure, whole: tuple[int, int], at: tuple[int, int], scale: float) -> Figure:
    """Grow a chart's figure to a size, with the chart at a place, counted from below, in pixels.

    scale: how many times larger the chart is drawn.
    """
    width, height = (side * scale for side in size(chart))
    place = Affine2D().scale(width / whole[0], height / whole[1])
    place.translate(at[0] / whole[0], at[1] / whole[1])
    for axes in chart.axes:
        axes.set_position(Bbox(place.transform(axes.get_position(original=True).get_points())))
    for legend in chart.legends:
        legend.set_bbox_to_anchor(Bbox(place.transform([(0, 0), (1, 1)])), chart.transFigure)
    for text in chart.texts:
        x, y = place.transform(text.get_position())
        text.set_position((x, y))
    chart.set_dpi(DPI * scale)
    chart.set_size_inches(*blank(*whole, scale).get_size_inches())
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
