"""Containers of named images: the protocol; folders, zips and tars."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import posixpath
import re
import stat
import tarfile
import weakref
import zipfile
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile, gettempdir
from typing import IO, Any, TypeVar

import numpy as np

from dcgan_probe.errors import InputError, brief

T = TypeVar("T")
# What OpenCV decodes, 8 or 16 bits a sample.
ENDINGS = tuple(
    f".{ending}"
    for ending in (
        *("png", "jpg", "jpeg", "jpe", "jfif", "bmp", "dib", "webp", "tif", "tiff"),
        *("gif", "avif", "jp2", "ppm", "pgm", "pbm", "pnm"),
    )
)
MAX_ENTRY = 256 << 20  # bytes
# No archive of images holds a hundred times its own size; a bomb, written to fill the disk, does.
MAX_UNPACKED = 100
COMPRESSED: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_BLOCK = 1 << 20
PICKLES = "pickles of CIFAR"
_CIFAR = re.compile(r"data_batch_\d|test_batch|batches\.meta")
_KINDS = 6  # kinds of files left out that are named; the others are added up
_HOPS = 40  # links to links that are followed, as Linux does
_MAX_LINKED = 5_000_000


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
    left_out: how many other files there are, by their kind.
    """

    names: Sequence[str]

    def __init__(self, path: Path):
        self.path = path
        self.left_out: Counter[str] = Counter()

    def taken(self) -> str:
        """How many of the files are taken, and what the others are.

        >>> container.taken()
        'took 8 of 16: 4 links that lead nowhere, 4 .xcf'
        """
        count = len(self.names)
        return f"took {count} of {count + self.left_out.total()}: {self.others()}"

    def others(self) -> str:
        """The files that are left out, by kind, the most frequent first."""
        kinds = sorted(self.left_out.items(), key=lambda kind: (-kind[1], kind[0]))
        named = [f"{count} {shown(kind)}" for kind, count in kinds[:_KINDS]]
        rest = sum(count for _, count in kinds[_KINDS:])
        return ", ".join(named + [f"{rest} others"] * bool(rest))

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
    return name.lower().endswith(ENDINGS) and not _is_hidden(name)


def other_kind(name: str) -> str:
    """Name the kind of a file that is not an image, from its suffix.

    >>> [other_kind(n) for n in ("a/b.XCF", "README", "a/.b.jpg")]
    ['.xcf', 'without an ending', 'hidden']
    """
    if _is_hidden(name):
        return "hidden"
    if _CIFAR.fullmatch(PurePosixPath(name).name):
        return PICKLES
    return PurePosixPath(name).suffix.lower()[:20] or "without an ending"


