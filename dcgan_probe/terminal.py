"""Output of a command line: results on stdout, messages on stderr.

A command gives its result to `answer`, which knows whether a person reads it or, under
``--json``, a program. In a script there is no command line, and `current` says so.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import click

from dcgan_probe.errors import InputError, printable

ARGUMENTS = f"{__name__}.arguments"  # as typed, in the meta of click's context
_TERMINAL = f"{__name__}.terminal"
# Options for output do not affect how a result is made.
_NOT_OF_THE_RESULT = ("out", "force", "report", "as_json", "quiet", "verbose")
_LARGEST = 1 << 30  # bytes of an input that is still hashed


class Terminal(NamedTuple):
    """line: the command line without where its results go; None in a script.

    json: where JSON lines are written, None if results are printed as text. quiet: say nothing.
    only_ours: ignore plugins of other packages. began: the start time, if steps are logged.
    """

    line: str | None = None
    json: TextIO | None = None
    quiet: bool = False
    only_ours: bool = False
    began: float | None = None


def current() -> Terminal:
    """The terminal of the command line that runs now.

    >>> current().line is None  # in a script
    True
    """
    context = click.get_current_context(silent=True)
    return Terminal() if context is None else context.meta.get(_TERMINAL, Terminal())


class NotebookLine:
    """A file for tqdm: one line in the output of a notebook cell, which every write replaces.

    A notebook's stderr is not a terminal, and a widget needs ipywidgets: this is plain text.
    """

    encoding = "utf-8"

    def __init__(self, display: Callable[..., Any]):
        self._display = display
        self._handle: Any = None

    def write(self, text: str) -> None:
        """Show text instead of what was shown before; blanks clear the line."""
        text = text.strip()
        bundle = {"text/plain": text} if text else {"text/plain": "", "text/html": ""}
        if self._handle is not None:
            self._handle.update(bundle, raw=True)
        elif text:
            self._handle = self._display(bundle, raw=True, display_id=True)

    def flush(self) -> None:
        """Do nothing: every write is sent at once."""


def notebook_line() -> NotebookLine | None:
    """A line in the running cell of a notebook, or None outside a notebook."""
    ipython: Any = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return NotebookLine(ipython.display.display) if hasattr(shell, "kernel") else None


def accept_all_text() -> None:
    """Let stdout write what its encoding lacks as ``\\u7a93``, as stderr does, and not raise."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def begin(
    context: click.Context, as_json: bool, quiet: bool, verbose: bool, only_ours: bool
) -> None:
    """Set up stdout and stderr for a command line, until its context closes.

    Under --json whatever a command prints goes to stderr, so that another package's ``print`` does
    not land between the results.
    """
    stdout = sys.stdout if as_json else None
    context.meta[_TERMINAL] = Terminal(
        _line(context), stdout, quiet, only_ours, time.perf_counter() if verbose else None
    )
    if quiet:
        context.with_resource(silence(of_stderr=False))
    elif as_json:
        context.with_resource(redirect_stdout(sys.stderr))


def answer(values: dict[str, Any], text: str) -> None:
    """Give the result of a command: its text or, under --json, its values on one line.

    >>> answer({"brightness": 0.5}, "brightness: 0.5")
    brightness: 0.5
    """
    stdout = current().json
    if stdout is None:
        _print("\n".join(map(printable, text.split("\n"))), sys.stdout)
    else:
        import json

        _print(json.dumps(values, allow_nan=False), stdout)


def _print(text: str, stdout: TextIO) -> None:
    try:
        click.echo(text, file=stdout)
    except BrokenPipeError:  # the reader has seen enough
        raise
    except OSError as error:
        raise InputError(f"stdout: cannot be written: {error.strerror or error}") from error


def note(text: str) -> None:
    """Say on stderr, unless --quiet, in one line, what was left out or assumed of an input."""
    if not current().quiet and os.environ.get("RANK", "0") == "0":  # under torchrun, once
        with suppress(OSError):  # stderr is full or gone: what is computed does not depend on it
            click.echo(printable(" ".join(text.split())), err=True)


def log(text: str, error: BaseException | None = None) -> None:
    """Under --verbose, say on stderr what is done, and where an error was raised."""
    began = current().began
    if began is not None:
        click.echo(f"{time.perf_counter() - began:7.2f} s  {printable(text)}", err=True)
        if error is not None:
            import traceback

            traceback.print_exception(error)


def describe_command() -> dict[str, Any]:
    """What was typed: the command, the line, and the files that it was given with their SHA-256.

    >>> describe_command()  # in a script
    {'command': None, 'line': None, 'inputs': []}

    A file of more than 1 GiB is named without its hash. What ``--to`` names is written, not read.
    """
    context, line = click.get_current_context(silent=True), current().line
    if context is None or line is None:
        return {"command": None, "line": None, "inputs": []}
    root = context.find_root()
    inputs = [*_inputs(root), *(_inputs(context) if context is not root else ())]
    return {"command": context.info_name, "line": line, "inputs": inputs}


def _inputs(context: click.Context) -> Iterator[dict[str, Any]]:
    from dcgan_probe.storage import files

    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        for each in value if isinstance(value, tuple) else (value,):
            path = _named_file(each)
            # A result has the hash of the model beside these.
            if path is not None and parameter.name not in ("to", "model"):
                small = path.stat().st_size <= _LARGEST
                sha = files.sha256(path) if small else None
                name = printable(path.name)  # which need not be UTF-8, as a result is
                yield {"option": parameter.opts[-1], "file": name, "sha256": sha}


def _named_file(value: Any) -> Path | None:
    """The file that the value of an option names, such as boxes.json or z.safetensors:2.

    Text that may be a name as well, such as that of a detector, is a file only with an ending.
    """
    for text in (str(value), str(value).rpartition(":")[0]):
        named = isinstance(value, Path) or isinstance(value, str) and Path(text).suffix
        if named and os.path.isfile(text):
            return Path(text)
    return None


def _line(context: click.Context) -> str:
    """The command line with the group's options in one order."""
    import shlex

    typed = context.meta.get(ARGUMENTS, [])
    values, rest, _ = context.command.make_parser(context).parse_args(list(typed))
    words = ["dcgan-probe"]
    for parameter in context.command.params:
        if parameter.name in values and parameter.name not in _NOT_OF_THE_RESULT:
            value, option = values[parameter.name], parameter.opts[0]
            if isinstance(parameter, click.Option) and parameter.is_flag:
                words.append(option)
            else:
                for each in value if isinstance(value, list) else [value]:
                    words += [option, str(each)]
    return printable(shlex.join([*words, *rest]))


@contextmanager
def silence(of_stderr: bool = True) -> Iterator[None]:
    """Let nothing that is printed be seen."""
    with (
        open(os.devnull, "w", encoding="utf-8", errors="replace") as nowhere,
        redirect_stdout(nowhere),
        redirect_stderr(nowhere) if of_stderr else nullcontext(),
    ):
        yield
