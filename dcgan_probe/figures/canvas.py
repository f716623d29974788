"""The colours and the font of all figures, and blank ones to draw on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib

# Not pyplot: it would keep every figure and choose a backend for the whole program.
from matplotlib.figure import Figure

DPI = 100
FONT = "DejaVu Sans"  # comes with matplotlib, so figures look the same on every machine
INK, PALE = "#222222", "#666666"
# Okabe and Ito's colours: distinct to colour-blind eyes.
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
WARNING = "#A33600"  # their vermilion, dark enough to be read as text


@contextmanager
def look() -> Iterator[None]:
    """Draw with one set of defaults inside the ``with``, whatever a matplotlibrc says.

        >>> with look():
        ...     figure = blank(600, 240)

    A file of that name may lie in the working folder by chance. A character that the font lacks is
    drawn as a box, without a warning.
    """
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        # Names inside an SVG would be random; a PDF would hold letters as drawings.
        matplotlib.rcParams.update({"svg.hashsalt": "dcgan-probe", "pdf.fonttype": 42})
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        yield


def blank(width: int, height: int) -> Figure:
    """An empty white matplotlib figure of a size in pixels: a chart for `draw`, or for `save`.

    >>> blank(600, 240).subplots().plot([0.7, 0.5])
    """
    return Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")


def size(figure: Figure) -> tuple[int, int]:
    """Width and height of a figure in pixels.

    >>> size(blank(600, 240))
    (600, 240)
    """
    width, height = figure.get_size_inches() * DPI
    return round(width), round(height)
