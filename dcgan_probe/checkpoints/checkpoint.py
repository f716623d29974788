"""A checkpoint: networks with what is known about them."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dcgan_probe.networks.config import AnyConfig
from dcgan_probe.storage import files


@dataclass(frozen=True)
class Checkpoint:
    """Networks with what is known about them.

        >>> checkpoint = load("rooms")
        >>> checkpoint.generator(torch.zeros(1, checkpoint.config.z_size)).shape
        torch.Size([1, 3, 64, 64])

    generator, discriminator: in eval mode; None if the file holds none.
    info: provenance, as JSON values. sha256: of the file, "" if there is no file yet. remarks: one
    line on each assumption, since the file does not hold it.
    """

    config: AnyConfig
    generator: nn.Module | None
    discriminator: nn.Module | None
    info: dict[str, Any] = field(default_factory=dict)
    name: str = "unsaved"
    sha256: str = ""
    remarks: tuple[str, ...] = ()


def checksum(network: nn.Module) -> int:
    """A checksum of weights and buffers, which tells whether they were changed.

    >>> checksum(generator) == checksum(copy.deepcopy(generator))
    True
    """
    state = 0
    for tensor in network.state_dict().values():
        if isinstance(tensor, Tensor):  # a part may keep anything beside
            state = zlib.crc32(content(tensor), state)
    return state


def content(tensor: Tensor) -> memoryview:
    """The numbers of a tensor, in order, as they lie in memory; not copied where they do."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def digest(paths: Sequence[Path]) -> str:
    """SHA-256 of a file, or of the SHA-256 of several, one after the other."""
    each = [files.sha256(path) for path in paths]
    return each[0] if len(each) == 1 else hashlib.sha256("".join(each).encode()).hexdigest()
