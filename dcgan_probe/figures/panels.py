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

from dcgan_probe.figures.canvas import DPI, FONT, INK, PALE, WARNING, blank, look, png, rendered
from dcgan_probe.storage import files

GAP = 2
_TITLE, _LABEL, _LINE, _MARGIN = 14, 10, 18, 16


def zoom_for(size: int) -> int:
    """The whole number that brings images of a size to about 128 pixels."""
    return max(1, 128 // size)


def tile(images: np.ndarray, columns: int, zoom: int = 1, gap: int = GAP) -> np.ndarray:
    """N x H x W x 3 uint8 images side by side in rows, at whole-number zoom without smoothing.

    >>> tile(np.zeros((6, 8, 8, 3), np.uint8), columns=3, zoom=2).shape
    (34, 52, 3)
    """
    n, height, width, _ = images.shape
    rows = -(-n // columns)
    height, width = height * zoom, width * zoom
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, 3)
    canvas = np.full(shape, 255, np.uint8)
    for i, image in enumerate(images):
        y, x = (i // columns) * (height + gap), (i % columns) * (width + gap)
        canvas[y : y + height, x : x + width] = image.repeat(zoom, 0).repeat(zoom, 1)
    return canvas


def grid(images: np.ndarray, columns: int) -> np.ndarray:
    """N x H x W x 3 uint8 images in rows, the last filled up with white, for a `Block`.

    >>> grid(np.zeros((6, 8, 8, 3), np.uint8), columns=4).shape
    (2, 4, 8, 8, 3)
    """
    n, *shape = images.shape
    rows = -(-n // columns)
    padding = np.full((rows * columns - n, *shape), 255, np.uint8)
    return np.concatenate([images, padding]).reshape(rows, columns, *shape)


@dataclass(frozen=True)
class Block:
    """Images under one heading: rows x columns x H x W x 3 uint8."""

    heading: str
    images: np.ndarray


@look()
def draw(
    path: str | os.PathLike[str],
    title: str,
    blocks: Sequence[Block],
    rows: Sequence[str],
    caption: str,
    zoom: int = 2,
    below: np.ndarray | None = None,
    warnings: Sequence[str] = (),
) -> None:
    """Write a PNG of blocks side by side, with labelled rows, a title above and a caption below.

    below: H x W x 3 uint8, a chart between the blocks and the caption, at its own size. warnings:
    lines under the title that say why not to believe what is seen.

    >>> draw("a.png", "Title", [Block("left", images), Block("right", images)], ["row"], "Caption.")
    """
    sheets = []
    for block in blocks:
        count, columns = block.images.shape[:2]
        if count != len(rows):
            raise ValueError(f"block {block.heading!r} has {count} rows, expected {len(rows)}")
        flat = block.images.reshape(-1, *block.images.shape[2:])
        sheets.append(tile(flat, columns, zoom))
    row_height = block.images.shape[2] * zoom + GAP
    left = _MARGIN + max((len(line) for row in rows for line in row.split("\n")), default=0) * 7 + 8
    width = left + sum(s.shape[1] for s in sheets) + _MARGIN * len(sheets)
    width = max(width, 480, 0 if below is None else below.shape[1] + 2 * _MARGIN)
    lines = textwrap.wrap(caption, max(40, (width - 2 * _MARGIN) // 7))
    title_lines = textwrap.wrap(title, max(30, (width - 2 * _MARGIN) // 9))
    warned = [
        line
        for warning in warnings
        for line in textwrap.wrap(warning, max(40, (width - 2 * _MARGIN) // 7))
    ]
    top = _MARGIN + len(title_lines) * 22 + len(warned) * _LINE + _LINE + 10
    bottom = top + sheets[0].shape[0]
    under = 0 if below is None else below.shape[0] + 12
    height = bottom + under + 12 + len(lines) * _LINE + _MARGIN
    figure = blank(width, height)

    def write(x: float, y: float, text: str, size: int, colour: str = INK, **more: object) -> None:
        at = {"fontsize": size * 72 / DPI, "color": colour, "fontfamily": FONT, **more}
        figure.text(x / width, 1 - y / height, text, **at)  # type: ignore[arg-type]

    for i, line in enumerate(title_lines):
        write(_MARGIN, _MARGIN + 22 * i, line, _TITLE + 2, va="top", fontweight="bold")
    for i, line in enumerate(warned):
        y = _MARGIN + 22 * len(title_lines) + _LINE * i
        write(_MARGIN, y, line, _LABEL + 1, WARNING, va="top")
    x = left
    for block, sheet in zip(blocks, sheets, strict=True):
        write(x, top - 6, block.heading, _LABEL + 2, va="bottom")
        figure.figimage(sheet, x, height - top - sheet.shape[0], origin="upper")
        x += sheet.shape[1] + _MARGIN
    for i, row in enumerate(rows):
        y = top + row_height * (i + 0.5)
        write(left - 8, y, row, _LABEL + 1, va="center", ha="right", linespacing=1.3)
    if below is not None:
        figure.figimage(below, _MARGIN, height - bottom - under, origin="upper")
    for i, line in enumerate(lines):
        y = bottom + under + 14 + i * _LINE
        write(_MARGIN, y, line, _LABEL + 1, PALE, va="top")
    files.write_bytes(path, png(figure))


@look()
def sheet(
    path: str | os.PathLike[str],
    title: str,
    images: np.ndarray,
    labels: Sequence[str],
    caption: str,
    columns: int,
) -> None:
    """Write a PNG of images in rows, each with its label beneath.

    images: N x H x W x 3 uint8; labels: one for each.

    >>> sheet("a.png", "Title", images, [f"3:{i}" for i in range(12)], "Caption.", columns=6)
    """
    zoom = zoom_for(images.shape[2])
    labelled = [
        _with_line(image.repeat(zoom, 0).repeat(zoom, 1), label)
        for image, label in zip(images, labels, strict=True)
    ]
    rows = grid(np.stack(labelled), columns)
    draw(path, title, [Block("", rows)], [""] * len(rows), caption, zoom=1)


def _with_line(image: np.ndarray, text: str) -> np.ndarray:
    """An image with a line of text beneath."""
    height, width, _ = image.shape
    figure = blank(width, _LINE)
    at = {"fontsize": _LABEL * 72 / DPI, "color": INK, "fontfamily": FONT}
    figure.text(0.5, 0.5, text, ha="center", va="center", **at)  # type: ignore[arg-type]
    return np.concatenate([image, rendered(figure)])
