"""Images from a path or a generator, at the size and range that a network takes."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from dcgan_probe import terminal
from dcgan_probe.errors import InputError, brief
from dcgan_probe.images import arrays, containers, decoding, lmdb
from dcgan_probe.images.containers import Container, Unreadable, shown
from dcgan_probe.storage import files


class ImageSource:
    """The images of a folder (with its sub-folders), a zip, tar, LMDB, `.npz`, idx or `.mat`.

        >>> source = ImageSource("photographs.zip", size=64, channels=3)
        >>> source.read([0, 5]).shape
        torch.Size([2, 3, 64, 64])

    They are in the order of their names. If there are more than `limit`, that number is drawn by
    the seed. Each is cropped to its centre square and resized, see `decoding.pixels`. Images that
    are left out are reported on stderr, with counts. Raises InputError as `open_container` does.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: int,
        channels: int,
        limit: int | None = None,
        seed: int = 0,
    ):
        self.path = Path(path)
        self.size = size
        self.channels = channels
        self.container = open_container(self.path)
        self.whole = len(self.container.names)
        if self.container.left_out:
            terminal.note(f"{path}: {self.container.taken()}")
        if limit is not None and limit < self.whole:
            self.container = containers.DrawnSubset(self.container, limit, seed)
            terminal.note(f"{path}: took {limit} of {self.whole} images, drawn by seed {seed}")
        self.names = self.container.names

    def __str__(self) -> str:
        """How many images of what: "600 of 1200 images of classes.zip"."""
        return describe(len(self), self.whole, self.path)

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
                image = decoding.decode(entry, self.size, self.channels)
                if image.transparent:
                    terminal.note(
                        f"{self.path}: {shown(self.names[index])}: is completely transparent, white"
                    )
                yield image.pixels
            except Unreadable as reason:
                raise InputError(f"{self.path}: {shown(self.names[index])}: {reason}") from reason


def describe(taken: int, whole: int, path: str | os.PathLike[str]) -> str:
    """How many images of what, for results and captions.

    >>> describe(600, 1200, "data/classes.zip")
    '600 of 1200 images of classes.zip'
    """
    some = "" if taken == whole else f"{taken} of "
    return f"{some}{whole} images of {Path(path).name}"


def open_container(path: Path) -> Container:
    """Open what holds images, told by its content.

        >>> open_container(Path("train_32x32.mat")).names[5]
        'X[00000005]'

    A folder, zip, tar, LMDB, `.npz` (of several arrays one is named by `data.npz:x_train`), MNIST's
    idx or `.mat`. Nothing is unpacked under its own name and nothing is executed. Raises
    InputError, one line, for any other kind of file, or if it is damaged or encrypted, or holds no
    images.
    """
    container = _folder(path) if path.is_dir() else _file(path)
    if not container.names:
        there = f" (there are {container.others()})" if container.left_out else ""
        raise InputError(
            f"{path}: found no images, expected {' '.join(containers.ENDINGS)}{there}"
            f"{_advice(container)}"
        )
    return container


_EXPECTED = "a folder or zip of images (or a tar, LMDB, .npz, .mat or MNIST's idx)"
_PICKLE = "could execute code, so it is not read: save its arrays with numpy.savez in a script"
# What else holds data sets of images, by how it begins, and what to do with it.
_OTHERS = {
    b"PAR1": "Parquet: save its images as files, or as one array with numpy.savez",
    b"\x28\xb5\x2f\xfd": "a file compressed by zstd: decompress it by `unzstd`",
    b"7z\xbc\xaf": "a 7z archive: unpack it",
    b"Rar!": "a RAR archive: unpack it",
    b"\x93NUMPY": "a single .npy: save its array with numpy.savez, N x H x W x C uint8",
    b"\x80": f"a pickle, which {_PICKLE}",
    b"\x89PNG": "one image: put images in a folder",
    b"\xff\xd8\xff": "one image: put images in a folder",
}
_HDF5 = "HDF5 (MATLAB 7.3), expected MATLAB 5, as save -v7 writes"


def _advice(container: Container) -> str:
    """What to do with the files that are in the place of images."""
    if container.left_out[".mdb"]:
        return "; an LMDB is read where it is unpacked"
    if container.left_out[".parquet"]:
        return f"; {_OTHERS[b'PAR1']}"
    if container.left_out[containers.PICKLES]:
        return f"; each is a pickle, which {_PICKLE}"
    return ""


def _folder(path: Path) -> Container:
    if not lmdb.holds(path):
        return containers.Folder(path)
    opened = lmdb.Lmdb(path)
    beside = containers.Folder(path)
    images = len(beside.names)
    opened.left_out.update({"images beside the LMDB": images} if images else {})
    return opened


def _file(path: Path) -> Container:
    if ".npz:" in path.name and not path.exists():
        name, _, member = path.name.rpartition(":")
        return _npz(path.with_name(name), member)
    try:
        with files.open_regular(path, _EXPECTED) as file:
            head = file.read(512)
    except InputError as error:
        if path.exists():
            raise
        raise InputError(f"{path}: found nothing, expected {_EXPECTED}") from error
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        archive = _zip(path)
        members = [member.filename for member in archive.infolist()]
        of_arrays = bool(members) and all(name.endswith(".npy") for name in members)
        return arrays.Npz(path, archive) if of_arrays else containers.Zip(path, archive)
    if head.startswith((b"MATLAB 7.3", b"\x89HDF")):
        raise InputError(f"{path}: found {_HDF5}")
    if head.startswith(b"MATLAB 5.0"):
        return arrays.Mat(path)
    if arrays.is_idx(head):
        return arrays.Idx(path)
    if lmdb.is_data(head):
        return lmdb.Lmdb(path)
    for magic, advice in _OTHERS.items():
        if head.startswith(magic):
            raise InputError(f"{path}: found {advice}")
    if head[257:262] == b"ustar" or head.startswith(tuple(containers.COMPRESSED)):
        return arrays.Idx(path) if arrays.holds_idx(path, head) else containers.Tar(path)
    raise InputError(f"{path}: found a file of another kind, expected {_EXPECTED}")


def _npz(path: Path, member: str) -> Container:
    with files.open_regular(path, _EXPECTED):
        return arrays.Npz(path, _zip(path), member)


def _zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except Exception as error:  # zipfile and struct raise all sorts on a damaged directory
        raise InputError(
            f"{path}: found a damaged or cut off zip, expected a whole one: {brief(error)}"
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


def draw_batches(count: int, size: int, most: int, seed: int) -> list[list[int]]:
    """Numbers below `count` in random order, in at most `most` batches of `size`.

    The batches are whole; if there are fewer numbers than one takes, all are in one.

    >>> [len(batch) for batch in draw_batches(7, size=2, most=9, seed=0)]
    [2, 2, 2]
    """
    order = np.random.default_rng(seed).permutation(count)[: most * size].tolist()
    whole = len(order) // size * size or len(order)
    return [order[first : first + size] for first in range(0, whole, size)]


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
