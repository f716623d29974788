"""Decode an image file or array to the pixels that a network takes."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from threading import Lock
from typing import NamedTuple

import cv2
import numpy as np

from dcgan_probe.images import headers, opencv
from dcgan_probe.images.containers import Unreadable

VERSION = 2  # raise it when a change alters a pixel of what `pixels` returns
_JPEG = b"\xff\xd8\xff"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_LARGE = 16_000_000  # pixels of an image that waits for other large ones
_ONE_LARGE = Lock()
_ONE_PILLOW = Lock()
_STRIP = 1 << 20  # pixels that are put on white at a time


class _Decoded(NamedTuple):
    """image: H x W grey, or H x W x 3 or 4 in the order RGBA, of 8 or 16 bits.

    premultiplied: whether its colours are multiplied by its alpha already. orientation: EXIF's
    number. key: the value of grey that is transparent.
    """

    image: np.ndarray
    premultiplied: bool = False
    orientation: int = 1
    key: int | None = None


class DecodedImage(NamedTuple):
    """pixels: channels x size x size uint8. transparent: whether there was nothing else to see.

    sides: height and width of the whole image, turned as its EXIF says.
    """

    pixels: np.ndarray
    transparent: bool
    sides: tuple[int, int]


def pixels(image: bytes | np.ndarray, size: int, channels: int) -> np.ndarray:
    """One image as channels x size x size uint8: its centre square, in RGB or grey.

        >>> pixels(Path("photograph.jpg").read_bytes(), size=64, channels=3).shape
        (3, 64, 64)

    image: an encoded file, or H x W, H x W x 1, 3 (RGB) or 4 (RGBA) uint8. A larger square is
    reduced by area averaging, a smaller one enlarged linearly. 16 bits a sample become 8 by
    rounding, transparency is put on white, and a picture is turned as its EXIF says (JPEG, PNG,
    WebP, TIFF; AVIF as its own boxes say). Of an animation it is the first picture.

    Raises Unreadable, with the reason, for data that is not an image, is truncated, has samples of
    another type, or claims more than 100 million pixels or 256 MiB decoded.
    """
    return decode(image, size, channels).pixels


def decode(image: bytes | np.ndarray, size: int, channels: int) -> DecodedImage:
    """The same as `pixels`, and whether the image was completely transparent: it became white."""
    claimed = headers.claimed_pixels(image) if isinstance(image, bytes) else 0
    # Threads decode at once, but no two large images: that would be memory for as many.
    with nullcontext() if claimed is not None and claimed <= _LARGE else _ONE_LARGE:
        return _decode(image, size, channels)


def _decode(image: bytes | np.ndarray, size: int, channels: int) -> DecodedImage:
    decoded = _decoded(image, channels) if isinstance(image, bytes) else _Decoded(image)
    turned = _turned(decoded.image, decoded.orientation)
    height, width = turned.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = turned[top : top + side, left : left + side]  # a view: large images are not copied
    transparent = _is_clear(square, decoded.key)
    image = _opaque(_eight_bits(_without_key(square, decoded.key)), decoded.premultiplied)
    image = np.ascontiguousarray(image)
    if side != size:
        way = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
        image = cv2.resize(image, (size, size), interpolation=way)
    image = image.reshape(size, size, -1)
    if image.shape[2] > channels:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    elif image.shape[2] < channels:
        image = image.repeat(channels, axis=2)
    planes = np.ascontiguousarray(image.transpose(2, 0, 1))
    return DecodedImage(planes, transparent, (height, width))


def _decoded(data: bytes, channels: int) -> _Decoded:
    if data.startswith(_JPEG):
        # The one kind of file that is never transparent nor deep: the decoder may do the rest.
        colour = cv2.IMREAD_COLOR_RGB if channels == 3 else cv2.IMREAD_GRAYSCALE
        return _Decoded(_by_opencv(data, colour))
    orientation, key, premultiplied, opaque = 1, None, False, False
    if data.startswith(headers.PNG):
        data, orientation, key = headers.read_png(data)
    elif data.startswith(b"RIFF"):
        orientation = headers.webp_orientation(data)
    elif data[4:8] == b"ftyp":
        orientation = headers.avif_orientation(data)
    elif data.startswith(_TIFF) and (tiff := headers.read_tiff(data)) is not None:
        if tiff.samples == 2:
            return _Decoded(_grey_with_alpha(data))  # OpenCV drops the alpha
        # libtiff multiplies the colours of 8 bits by an alpha that did not do so before.
        premultiplied = tiff.bits == 8 or tiff.extra == 1
        opaque = tiff.extra in (None, 0)  # a fourth sample that is not alpha
    image = _by_opencv(data, cv2.IMREAD_UNCHANGED)
    if image.ndim == 3:
        code = cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB
        cv2.cvtColor(image, code, dst=image)
        image = image[..., :3] if opaque else image
    return _Decoded(image, premultiplied, orientation, key)


def _by_opencv(data: bytes, flag: int) -> np.ndarray:
    try:
        image = opencv.imdecode(data, flag)
    except cv2.error as error:
        if "MAX_IMAGE_" in str(error):
            raise Unreadable("claims more pixels than the 100 million allowed") from error
        raise Unreadable(f"cannot be decoded: {error.err}") from error
    if image is None:
        raise Unreadable(f"found {len(data)} bytes that OpenCV cannot decode as an image")
    if image.dtype not in (np.uint8, np.uint16):
        raise Unreadable(f"found {image.dtype} samples, expected 8 or 16 bits without sign")
    return image


def _grey_with_alpha(data: bytes) -> np.ndarray:
    """A grey TIFF with alpha, turned as it says, as H x W x 4."""
    from PIL import Image, ImageOps  # 40 ms, for a kind that is rare

    try:
        with _without_messages(), Image.open(io.BytesIO(data)) as image:
            if image.mode != "LA" or image.width * image.height > headers.MAX_DECODED // 4:
                raise Unreadable(f"found a TIFF of mode {image.mode}, {image.width}x{image.height}")
            return np.array(ImageOps.exif_transpose(image).convert("RGBA"))
    except Unreadable:
        raise
    except Exception as error:  # Pillow raises all sorts on a damaged file
        raise Unreadable(f"cannot be decoded: {error}") from error


@contextmanager
def _without_messages() -> Iterator[None]:
    """Discard what Pillow and its libtiff say of damaged tags: warnings, errors logged, lines."""
    log = logging.getLogger("PIL.TiffImagePlugin")
    # What is done to warnings and the log is undone: by one thread at a time.
    with _ONE_PILLOW, warnings.catch_warnings(action="ignore"), opencv.discarded_messages():
        before, log.disabled = log.disabled, True
        try:
            yield
        finally:
            log.disabled = before


def _turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """A view of the image the right way up, from one of the eight ways of EXIF."""
    if orientation >= 5:  # rows and columns are exchanged
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image


def _is_clear(image: np.ndarray, key: int | None) -> bool:
    if image.ndim == 2:
        return key is not None and bool((image == key).all())
    return image.shape[2] == 4 and not image[..., 3].any()


def _without_key(image: np.ndarray, key: int | None) -> np.ndarray:
    """Grey with one value that is transparent put on white."""
    if key is None or image.ndim != 2:
        return image
    return np.where(image == key, np.iinfo(image.dtype).max, image)


def _eight_bits(image: np.ndarray) -> np.ndarray:
    if image.dtype == np.uint16:
        return cv2.convertScaleAbs(np.ascontiguousarray(image), alpha=1 / 257)  # 65535 / 257 = 255
    return image


def _opaque(image: np.ndarray, premultiplied: bool) -> np.ndarray:
    """Put what is transparent on white, the ground of a page."""
    if image.ndim == 2 or image.shape[2] != 4:
        return image
    opaque = np.empty((*image.shape[:2], 3), np.uint8)
    rows = max(1, _STRIP // image.shape[1])
    for start in range(0, len(image), rows):
        strip = image[start : start + rows].astype(np.float32)
        share = strip[..., 3:] / 255
        shown = strip[..., :3] if premultiplied else strip[..., :3] * share
        opaque[start : start + rows] = np.rint(np.minimum(shown + 255 * (1 - share), 255))
    return opaque
