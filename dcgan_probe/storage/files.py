"""Files and folders that are written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dcgan_probe.errors import InputError

# How the name of a file ends that is not whole yet.
_PART = ".part"


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def new_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A file to fill, which takes its final name only once it is whole and on the disk.

        >>> with new_file("/tmp/example.bin") as work:
        ...     size = work.write_bytes(b"whole")

    A reader, or a crash, sees the old content or the new, never a part. An exception inside leaves
    what was at `path` before as it was. Raises InputError, with the path, where the file cannot be
    written.
    """
    path = Path(path)
    work = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(_PART, f".{path.name}.", path.parent)
        work = Path(name)
        with os.fdopen(descriptor, "rb") as file:
            yield work
            os.fsync(file.fileno())
        # mkstemp makes files private; give the file the mode that open() would have given it.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(work, 0o666 & ~mask)
        os.replace(work, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        if work is not None:
            work.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what processes that were killed while they wrote into a folder have left there."""
    for part in folder.glob(f".*{_PART}"):
        part.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file whole or not at all; see `new_file`.

    >>> write_bytes("/tmp/example.bin", b"whole")
    """
    with new_file(path) as work:
        work.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text whole or not at all; see `write_bytes`."""
    write_bytes(path, text.encode())


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write JSON whole or not at all, in a form that is the same for the same value."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def check_free(
    folder: str | os.PathLike[str], force: bool = False, own: Collection[str] = ()
) -> None:
    """Refuse a folder to write that holds something, or cannot be made, before any work is done.

    >>> check_free("/tmp/out/sample", force=True, own={"result.json", "sheet.png"})

    own: names, relative to the folder, of what an earlier run wrote there: with `force` these may
    be written over, and nothing else may.
    """
    folder = Path(folder)
    try:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder}: found a file, expected a folder or nothing")
        there = {
            path.relative_to(folder).as_posix()
            for path in (folder.rglob("*") if folder.is_dir() else ())
            if path.is_symlink() or not path.is_dir() or not any(path.iterdir())
        }
        others = there - set(own) - {".DS_Store"}
        if others:
            raise InputError(
                f"{folder}: found {min(others)}, which this command did not write, expected a new "
                "folder"
            )
        if there and not force:
            raise InputError(f"{folder}: already holds results, expected a new folder (or --force)")
        above = next(path for path in folder.absolute().parents if path.exists())
        os.rmdir(tempfile.mkdtemp(dir=above, prefix=f".{folder.name}."))
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise _unwritable(folder, error) from error


@contextmanager
def new_folder(
    folder: str | os.PathLike[str], force: bool = False, own: Collection[str] = ()
) -> Iterator[Path]:
    """A folder to fill, which takes its final name only once everything in it is written.

        >>> with new_folder("/tmp/example", force=True, own={"result.txt"}) as work:
        ...     write_text(work / "result.txt", "whole")

    An exception inside leaves what was at `folder` before as it was; a link to a folder stays one.
    Raises InputError as `check_free` does.
    """
    check_free(folder, force, own)
    folder = Path(folder)
    final = folder.resolve()
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}."))
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        os.chmod(work, 0o755)
        yield work
        try:
            _give_name(work, final)
        except OSError as error:  # on Windows, where a file in it is open somewhere
            raise _unwritable(folder, error) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _unwritable(path: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or error
    return InputError(f"{path!s:.200}: cannot be written: {reason}")


def _give_name(work: Path, folder: Path) -> None:
    """Two renames: at every moment a whole folder is there under one of the two names."""
    # A name that is free: Windows moves no folder onto another, not even onto an empty one.
    old = work.with_name(f"{work.name}.old")
    try:
        if folder.exists():
            os.replace(folder, old)
        os.replace(work, folder)
    except OSError:
        if old.exists():
            os.replace(old, folder)
        raise
    if old.exists():
        shutil.rmtree(old)
