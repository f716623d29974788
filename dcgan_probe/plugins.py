"""The contract of a probe, and how probes are found and handed the session.

A probe declares a click command under the entry point group ``dcgan_probe.probes`` of any
installed package; it gets the session, by `pass_session`, and it returns a `Result`. Those that
ship are found in the same way. A module is imported only when its command is used, so a broken or
slow one costs nobody else.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Protocol

import click

from dcgan_probe.errors import InputError

if TYPE_CHECKING:
    from dcgan_probe.results import Result
    from dcgan_probe.session import Session

GROUP = "dcgan_probe.probes"
GROUPS = {
    "probe": GROUP,
    "detector": "dcgan_probe.detectors",
    "classifier": "dcgan_probe.classifiers",
}


class Probe(Protocol):
    """What the module of a probe holds beside its command: the same, for scripts.

        >>> from dcgan_probe.probes import sample
        >>> probe: Probe = sample
        >>> print(probe.run(Session.open("rooms"), n=4))
        4 samples

    run: takes the session and the probe's own options, and returns a result that saves and draws
    itself. The command passes its options on to it and gives what it returns to `Session.save`.
    """

    @property
    def run(self) -> Callable[Concatenate[Session, ...], Result]: ...


def find(group: str = GROUP, only_ours: bool = False) -> dict[str, list[metadata.EntryPoint]]:
    """Entry points of a group, by name: one each, unless several packages took the same name.

    >>> [owner(point) for point in find()["sample"]]
    ['dcgan-probe']

    Nothing is imported. only_ours: those of this package alone.
    """
    points: dict[str, list[metadata.EntryPoint]] = {}
    for point in metadata.entry_points(group=group):
        if not only_ours or is_ours(point):
            points.setdefault(point.name, []).append(point)
    return points


def the_one(points: list[metadata.EntryPoint]) -> metadata.EntryPoint:
    """The entry point that a name means: ours, if it is one of them.

    Raises InputError with all owners if other packages have taken the same name.
    """
    if len(points) == 1:
        return points[0]
    for point in points:
        if is_ours(point):
            return point
    owners = " and ".join(sorted(f"{owner(point)} ({point.value})" for point in points))
    raise InputError(
        f"{points[0].name}: found the name in {owners}, expected it in one package: uninstall the "
        "others"
    )


def owner(point: metadata.EntryPoint) -> str:
    """The name of the package that an entry point is of."""
    return point.dist.name if point.dist else "unknown package"


def is_ours(point: metadata.EntryPoint) -> bool:
    return re.sub(r"[-_.]+", "-", owner(point)).lower() == "dcgan-probe"


def _where(point: metadata.EntryPoint) -> str:
    kind = next(kind for kind, group in GROUPS.items() if group == point.group)
    return f"{kind} {point.name} ({owner(point)}, {point.value})"


def made(point: metadata.EntryPoint, needs: Mapping[str, type], *arguments: Any) -> Any:
    """What the factory of a detector or classifier returns for arguments.

    needs: attributes that it must have, and their types; it must be callable too. Raises
    InputError that names the package and what is wrong; one that the factory raises is passed on.
    """
    where = _where(point)
    try:
        found = point.load()(*arguments)
    except InputError:
        raise
    except Exception as error:  # a stranger's module may raise anything
        raise InputError(f"{where}: cannot be used: {type(error).__name__}: {error}") from error
    for attribute, kind in needs.items():
        if not isinstance(getattr(found, attribute, None), kind):
            raise InputError(f"{where}: found no {attribute}, expected {kind.__name__}")
    if not callable(found):
        raise InputError(f"{where}: found {type(found).__name__}, expected a callable")
    return found


def load(point: metadata.EntryPoint) -> click.Command:
    """Import a probe; InputError names the package and what went wrong."""
    where = _where(point)
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
        spec = _spec(point.module)
        if spec is None:
            return f"(broken: there is no module {point.module})"
        if spec.origin is None or not spec.origin.endswith(".py"):
            return ""  # compiled
        tree = ast.parse(Path(spec.origin).read_bytes())
    except Exception as error:  # whatever a stranger's source is
        return f"(broken: {type(error).__name__}: {error})"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == point.attr:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


def _spec(module: str) -> ModuleSpec | None:
    """Where a module is; importlib's own find_spec would import the packages that hold it."""
    path, name, spec = None, "", None
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        specs = (finder.find_spec(name, path) for finder in sys.meta_path)
        spec = next((found for found in specs if found is not None), None)
        if spec is None:
            return None
        path = spec.submodule_search_locations
    return spec


class Last(click.Command):
    """The last of its line, so that its options may stand behind its arguments."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        return super().make_context(*args, **{**extra, "allow_interspersed_args": True})


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
        session = session_of(context)
        session.start(context.info_name or function.__name__)
        return context.invoke(function, session, *args, **options)

    return command


def session_of(context: click.Context) -> Session:
    """The session of the line that a command is on, for one that may write no results.

    >>> session_of(click.get_current_context()).seed
    0
    """
    opener = context.find_object(Opener)
    if opener is None:
        raise click.UsageError(f"{context.info_name} runs under the command dcgan-probe")
    return opener.session
