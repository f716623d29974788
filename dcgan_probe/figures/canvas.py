"""The colours and the font of all figures, and blank ones to draw on."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib

# Not pyplot: it would keep every figure and choose a backend for the whole program.
from matplotlib.figure import Figure

DPI = 100
# Pixels that text is made for; a wider picture is taken to be shown reduced. A page shows 800
# pixels, a phone less than 400, where the smallest text is then about 7 pixels high. A smaller
# number would make text larger and leave less room for images.
PAGE = 640
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


def magnification(width: float, text: float = 0) -> float:
    """How many times larger text is drawn, to be read where a page shows the picture reduced.

        >>> magnification(600), magnification(1600), magnification(1404, text=100)
        (1.0, 2.5, 2.6)

    width: of the picture in pixels; text: pixels that its labels add to it, before they are larger.
    """
    return max(1.0, width / max(PAGE - text, PAGE / 4))


def blank(width: int, height: int, scale: float = 1) -> Figure:
    """An empty white matplotlib figure of a size in pixels: a chart for `draw`, or for `save`.

        >>> blank(600, 240).subplots().plot([0.7, 0.5])

    scale: how many times larger its text and lines are drawn, see `magnification`.
    """
    dpi = DPI * scale
    # A little more, since matplotlib rounds pixels down.
    inches = (width + 1e-6) / dpi, (height + 1e-6) / dpi
    return _Shown(figsize=inches, dpi=dpi, facecolor="white")


class _Shown(Figure):
    """A figure that a notebook shows: Jupyter knows others only after pyplot was imported."""

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.savefig(stream, format="png", dpi=self.dpi)
        return stream.getvalue()


def size(figure: Figure) -> tuple[int, int]:
    """Width and height of a figure in pixels.

    >>> size(blank(600, 240))
    (600, 240)
    """
    width, height = figure.get_size_inches() * figure.dpi
    return round(width), round(height)
