"""Read image headers for what the decoder does not report: orientation and alpha."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from dcgan_probe.images.containers import Unreadable

PNG = b"\x89PNG\r\n\x1a\n"
# Tags of TIFF, which EXIF is too.
_WIDTH, _HEIGHT, _BITS, _SAMPLES, _ORIENTATION, _EXTRA = 256, 257, 258, 277, 274, 338
_MAX_TAGS = 512
# Chunks of a PNG that the decoder needs; damage in the others does not matter.
_NEEDED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_END = b"\0\0\0\0IEND\xaeB`\x82"
# What a PNG holds a pixel, by its colour type.
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
MAX_PIXELS = 100_000_000
MAX_DECODED = 256 << 20  # bytes of an image once it is decoded


class Png(NamedTuple):
    """data: the chunks that count. key: the transparent value of grey, in the decoder's depth."""

    data: bytes
    orientation: int
    key: int | None


class Tiff(NamedTuple):
    """extra: what the samples beyond colour are: 0 anything, 1 premultiplied alpha, 2 alpha."""

    bits: int
    samples: int
    extra: int | None


def read_png(data: bytes) -> Png:
    """Walk the chunks of a PNG; raises Unreadable for one that is cut off, damaged or too large."""
    kept, orientation, key = [PNG], 1, None
    depth = colour = 0
    place = len(PNG)
    while place < len(data):
        kind = data[place + 4 : place + 8]
        (length,) = struct.unpack(">I", data[place : place + 4].rjust(4, b"\0"))
        content = data[place + 8 : place + 8 + length]
        chunk = data[place : place + 12 + length]
        if len(chunk) < 12 + length or len(kind) < 4:
            if kind in (b"IHDR", b"PLTE", b"IDAT") or len(kept) < 3:
                raise Unreadable(f"found {len(data)} bytes of a PNG that is cut off")
            break  # after the pixels: only the end is missing
        place += len(chunk)
        if kind in _NEEDED:
            if struct.unpack(">I", chunk[-4:])[0] != zlib.crc32(chunk[4:-4]):
                raise Unreadable(f"found a damaged chunk {kind.decode()}")
            kept.append(chunk)
        if kind == b"IHDR" and length == 13:
            width, height, depth, colour = struct.unpack(">IIBB", content[:10])
            size = width * height * _PNG_CHANNELS.get(colour, 4) * (2 if depth == 16 else 1)
            # Of more pixels than the decoder takes, it says so itself.
            if width * height <= MAX_PIXELS and size > MAX_DECODED:
                raise Unreadable(f"claims {size} bytes decoded, more than {MAX_DECODED}")
        elif kind == b"eXIf":
            orientation = exif_orientation(content)
        elif kind == b"tRNS" and colour == 0 and length == 2:
            key = struct.unpack(">H", content)[0]
            if 0 < depth < 8:  # the decoder widens these to 8 bits
                key = key * 255 // (2**depth - 1)
        elif kind == b"IEND":
            return Png(b"".join(kept), orientation, key)
    return Png(b"".join(kept) + _END, orientation, key)


def claimed_pixels(data: bytes) -> int | None:
    """How many pixels a header claims, of the formats that most data sets are in; else None.

    >>> claimed_pixels(b"GIF89a" + struct.pack("<HH", 64, 32))
    2048
    """
    try:
        if data.startswith(PNG):
            width, height = struct.unpack(">II", data[16:24])
        elif data.startswith(b"\xff\xd8"):
            height, width = _jpeg_sides(data)
        elif data.startswith(b"RIFF"):
            width, height = _webp_sides(data)
        elif data.startswith(b"GIF8"):
            width, height = struct.unpack("<HH", data[6:10])
        elif data.startswith(b"BM"):
            width, height = map(abs, struct.unpack("<ii", data[18:26]))
        else:
            tags = dict(_tags(data))
            width, height = tags[_WIDTH], tags[_HEIGHT]
    except (struct.error, KeyError, ValueError):
        return None
    return width * height


def _jpeg_sides(data: bytes) -> tuple[int, int]:
    place = 2
    while place + 9 <= len(data):
        marker = data[place + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return height, width
        place += 2 + struct.unpack(">H", data[place + 2 : place + 4])[0]
    raise ValueError("no frame")


def _webp_sides(data: bytes) -> tuple[int, int]:
    kind, content = data[12:16], data[20:]
    if kind == b"VP8X":
        return (
            1 + int.from_bytes(content[4:7], "little"),
            1 + int.from_bytes(content[7:10], "little"),
        )
    if kind == b"VP8L":
        (bits,) = struct.unpack("<I", content[1:5])
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack("<HH", content[6:10])
    return width & 0x3FFF, height & 0x3FFF


def webp_orientation(data: bytes) -> int:
    """The orientation, 1 to 8, that the EXIF of a WebP gives."""
    place = 12
    while place + 8 <= len(data):
        kind, length = data[place : place + 4], struct.unpack("<I", data[place + 4 : place + 8])[0]
        if kind == b"EXIF":
            return exif_orientation(data[place + 8 : place + 8 + length])
        place += 8 + length + length % 2
    return 1


def avif_orientation(data: bytes) -> int:
    """The orientation, 1 to 8, that the boxes irot and imir of an AVIF give."""
    head = data[: 1 << 16]
    turn = head.find(b"\0\0\0\x09irot")
    mirror = head.find(b"\0\0\0\x09imir")
    # Quarter turns against the clock, then a mirror of top and bottom (0) or left and right (1).
    angle = head[turn + 8] & 3 if 0 <= turn < len(head) - 8 else 0
    axis = head[mirror + 8] & 1 if 0 <= mirror < len(head) - 8 else None
    return {
        None: (1, 8, 3, 6),
        0: (4, 5, 2, 7),
        1: (2, 7, 4, 5),
    }[axis][angle]


def read_tiff(data: bytes) -> Tiff | None:
    """What a TIFF says of its samples; None for one in the 64-bit form, or damaged."""
    tags = dict(_tags(data))
    if not tags:
        return None
    extra = tags.get(_EXTRA)
    return Tiff(tags.get(_BITS, 1), tags.get(_SAMPLES, 1), extra)


def exif_orientation(data: bytes) -> int:
    """The orientation, 1 to 8, that EXIF gives; 1 if it gives none.

    >>> exif_orientation(bytes.fromhex("4d4d002a 00000008 0001 0112 0003 00000001 0006 0000"))
    6
    """
    orientation = dict(_tags(data.removeprefix(b"Exif\0\0"))).get(_ORIENTATION, 1)
    return orientation if 1 <= orientation <= 8 else 1


def _tags(data: bytes) -> Iterator[tuple[int, int]]:
    """The first number of each tag of the first directory, where it is of 16 or 32 bits."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None or len(data) < 8:
        return
    (start,) = struct.unpack(f"{order}I", data[4:8])
    count = struct.unpack(f"{order}H", data[start : start + 2].ljust(2, b"\0"))[0]
    for i in range(min(count, _MAX_TAGS)):
        entry = data[start + 2 + 12 * i : start + 14 + 12 * i]
        if len(entry) < 12:
            return
        tag, kind, number = struct.unpack(f"{order}HHI", entry[:8])
        form = {3: "H", 4: "I"}.get(kind)
        if form is None or not number:
            continue
        size = struct.calcsize(form)
        value = entry[8:]
        if number * size > 4:
            (offset,) = struct.unpack(f"{order}I", value)
            value = data[offset : offset + size]
        if len(value) >= size:
            yield tag, struct.unpack(f"{order}{form}", value[:size])[0]
