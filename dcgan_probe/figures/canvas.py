"""The colours and the font of all figures, and matplotlib figures as pixels or PNG."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

# Not pyplot: it would keep every figure and choose a backend for the whole program.
from matplotlib.figure import Figure

DPI = 100
FONT = "DejaVu Sans"  # comes with matplotlib, so figures look the same on every machine
INK, PALE = "#222222", "#666666"
# Okabe and Ito's colours: distinct to colour-blind eyes.
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
WARNING = "#A33600"  # their vermilion, dark enough to be read as text


def blank(width: int, height: int) -> Figure:
    """An empty white matplotlib figure of a size in pixels, for `rendered`."""
    return Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")


def rendered(figure: Figure) -> np.ndarray:
    """A matplotlib figure as H x W x 3 uint8, to be one of the images of `draw`."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def png(figure: Figure) -> bytes:
    """A matplotlib figure as the bytes of a PNG file."""
    stream = io.BytesIO()
    # Without its version in the file, the same picture is the same bytes.
    figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    return stream.getvalue()
