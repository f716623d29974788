"""What holds many images under names: the contract, and folders, zips and tars."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import tarfile
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np

from dcgan_probe.errors import InputError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
MAX_ENTRY = 256 << 20  # bytes
# No archive of images holds a hundred times its own size; a bomb, written to fill the disk, does.
MAX_UNPACKED = 100
COMPRESSED: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_BLOCK = 1 << 20


class Unreadable(ValueError):
    """Why one image of many cannot be used. Who knows its name adds it."""


class Container:
    """Many images under names: bytes of an encoded file each, or an array.

        >>> container = Tar(Path("photographs.tar"))
        >>> container.names[:2]
        ['a.jpg', 'b/c.jpg']
        >>> container.entry(1)[:3]
        b'\\xff\\xd8\\xff'

    names: in an order that depends on the content alone, so a number is an image for good.
    """

    names: Sequence[str]

    def __init__(self, path: Path):
        self.path = path

    def entry(self, index: int) -> bytes | np.ndarray:
        """One image: bytes of an encoded file, or H x W (x C) uint8; raises Unreadable."""
        raise NotImplementedError

    def entries(self, indices: Iterable[int]) -> Iterator[bytes | np.ndarray | Unreadable]:
        """Images in the order asked for; one that cannot be read has its reason in its place."""
        for index in indices:
            try:
                yield self.entry(index)
            except Unreadable as reason:
                yield reason

    def files(self, indices: Sequence[int]) -> dict[str, Path]:
        """The files whose bytes determine the images asked for, each under a name of its own."""
        return {"": self.path}


def is_image(name: str) -> bool:
    """Whether a name is that of an image: by its ending, and not hidden nor a Mac's shadow of one.

    >>> [is_image(n) for n in ("a/b.JPG", "a/b.txt", "a/.b.jpg", "__MACOSX/a/b.jpg")]
    [True, False, False, False]
    """
    parts = PurePosixPath(name).parts
    shadow = any(part.startswith(".") and part != ".." for part in parts) or "__MACOSX" in parts
    return name.lower().endswith(ENDINGS) and not shadow


def shown(name: str) -> str:
    """A name as it can be printed, whatever bytes it has."""
    return name.encode("utf-8", "backslashreplace").decode()


def check_size(size: int) -> None:
    """Raise Unreadable for an image of more bytes than `MAX_ENTRY`."""
    if size > MAX_ENTRY:
        raise Unreadable(f"claims {size} bytes, more than the {MAX_ENTRY} allowed")


class Folder(Container):
    """A folder and its sub-folders."""

    def __init__(self, path: Path):
        super().__init__(path)
        try:
            self.names = sorted(_walk(path, ""))
        except OSError as error:
            raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from error

    def entry(self, index: int) -> bytes:
        try:
            with open(self.path / self.names[index], "rb") as file:
                check_size(os.fstat(file.fileno()).st_size)
                return file.read()
        except OSError as error:
            raise Unreadable(f"cannot be read: {error.strerror}") from error

    def files(self, indices: Sequence[int]) -> dict[str, Path]:
        return {self.names[i]: self.path / self.names[i] for i in indices}


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    with os.scandir(folder) as found:
        for entry in found:
            name = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(folder / entry.name, f"{name}/")
            elif is_image(name) and entry.is_file():
                yield name


class Zip(Container):
    """A zip. Of two entries of one name the later counts, as for whoever unpacks it."""

    def __init__(self, path: Path, archive: zipfile.ZipFile):
        super().__init__(path)
        self._archive = archive
        entries = {e.filename: e for e in archive.infolist() if is_image(e.filename)}
        encrypted = [name for name, entry in entries.items() if entry.flag_bits & 1]
        if encrypted:
            raise InputError(
                f"{path}: {encrypted[0]}: found an encrypted entry, expected none "
                f"({len(encrypted)} of {len(entries)} are)"
            )
        self.names = sorted(entries)
        self._entries = [entries[name] for name in self.names]

    def entry(self, index: int) -> bytes:
        entry = self._entries[index]
        check_size(entry.file_size)
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # For these zipfile takes what comes out whole, however little was declared.
            raise Unreadable("found a compression other than deflate")
        try:
            with self._archive.open(entry) as file:
                data = file.read(entry.file_size)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
            raise Unreadable(f"cannot be read: {error}") from error
        return _whole(data, entry.file_size)


class Tar(Container):
    """A tar. One that is compressed is unpacked once, into a file that has no name."""

    def __init__(self, path: Path):
        super().__init__(path)
        places: dict[str, tuple[int, int]] = {}
        try:
            with open(path, "rb") as file:
                head = file.read(6)
            opened = next((o for magic, o in COMPRESSED.items() if head.startswith(magic)), None)
            self._file: IO[bytes] = TemporaryFile() if opened else open(path, "rb")  # noqa: SIM115
            weakref.finalize(self, self._file.close)
            if opened:
                _unpack(path, opened, self._file)
            with tarfile.open(fileobj=self._file, mode="r:", tarinfo=_Member) as archive:
                while (member := archive.next()) is not None:
                    archive.members.clear()  # type: ignore[attr-defined]  # it keeps all it has seen
                    # Links are no files, and a sparse one is not stored as it is.
                    if member.isreg() and not member.issparse() and is_image(member.name):
                        places[member.name] = member.offset_data, member.size
        except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError) as error:
            raise InputError(
                f"{path}: found a damaged or cut off tar, expected a whole one: {error}"
            ) from error
        self.names = sorted(places)
        self._places = [places[name] for name in self.names]

    def entry(self, index: int) -> bytes:
        place, size = self._places[index]
        check_size(size)
        try:
            self._file.seek(place)
            return _whole(self._file.read(size), size)
        except OSError as error:
            raise Unreadable(f"cannot be read: {error.strerror}") from error


def _unpack(path: Path, opened: Callable[[Path], IO[bytes]], into: IO[bytes]) -> None:
    limit = path.stat().st_size * MAX_UNPACKED + MAX_ENTRY
    with opened(path) as packed:
        while block := packed.read(_BLOCK):
            if into.tell() + len(block) > limit:
                raise InputError(
                    f"{path}: found more than {MAX_UNPACKED} times its size unpacked, "
                    "expected an archive of images"
                )
            into.write(block)
    into.seek(0)


class _Member(tarfile.TarInfo):
    """A header of a tar. tarfile takes one that is damaged for the end; here it is an error."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> _Member:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error

    @classmethod
    def frombuf(cls, *arguments: object) -> _Member:
        member = super().frombuf(*arguments)  # type: ignore[arg-type]
        if member.size > _BLOCK and not (member.isreg() or member.islnk()):
            # tarfile reads the long name, or the attributes, that follow into memory.
            raise tarfile.InvalidHeaderError("a header of a mebibyte")  # type: ignore[attr-defined]
        return member


def _whole(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise Unreadable(f"found {len(data)} bytes of {size}, cut off")
    return data
