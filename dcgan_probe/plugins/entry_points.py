"""Find plugins by entry point, and load them.

Probes, detectors and classifiers of all installed packages, those that ship among them. A module
is imported only when its command is used, so a broken or slow one costs only its own command.
"""

from __future__ import annotations

import ast
import copy
import functools
import re
import sys
from collections.abc import Mapping
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, NamedTuple

import click

from dcgan_probe.errors import InputError, brief, guarded

GROUP = "dcgan_probe.probes"
GROUPS = {
    "probe": GROUP,
    "detector": "dcgan_probe.detectors",
    "classifier": "dcgan_probe.classifiers",
}


class Broken(NamedTuple):
    """What is installed so that it cannot be used.

    kind: as in `GROUPS`, with what the entry point says; or "package", whose metadata cannot be
    read: name is that of their folder, and target its path.
    """

    kind: str
    name: str
    package: str
    version: str
    target: str
    why: str


def discover(only_ours: bool = False) -> tuple[list[metadata.EntryPoint], list[Broken]]:
    """Entry points of all groups, and what is broken.

    Nothing is imported. only_ours: of this package alone, and no other's metadata are read. Of a
    package that is there twice the first on the path counts, as for an import.
    """
    points: dict[str, list[metadata.EntryPoint]] = {}
    broken = []
    for package in metadata.distributions(name="dcgan-probe" if only_ours else None):
        try:
            offered = [point for point in package.entry_points if point.group in GROUPS.values()]
            if not offered:
                continue
            if not package.name:
                raise ValueError("found no Name in METADATA, expected one")
        except Exception as error:  # half of a package may be left, or its files not be text
            path = Path(str(getattr(package, "_path", package.locate_file(""))))
            why = f"{path}: metadata cannot be read: {brief(error)}"
            broken.append(Broken("package", path.name, "unknown", "unknown", str(path), why))
        else:
            points.setdefault(_normal(package.name), offered)
    sound = []
    for point in (point for offered in points.values() for point in offered):
        if why := _fault(point):
            target = (owner(point), version(point), point.value)
            broken.append(Broken(_kind(point), point.name, *target, why))
        else:
            sound.append(point)
    return sound, broken


def find(group: str = GROUP, only_ours: bool = False) -> dict[str, list[metadata.EntryPoint]]:
    """Entry points of a group, by name: one each, unless several packages took the same name.

    >>> [owner(point) for point in find()["sample"]]
    ['dcgan-probe']

    As `discover` finds them, without what is broken.
    """
    points: dict[str, list[metadata.EntryPoint]] = {}
    for point in discover(only_ours)[0]:
        if point.group == group:
            points.setdefault(point.name, []).append(point)
    return points


def entry_point(points: list[metadata.EntryPoint]) -> metadata.EntryPoint:
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


def version(point: metadata.EntryPoint) -> str:
    """The version of the package that an entry point is of, or "unknown"."""
    versions = point.dist.metadata.get_all("Version") if point.dist else None
    return versions[0] if versions else "unknown"


def is_ours(point: metadata.EntryPoint) -> bool:
    return _normal(owner(point)) == "dcgan-probe"


def _normal(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def _kind(point: metadata.EntryPoint) -> str:
    return next(kind for kind, group in GROUPS.items() if group == point.group)


def _where(point: metadata.EntryPoint) -> str:
    return f"{_kind(point)} {point.name} ({owner(point)}, {point.value})"


def _fault(point: metadata.EntryPoint) -> str:
    if not re.fullmatch(r"\w[\w-]*", point.name):  # it is typed, and the name of a folder
        return f"found the name {point.name!r}, expected letters, digits, - and _"
    if not (point.value.isprintable() and metadata.EntryPoint.pattern.match(point.value)):
        return f"found {point.value!r}, expected module:attribute"
    return ""


def instantiate(point: metadata.EntryPoint, needs: Mapping[str, type], *arguments: Any) -> Any:
    """What the factory of a detector or classifier returns for arguments.

    needs: attributes that it must have, and their types; it must be callable too. Raises
    InputError that names the package and what is wrong; one that the factory raises is passed on.
    """
    where = _where(point)
    with guarded(f"{where}: cannot be used", InputError):
        instance = point.load()(*arguments)
        _check_needs(where, instance, needs)
    return instance


def check_given(kind: str, given: object, needs: Mapping[str, type]) -> None:
    """Make sure that a detector or classifier of a script can be used.

        >>> check_given("detector", Bright(), {"name": str, "about": dict})

    Raises InputError that names it by its function or class.
    """
    _check_needs(f"{kind} {getattr(given, '__name__', type(given).__name__)}", given, needs)


def _check_needs(where: str, instance: object, needs: Mapping[str, type]) -> None:
    for attribute, kind in needs.items():
        if not isinstance(getattr(instance, attribute, None), kind):
            raise InputError(f"{where}: found no {attribute}, expected {kind.__name__}")
    if not callable(instance):
        raise InputError(f"{where}: found {type(instance).__name__}, expected a callable")


def load(point: metadata.EntryPoint) -> click.Command:
    """Import a probe; InputError names the package and what went wrong.

    A probe of another package raises InputError for whatever its function raises, except for
    click's own exceptions. What a probe that ships raises is a bug, and passed on.
    """
    where = _where(point)
    with guarded(f"{where}: cannot be imported"):
        command = point.load()
    if not isinstance(command, click.Command) or isinstance(command, click.Group):
        kind = type(command).__name__
        raise InputError(f"{where}: found {kind}, expected a click command, not a group")
    run = command.callback
    if run is None or is_ours(point):
        return command

    @functools.wraps(run)
    def callback(*args: Any, **options: Any) -> Any:
        with guarded(where, *_PASSED):
            return run(*args, **options)

    command = copy.copy(command)
    command.callback = callback
    return command


# How a command ends in order.
_PASSED = (
    *(InputError, click.ClickException, click.Abort, click.exceptions.Exit),
    *(SystemExit, BrokenPipeError),
)


def summary(point: metadata.EntryPoint) -> str:
    """The first line of a probe's docstring, read from its source and not by importing it."""
    try:
        spec = _spec(point.module)
        if spec is None:
            return f"(broken: there is no module {point.module})"
        if spec.origin is None or not spec.origin.endswith(".py"):
            return ""  # compiled
        tree = ast.parse(Path(spec.origin).read_bytes())
    except Exception as error:  # another package's source may be anything
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
        spec = next((candidate for candidate in specs if candidate is not None), None)
        if spec is None:
            return None
        path = spec.submodule_search_locations
    return spec
