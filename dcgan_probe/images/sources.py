"""Images of a path or of a generator, brought to the size and range a network takes."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from dcgan_probe.errors import InputError
from dcgan_probe.images import arrays, containers, decoding, lmdb
from dcgan_probe.images.containers import Container, Unreadable, shown


class ImageSource:
    """The images of a folder (with its sub-folders), a zip, tar, LMDB, `.npz` or `.mat`.

        >>> source = ImageSource("photographs.zip", size=64, channels=3)
        >>> source.read([0, 5]).shape
        torch.Size([2, 3, 64, 64])

    They are in the order of their names; `limit` takes the first so many. Each is cropped to its
    centre square and resized, see `decoding.pixels`. Raises InputError as `open_container` does.
    """

    def __init__(
        self, path: str | os.PathLike[str], size: int, channels: int, limit: int | None = None
    ):
        self.path = Path(path)
        self.size = size
        self.channels = channels
        self.container = open_container(self.path)
        self.names = self.container.names[:limit]

    def __len__(self) -> int:
        return len(self.names)

    def pixels(self, index: int) -> np.ndarray:
        """One image as channels x size x size uint8; InputError names one that does not decode."""
        (image,) = self._pixels([index])
        return image

    def read(self, indices: Sequence[int]) -> Tensor:
        """Images as N x channels x size x size float32 in [-1, 1]."""
        return to_range(torch.from_numpy(np.stack(list(self._pixels(indices)))))

    def _pixels(self, indices: Sequence[int]) -> Iterator[np.ndarray]:
        for index, entry in zip(indices, self.container.entries(indices), strict=True):
            try:
                if isinstance(entry, Unreadable):
                    raise entry
                yield decoding.pixels(entry, self.size, self.channels)
            except Unreadable as reason:
                raise InputError(f"{self.path}: {shown(self.names[index])}: {reason}") from reason


def open_container(path: Path) -> Container:
    """Open what holds images, told by its content: a folder, zip, tar, LMDB, `.npz` or `.mat`.

        >>> open_container(Path("train_32x32.mat")).names[5]
        'X[00000005]'

    Nothing is unpacked under its own name and nothing is executed. Raises InputError, one line,
    for what is none of these, is damaged or encrypted, or holds no images.
    """
    container = _folder(path) if path.is_dir() else _file(path)
    if not container.names:
        raise InputError(f"{path}: found no images, expected {' '.join(containers.ENDINGS)}")
    return container


def _folder(path: Path) -> Container:
    return lmdb.Lmdb(path) if lmdb.holds(path) else containers.Folder(path)


def _file(path: Path) -> Container:
    expected = "a folder or zip of images (or a tar, LMDB, .npz or .mat)"
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{path}: found no regular file, expected {expected}")
        with open(path, "rb") as file:
            head = file.read(512)
    except FileNotFoundError:
        raise InputError(f"{path}: found nothing, expected {expected}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        archive = _zip(path)
        members = [member.filename for member in archive.infolist()]
        of_arrays = bool(members) and all(name.endswith(".npy") for name in members)
        return (arrays.Npz if of_arrays else containers.Zip)(path, archive)
    if head.startswith((b"MATLAB 7.3", b"\x89HDF")):
        raise InputError(f"{path}: found HDF5 (MATLAB 7.3), expected MATLAB 5, as save -v7 writes")
    if head.startswith(b"MATLAB 5.0"):
        return arrays.Mat(path)
    if lmdb.is_data(head):
        return lmdb.Lmdb(path)
    if head[257:262] == b"ustar" or head.startswith(tuple(containers.COMPRESSED)):
        return containers.Tar(path)
    raise InputError(f"{path}: found a file of another kind, expected {expected}")


def _zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OSError) as error:
        raise InputError(
            f"{path}: found a damaged or cut off zip, expected a whole one: {error}"
        ) from error


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


def eight_bit(images: Tensor) -> Tensor:
    """Samples with the 256 values that the pixels of a file have, bit for bit.

        >>> eight_bit(torch.tensor([0.0, 2.0]))
        tensor([0.0039, 1.0000])

    images: float32 in [-1, 1]; values outside of the range are clamped.
    """
    return to_range(images.clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8))
