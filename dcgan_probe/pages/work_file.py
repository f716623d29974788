"""Resume a work file: reload it, set a damaged one aside, allow a single writer."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from dcgan_probe.errors import InputError
from dcgan_probe.storage import files, json_values

T = TypeVar("T")


class NotSaved(InputError):
    """A change that could not be written: it is not part of the work, and may be sent again."""


@contextmanager
def saving(path: Path) -> Iterator[None]:
    """Raise NotSaved where what is inside the ``with`` cannot write a file."""
    try:
        yield
    except OSError as error:
        raise NotSaved(f"{path}: cannot be written: {error.strerror or error}") from error
    except InputError as error:
        raise NotSaved(str(error)) from error


def resume(path: Path, form: str, read: Callable[[Path], T]) -> tuple[T | None, str]:
    """Read what a file holds, None where there is none yet, and a notice for the user, or "".

        >>> resume(Path("windows.json"), OWN_FORMAT, Boxes.read)
        (None, '')

    form: its "format". A file that holds no JSON, or that is of this format and cannot be read, is
    renamed, and the notice names it. Raises InputError for other JSON, which is left unchanged.
    """
    if path.suffix != ".json":
        raise InputError(f"{path}: found a name that ends in {path.suffix!r}, expected .json")
    if not path.exists():  # nor what a link leads to
        return None, ""
    text = files.read_bytes(path, "JSON, or nothing", json_values.MAX_BYTES)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        pass  # cut off or overwritten; `read` says where
    else:
        kind = value.get("format") if isinstance(value, dict) else None
        if kind != form:
            raise InputError(f"{path}: format: found {kind!r}, expected {form!r}")
    try:
        return read(path), ""
    except InputError as error:
        return None, f"{error}; it is kept as {_put_aside(path).name}, and a new file begun"


def _put_aside(path: Path) -> Path:
    real = path.resolve()
    names = (real.with_name(f"{real.stem}.damaged-{i}.json") for i in itertools.count(1))
    aside = next(name for name in names if not name.exists())
    try:
        return real.rename(aside)  # a link stays one
    except OSError as error:
        raise InputError(f"{path}: cannot be renamed: {error.strerror or error}") from error


@contextmanager
def lock(path: Path, command: str = "label") -> Iterator[str]:
    """Be the only one to work on a file inside the ``with``; InputError if somebody else does.

    Gives a notice for the user, or "": where the folder cannot be written to, nothing is locked.
    """
    # Held for as long as the page is open; `files.locked`, for a change, has another name.
    file = FileLock(path.with_name(f".{path.name}.page-lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file.acquire(timeout=0)
    except Timeout as error:
        raise InputError(
            f"{path}: found another {command} at work on it, expected a file of its own"
        ) from error
    except OSError as error:
        yield f"{path}: cannot be written: {error.strerror or error}"
        return
    try:
        yield ""
    finally:
        file.release()
