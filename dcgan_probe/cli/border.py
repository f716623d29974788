"""Turn every exception of a command line into one line and an exit code.

Exit codes: 0 done, 1 a bug (of this package or a plugin), 2 a mistake in the input or something
that the system refused, 130 interrupted by Ctrl-C.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import IO, Any, NoReturn

import click

from dcgan_probe.errors import InputError, brief

BUG, MISTAKE, INTERRUPTED = 1, 2, 130
# How torch begins where memory ran out; on a GPU it has a class of its own.
_NO_MEMORY = ("can't allocate memory", "not enough memory", "CUDA out of memory")


class Ending(click.ClickException):
    """One line on stderr, bounded as those of `InputError` are, and an exit code."""

    def __init__(self, line: str, exit_code: int):
        super().__init__(str(InputError(line)))
        self.exit_code = exit_code  # type: ignore[misc]  # click has it on the class

    def show(self, file: IO[Any] | None = None) -> None:
        with contextlib.suppress(OSError):  # stderr is full or gone: the exit code still tells
            super().show(file)


def ending(error: BaseException) -> Ending:
    """The line and the exit code for what a command raised.

    >>> ending(FileNotFoundError(2, "No such file or directory", "a.png")).message
    'a.png: No such file or directory'
    >>> ending(MemoryError()).exit_code
    2
    """
    if isinstance(error, InputError):
        return Ending(str(error), MISTAKE)
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return Ending(str(error) or "interrupted", INTERRUPTED)
    if isinstance(error, OSError):
        return Ending(_of_the_system(error), MISTAKE)
    if isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY):
        return Ending(f"out of memory, expected more of it: {brief(error)}", MISTAKE)
    if isinstance(error, ImportError):
        line = f"{brief(error)}: a library is missing or broken, expected it to be installed whole"
        return Ending(line, MISTAKE)
    return Ending(
        f"bug: {brief(error)}, in {_place(error)}; with --verbose the whole traceback, please "
        "report it",
        BUG,
    )


def _of_the_system(error: OSError) -> str:
    reason = error.strerror or brief(error)
    if error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {reason}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{reason} (temporary files are in {_temporary()}; TMPDIR names another folder)"
    return reason


def _temporary() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:
        return "no folder that can be written"


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "(unknown)"
    return f"{'/'.join(Path(frames[-1].filename).parts[-3:])}:{frames[-1].lineno}"


def leave(run: Callable[[], object]) -> NoReturn:
    """Run a command line to its end, and exit with its code."""
    code: object = BUG
    before = None
    try:
        if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as of what a script runs with &
            with contextlib.suppress(ValueError):  # not in the main thread: no signals come here
                before = signal.signal(signal.SIGINT, _interrupt)
        code = run()
    except click.ClickException as error:
        with contextlib.suppress(OSError):
            error.show()
        code = error.exit_code
    except (Exception, KeyboardInterrupt) as error:
        refusal = ending(error)
        refusal.show()
        code = refusal.exit_code
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
        _drain()
    sys.exit(code if isinstance(code, int) else 0)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Raise KeyboardInterrupt, as Python does; but end at once where a module is imported.

    Libraries in C swallow an exception that comes while they are imported.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            ending(KeyboardInterrupt()).show()
            os._exit(INTERRUPTED)
        frame = frame.f_back
    raise KeyboardInterrupt


def _drain() -> None:
    """Let Python not complain a second time, at its exit, that stdout cannot be written."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
