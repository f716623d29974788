"""Read the folder of a chain: results in the order they were made, and their files."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcgan_probe.errors import InputError
from dcgan_probe.results.result import FILE, FORMAT, RESERVED
from dcgan_probe.storage import json_values
from dcgan_probe.storage.files import sha256

PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp")
FILMS = (".mp4", ".webm")
MAX_RESULT = 16_000_000  # bytes of all result.json together
MAX_SHOWN = 64_000_000  # bytes of all pictures and films together, before they are packed


@dataclass(frozen=True)
class Found:
    """One probe's folder.

    command: what the probe is called, without the -2 of a second run. made_with, summary,
    values: of its ``result.json``; summary is what the command printed, "" if it is missing.
    pictures, films: to be shown. others: what else lies there, folders with a / and how many files
    they hold. changed: files that are not, or no longer, what the probe wrote.
    """

    folder: Path
    command: str
    made_with: dict[str, Any]
    summary: str
    values: dict[str, Any]
    pictures: tuple[Path, ...]
    films: tuple[Path, ...]
    others: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def shown(self) -> tuple[Path, ...]:
        """What the page holds of it: pictures and films."""
        return (*self.pictures, *self.films)


def read(folder: Path) -> list[Found]:
    """The results in the sub-folders of a folder, in the order in which they were made.

    That is the order of their commands on the command line if one line made them all, else that of
    the times of their ``result.json``; those of the same time go by name. Raises InputError where
    there is no result, one is damaged or half, or all of it is too large for one page.
    """
    if not folder.exists():
        raise InputError(f"{folder}: found no such folder, expected one of results")
    if not folder.is_dir():
        raise InputError(f"{folder}: found a file, expected a folder of results")
    paths = [entry / FILE for entry in _listed(folder) if entry.is_dir()]
    paths = [path for path in paths if path.exists()]
    if not paths:
        hint = f"; {folder.parent} may be one" if (folder / FILE).exists() else ""
        raise InputError(f"{folder}: found no sub-folder with a {FILE}, expected one{hint}")
    _bound(paths, MAX_RESULT, folder, "results")
    results = _in_order([_found(path) for path in paths])
    shown = (path for result in results for path in result.shown)
    _bound(shown, MAX_SHOWN, folder, "pictures and films")
    return results


def _in_order(results: list[Found]) -> list[Found]:
    lines = [one.made_with.get("line") for one in results]
    line = lines[0]
    places = None
    if isinstance(line, str) and lines.count(line) == len(lines):
        places = _places(line, results)
    if places is not None:
        return sorted(results, key=lambda one: places[one.name])
    times = {one.name: (one.folder / FILE).stat().st_mtime_ns for one in results}
    return sorted(results, key=lambda one: times[one.name])


def _places(line: str, results: list[Found]) -> dict[str, int] | None:
    """Where the command of each folder is on a line; None if that is not certain."""
    try:
        typed = shlex.split(line)
    except ValueError:
        return None
    places: dict[str, int] = {}
    for command in {one.command for one in results}:
        at = [i for i, word in enumerate(typed) if word == command]
        names = sorted(
            (one.name for one in results if one.command == command),
            key=lambda name: (len(name), name),  # sample, sample-2, ..., sample-10
        )
        if len(at) != len(names):
            return None
        places.update(zip(names, at, strict=True))
    return places


def _found(path: Path) -> Found:
    value = json_values.read_own(path, "a result", FORMAT)
    value["made_with"].members()
    made_with, whole = value["made_with"].found, value.found
    folder = path.parent
    files = [one for one in _listed(folder) if one != path]
    kinds = {one: one.suffix.lower() if one.is_file() else "" for one in files}
    recorded = made_with.get("command")
    command = recorded if isinstance(recorded, str) else re.sub(r"-(again)?\d+$", "", folder.name)
    pictures = [one for one, kind in kinds.items() if kind in PICTURES]
    pictures.sort(key=lambda one: one.stem != command)  # its own first, the others as they are
    films = [one for one, kind in kinds.items() if kind in FILMS]
    hashes = whole.get("files")
    summary = whole.get("summary")
    return Found(
        folder,
        command,
        made_with,
        summary if isinstance(summary, str) else "",
        {key: member for key, member in whole.items() if key not in RESERVED},
        tuple(pictures),
        tuple(films),
        tuple(_named(one) for one in files if one not in pictures and one not in films),
        tuple(_changed(files, hashes)) if isinstance(hashes, dict) else (),
    )


def _changed(paths: list[Path], hashes: dict[str, Any]) -> Iterator[str]:
    """Files of the folder itself that are not as the probe wrote them; not those further below."""
    for path in paths:
        if path.is_file() and path.stat().st_size <= MAX_SHOWN:
            if path.name not in hashes:
                yield f"{path.name} was put there later"
            elif sha256(path) != hashes[path.name]:
                yield f"{path.name} was changed later"
    names = {path.name for path in paths}
    yield from (f"{name} is missing" for name in hashes if "/" not in name and name not in names)


def _listed(folder: Path) -> list[Path]:
    """What is in a folder and not hidden, by name; 2 before 10."""

    def key(path: Path) -> list[tuple[int, int, str]]:
        parts = re.split(r"([0-9]+)", path.name)
        return [(int(p), len(p), "") if i % 2 else (0, 0, p) for i, p in enumerate(parts)]

    try:
        return sorted((one for one in folder.iterdir() if not one.name.startswith(".")), key=key)
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}") from error


def _named(path: Path) -> str:
    if not path.is_dir():
        return path.name
    count = len(_listed(path))
    return f"{path.name}/ ({count} file{'s' * (count != 1)})"


def _bound(paths: Iterable[Path], most: int, folder: Path, noun: str) -> None:
    size = sum(path.stat().st_size for path in paths)
    if size > most:
        raise InputError(
            f"{folder}: found {size / 1e6:.0f} MB of {noun}, expected at most {most / 1e6:.0f} MB "
            "for one page"
        )
