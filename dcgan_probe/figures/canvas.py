"""The colours and the font of all figures, and matplotlib figures as pixels or PNG."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

# Not pyplot: it would keep every figure and choose a backend for the whole program.
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogFormatter, ScalarFormatter

from dcgan_probe.errors import printable

DPI = 100
FONT = "DejaVu Sans"  # comes with matplotlib, so figures look the same on every machine
INK, PALE = "#222222", "#666666"
# Okabe and Ito's colours: distinct to colour-blind eyes.
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
WARNING = "#A33600"  # their vermilion, dark enough to be read as text


@contextmanager
def look() -> Iterator[None]:
    """Draw with matplotlib's own defaults inside the ``with``, whatever a matplotlibrc says.

        >>> with look():
        ...     figure = blank(600, 240)

    A file of that name may lie in the working folder by chance. A character that the font lacks is
    drawn as a box, without a warning.
    """
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        yield


def blank(width: int, height: int) -> Figure:
    """An empty white matplotlib figure of a size in pixels, for `rendered`."""
    return Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")


def rendered(figure: Figure) -> np.ndarray:
    """A matplotlib figure as H x W x 3 uint8, to be one of the images of `draw`."""
    _take_literally(figure)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def png(figure: Figure) -> bytes:
    """A matplotlib figure as the bytes of a PNG file."""
    _take_literally(figure)
    stream = io.BytesIO()
    # Without its version in the file, the same picture is the same bytes.
    figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    return stream.getvalue()


def _take_literally(figure: Figure) -> None:
    """Let no text be parsed: a ``$`` in a name is not mathematics, and a name need not be UTF-8.

    Numbers on an axis stay as matplotlib sets them, such as powers of ten.
    """
    numbers: set[int] = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            formatter = axis.get_major_formatter()
            if isinstance(formatter, FuncFormatter):  # labels that were given, not numbers
                formatter.func = partial(_label, formatter.func)
            elif isinstance(formatter, LogFormatter | ScalarFormatter):
                numbers.update(map(id, axis.get_ticklabels(which="both")))
    for text in figure.findobj(Text):
        if id(text) not in numbers:
            text.set_parse_math(False)
            text.set_text(_drawable(text.get_text()))


def _label(given: Callable[..., str], *place: float) -> str:
    return _drawable(given(*place))


def _drawable(text: str) -> str:
    """Text with what no font draws escaped; lines stay lines."""
    return "\n".join(map(printable, text.split("\n")))
