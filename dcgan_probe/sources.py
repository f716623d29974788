"""Images from a folder or a zip, brought to the size and range a network takes."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from dcgan_probe.errors import InputError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
MAX_PIXELS = 100_000_000
# OpenCV reads this once, on its first decode: larger pictures are refused before memory is taken.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))


class ImageSource:
    """The images of a folder (with its sub-folders) or a zip, in the order of their names.

        >>> source = ImageSource("photographs.zip", size=64, channels=3)
        >>> source.read([0, 5]).shape
        torch.Size([2, 3, 64, 64])

    Each image is cropped to its centre square and reduced by area averaging. Raises InputError
    for a path that is neither a folder nor a zip, or holds no images.
    """

    def __init__(self, path: str | os.PathLike[str], size: int, channels: int):
        self.path = Path(path)
        self.size = size
        self.channels = channels
        if self.path.is_dir():
            found = (str(p.relative_to(self.path)) for p in self.path.rglob("*") if p.is_file())
        elif self.path.is_file() and zipfile.is_zipfile(self.path):
            found = (i.filename for i in self._zip.infolist() if not i.is_dir())
        else:
            kind = "a file of another kind" if self.path.exists() else "nothing"
            raise InputError(f"{self.path}: found {kind}, expected a folder or zip of images")
        self.names = sorted(n for n in found if n.lower().endswith(ENDINGS))
        if not self.names:
            raise InputError(f"{self.path}: found no images, expected {' '.join(ENDINGS)}")

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(self.path)

    def pixels(self, index: int) -> np.ndarray:
        """One image as channels x size x size uint8; InputError names one that does not decode."""
        name = self.names[index]
        where = f"{self.path}: {name}"
        try:
            data = (self.path / name).read_bytes() if self.path.is_dir() else self._zip.read(name)
            flag = cv2.IMREAD_COLOR if self.channels == 3 else cv2.IMREAD_GRAYSCALE
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flag) if data else None
        except (OSError, RuntimeError, zipfile.BadZipFile, cv2.error) as error:
            raise InputError(f"{where}: cannot be read: {error}") from error
        if image is None:
            raise InputError(
                f"{where}: found {len(data)} bytes that are no image OpenCV can decode"
            )
        height, width = image.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        image = image[top : top + side, left : left + side]
        if side != self.size:
            shrink = side > self.size
            way = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
            image = cv2.resize(image, (self.size, self.size), interpolation=way)
        if self.channels == 1:
            return image[None]
        return np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1))

    def read(self, indices: Sequence[int]) -> Tensor:
        """Images as N x channels x size x size float32 in [-1, 1]."""
        return to_range(torch.from_numpy(np.stack([self.pixels(i) for i in indices])))


class Samples:
    """The images that a generator makes of latents, computed when they are read.

    >>> Samples(generator, latents.sample(config, 2000, seed=0)).read([0, 1999]).shape
    torch.Size([2, 3, 64, 64])
    """

    def __init__(self, generator: nn.Module, z: Tensor):
        self.generator = generator
        self.z = z

    def __len__(self) -> int:
        return len(self.z)

    def read(self, indices: Sequence[int]) -> Tensor:
        """Images as N x channels x size x size float32 in [-1, 1], on the generator's device."""
        device = next(self.generator.parameters()).device
        with torch.no_grad():
            return self.generator(self.z[list(indices)].to(device))


class Images(Protocol):
    """What a probe needs of images: how many, and any of them by number."""

    def __len__(self) -> int: ...

    def read(self, indices: Sequence[int], /) -> Tensor: ...


def batches(images: Images, size: int) -> Iterator[Tensor]:
    """All images in order, `size` at a time; memory holds one batch."""
    for start in range(0, len(images), size):
        yield images.read(range(start, min(start + size, len(images))))


def to_range(pixels: Tensor) -> Tensor:
    """uint8 pixels to float32 in [-1, 1], the range of the generator's tanh."""
    return pixels.float().div_(127.5).sub_(1)
