"""Find probes by entry point, and hand them the session.

A probe is a click command under the entry point group ``dcgan_probe.probes`` of any installed
package; those that ship are found in the same way. Its module is imported only when the command
is used, so a broken or slow one costs nobody else.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dcgan_probe.errors import InputError

if TYPE_CHECKING:
    from dcgan_probe.session import Session

GROUP = "dcgan_probe.probes"


def find() -> dict[str, metadata.EntryPoint]:
    """Entry points of all installed probes, by command name."""
    return {point.name: point for point in metadata.entry_points(group=GROUP)}


def load(point: metadata.EntryPoint) -> click.Command:
    """Import a probe; InputError names the package and what went wrong."""
    package = point.dist.name if point.dist else "unknown package"
    where = f"probe {point.name} ({package}, {point.value})"
    try:
        command = point.load()
    except Exception as error:  # a stranger's module may raise anything when imported
        raise InputError(f"{where}: cannot be imported: {type(error).__name__}: {error}") from error
    if not isinstance(command, click.Command):
        raise InputError(f"{where}: found {type(command).__name__}, expected a click command")
    return command


def summary(point: metadata.EntryPoint) -> str:
    """The first line of a probe's docstring, read from its source and not by importing it."""
    try:
        spec = importlib.util.find_spec(point.module)
        if spec is None or spec.origin is None:
            return f"(broken: there is no module {point.module})"
        tree = ast.parse(Path(spec.origin).read_bytes())
    except Exception as error:  # whatever a stranger's package or source does
        return f"(broken: {type(error).__name__}: {error})"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == point.attr:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


class Opener:
    """Opens the session of a command line when the first command asks for it."""

    def __init__(self, open_session: Callable[[], Session]):
        self._open = open_session

    @functools.cached_property
    def session(self) -> Session:
        return self._open()

    def close(self) -> None:
        if "session" in self.__dict__:
            self.session.close()


def pass_session(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a click command the session as its first argument.

        >>> @click.command()
        ... @pass_session
        ... def brightness(session):
        ...     session.report({"brightness": session.sample(16).mean().item()})

    Before the command runs, its folder under ``--out`` is reserved, or refused.
    """

    @click.pass_context
    @functools.wraps(function)
    def command(context: click.Context, *args: Any, **options: Any) -> Any:
        opener = context.find_object(Opener)
        if opener is None:
            raise click.UsageError("a probe runs under the command dcgan-probe")
        opener.session.start(context.info_name or function.__name__)
        return context.invoke(function, opener.session, *args, **options)

    return command
