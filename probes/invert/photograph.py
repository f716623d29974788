"""Read and name a photograph."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import torch
from torch import Tensor

from dcgan_probe.errors import InputError
from dcgan_probe.images import containers, decoding, sources
from dcgan_probe.networks.config import AnyConfig


def read(path: str | os.PathLike[str], config: AnyConfig, resize: bool = False) -> Tensor:
    """The image of a file as 1 x C x size x size float32 in [-1, 1], grey or RGB as the network's.

        >>> read("my_room.png", Config(), resize=True).shape
        torch.Size([1, 3, 64, 64])

    Raises InputError where there is no file, for one that is not an image and, unless `resize`, for
    one of another size.
    """
    path, expected = Path(path), "an image file"
    try:
        if path.is_dir():
            raise InputError(f"{path}: found a folder, expected {expected}")
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{path}: found no regular file, expected {expected}")
        containers.check_size(path.stat().st_size)
        data = path.read_bytes()
        image = decoding.decode(data, config.size, config.channels)
    except FileNotFoundError:
        raise InputError(f"{path}: found nothing, expected {expected}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except containers.Unreadable as reason:
        raise InputError(f"{path}: {reason}") from reason
    height, width = image.sides
    if not resize and (height, width) != (config.size, config.size):
        raise InputError(
            f"{path}: found {width} x {height} pixels, expected {config.size} x {config.size} as "
            "the generator draws, or --resize"
        )
    return sources.to_range(torch.from_numpy(image.pixels))[None]


def name_of(photo: str) -> str:
    """The name of a photograph's file, as a word that an expression can hold.

    >>> name_of("album/me at sea.png"), name_of("17.jpg")
    ('me_at_sea', 'photo_17')
    """
    word = re.sub(r"\W", "_", Path(photo).stem)
    return f"photo_{word}" if re.match(r"\d", word) else word


def check(image: Tensor, config: AnyConfig) -> Tensor:
    """A photograph as 1 x C x size x size; InputError for another shape or range."""
    shape = (config.channels, config.size, config.size)
    if tuple(image.shape) != shape:
        actual, expected = (" x ".join(map(str, sizes)) for sizes in (image.shape, shape))
        raise InputError(f"photo: found {actual} numbers, expected {expected}")
    if not (image.abs() <= 1).all():
        raise InputError("photo: found numbers outside of -1 to 1, expected none")
    return image.detach().float()[None]
