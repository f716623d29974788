"""A separate process that reads an LMDB and sends its entries through a pipe.

LMDB trusts the pages it maps: a damaged file, or one made to, kills its reader. So it is read
here, where nobody else dies. `lmdb` is the other end. All numbers are little-endian.

First, unasked, batches of keys, the last one empty:  count u32, then each: length u32, bytes.
Then, for a batch of keys in the same form, values:   count u32, then each: length i64, bytes.
A count of values below that of the keys is asked for again; length -1 is a missing key,
and a value longer than the limit has no bytes. A count of 2^32 - 1 is an error: its line follows,
as a value.
"""

from __future__ import annotations

import signal
import struct
import sys
from typing import BinaryIO

ERROR = 2**32 - 1
BATCH_BYTES = 16 << 20
BATCH_KEYS = 4096


def write_keys(pipe: BinaryIO, keys: list[bytes]) -> None:
    """A batch of keys, as either end writes it."""
    parts = [struct.pack("<I", len(keys))]
    for key in keys:
        parts += [struct.pack("<I", len(key)), key]
    pipe.write(b"".join(parts))
    pipe.flush()


def read_keys(pipe: BinaryIO) -> list[bytes]:
    """A batch of keys, as either end reads it; EOFError if the other end is gone."""
    return [exactly(pipe, number(pipe, "<I")) for _ in range(number(pipe, "<I"))]


def number(pipe: BinaryIO, form: str) -> int:
    """One number; EOFError if the other end is gone."""
    return struct.unpack(form, exactly(pipe, struct.calcsize(form)))[0]


def exactly(pipe: BinaryIO, length: int) -> bytes:
    """So many bytes; EOFError if the other end is gone."""
    data = pipe.read(length)
    if len(data) != length:
        raise EOFError
    return data


def serve(path: str, is_folder: bool, limit: int, requests: BinaryIO, replies: BinaryIO) -> None:
    """Hand out all keys, then values as they are asked for, until `requests` ends."""
    import lmdb

    with (
        lmdb.open(path, subdir=is_folder, readonly=True, lock=False, create=False) as database,
        database.begin(buffers=True) as transaction,
    ):
        keys: list[bytes] = []
        last = b""
        with transaction.cursor() as cursor:
            for view in cursor.iternext(keys=True, values=False):
                key = bytes(view)
                if key <= last:  # a tree that leads back into itself would never end
                    raise ValueError("found keys out of order")
                keys.append(key)
                last = key
                if len(keys) == BATCH_KEYS:
                    write_keys(replies, keys)
                    keys.clear()
        if keys:
            write_keys(replies, keys)
        write_keys(replies, [])
        while True:
            try:
                asked = read_keys(requests)
            except EOFError:
                return
            parts: list[bytes] = []
            held = 0
            for key in asked:
                value = transaction.get(key)
                length = -1 if value is None else len(value)
                data = b"" if value is None or length > limit else bytes(value)
                parts += [struct.pack("<q", length), data]
                held += len(data)
                if held >= BATCH_BYTES:
                    break
            replies.write(struct.pack("<I", len(parts) // 2) + b"".join(parts))
            replies.flush()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other end is interrupted too, and tells
    path, is_folder, limit = sys.argv[1:]
    try:
        serve(path, is_folder == "folder", int(limit), sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        sys.stderr.close()  # the other end has gone; Python would complain on leaving
    except Exception as error:  # whatever it is, the other end tells the user
        line = f"{type(error).__name__}: {error}".encode()
        sys.stdout.buffer.write(struct.pack("<Iq", ERROR, len(line)) + line)


if __name__ == "__main__":
    main()
