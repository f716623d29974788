"""Hash the content of files, without reading unchanged ones again."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from dcgan_probe.errors import InputError
from dcgan_probe.storage import files

_BLOCK = 1 << 20
_LARGEST = 4_000_000_000  # bytes of our own JSON: a name and a hash for each of many images
_CHECKSUM = "checksum"
_YOUNG = 2_000_000_000  # ns; a file that changed so lately may change again and keep its times


class Fingerprint:
    """One SHA-256 for the content of many files, wherever they lie and whatever their dates.

        >>> Fingerprint(Path("photographs"), {"a.png": Path("photographs/a.png")}, cache).sha256
        '0d1e...'

    source: the path of them all, under which `folder` remembers the hash of each with its size and
    times, so that only what changed is read again; as git's index does it. Without a folder, or
    where it cannot be written, nothing is remembered. paths: the files, under
    names that count as content. Raises InputError for a file that cannot be read.
    """

    def __init__(
        self,
        source: Path,
        paths: dict[str, Path],
        folder: Path | None,
        progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
    ):
        self._paths = paths
        self._states = {name: _state(path) for name, path in self._paths.items()}
        place = digest([os.fspath(source.resolve())])
        index = None if folder is None else folder / "hashes" / f"{place[:32]}.json"
        known = _known(index)
        hashes = {
            name: known[name][-1]
            for name, state in self._states.items()
            if known.get(name, [])[:-1] == state
        }
        missing = [name for name in self._paths if name not in hashes]
        total = sum(self._states[name][0] for name in missing)
        done = 0
        for name in missing:
            sha = hashlib.sha256()
            for block in _blocks(self._paths[name]):
                sha.update(block)
                done += len(block)
                progress("hashing", done, total)
            hashes[name] = sha.hexdigest()
        if missing and index is not None:
            old = time.time_ns() - _YOUNG
            sure = {
                name: [*state, hashes[name]]
                for name, state in self._states.items()
                if max(state[1:]) < old
            }
            # A cache that cannot be written, a read-only home, only costs time.
            with suppress(InputError):
                write_json(index, {**known, **sure})
        self.sha256 = digest(part for name in self._paths for part in (name, hashes[name]))

    def changed(self) -> Path | None:
        """A file that is not as it was when it was hashed, if there is one."""
        for name, path in self._paths.items():
            if _state(path) != self._states[name]:
                return path
        return None


def _known(index: Path | None) -> dict[str, list[Any]]:
    """What an index remembers; nothing if it is damaged: it is only there to save time."""
    try:
        entries = read_json(index) if index is not None and os.path.lexists(index) else {}
    except (InputError, OSError):
        return {}
    return {
        name: entry
        for name, entry in entries.items()
        if isinstance(entry, list) and len(entry) == 4 and isinstance(entry[-1], str)
    }


def _state(path: Path) -> list[int]:
    """Size and times. That of the last change of any kind, ctime, no program can set back."""
    try:
        stat = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                yield block
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def digest(parts: Iterable[str]) -> str:
    """SHA-256 of strings in order, as 64 hexadecimal digits; no two lists are the same bytes."""
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        sha.update(b"%d:%s" % (len(data), data))
    return sha.hexdigest()


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON object with a checksum of its content, whole or not at all; see `read_json`."""
    files.write_json(path, {**value, _CHECKSUM: _checksum(value)})


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object that `write_json` wrote; InputError if it cannot be read or is damaged."""
    try:
        value = json.loads(files.read_bytes(path, "our own JSON", _LARGEST))
        if not isinstance(value, dict) or _CHECKSUM not in value:
            raise ValueError("another kind of value")
        if value.pop(_CHECKSUM) != _checksum(value):
            raise ValueError("another checksum than its content has")
        return value
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: cannot be read, expected our own JSON: {error}") from error


def _checksum(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
