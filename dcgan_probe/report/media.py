"""Embed pictures and films in the page."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from dcgan_probe.errors import InputError
from dcgan_probe.images import opencv

MAX_PIXELS = 64_000_000
_KINDS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
}
SIDE = 128  # pixels of the screen that a small image is brought to, by a whole number


@dataclass(frozen=True)
class EmbeddedPicture:
    """A picture or film. source: a data URI; still: one too, of the first image of what moves."""

    name: str
    width: int
    height: int
    source: str
    still: str = ""
    film: bool = False

    def zoomed(self, side: int = SIDE) -> tuple[int, int]:
        """Width and height that bring it to about a side, by a whole number."""
        zoom = max(1, side // self.width)
        return self.width * zoom, self.height * zoom


@dataclass(frozen=True)
class Pair:
    """A sample before and after an edit, data URIs of images of equal size."""

    before: EmbeddedPicture
    after: EmbeddedPicture


def picture(path: Path) -> EmbeddedPicture:
    """A picture as a data URI, packed smaller where that loses nothing.

    Raises InputError for data that is not a picture or claims more than 64 million pixels.
    """
    data = _read(path)
    kind = _kind(data, path)
    image = _decoded(data, path)
    height, width = image.shape[:2]
    if kind == "image/gif" or b"acTL" in data[:4096] or b"ANIM" in data[:64]:
        return EmbeddedPicture(path.name, width, height, _uri(kind, data), packed(image))
    source = _uri(kind, data)
    if kind == "image/png" and image.dtype == np.uint8:
        source = min(source, packed(image), key=len)
    return EmbeddedPicture(path.name, width, height, source)


def pairs(before: Path, after: Path) -> tuple[Pair, ...] | None:
    """The samples of two strips, square images side by side; None unless both are such strips."""
    strips = [_decoded(_read(path), path) for path in (before, after)]
    height, width = strips[0].shape[:2]
    if strips[0].shape != strips[1].shape or strips[0].dtype != np.uint8 or width % height:
        return None
    made = []
    for i in range(width // height):
        tiles = [strip[:, i * height : (i + 1) * height] for strip in strips]
        uris = [packed(np.ascontiguousarray(tile)) for tile in tiles]
        made.append(Pair(*(EmbeddedPicture(f"{i}", height, height, uri) for uri in uris)))
    return tuple(made)


def film(path: Path) -> EmbeddedPicture:
    """A film as a data URI, with its first image; InputError if OpenCV cannot read one."""
    data = _read(path)
    kind = "video/webm" if data.startswith(b"\x1a\x45\xdf\xa3") else "video/mp4"
    wrong = f"{path}: found a damaged film, expected a whole {path.suffix[1:]}"
    if kind == "video/mp4" and b"moov" not in data:
        raise InputError(f"{wrong}: it is cut off")  # as with PNG: FFmpeg would speak up
    reader = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        done, image = reader.read()
    finally:
        reader.release()
    if not done or image is None:
        raise InputError(wrong)
    height, width = image.shape[:2]
    return EmbeddedPicture(path.name, width, height, _uri(kind, data), packed(image), film=True)


def packed(image: np.ndarray) -> str:
    """An image, H x W (x 3 or 4, BGR) uint8, as a data URI that loses nothing."""
    transparent = image.ndim == 3 and image.shape[2] == 4
    if transparent and image[..., 3].min() == 255:
        image, transparent = np.ascontiguousarray(image[..., :3]), False
    # WebP is a quarter smaller than the best PNG, but has no longer sides, and OpenCV's does not
    # keep colours where they are transparent.
    if transparent or max(image.shape[:2]) > 16383:
        return _uri("image/png", _encoded(".png", image, cv2.IMWRITE_PNG_COMPRESSION, 6))
    return _uri("image/webp", _encoded(".webp", image, cv2.IMWRITE_WEBP_QUALITY, 101))


def _encoded(ending: str, image: np.ndarray, option: int, value: int) -> bytes:
    done, data = cv2.imencode(ending, image, [option, value])
    assert done, f"OpenCV encodes every uint8 image as {ending}"
    return data.tobytes()


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def _kind(data: bytes, path: Path) -> str:
    for magic, kind in _KINDS.items():
        if data.startswith(magic):
            return kind
    raise InputError(f"{path}: found no PNG, JPEG, GIF or WebP, expected one by its name")


def _decoded(data: bytes, path: Path) -> np.ndarray:
    wrong = f"{path}: found a damaged picture, expected a whole one"
    if data.startswith(b"\x89PNG") and not data.rstrip(b"\0").endswith(b"IEND\xaeB`\x82"):
        raise InputError(f"{wrong}: it is cut off")
    if data.startswith(b"\x89PNG"):
        width, height = (int.from_bytes(data[at : at + 4]) for at in (16, 20))
        if width * height > MAX_PIXELS:
            raise InputError(f"{wrong}: it claims {width} x {height} pixels")
    try:
        image = opencv.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise InputError(f"{wrong}: {error.err}") from error
    if image is None:
        raise InputError(wrong)
    if image.shape[0] * image.shape[1] > MAX_PIXELS:
        raise InputError(f"{wrong}: it has {image.shape[1]} x {image.shape[0]} pixels")
    return image
