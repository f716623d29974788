"""How much room text takes: its width, and the lines that it is broken into."""

from __future__ import annotations

import re
from functools import lru_cache

from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties

from dcgan_probe.figures.canvas import DPI, FONT
from dcgan_probe.figures.output import drawable

_MARKED = re.compile(".*[-_/.]")  # what ends in a mark behind which a word may be broken
_MEASURED = 40.0  # pixels: widths grow with the size, and hinting rounds those of small letters


@lru_cache(4096)
def _measured(text: str, bold: bool) -> float:
    font = FontProperties(family=FONT, size=_MEASURED * 72 / DPI, weight="bold" if bold else None)
    width, _, _ = RendererAgg(1, 1, DPI).get_text_width_height_descent(text, font, ismath=False)
    return float(width)


def text_width(text: str, size: float, bold: bool = False) -> float:
    """The width of one line of text in pixels. size: of the font, in pixels.

    >>> text_width("wide", 24) > text_width("wide", 12) > text_width("i", 12)
    True
    """
    # Hinting may widen small letters by a few percent.
    return 1.04 * _measured(drawable(text), bold) * size / _MEASURED


def words(text: str) -> list[str]:
    """What lines may be broken between; a no-break space holds its word together.

    >>> words("+\N{NO-BREAK SPACE}smile - frown")
    ['+\xa0smile', '-', 'frown']
    """
    return [word for word in re.split("[ \n]+", text) if word]


def wrap(text: str, size: float, room: float, bold: bool = False) -> list[str]:
    """Break text between words into lines not wider than `room` pixels.

        >>> wrap("one two three", 12, room=60)
        ['one two', 'three']

    A word that is wider than the room, such as the path of a file, is broken too, if possible
    behind a mark such as "_" or "/".
    """
    lines: list[str] = []
    # What words take adds up: to measure every longer line would cost more than to draw the figure.
    taken, space = 0.0, text_width(" ", size, bold)
    left = words(text)[::-1]
    while left:
        word = left.pop()
        width = text_width(word, size, bold)
        if len(word) > 1 and width > room:
            fits = max(1, int(len(word) * room / width))
            fits = min(fits, len(word) - 1)
            marked = _MARKED.match(word[:fits])
            fits = marked.end() if marked else fits
            left += [word[fits:], word[:fits]]
        elif lines and taken + space + width <= room:
            lines[-1] += f" {word}"
            taken += space + width
        else:
            lines.append(word)
            taken = width
    return lines


def balance(text: str, size: float, room: float, bold: bool = False) -> list[str]:
    """Break text as `wrap` does, into as many lines, but of about the same width.

    >>> balance("one two three four", 12, room=90)
    ['one two', 'three four']

    A title does not end in a line of one word.
    """
    lines = wrap(text, size, room, bold)
    narrow, wide = max((text_width(word, size, bold) for word in words(text)), default=0.0), room
    while len(lines) > 1 and wide - narrow > 1:  # a word that is wider than the room ends it too
        middle = (narrow + wide) / 2
        narrower = wrap(text, size, middle, bold)
        if len(narrower) > len(lines):
            narrow = middle
        else:
            lines, wide = narrower, middle
    return lines
