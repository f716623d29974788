"""Pictures: the one look of everything that is drawn.

White ground, one font, images at whole-number zoom without smoothing, rows and columns labelled,
and a caption that says what is seen, on which checkpoint, with which seed.
"""

from __future__ import annotations

import io
import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch import Tensor

from dcgan_probe.storage import files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GAP = 2
DPI = 100
FONT = "DejaVu Sans"  # comes with matplotlib, so figures look the same on every machine
INK, PALE = "#222222", "#666666"
# Okabe and Ito's colours: distinct to colour-blind eyes.
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
_TITLE, _LABEL, _LINE, _MARGIN = 14, 10, 18, 16


def zoom_for(size: int) -> int:
    """The whole number that brings images of a size to about 128 pixels."""
    return max(1, 128 // size)


def pixels(images: Tensor) -> np.ndarray:
    """Images in [-1, 1] as N x H x W x 3 uint8 RGB.

        >>> pixels(torch.zeros(1, 1, 2, 2)).shape
        (1, 2, 2, 3)

    images: N x C x H x W float32, C 1 or 3; values outside of the range are clamped.
    """
    scaled = images.detach().cpu().float().clamp(-1, 1).add(1).mul(127.5).round()
    array = scaled.to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return np.repeat(array, 3, axis=3) if array.shape[3] == 1 else array


def signed(signal: Tensor) -> np.ndarray:
    """Gradients as N x H x W x 3 uint8: grey is zero, each image scaled to its own largest values.

    signal: N x C x H x W. The scale is the 99.5th percentile of the magnitude, so that a single
    pixel does not turn the rest grey; a signal of zeros is grey.
    """
    magnitude = signal.detach().cpu().float().abs().flatten(1)
    scale = magnitude.quantile(0.995, dim=1)
    scale = torch.where(scale > 0, scale, magnitude.amax(dim=1)).clamp_min(1e-30)
    return pixels(signal.detach().cpu() / scale.view(-1, 1, 1, 1))


def heat(values: np.ndarray, low: float, high: float, size: tuple[int, int]) -> np.ndarray:
    """N x h x w values as N x H x W x 3 uint8 in the viridis colours, cells as plain squares."""
    from matplotlib import colormaps

    scaled = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    coloured = (colormaps["viridis"](scaled)[..., :3] * 255).round().astype(np.uint8)
    sized = [cv2.resize(c, size, interpolation=cv2.INTER_NEAREST) for c in coloured]
    return np.stack(sized)


def outlined(
    image: np.ndarray, boxes: Sequence[Sequence[float]], zoom: int, colour: str = ORANGE
) -> np.ndarray:
    """An image at whole-number zoom with boxes (x0, y0, x1, y1 in its pixels) drawn around."""
    large = np.ascontiguousarray(image.repeat(zoom, 0).repeat(zoom, 1))
    rgb = tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
    for box in boxes:
        x0, y0, x1, y1 = (round(edge * zoom) for edge in box)
        cv2.rectangle(large, (x0, y0), (x1 - 1, y1 - 1), rgb, max(1, zoom // 2))
    return large


def tile(images: np.ndarray, columns: int, zoom: int = 1, gap: int = GAP) -> np.ndarray:
    """N x H x W x 3 uint8 images side by side in rows, at whole-number zoom without smoothing.

    >>> tile(np.zeros((6, 8, 8, 3), np.uint8), columns=3, zoom=2).shape
    (34, 52, 3)
    """
    n, height, width, _ = images.shape
    rows = -(-n // columns)
    height, width = height * zoom, width * zoom
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, 3)
    sheet = np.full(shape, 255, np.uint8)
    for i, image in enumerate(images):
        y, x = (i // columns) * (height + gap), (i % columns) * (width + gap)
        sheet[y : y + height, x : x + width] = image.repeat(zoom, 0).repeat(zoom, 1)
    return sheet


@dataclass(frozen=True)
class Block:
    """Images under one heading: rows x columns x H x W x 3 uint8."""

    heading: str
    images: np.ndarray


def draw(
    path: str | os.PathLike[str],
    title: str,
    blocks: Sequence[Block],
    rows: Sequence[str],
    caption: str,
    zoom: int = 2,
    below: np.ndarray | None = None,
) -> None:
    """Write a PNG of blocks side by side, with labelled rows, a title above and a caption below.

    below: H x W x 3 uint8, a chart between the blocks and the caption, at its own size.

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
    top = _MARGIN + len(title_lines) * 22 + _LINE + 10
    bottom = top + sheets[0].shape[0]
    under = 0 if below is None else below.shape[0] + 12
    height = bottom + under + 12 + len(lines) * _LINE + _MARGIN
    figure = blank(width, height)

    def write(x: float, y: float, text: str, size: int, colour: str = INK, **more: object) -> None:
        at = {"fontsize": size * 72 / DPI, "color": colour, "fontfamily": FONT, **more}
        figure.text(x / width, 1 - y / height, text, **at)  # type: ignore[arg-type]

    for i, line in enumerate(title_lines):
        write(_MARGIN, _MARGIN + 22 * i, line, _TITLE + 2, va="top", fontweight="bold")
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
    files.write_bytes(path, _png(figure))


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
    n, height, width, _ = images.shape
    zoom = zoom_for(width)
    strips = [
        _with_line(image.repeat(zoom, 0).repeat(zoom, 1), label)
        for image, label in zip(images, labels, strict=True)
    ]
    rows = -(-n // columns)
    strips += [np.full_like(strips[0], 255)] * (rows * columns - n)
    block = Block("", np.stack(strips).reshape(rows, columns, *strips[0].shape))
    draw(path, title, [block], [""] * rows, caption, zoom=1)


def _with_line(image: np.ndarray, text: str) -> np.ndarray:
    """An image with a line of text beneath."""
    height, width, _ = image.shape
    figure = blank(width, _LINE)
    at = {"fontsize": _LABEL * 72 / DPI, "color": INK, "fontfamily": FONT}
    figure.text(0.5, 0.5, text, ha="center", va="center", **at)  # type: ignore[arg-type]
    return np.concatenate([image, rendered(figure)])


def blank(width: int, height: int) -> Figure:
    """An empty white matplotlib figure of so many pixels, for `rendered`."""
    # Not pyplot: it would keep every figure and choose a backend for the whole program.
    from matplotlib.figure import Figure

    return Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")


def rendered(figure: Figure) -> np.ndarray:
    """A matplotlib figure as H x W x 3 uint8, to be one of the images of `draw`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def training(lines: Sequence[dict[str, Any]], path: Path, caption: str) -> None:
    """Draw what a training measured: losses and, where it is there, the distance to real images.

    lines: objects with ``step`` and any of ``discriminator``, ``generator`` (nats), ``swd_mean``
    and ``warning``; a dotted line is drawn where something was warned of.
    """
    measured = [line for line in lines if "swd_mean" in line]
    figure = blank(800, 420 if not measured else 640)
    panels = figure.subplots(2 if measured else 1, sharex=True, squeeze=False)[:, 0]
    for name, colour in (("discriminator", BLUE), ("generator", ORANGE)):
        have = [line for line in lines if name in line]
        if not have:
            continue
        steps, values = (np.array([line[key] for line in have]) for key in ("step", name))
        window = max(1, len(have) // 100)
        smooth = np.convolve(values, np.ones(window) / window, mode="valid")
        panels[0].plot(steps, values, color=colour, alpha=0.2, linewidth=0.5)
        panels[0].plot(steps[window - 1 :], smooth, color=colour, label=name)
    panels[0].set_ylabel("loss (nats)")
    if any("generator" in line for line in lines):
        panels[0].legend(frameon=False)
    if measured:
        best = min(measured, key=lambda line: line["swd_mean"])
        for scale in sorted({k for line in measured for k in line if k.startswith("swd_")}):
            steps, values = (np.array([m[key] for m in measured]) for key in ("step", scale))
            whole = scale == "swd_mean"
            style = {"color": INK if whole else PALE, "linewidth": 1.8 if whole else 0.7}
            panels[1].plot(steps, values, marker="." if whole else "", **style)
            label = "mean" if whole else f"{scale.removeprefix('swd_')} pixels"
            panels[1].annotate(label, (steps[-1], values[-1]), color=style["color"])
        panels[1].plot(best["step"], best["swd_mean"], "o", color=GREEN, label="best")
        panels[1].set_ylabel("sliced Wasserstein distance")
        panels[1].set_ylim(bottom=0)
        panels[1].legend(frameon=False)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        for line in lines:
            if "warning" in line:
                axes.axvline(line["step"], color=ORANGE, linestyle=":", linewidth=1)
    panels[-1].set_xlabel(f"step\n{caption}")
    figure.subplots_adjust(left=0.09, right=0.91, bottom=0.13, top=0.96, hspace=0.12)
    files.write_bytes(path, _png(figure))


def read_image(path: str | os.PathLike[str]) -> np.ndarray | None:
    """A PNG as H x W x 3 uint8 RGB; None if there is none."""
    if not Path(path).exists():
        return None
    image = cv2.imdecode(np.frombuffer(Path(path).read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    return None if image is None else image[..., ::-1]


def write_image(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Write H x W x 3 uint8 RGB as PNG, whole or not at all."""
    done, data = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))
    assert done, "OpenCV encodes every uint8 RGB array as PNG"
    files.write_bytes(path, data.tobytes())


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    # Without its version in the file, the same picture is the same bytes.
    figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    return stream.getvalue()
