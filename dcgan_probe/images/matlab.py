"""Read numeric arrays of MATLAB 5 files (.mat).

scipy reads such files as well, but one that is damaged, or made to, can crash it and Python with
it. Here every number of a file is checked before it is used.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from dcgan_probe.errors import InputError
from dcgan_probe.images.containers import MAX_ENTRY

MAX_UNPACKED_MAT = 20  # times its size; images of SVHN take twice
_HEAD = 128  # bytes of a file before its elements
_MATRIX, _COMPRESSED = 14, 15  # kinds of elements
_UINT32, _INT8, _INT32 = 6, 1, 5
_STORED = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
_CLASSES = {
    1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 6: "double", 7: "single",
    8: "int8", 9: "uint8", 10: "int16", 11: "uint16", 12: "int32", 13: "uint32", 14: "int64",
    15: "uint64", 16: "function", 17: "opaque",
}  # fmt: skip
_NUMERIC = {
    **{name: name for name in _CLASSES.values() if "int" in name},
    **{"double": "float64", "single": "float32"},
}
_LOGICAL, _COMPLEX = 2, 8  # flags
_MOST_AXES, _MOST_NAME, _MOST_VARIABLES = 32, 4096, 4096
_BLOCK = 1 << 16


class Variable(NamedTuple):
    """A variable of a file. kind: its class, such as "uint8", or "logical" or "complex"."""

    name: str
    shape: tuple[int, ...]
    kind: str


def variables(path: Path) -> dict[str, Variable]:
    """The variables of a file by name, of any kind; their values are not read.

        >>> variables(Path("train_32x32.mat"))["X"].shape
        (32, 32, 3, 73257)

    Raises InputError for a file that is damaged, gives one name twice, or has an array that is far
    larger than the file.
    """
    found: dict[str, Variable] = {}
    with open(path, "rb") as file:
        for element in _elements(path, file):
            variable = element.variable()
            if variable is None:
                continue
            if variable.name in found:
                raise _damaged(path, "two variables of one name")
            if len(found) == _MOST_VARIABLES:
                raise _damaged(path, f"more than {_MOST_VARIABLES} variables")
            found[variable.name] = variable
    return found


def read(path: Path, name: str) -> np.ndarray:
    """One array of numbers, in MATLAB's order of axes and the type of its class.

        >>> read(Path("train_32x32.mat"), "y").dtype
        dtype('uint8')

    Raises InputError for a file that is damaged or has no such array.
    """
    with open(path, "rb") as file:
        for element in _elements(path, file):
            variable = element.variable()
            if variable is None or variable.name != name:
                continue
            if variable.kind not in _NUMERIC:
                raise InputError(f"{path}: {name}: found {variable.kind}, expected numbers")
            return element.values(variable)
    raise InputError(f"{path}: found no {name}, expected it")


def _elements(path: Path, file: IO[bytes]) -> Iterator[_Element]:
    head = file.read(_HEAD)
    order = {b"IM": "<", b"MI": ">"}.get(head[-2:])
    if len(head) < _HEAD or order is None:
        raise _damaged(path, "another head")
    end = os.fstat(file.fileno()).st_size
    place = _HEAD
    while place < end:
        file.seek(place)
        tag = file.read(8)
        kind, size = struct.unpack(f"{order}II", tag) if len(tag) == 8 else (0, 0)
        place += 8 + size
        if kind not in (_MATRIX, _COMPRESSED) or place > end:
            raise _damaged(path, "it is cut off" if place > end or not kind else f"a kind {kind}")
        yield _Element(path, file, order, size, kind == _COMPRESSED)


class _Element:
    """A variable in a file, unpacked as it is read."""

    def __init__(self, path: Path, file: IO[bytes], order: str, size: int, compressed: bool):
        self._path, self._file, self._order, self._left = path, file, order, size
        self._limit = os.fstat(file.fileno()).st_size * MAX_UNPACKED_MAT + MAX_ENTRY
        self._unpacker = zlib.decompressobj() if compressed else None
        self._padding = 0  # bytes before the next part
        if compressed and struct.unpack(f"{order}I", self._bytes(8)[:4]) != (_MATRIX,):
            raise _damaged(path, "something other than an array")

    def variable(self) -> Variable | None:
        """Its head; None for an object of a class that only MATLAB knows."""
        kind, flags = self._part(8)
        if kind != _UINT32 or len(flags) < 8:
            raise _damaged(self._path, "no flags of an array")
        (number,) = struct.unpack(f"{self._order}I", flags[:4])
        name = _CLASSES.get(number & 255)
        if name is None:
            raise _damaged(self._path, f"a class {number & 255}")
        if name == "opaque":
            return None
        if number >> 8 & _LOGICAL:
            name = "logical"
        elif number >> 8 & _COMPLEX:
            name = "complex"
        kind, axes = self._part(4 * _MOST_AXES)
        if kind not in (_INT32, _UINT32) or not axes or len(axes) % 4:
            raise _damaged(self._path, "no sizes of an array")
        shape = struct.unpack(f"{self._order}{len(axes) // 4}i", axes)
        _, text = self._part(_MOST_NAME)
        if min(shape) < 0:
            raise _damaged(self._path, "a size below 0")
        if name in _NUMERIC and math.prod(shape) > self._limit:
            raise self._too_large()
        return Variable(text.decode("latin-1"), shape, name)

    def values(self, variable: Variable) -> np.ndarray:
        """Its numbers, once its head was read."""
        kind, data = self._part(self._limit)
        stored = np.dtype(self._order + _STORED.get(kind, "V1"))
        count = math.prod(variable.shape)
        if stored.kind == "V" or len(data) != count * stored.itemsize:
            raise _damaged(self._path, f"{len(data)} bytes of kind {kind} for {count} numbers")
        self._end()
        # MATLAB stores whole numbers in the smallest type that holds them.
        array = np.frombuffer(data, stored).astype(_NUMERIC[variable.kind], copy=False)
        return array.reshape(variable.shape, order="F")

    def _part(self, most: int) -> tuple[int, bytearray]:
        """The next part of it: the kind and the bytes, no more than `most`."""
        self._bytes(self._padding)
        self._padding = 0
        tag = self._bytes(8)
        kind, size = struct.unpack(f"{self._order}II", tag)
        if kind >> 16:  # short data lie in the tag
            kind, size = kind & 0xFFFF, kind >> 16
            if size > 4:
                raise _damaged(self._path, f"{size} bytes where 4 are")
            return kind, tag[4 : 4 + size]
        if size > most:
            raise self._too_large() if most == self._limit else _damaged(self._path, "a long head")
        data = self._bytes(size)
        self._padding = -size % 8
        return kind, data

    def _bytes(self, count: int) -> bytearray:
        """The next `count` bytes."""
        data = bytearray()
        while len(data) < count:
            if not (block := self._block(count - len(data))):
                raise _damaged(self._path, "it is cut off")
            data += block
        return data

    def _block(self, most: int) -> bytes:
        """Some of the next bytes; none at the end."""
        if self._unpacker is None:
            block = self._file.read(min(most, self._left))
            self._left -= len(block)
            return block
        while not self._unpacker.eof:
            packed = self._unpacker.unconsumed_tail
            if not packed:
                packed = self._file.read(min(_BLOCK, self._left))
                self._left -= len(packed)
            try:
                block = self._unpacker.decompress(packed, most)
            except zlib.error as error:
                raise _damaged(self._path, str(error)) from error
            if block or not packed:
                return block
        return b""

    def _end(self) -> None:
        """Make sure that what was compressed ends here, with the checksum of zlib."""
        if self._unpacker is None:
            return
        rest = len(self._block(_BLOCK))  # some writers leave out the last padding
        if rest > self._padding or self._block(1) or not self._unpacker.eof:
            raise _damaged(self._path, "another end than that of its array")

    def _too_large(self) -> InputError:
        return InputError(
            f"{self._path}: found more than {MAX_UNPACKED_MAT} times its size unpacked, expected a "
            "MATLAB file of images"
        )


def _damaged(path: Path, found: str) -> InputError:
    return InputError(f"{path}: found a damaged MATLAB file ({found}), expected a whole one")
