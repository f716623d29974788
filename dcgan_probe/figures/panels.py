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
    PAGE,
    PALE,
    WARNING,
    blank,
    look,
    magnification,
    size,
)
from dcgan_probe.figures.lettering import balance, text_width, words, wrap
from dcgan_probe.figures.output import columns_or, save

GAP = 2
# Sizes of text in pixels of a picture as wide as a page.
_TITLE, _HEADING, _TEXT = 17, 13, 12
_LEADING, _MARGIN, _LEAST = 1.45, 16, 480
_SPACE = 4  # between two headings
_WORD = 128  # pixels: a word of a heading that is wider is broken
_ROUNDS = 4  # for columns and their headings, which widen each other
_APART = 14  # from images to a chart or to the caption
WIDEST = PAGE - 2 * _MARGIN  # pixels: a chart that is no wider is not shown reduced


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
    warnings: Sequence[str] = (),
) -> None:
    """Write a figure of blocks side by side, with labelled rows, a title above and a caption below.

    below: a chart between the blocks and the caption: a figure of `blank`, which keeps its size in
    the picture, without what is empty above and below its contents. warnings: lines under the title
    that say why not to believe what is seen. Written as `save` does.

    >>> draw("a.png", "Title", [Block("left", images), Block("right", images)], ["row"], "Caption.")
    """
    for block in blocks:
        if len(block.images) != len(rows):
            raise ValueError(
                f"block {block.heading!r} has {len(block.images)} rows, expected {len(rows)}"
            )
    columns = _Columns.of(blocks, rows, zoom, below)
    text = _Lines.of(columns, title, warnings, blocks, caption)
    lines = _lines_below(columns, blocks, rows, zoom)
    line = max(lines, default=0)
    sheets = [block.sheet(zoom, line) for block in blocks]
    if line and lines[-1] < line:  # nothing stands beneath the last row
        sheets = [sheet[: lines[-1] - line] for sheet in sheets]
    apart = round(_APART * columns.scale)
    width, bottom = columns.width, text.top + max((s.shape[0] for s in sheets), default=0)
    low, high = (0, 0) if below is None else columns.ends(below)
    bottom += high - low + (apart if high and sheets else 0)
    height = round(bottom + apart + len(text.caption) * columns.leading + _MARGIN)
    if below is None:
        figure = blank(width, height, columns.scale)
    else:
        place = (_MARGIN, height - bottom - low)
        figure = _framed(below, (width, height), place, columns.scale)
    page = _Page(figure, width, height)
    text.write(page, bottom + apart)
    x = columns.left
    for block, sheet, heading, across in zip(
        blocks, sheets, text.headings, columns.blocks, strict=True
    ):
        page.write(x, text.top - 5 * columns.scale, "\n".join(heading), _HEADING, va="bottom")
        page.show(sheet, x, text.top)
        _write_labels(page, block, x, text.top, zoom, line, columns.leading)
        x += across + _MARGIN
    row_height = max((block.images.shape[2] * zoom for block in blocks), default=0) + line
    for i, name in enumerate(rows):
        y = text.top + i * (row_height + GAP) + row_height / 2
        page.write(columns.left - 8, y, name, _TEXT, va="center", ha="right", linespacing=1.3)
    save(path, figure)


@dataclass(frozen=True)
class _Columns:
    """The widths of a figure, in pixels. scale: how many times larger its text is drawn.

    blocks: of each block, which is wider than its images where a word of its heading is.
    """

    scale: float
    width: int
    left: int
    blocks: Sequence[int]

    @classmethod
    def of(
        cls,
        blocks: Sequence[Block],
        rows: Sequence[str],
        zoom: int,
        below: Figure | None,
    ) -> _Columns:
        labels = max(_widths([part for row in rows for part in row.split("\n")], _TEXT), default=0)
        images = [b.images.shape[1] * (b.images.shape[3] * zoom + GAP) - GAP for b in blocks]
        least = max(_LEAST - labels, size(below)[0] + 2 * _MARGIN if below is not None else 0)

        def content(widths: Sequence[int]) -> float:
            return max(8 + sum(widths) + _MARGIN * (len(widths) + 1), least)

        # Labels take room, which makes the picture wider, which makes the labels larger.
        scale, widths = magnification(content(images), labels), images
        if len(blocks) > 1:  # one has the whole picture for its heading
            longest = [max(_widths(words(b.heading), _HEADING), default=0) for b in blocks]
            for _ in range(_ROUNDS):
                widths = [
                    max(across, math.ceil(min(word, _WORD) * scale) - _MARGIN + _SPACE)
                    for across, word in zip(images, longest, strict=True)
                ]
                scale = magnification(content(widths), labels)
        left = _MARGIN + (round(8 + labels * scale) if labels else 0)
        return cls(scale, round(content(widths) + labels * scale), left, widths)

    @property
    def leading(self) -> float:
        """From a line of text to the next."""
        return _TEXT * self.scale * _LEADING

    def ends(self, chart: Figure) -> tuple[int, int]:
        """Where the contents of a chart end below and above, in pixels of the figure."""
        inches = chart.get_tightbbox()
        dots = chart.dpi * self.scale
        return math.floor(inches.y0 * dots), math.ceil(inches.y1 * dots)


