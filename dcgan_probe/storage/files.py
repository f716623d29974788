"""Write files and folders atomically."""

from __future__ import annotations

import ctypes
import glob
import hashlib
import itertools
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from filelock import FileLock

from dcgan_probe.errors import InputError, option

try:
    import fcntl
except ImportError:  # Windows: what a killed writer left is not swept there
    fcntl = None  # type: ignore[assignment]

# How the name of a file or folder ends that is not whole yet. Nobody else calls one so.
_PART = ".dcgan-probe-part"
_BINARY = getattr(os, "O_BINARY", 0)  # Windows


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def open_regular(path: str | os.PathLike[str], expected: str) -> Iterator[IO[bytes]]:
    """A regular file opened to read; never a pipe, which would block, nor an endless device.

        >>> with open_regular("/tmp/example.bin", "a file of boxes") as file:
        ...     head = file.read(512)

    Raises InputError where there is no such file, it cannot be read, or is of another kind.
    """
    try:
        # Looked at after it was opened, so that nobody can put another in its place between.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    except FileNotFoundError:
        raise InputError(f"{path}: found no such file, expected {expected}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise _unreadable(path, error) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError(f"{path}: found no regular file, expected {expected}")
    with open(descriptor, "rb") as file:
        try:
            yield file
        except OSError as error:
            raise _unreadable(path, error) from error


@contextmanager
def utf8_name(path: str | os.PathLike[str]) -> Iterator[str]:
    """A name of a file for libraries that take UTF-8 alone: its own, or that of an open descriptor.

        >>> with utf8_name("/tmp/example.bin") as name:
        ...     name
        '/tmp/example.bin'

    Raises InputError for a name that is not UTF-8 where descriptors have no names (Windows).
    """
    name = os.fspath(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        with open_regular(path, "a file") as file:
            name = f"/dev/fd/{file.fileno()}"
            if not os.path.exists(name):
                raise InputError(
                    f"{path}: found a name that is not UTF-8, expected one that is"
                ) from None
            yield name
    else:
        yield name


def read_bytes(path: str | os.PathLike[str], expected: str, limit: int) -> bytes:
    """All of a regular file; raises as `open_regular`, and for more than `limit` bytes.

    >>> read_bytes("/tmp/example.bin", "a file of boxes", limit=1000)
    b'whole'
    """
    with open_regular(path, expected) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise InputError(f"{path}: found {size} bytes, expected at most {limit}")
        data = file.read(limit + 1)
    if len(data) > limit:  # it grew while it was read
        raise InputError(f"{path}: found more than {limit} bytes, expected at most as many")
    return data


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
        final = path.resolve()  # a link stays one: the file that it leads to is replaced
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise _unwritable(path, error) from error
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        descriptor, work = _new_part(final, tempfile.mkstemp)
        with os.fdopen(descriptor, "rb") as file:
            yield work
            os.fsync(file.fileno())
        # mkstemp makes files private; give the file the mode that the old one has, or that open()
        # would have given it.
        mode = stat.S_IMODE(final.stat().st_mode) if final.exists() else 0o666 & ~_umask()
        os.chmod(work, mode)
        os.replace(work, final)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        if work is not None:
            work.unlink(missing_ok=True)


def _new_part(final: Path, make: Callable[..., Any]) -> tuple[int, Path]:
    """A part of a file or folder and its descriptor, which is locked as long as it is open.

    What processes that were killed have left of the same file is removed first.
    """
    prefix = f".{final.name[:200]}."
    # In a folder that is itself a part nobody else can have left anything.
    if not any(name.endswith(_PART) for name in final.parts):
        for left in final.parent.glob(f"{glob.escape(prefix)}????????{_PART}"):
            _remove_dead(left)
    while True:
        made = make(_PART, prefix, final.parent)
        if isinstance(made, tuple):
            descriptor, work = made[0], Path(made[1])
        else:
            descriptor, work = os.open(made, os.O_RDONLY) if fcntl else -1, Path(made)
        if fcntl is None:
            return descriptor, work
        with suppress(OSError):  # a file system that has no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if work.exists():  # another process may have taken it for dead before it was locked
            return descriptor, work
        os.close(descriptor)


def _remove_dead(part: Path) -> None:
    """Remove a part that nobody holds the lock of, if it is a file or a folder."""
    if fcntl is None or part.is_symlink():
        return
    try:
        descriptor = os.open(part, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        elif part.is_file():
            part.unlink(missing_ok=True)
    except OSError:  # its writer lives, or the file system has no locks
        pass
    finally:
        os.close(descriptor)


def is_part(path: Path) -> bool:
    """Whether a name is that of a file that `new_file` had not finished.

    >>> is_part(Path("run/.state.pt.ab12cd34.dcgan-probe-part")), is_part(Path("run/state.pt"))
    (True, False)
    """
    return path.name.startswith(".") and path.name.endswith(_PART)


def sweep(folder: Path) -> None:
    """Remove what processes that were killed while they wrote into a folder have left there."""
    for part in folder.glob(f".*{_PART}"):
        _remove_dead(part)


@contextmanager
def locked(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let one process at a time read, change and write a file; the others wait.

        >>> with locked("/tmp/concepts.json"):
        ...     write_text("/tmp/concepts.json", "{}")

    The lock is a file of its own beside it, and the system frees it when its holder dies. Raises
    InputError where the folder cannot be written to.
    """
    path = Path(path)
    try:
        final = path.resolve()
        final.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(final.with_name(f".{final.name}.lock"))
        lock.acquire()
    except (OSError, NotImplementedError, RuntimeError) as error:
        raise _unwritable(path, error) from error
    try:
        yield
    finally:
        lock.release()


def beside(path: str | os.PathLike[str], ending: str) -> Path:
    """A file that says more about another, under a name that no other file has by chance.

    >>> beside("windows.npy", ".json").name
    'windows.npy.json'
    """
    path = Path(path)
    return path.with_name(path.name + ending)


def numbered(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path, and then the same with -2, -3, ... before its suffix, and so on.

    >>> names = numbered("out/report.html")
    >>> [next(names).name for _ in range(3)]
    ['report.html', 'report-2.html', 'report-3.html']
    """
    path = Path(path)
    yield path
    for number in itertools.count(2):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")


def next_free(path: str | os.PathLike[str]) -> Path:
    """The first of the `numbered` names of a path under which there is nothing yet."""
    return next(each for each in numbered(path) if not os.path.lexists(each))


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
            raise InputError(
                f"{folder}: already holds results, expected a new folder (or {option('force')})"
            )
        above = next(path for path in folder.absolute().parents if path.exists())
        with suppress(FileNotFoundError):  # swept by another process
            os.rmdir(tempfile.mkdtemp(_PART, f".{folder.name[:200]}.", above))
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
        descriptor, work = _new_part(final, tempfile.mkdtemp)
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        os.chmod(work, 0o777 & ~_umask())
        yield work
        # Another command may have written it meanwhile: the later one is refused, as at its start.
        try:
            check_free(folder, force, own)
        except InputError as error:
            raise InputError(f"{error} (another command has written it meanwhile)") from error
        try:
            _give_name(work, final)
        except OSError as error:  # on Windows, where a file in it is open somewhere
            raise _unwritable(folder, error) from error
    finally:
        if descriptor >= 0:
            os.close(descriptor)
        shutil.rmtree(work, ignore_errors=True)


def _umask() -> int:
    """The mode bits that new files are not to have. To read them is to set them, for a moment."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _unreadable(path: str | os.PathLike[str], error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or error
    return InputError(f"{path}: cannot be read: {reason}")


def _unwritable(path: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or error
    return InputError(f"{path!s:.200}: cannot be written: {reason}")


def _give_name(work: Path, folder: Path) -> None:
    """Let a folder take a name: at once where the system can exchange two, else by two renames.

    With two, a whole folder is there at every moment under one of two names.
    """
    if folder.exists() and any(folder.iterdir()) and _exchange(work, folder):
        return  # what was there has the name of the part, and goes with it
    # A name that is free: Windows moves no folder onto another, not even onto an empty one.
    old = work.with_name(f"{work.name}.old")
    try:
        if folder.exists():
            os.replace(folder, old)
        try:
            os.replace(work, folder)  # refused if another command was quicker by a moment
        except OSError as error:
            if folder.exists() and any(folder.iterdir()):
                raise InputError(
                    f"{folder}: another command has written it meanwhile, expected a new folder"
                ) from error
            raise
    except OSError:
        if old.exists():
            os.replace(old, folder)
        raise
    if old.exists():
        shutil.rmtree(old)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step, as Linux can; False where it cannot be done."""
    try:
        exchange = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    here, both = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return exchange(here, os.fsencode(one), here, os.fsencode(other), both) == 0
