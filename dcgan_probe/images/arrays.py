"""Images stored in one array: NumPy's `.npz`, MNIST's idx, and the MATLAB files of SVHN."""

from __future__ import annotations

import math
import os
import struct
import weakref
import zipfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from dcgan_probe.errors import InputError, unknown
from dcgan_probe.images import matlab
from dcgan_probe.images.containers import (
    COMPRESSED,
    MAX_ENTRY,
    MAX_UNPACKED,
    Container,
    check_size,
    choose_file,
    shown,
    unpack,
    write_unpacked,
)

_LAYOUTS = "uint8 N x H x W, N x H x W x C or N x C x H x W"


class Npz(Container):
    """One array of images, uint8, that an `.npz` holds. Nothing in it is unpickled.

        >>> np.savez("digits.npz", images=np.zeros((10, 28, 28), np.uint8), labels=np.arange(10))
        >>> Npz(Path("digits.npz"), zipfile.ZipFile("digits.npz")).names[3]
        'images[00000003]'

    The array is mapped into memory, not read; one that is compressed is first unpacked into a file
    that has no name. member: which array, needed where several could be images. Raises InputError
    if there is no such array, if it claims another size than it has, or if its axes could be read
    in two ways.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile, member: str | None = None):
        super().__init__(path)
        self._archive = archive
        arrays = {
            m.filename.removesuffix(".npy"): _header(path, archive, m) for m in archive.filelist
        }
        if member is not None and member not in arrays:
            raise unknown("array", member, arrays, str(path))
        candidates = [
            name
            for name, (shape, dtype, _, _) in arrays.items()
            if (_layout(shape, dtype) if member is None else name == member)
        ]
        if len(candidates) != 1:
            listed = ", ".join(
                f"{shown(name)} ({dtype} {' x '.join(map(str, shape))})"
                for name, (shape, dtype, _, _) in arrays.items()
                if not candidates or name in candidates
            )
            choose = f": {path}:{candidates[0]} takes that" if candidates else ""
            raise InputError(f"{path}: found {listed}, expected one array {_LAYOUTS}{choose}")
        self._name = candidates[0]
        _check_axes(path, self._name, *arrays[self._name][:2])
        self._shape, _, self._order, self._start = arrays[self._name]
        self._member = archive.getinfo(f"{self._name}.npy")
        _check_claim(path, self._name, self._member.file_size)
        self.names = _numbered(self._name, self._shape[0])

    @cached_property
    def _array(self) -> np.ndarray:
        if self._member.compress_type == zipfile.ZIP_STORED:
            with open(self.path, "rb") as file:
                file.seek(self._member.header_offset + 26)
                name, extra = struct.unpack("<HH", file.read(4))
                return self._map(file, self._member.header_offset + 30 + name + extra)
        with TemporaryFile() as unpacked, self._archive.open(self._member) as packed:
            while block := packed.read(1 << 20):
                write_unpacked(self.path, unpacked, block)
            write_unpacked(self.path, unpacked, b"")
            return self._map(unpacked, 0)

    def _map(self, file: IO[bytes], start: int) -> np.ndarray:
        shape = tuple(self._shape)
        return np.memmap(file, np.uint8, "r", start + self._start, shape, self._order)

    def entry(self, index: int) -> np.ndarray:
        check_size(math.prod(self._shape[1:]))
        try:
            image = np.array(self._array[index])
        except InputError:
            raise
        except Exception as error:  # zipfile, zlib and numpy raise all sorts on damaged data
            raise InputError(f"{self.path}: {self._name}: cannot be read: {error}") from error
        channels_first = _layout(self._shape, np.dtype(np.uint8)) == "NCHW"
        return image.transpose(1, 2, 0) if channels_first else image


class Idx(Container):
    """MNIST's idx of images, N x H x W uint8, or N x H x W x C; perhaps compressed by gzip.

    Raises InputError for another type or number of axes, and where there is less than it claims.
    """

    def __init__(self, path: Path):
        super().__init__(path)
        opened, self._file = choose_file(path)
        weakref.finalize(self, self._file.close)
        try:
            if opened:
                unpack(path, opened, self._file)
            self._file.seek(3)
            axes = self._file.read(1)[0]
            if axes not in (3, 4):
                raise InputError(f"{path}: found idx of {axes} axes, expected images, of 3 or 4")
            shape = struct.unpack(f">{axes}I", self._file.read(4 * axes))
        except InputError:
            raise
        except Exception as error:  # gzip and struct raise all sorts on a damaged file
            raise InputError(
                f"{path}: found a damaged idx, expected a whole one: {error}"
            ) from error
        if _layout(shape, np.dtype(np.uint8)) not in ("NHW", "NHWC"):
            raise InputError(f"{path}: found idx of {' x '.join(map(str, shape))}, expected images")
        self._shape, self._start = shape, 4 + 4 * axes
        held = os.fstat(self._file.fileno()).st_size
        if held != self._start + math.prod(shape):
            raise InputError(
                f"{path}: found {held} bytes, expected {self._start + math.prod(shape)} for "
                f"{' x '.join(map(str, shape))} pixels"
            )
        self.names = _numbered("images", shape[0])

    @cached_property
    def _array(self) -> np.ndarray:
        return np.memmap(self._file, np.uint8, "r", self._start, self._shape)

    def entry(self, index: int) -> np.ndarray:
        check_size(math.prod(self._shape[1:]))
        return np.array(self._array[index])


def is_idx(head: bytes) -> bool:
    """Whether a file that begins so is an idx of unsigned bytes.

    >>> is_idx(bytes([0, 0, 8, 3, 0, 0, 234, 96])), is_idx(bytes(8))
    (True, False)
    """
    return head[:3] == b"\0\0\x08" and len(head) > 3 and 1 <= head[3] <= 8


def holds_idx(path: Path, head: bytes) -> bool:
    """Whether what a compressed file holds begins as an idx."""
    opened = next((o for magic, o in COMPRESSED.items() if head.startswith(magic)), None)
    if opened is None:
        return False
    try:
        with opened(path) as packed:
            return is_idx(packed.read(4))
    except Exception:  # damaged: the later reader reports it
        return False


class Mat(Container):
    """The array X of a MATLAB 5 file in SVHN's layout: H x W x 3 x N uint8; read on use."""

    def __init__(self, path: Path):
        super().__init__(path)
        variables = matlab.variables(path)
        _, shape, kind = variables.get("X", matlab.Variable("X", (), ""))
        if kind != "uint8" or len(shape) != 4 or shape[2] not in (1, 3) or min(shape) < 1:
            listed = ", ".join(
                f"{name} ({kind} {' x '.join(map(str, shape))})"
                for name, shape, kind in variables.values()
            )
            raise InputError(
                f"{path}: found {listed or 'no variables'}, expected X (uint8 H x W x 3 x N)"
            )
        self.names = _numbered("X", shape[3])

    @cached_property
    def _array(self) -> np.ndarray:
        return matlab.read(self.path, "X")

    def entry(self, index: int) -> np.ndarray:
        return np.ascontiguousarray(self._array[..., index])


