"""From the bytes of a file, or the array of a data set, to the pixels a network takes."""

from __future__ import annotations

import cv2
import numpy as np

from dcgan_probe.images.containers import Unreadable

VERSION = 1  # to be raised by whoever changes a pixel of what `pixels` returns
_JPEG = b"\xff\xd8\xff"


def pixels(image: bytes | np.ndarray, size: int, channels: int) -> np.ndarray:
    """One image as channels x size x size uint8: its centre square, in RGB or grey.

        >>> pixels(Path("photograph.jpg").read_bytes(), size=64, channels=3).shape
        (3, 64, 64)

    image: an encoded file, or H x W, H x W x 1, 3 (RGB) or 4 (RGBA) uint8. A larger square is
    reduced by area averaging, a smaller one enlarged linearly. 16 bits a sample become 8 by
    rounding, transparency is put on white, a JPEG is turned as its EXIF says. Raises Unreadable,
    with the reason, for what is no image, is cut off, has samples of another type, or claims more
    than 100 million pixels.
    """
    if isinstance(image, bytes):
        image = _decoded(image, channels)
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    image = _opaque(image[top : top + side, left : left + side])
    if side != size:
        way = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
        image = cv2.resize(image, (size, size), interpolation=way)
    image = image.reshape(size, size, -1)
    if image.shape[2] > channels:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    elif image.shape[2] < channels:
        image = image.repeat(channels, axis=2)
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def _decoded(data: bytes, channels: int) -> np.ndarray:
    """H x W grey, or H x W x 3 or 4 in the order RGBA, uint8."""
    flag = cv2.IMREAD_UNCHANGED
    if data.startswith(_JPEG):
        # The one kind of file that is never transparent nor deep: the decoder may do the rest.
        flag = cv2.IMREAD_COLOR_RGB if channels == 3 else cv2.IMREAD_GRAYSCALE
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag) if data else None
    except cv2.error as error:
        if "MAX_IMAGE_" in str(error):
            raise Unreadable("claims more pixels than the 100 million allowed") from error
        raise Unreadable(f"cannot be decoded: {error.err}") from error
    if image is None:
        raise Unreadable(f"found {len(data)} bytes that are no image OpenCV can decode")
    image = _eight_bits(image)
    if flag == cv2.IMREAD_UNCHANGED and image.ndim == 3:
        code = cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB
        image = cv2.cvtColor(image, code)
    return image


def _eight_bits(image: np.ndarray) -> np.ndarray:
    if image.dtype == np.uint16:
        return cv2.convertScaleAbs(image, alpha=1 / 257)  # 65535 / 257 = 255
    if image.dtype != np.uint8:
        raise Unreadable(f"found {image.dtype} samples, expected 8 or 16 bits without sign")
    return image


def _opaque(image: np.ndarray) -> np.ndarray:
    """Put what is transparent on white, the ground of a page."""
    if image.ndim == 2 or image.shape[2] != 4:
        return image
    share = image[..., 3:].astype(np.float32) / 255
    return np.rint(image[..., :3] * share + 255 * (1 - share)).astype(np.uint8)
