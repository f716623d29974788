"""Images in an LMDB as LSUN ships them: the values are encoded files, the keys their names."""

from __future__ import annotations

import importlib.util
import signal
import struct
import subprocess
import sys
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from dcgan_probe.errors import InputError
from dcgan_probe.images import lmdb_worker
from dcgan_probe.images.containers import MAX_ENTRY, Container, Unreadable, check_size

_MAGIC = struct.pack("<I", 0xBEEFC0DE)
# Of a pipe whose other end has died; what is a BrokenPipeError elsewhere is EINVAL on Windows.
_GONE = (EOFError, OSError)
_BATCH = 32  # keys a request: fewer bytes than any pipe holds, so no two ends wait for each other


def is_data(head: bytes) -> bool:
    """Whether a file that begins so is a data.mdb."""
    return head[16:20] == _MAGIC


def holds(folder: Path) -> bool:
    """Whether a folder is an LMDB."""
    return (folder / "data.mdb").is_file()


class Lmdb(Container):
    """An LMDB, in the order of its keys.

        >>> Lmdb(Path("bedroom_train_lmdb")).names[0]
        '00000075ab6f75e6edcf4e92d7c2ef2ee8a2ea1b'

    Another process reads it (`lmdb_worker`): if a damaged database kills that one, it is an
    InputError here. Raises InputError too where the package lmdb is not installed.
    """

    def __init__(self, path: Path):
        super().__init__(path)
        if importlib.util.find_spec("lmdb") is None:
            raise InputError(
                f"{path}: found an LMDB, expected the package lmdb to read it with: "
                "pip install lmdb"
            )
        kind = "folder" if path.is_dir() else "file"
        self._child = subprocess.Popen(
            [sys.executable, "-P", lmdb_worker.__file__, str(path), kind, str(MAX_ENTRY)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        weakref.finalize(self, _end, self._child)
        names: list[str] = []
        while keys := self._keys():
            # Surrogates stand for bytes that are not UTF-8, so that the key can be recovered.
            names += [key.decode("utf-8", "surrogateescape") for key in keys]
        self.names = names

    def entry(self, index: int) -> bytes:
        (value,) = self.entries([index])
        if isinstance(value, Unreadable):
            raise value
        return value

    def entries(self, indices: Iterable[int]) -> Iterator[bytes | Unreadable]:
        order = iter(indices)
        while batch := list(islice(order, _BATCH)):
            while batch:
                values = self._values(batch)
                batch = batch[len(values) :]
                yield from values

    def files(self, indices: Sequence[int]) -> dict[str, Path]:
        return {"": self.path / "data.mdb" if self.path.is_dir() else self.path}

    @property
    def _pipes(self) -> tuple[BinaryIO, BinaryIO]:
        requests, replies = self._child.stdin, self._child.stdout
        assert requests is not None and replies is not None  # they were asked for
        return requests, replies  # type: ignore[return-value]

    def _keys(self) -> list[bytes]:
        try:
            count = self._count()
            replies = self._pipes[1]
            return [
                lmdb_worker.exactly(replies, lmdb_worker.number(replies, "<I"))
                for _ in range(count)
            ]
        except _GONE as error:
            raise self._died() from error

    def _values(self, indices: list[int]) -> list[bytes | Unreadable]:
        """The values of the first of the images asked for, at least one of them."""
        requests, replies = self._pipes
        values: list[bytes | Unreadable] = []
        try:
            asked = [self.names[i].encode("utf-8", "surrogateescape") for i in indices]
            lmdb_worker.write_keys(requests, asked)
            for _ in range(self._count()):
                length = lmdb_worker.number(replies, "<q")
                try:
                    check_size(length)
                except Unreadable as reason:
                    values.append(reason)
                    continue
                gone = Unreadable("found no value, expected one")
                values.append(lmdb_worker.exactly(replies, length) if length >= 0 else gone)
        except _GONE as error:
            raise self._died() from error
        return values

    def _count(self) -> int:
        replies = self._pipes[1]
        count = lmdb_worker.number(replies, "<I")
        if count == lmdb_worker.ERROR:
            line = lmdb_worker.exactly(replies, lmdb_worker.number(replies, "<q"))
            raise InputError(f"{self.path}: found no LMDB that can be read: {line.decode()}")
        return count

    def _died(self) -> InputError:
        status = self._child.wait()
        how = signal.Signals(-status).name if status < 0 else f"exit code {status}"
        return InputError(
            f"{self.path}: found a damaged LMDB (reading it ended in {how}), expected a whole one"
        )


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    # Closing writes what was left to be written, to whom it may concern no more.
    with suppress(OSError), child:
        pass