def _numbered(name: str, count: int) -> list[str]:
    return [f"{name}[{i:08d}]" for i in range(count)]


def _header(
    path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo
) -> tuple[Sequence[int], np.dtype, Any, int]:
    """Shape, type, order ("C" or "F") and the place of the first value in a member."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{path}: found a compression that np.savez does not use")
    try:
        with archive.open(member) as file:
            read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
            shape, fortran, dtype = read[npy.read_magic(file)](file)
            start = file.tell()
    except KeyError as error:
        raise InputError(
            f"{path}: {shown(member.filename)}: found .npy version {error}, expected 1.0 or 2.0"
        ) from error
    except Exception as error:  # numpy evaluates the header as a literal, and that may be anything
        raise InputError(
            f"{path}: {shown(member.filename)}: found no whole header, expected a .npy: {error}"
        ) from error
    claimed = start + math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and claimed != member.file_size:
        raise InputError(
            f"{path}: {shown(member.filename)}: found a claim of {claimed} bytes, expected the "
            f"{member.file_size} it holds"
        )
    return shape, dtype, "F" if fortran else "C", start


def _layout(shape: Sequence[int], dtype: np.dtype) -> str | None:
    if dtype != np.uint8 or min(shape, default=0) < 1:
        return None
    match shape:
        case [_, _, _]:
            return "NHW"
        case [_, _, _, 1 | 3 | 4]:
            return "NHWC"
        case [_, 1 | 3, _, _]:
            return "NCHW"
    return None


def _check_axes(path: Path, name: str, shape: Sequence[int], dtype: np.dtype) -> None:
    """Make sure that an array is a stack of images in one way of reading only."""
    words = f"{shown(name)} ({dtype} {' x '.join(map(str, shape))})"
    if not _layout(shape, dtype):
        raise InputError(f"{path}: found {words}, expected {_LAYOUTS}")
    match shape:
        case [_, _, 3 | 4] | [3, _, _]:
            raise InputError(
                f"{path}: found {words}, one image or a stack of grey ones, expected N x H x W x C"
            )
        case [_, 1 | 3, _, 1 | 3 | 4]:
            raise InputError(
                f"{path}: found {words}, whose second or last axis may be the channels, expected "
                "one of them"
            )


def _check_claim(path: Path, name: str, claimed: int) -> None:
    held = path.stat().st_size
    if claimed > held * MAX_UNPACKED + MAX_ENTRY:
        raise InputError(
            f"{path}: {shown(name)}: found a claim of {claimed} bytes in a file of {held}, "
            "expected an array of images"
        )
