"""Subsets of one or several image sources, at their own size or resized."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dcgan_probe.errors import InputError
from dcgan_probe.images import cache, decoding
from dcgan_probe.images.containers import Unreadable, shown
from dcgan_probe.images.sources import ImageSource
from dcgan_probe.storage.fingerprints import Fingerprint, digest


class Chosen:
    """Some images of one or several sources, one after another.

        >>> train, test = (ImageSource(f"{part}_32x32.mat", 32, 3) for part in ("train", "test"))
        >>> both = Chosen([(train, range(1000)), (test, range(500))])
        >>> both.read([0, 1499]).shape
        torch.Size([2, 3, 32, 32])

    resize: images of any size are cropped and resized, as `ImageSource` does; otherwise `read`
    raises InputError for the first that has another size than the source.
    """

    def __init__(self, parts: Sequence[tuple[ImageSource, Sequence[int]]], resize: bool = False):
        self.parts = parts
        self.resize = resize
        self._places = [(source, i) for source, chosen in parts for i in chosen]

    def __len__(self) -> int:
        return len(self._places)

    @property
    def names(self) -> list[str]:
        """The name of each image in its source."""
        return [source.names[i] for source, i in self._places]

    def only(self, rows: Sequence[int]) -> Chosen:
        """Some of these images, in the order of `rows`."""
        places = [self._places[row] for row in rows]
        runs: list[tuple[ImageSource, list[int]]] = []
        for source, i in places:
            if not runs or runs[-1][0] is not source:
                runs.append((source, []))
            runs[-1][1].append(i)
        return Chosen(runs, self.resize)

    def read(self, indices: Sequence[int]) -> Tensor:
        """Images as N x channels x size x size float32 in [-1, 1]."""
        read = []
        for source, chosen in self.only(indices).parts:
            if not self.resize:
                _check_size(source, chosen)
            read.append(source.read(chosen))
        return torch.cat(read)

    def fingerprint(self) -> str:
        """64 hexadecimal digits that stand for the content of these images, in this order."""
        try:
            folder = cache.default_folder()
        except InputError:
            folder = None  # the hashes are computed, and not kept
        parts = []
        for source, chosen in self.parts:
            content = Fingerprint(source.path, source.container.files(chosen), folder).sha256
            parts += [content, digest(source.names[i] for i in chosen)]
        return digest([*parts, str(self.resize)])


def _check_size(source: ImageSource, indices: Sequence[int]) -> None:
    for index, entry in zip(indices, source.container.entries(indices), strict=True):
        if isinstance(entry, Unreadable):
            continue  # reading it will say why
        try:
            height, width = decoding.decode(entry, source.size, source.channels).sides
        except Unreadable:
            continue
        if (height, width) != (source.size, source.size):
            raise InputError(
                f"{source.path}: {shown(source.names[index])}: found {width} x {height} pixels, "
                f"expected {source.size} x {source.size} as the network takes, or --resize"
            )