def _is_hidden(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any(p.startswith(".") and p not in ("..", ".") for p in parts) or "__MACOSX" in parts


def follow_links(
    links: Mapping[str, str], files: Collection[str]
) -> tuple[dict[str, str], list[str]]:
    """The files that the links of an archive lead to, by the name each has through its link.

        >>> follow_links({"b": "a", "c.png": "gone.png"}, ["a/1.png"])
        ({'b/1.png': 'a/1.png'}, ['c.png'])

    links: from the name of each to the path it leads to, from the archive's root. Returns also the
    links that lead nowhere. Raises InputError where links multiply the number of files.
    """
    by_path = {posixpath.normpath(name): name for name in files}
    targets = {posixpath.normpath(name): posixpath.normpath(to) for name, to in links.items()}
    paths = sorted(by_path)
    linked: dict[str, str] = {}
    nowhere = []
    for link in links:
        target = posixpath.normpath(links[link])
        for _ in range(_HOPS):
            target = targets.get(target, target)
        inside = f"{target}/"
        start = bisect_left(paths, inside)
        stop = bisect_left(paths, f"{target}0")  # the character after "/"
        if target in by_path:
            linked[link] = by_path[target]
        elif start < stop and not link.startswith(inside):
            if len(linked) + stop - start > _MAX_LINKED:
                raise InputError(f"found links to more than {_MAX_LINKED} files, expected fewer")
            for path in paths[start:stop]:
                linked[f"{link}/{path.removeprefix(inside)}"] = by_path[path]
        else:
            nowhere.append(link)
    return linked, nowhere


def shown(name: str) -> str:
    """A name as it can be printed, whatever bytes it has."""
    return name.encode("utf-8", "backslashreplace").decode()


def check_size(size: int) -> None:
    """Raise Unreadable for an image of more bytes than `MAX_ENTRY`."""
    if size > MAX_ENTRY:
        raise Unreadable(f"claims {size} bytes, more than the {MAX_ENTRY} allowed")


class DrawnSubset(Container):
    """Some of the images of another container, drawn by a seed, in the order of their names."""

    def __init__(self, whole: Container, n: int, seed: int):
        super().__init__(whole.path)
        self.whole = whole
        chosen = np.random.default_rng(seed).permutation(len(whole.names))[:n]
        self._chosen = np.sort(chosen).tolist()
        self.names = [whole.names[i] for i in self._chosen]
        self.left_out = whole.left_out

    def entry(self, index: int) -> bytes | np.ndarray:
        return self.whole.entry(self._chosen[index])

    def entries(self, indices: Iterable[int]) -> Iterator[bytes | np.ndarray | Unreadable]:
        return self.whole.entries(self._chosen[index] for index in indices)

    def files(self, indices: Sequence[int]) -> dict[str, Path]:
        return self.whole.files([self._chosen[index] for index in indices])


class Folder(Container):
    """A folder and its sub-folders; links are followed, except one to a parent."""

    def __init__(self, path: Path):
        super().__init__(path)
        try:
            above = os.stat(path)
            names = _walk(path, "", {(above.st_dev, above.st_ino)}, self.left_out)
            self.names = sorted(names)
        except OSError as error:
            raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from error
        except RecursionError:
            raise InputError(f"{path}: found folders nested too deeply") from None

    def entry(self, index: int) -> bytes:
        try:
            with open(self.path / self.names[index], "rb") as file:
                check_size(os.fstat(file.fileno()).st_size)
                return file.read()
        except OSError as error:
            raise Unreadable(f"cannot be read: {error.strerror}") from error

    def files(self, indices: Sequence[int]) -> dict[str, Path]:
        return {self.names[i]: self.path / self.names[i] for i in indices}


def _walk(
    folder: Path, prefix: str, above: set[tuple[int, int]], left_out: Counter[str]
) -> Iterator[str]:
    """The names of the images under a folder; above: what tells it and those it lies in apart."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = prefix + entry.name
            try:
                is_folder, is_file = entry.is_dir(), entry.is_file()
                status = entry.stat() if is_folder else None
            except OSError:
                left_out["unreadable"] += 1
                continue
            if status is not None:
                own = status.st_dev, status.st_ino
                if own in above:
                    left_out["links to a folder above"] += 1
                else:
                    yield from _walk(folder / entry.name, f"{name}/", above | {own}, left_out)
            elif not is_file:
                left_out["links that lead nowhere" if entry.is_symlink() else "special files"] += 1
            elif is_image(name):
                yield name
            else:
                left_out[other_kind(name)] += 1


class Zip(Container):
    """A zip. Of two entries of one name the later counts, as when it is unpacked."""

    def __init__(self, path: Path, archive: zipfile.ZipFile):
        super().__init__(path)
        self._archive = archive
        every = {e.filename: e for e in archive.infolist() if not e.filename.endswith("/")}
        encrypted = [name for name, e in every.items() if e.flag_bits & 1 and is_image(name)]
        if encrypted:
            images = sum(map(is_image, every))
            raise InputError(
                f"{path}: {encrypted[0]}: found an encrypted entry, expected none "
                f"({len(encrypted)} of {images} are)"
            )
        links = {name: self._target(e) for name, e in every.items() if _is_link(e)}
        files = {name: entry for name, entry in every.items() if name not in links}
        entries = _with_links(self, files, links)
        self.names = sorted(entries)
        self._entries = [entries[name] for name in self.names]

    def _target(self, entry: zipfile.ZipInfo) -> str:
        """Where a link leads: a zip has that for the link's content."""
        try:
            if entry.file_size > _BLOCK:
                return ""
            target = self._archive.read(entry).decode(errors="surrogateescape")
        except Exception:  # counted among the links that lead nowhere
            return ""
        return posixpath.join(posixpath.dirname(entry.filename), target)

    def entry(self, index: int) -> bytes:
        entry = self._entries[index]
        check_size(entry.file_size)
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # For these zipfile takes what comes out whole, however little was declared.
            raise Unreadable("found a compression other than deflate")
        try:
            with self._archive.open(entry) as file:
                data = file.read(entry.file_size)
        except Exception as error:  # zipfile, zlib and struct raise all sorts on a damaged header
            raise Unreadable(f"cannot be read: {error or type(error).__name__}") from error
        return _whole(data, entry.file_size)


def _is_link(entry: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(entry.external_attr >> 16)


def _with_links(
    container: Container, files: Mapping[str, T], links: Mapping[str, str]
) -> dict[str, T]:
    """The images of an archive, those that links lead to included; the others are counted."""
    followed, nowhere = follow_links(links, files)
    container.left_out["links that lead nowhere"] += len(nowhere)
    every = {**{name: files[to] for name, to in followed.items()}, **files}
    container.left_out.update(other_kind(name) for name in every if not is_image(name))
    container.left_out += Counter()  # without what was counted 0 times
    return {name: place for name, place in every.items() if is_image(name)}


def choose_file(path: Path) -> tuple[Any, IO[bytes]]:
    """How to decompress a file, or None; and what to read: the file, or an empty one to fill."""
    with open(path, "rb") as file:
        head = file.read(6)
    opened = next((o for magic, o in COMPRESSED.items() if head.startswith(magic)), None)
    return opened, TemporaryFile() if opened else open(path, "rb")


class Tar(Container):
    """A tar. One that is compressed is unpacked once, into a file that has no name."""

    def __init__(self, path: Path):
        super().__init__(path)
        opened, self._file = choose_file(path)
        weakref.finalize(self, self._file.close)
        files: dict[str, tuple[int, int]] = {}
        links: dict[str, str] = {}
        try:
            if opened:
                unpack(path, opened, self._file)
            with tarfile.open(fileobj=self._file, mode="r:", tarinfo=_Member) as archive:
                while (member := archive.next()) is not None:
                    archive.members.clear()  # type: ignore[attr-defined]  # it keeps all it has seen
                    self._add(member, files, links)
        except InputError:
            raise
        except Exception as error:  # tarfile and its decompressors raise all sorts
            raise InputError(
                f"{path}: found a damaged or cut off tar, expected a whole one: {brief(error)}"
            ) from error
        places = _with_links(self, files, links)
        self.names = sorted(places)
        self._places = [places[name] for name in self.names]

    def _add(
        self, member: tarfile.TarInfo, files: dict[str, tuple[int, int]], links: dict[str, str]
    ) -> None:
        if member.size < 0:  # as an extended header may say
            raise tarfile.ReadError("a negative size")
        if member.issym():
            links[member.name] = posixpath.join(posixpath.dirname(member.name), member.linkname)
        elif member.islnk():
            links[member.name] = member.linkname
        elif member.isreg() and not member.issparse():
            files[member.name] = member.offset_data, member.size
            links.pop(member.name, None)
        elif not member.isdir():  # a sparse file is not stored as it is
            self.left_out["special files"] += 1

    def entry(self, index: int) -> bytes:
        place, size = self._places[index]
        check_size(size)
        try:
            self._file.seek(place)
            return _whole(self._file.read(size), size)
        except OSError as error:
            raise Unreadable(f"cannot be read: {error.strerror}") from error


def unpack(path: Path, opened: Callable[[Path], IO[bytes]], into: IO[bytes]) -> None:
    """Decompress a file into another, to no more than `MAX_UNPACKED` times its size."""
    limit = path.stat().st_size * MAX_UNPACKED + MAX_ENTRY
    with opened(path) as packed:
        while block := packed.read(_BLOCK):
            if into.tell() + len(block) > limit:
                raise InputError(
                    f"{path}: found more than {MAX_UNPACKED} times its size unpacked, "
                    "expected an archive of images"
                )
            write_unpacked(path, into, block)
    write_unpacked(path, into, b"")
    into.seek(0)


def write_unpacked(path: Path, into: IO[bytes], block: bytes) -> None:
    """Write what was unpacked of `path`; InputError where the temporary folder has no room."""
    try:
        into.write(block)
        into.flush()
    except OSError as error:
        raise InputError(
            f"{gettempdir()}: cannot be written: {error.strerror}, expected room to unpack {path} "
            "(TMPDIR names another folder)"
        ) from error


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
        if member.size < 0:  # tarfile would go back, and never come to an end
            raise tarfile.InvalidHeaderError("a negative size")  # type: ignore[attr-defined]
        if member.size > _BLOCK and not (member.isreg() or member.islnk()):
            # tarfile reads the long name, or the attributes, that follow into memory.
            raise tarfile.InvalidHeaderError("a header of a mebibyte")  # type: ignore[attr-defined]
        return member


def _whole(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise Unreadable(f"found {len(data)} bytes of {size}, cut off")
    return data
