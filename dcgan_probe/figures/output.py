"""Where figures go: a PNG file, also a PDF or SVG, or into the caller's hands."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogFormatter, ScalarFormatter

from dcgan_probe.errors import InputError, at_least, printable, unknown
from dcgan_probe.figures.canvas import look
from dcgan_probe.storage import files

FORMATS = ("pdf", "svg")
MAX_ZOOM = 4
# Without versions and dates in the file, the same picture is the same bytes.
_METADATA = {
    "png": ("Software",),
    "pdf": ("Creator", "Producer", "CreationDate"),
    "svg": ("Creator", "Date"),
}


class _Output(NamedTuple):
    """formats, zoom, columns: as `also` takes them. held: figures by name, if none is written."""

    formats: tuple[str, ...] = ()
    zoom: int = 1
    columns: int | None = None
    held: dict[str, Figure] | None = None


_WRITTEN = _Output()
_OUTPUT = ContextVar("output", default=_WRITTEN)


@contextmanager
def also(*formats: str, zoom: int = 1, columns: int | None = None) -> Iterator[None]:
    """Write every figure inside the ``with`` also in other formats, and the PNG larger.

        >>> with also("pdf", zoom=3):
        ...     result.save("out/forget")  # forget.pdf, and forget.png three times as large

    formats: "pdf" and "svg", as vectors; samples in them stay images, without smoothing. zoom: a
    whole number up to 4, by which a PNG grows. columns: images side by side where rows could have
    any length, as of samples. Raises InputError for others.
    """
    for name in formats:
        if name not in FORMATS:
            raise unknown("format of figures", name, FORMATS)
    if zoom not in range(1, MAX_ZOOM + 1):
        raise InputError(f"zoom: found {zoom}, expected a whole number from 1 to {MAX_ZOOM}")
    if columns is not None:
        at_least(1, columns=columns)
    token = _OUTPUT.set(_Output(formats, zoom, columns))
    try:
        yield
    finally:
        _OUTPUT.reset(token)


@contextmanager
def hold() -> Iterator[dict[str, Figure]]:
    """Gather the figures that are saved inside the ``with``, by file name, and write none.

    >>> with hold() as held:
    ...     save("loss.png", blank(600, 240))
    >>> list(held)
    ['loss']
    """
    held: dict[str, Figure] = {}
    token = _OUTPUT.set(_OUTPUT.get()._replace(held=held))
    try:
        yield held
    finally:
        _OUTPUT.reset(token)


def columns_or(usual: int) -> int:
    """The columns that `also` asks for, or the usual ones.

    >>> columns_or(16)
    16
    """
    return _OUTPUT.get().columns or usual


@look()
def save(path: str | os.PathLike[str], figure: Figure) -> None:
    """Write a matplotlib figure as a PNG file, and beside it in the formats of `also`.

    >>> save("loss.png", figure)

    No text is read as mathematics: a ``$`` in a name is a dollar.
    """
    path, output = Path(path), _OUTPUT.get()
    _take_literally(figure)
    if output.held is not None:
        output.held[path.stem] = figure
        return
    files.write_bytes(path, _encoded(figure, "png", output.zoom))
    for name in output.formats:
        files.write_bytes(path.with_suffix(f".{name}"), _encoded(figure, name))


def _encoded(figure: Figure, kind: str, zoom: int = 1) -> bytes:
    stream = io.BytesIO()
    metadata = dict.fromkeys(_METADATA[kind])
    if isinstance(figure.get_layout_engine(), PlaceHolderLayoutEngine):
        # `tight_layout` leaves it behind; it does nothing but make matplotlib draw all of it twice.
        figure.set_layout_engine(None)
    figure.savefig(stream, format=kind, dpi=figure.dpi * zoom, metadata=metadata)
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
            text.set_text(drawable(text.get_text()))


def _label(given: Callable[..., str], *place: float) -> str:
    return drawable(given(*place))


def drawable(text: str) -> str:
    """Text with what no font draws escaped; lines stay lines."""
    return "\n".join(map(printable, text.split("\n")))