def _widths(texts: Sequence[str], size: float) -> list[float]:
    return [text_width(text, size) for text in texts]


@dataclass(frozen=True)
class _Lines:
    """All text of a figure that is broken into lines. top: where the images begin, in pixels."""

    columns: _Columns
    title: Sequence[str]
    warnings: Sequence[str]
    headings: Sequence[Sequence[str]]
    caption: Sequence[str]

    @classmethod
    def of(
        cls,
        columns: _Columns,
        title: str,
        warnings: Sequence[str],
        blocks: Sequence[Block],
        caption: str,
    ) -> _Lines:
        room = columns.width - 2 * _MARGIN

        def lines(text: str) -> list[str]:
            return wrap(text, _TEXT * columns.scale, room)

        headings = [
            balance(
                b.heading,
                _HEADING * columns.scale,
                room if len(blocks) == 1 else across + _MARGIN - _SPACE,
            )
            for b, across in zip(blocks, columns.blocks, strict=True)
        ]
        return cls(
            columns,
            balance(title, _TITLE * columns.scale, room, bold=True),
            [part for warning in warnings for part in lines(warning)],
            headings,
            lines(caption),
        )

    @property
    def _title_height(self) -> float:
        return len(self.title) * _TITLE * self.columns.scale * _LEADING

    @property
    def top(self) -> int:
        heading = max(map(len, self.headings), default=0) * _HEADING * self.columns.scale * _LEADING
        warned = len(self.warnings) * self.columns.leading
        return round(_MARGIN + self._title_height + warned + heading + 8 * self.columns.scale)

    def write(self, page: _Page, caption: float) -> None:
        """Write all but the headings. caption: where it begins."""
        for i, text in enumerate(self.title):
            y = _MARGIN + i * _TITLE * self.columns.scale * _LEADING
            page.write(_MARGIN, y, text, _TITLE, va="top", fontweight="bold")
        for i, text in enumerate(self.warnings):
            y = _MARGIN + self._title_height + i * self.columns.leading
            page.write(_MARGIN, y, text, _TEXT, WARNING, va="top")
        for i, text in enumerate(self.caption):
            page.write(_MARGIN, caption + i * self.columns.leading, text, _TEXT, PALE, va="top")


@dataclass(frozen=True)
class _Page:
    """A figure on which places are given in pixels from its top left corner."""

    figure: Figure
    width: int
    height: int

    def write(
        self, x: float, y: float, text: str, pixels: float, colour: str = INK, **more: object
    ) -> None:
        at = {"fontsize": pixels * 72 / DPI, "color": colour, "fontfamily": FONT, **more}
        self.figure.text(x / self.width, 1 - y / self.height, text, **at)  # type: ignore[arg-type]

    def show(self, image: np.ndarray, x: float, y: float) -> None:
        """Show an image pixel for pixel; x, y: its upper left corner."""
        height, width, _ = image.shape
        across, up = size(self.figure)
        corner = (x / self.width, 1 - (y + height) / self.height)
        axes = self.figure.add_axes((*corner, width / across, height / up))
        axes.set_axis_off()
        axes.imshow(image, interpolation="none", aspect="auto")


def _lines_below(
    columns: _Columns, blocks: Sequence[Block], rows: Sequence[str], zoom: int
) -> list[int]:
    """Pixels that each row of images needs beneath it: for labels, and for the row's name."""
    images = max((block.images.shape[2] * zoom for block in blocks), default=0)
    needed = []
    for i, row in enumerate(rows):
        labels = any(b.labels and any(b.labels[i]) for b in blocks)
        name = math.ceil((row.count("\n") + 1) * columns.leading - images)
        needed.append(max(round(columns.leading) * labels, name, 0))
    return needed


def _write_labels(
    page: _Page, block: Block, x: float, top: float, zoom: int, line: int, leading: float
) -> None:
    """Write the labels beneath a block's images."""
    height, width = (side * zoom for side in block.images.shape[2:4])
    for row, labels in enumerate(block.labels):
        y = top + row * (height + line + GAP) + height + leading / 2
        for column, text in enumerate(labels):
            middle = x + column * (width + GAP) + width / 2
            page.write(middle, y, text, _TEXT - 1, va="center", ha="center")


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
