"""User errors, in one line."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from numbers import Integral

import click

MAX_LINE = 2000  # characters of an error's line
# Marks that turn the reading direction: with them a name can pretend to be another.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str) -> str:
    """Escape what would steer a terminal: control characters, lone surrogates, bidi overrides.

    >>> printable("room\x1b[2J.png")
    'room\\\\x1b[2J.png'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in ("Cc", "Cs") or character in _TURNING
        else character
        for character in text
    )


class InputError(ValueError):
    """A user's mistake, told in one line: file, place in it, what was found, what was expected.

    The command line prints the line and ends with exit code 2; in a script it is a ``ValueError``.

        >>> raise InputError("boxes.json: boxes[3]: found x1 = NaN, expected a number")
        Traceback (most recent call last):
        dcgan_probe.errors.InputError: boxes.json: boxes[3]: found x1 = NaN, expected a number
    """

    def __init__(self, message: object):
        line = printable(" ".join(str(message).split()))
        if len(line) > MAX_LINE:
            line = f"{line[: MAX_LINE // 2]} ... {line[-MAX_LINE // 2 :]}"
        super().__init__(line)


def brief(error: BaseException) -> str:
    """What other code raised, in one line that is not long.

    >>> brief(KeyError("generator"))
    "KeyError: 'generator'"
    """
    return f"{type(error).__name__}: {' '.join(str(error).split()):.200}"


@contextmanager
def guarded(where: str, *passed: type[BaseException]) -> Iterator[None]:
    """Turn what another package's code raises into one line about `where`; `passed` is passed on.

    >>> with guarded("detector bright"):
    ...     raise SystemExit("no GPU")
    Traceback (most recent call last):
    dcgan_probe.errors.InputError: detector bright: SystemExit: no GPU
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, *passed)):
            raise
        raise InputError(f"{where}: {brief(error)}") from error


@contextmanager
def parsing(where: object, expected: str) -> Iterator[None]:
    """Turn whatever a parser raises on a damaged file into the line that says so.

    >>> with parsing("a.json", "lines"):
    ...     {}["step"]
    Traceback (most recent call last):
    dcgan_probe.errors.InputError: a.json: found a damaged file (KeyError: 'step'), expected lines
    """
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{where}: cannot be read: {error.strerror or error}") from error
    except Exception as error:
        raise InputError(
            f"{where}: found a damaged file ({brief(error)}), expected {expected}"
        ) from error


def unknown(kind: str, name: object, known: Iterable[object], where: str = "") -> InputError:
    """The error for an unknown name; it lists the known ones.

    >>> print(unknown("layer", "9x9", ["4x4", "8x8"], where="generator"))
    generator: unknown layer '9x9', expected one of: 4x4, 8x8
    """
    prefix = f"{where}: " if where else ""
    listed = ", ".join(map(str, known)) or "(there are none)"
    return InputError(f"{prefix}unknown {kind} {str(name)!r}, expected one of: {listed}")


def option(name: str) -> str:
    """How an option is given: on a command line, or to the function that a script calls.

    >>> option("force")  # in a script
    'force=True'
    """
    on_command_line = click.get_current_context(silent=True) is not None
    return f"--{name}" if on_command_line else f"{name}=True"


def at_least(least: int, **counts: int) -> None:
    """Make sure that numbers, each by its name, are whole and not below one.

    >>> at_least(1, n=64, controls=0)
    Traceback (most recent call last):
    dcgan_probe.errors.InputError: controls: found 0, expected at least 1
    """
    for name, count in counts.items():
        if not isinstance(count, Integral) or isinstance(count, bool):
            raise InputError(f"{name}: found {count!r}, expected a whole number")
        if count < least:
            raise InputError(f"{name}: found {count}, expected at least {least}")
