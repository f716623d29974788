"""Checkpoints: a file in, checked networks out.

Our own format is one safetensors file. Its tensors are the networks' state dicts under
``generator.`` and ``discriminator.`` (either may be absent); its metadata holds, under
``dcgan_probe``, one JSON object with ``format``, ``config`` (see `networks.Config`) and ``info``:
where the weights come from, how batch-norm statistics were had, the license.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from dcgan_probe import files
from dcgan_probe.errors import InputError
from dcgan_probe.networks import Config, Discriminator, Generator

FORMAT = "dcgan-probe/checkpoint/1"
FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"


@dataclass(frozen=True)
class Checkpoint:
    """Networks with what is known about them.

        >>> checkpoint = load("rooms")
        >>> checkpoint.generator(torch.zeros(1, checkpoint.config.z_size)).shape
        torch.Size([1, 3, 64, 64])

    generator, discriminator: in eval mode; None if the file holds none.
    info: provenance, as JSON values. sha256: of the file, "" if there is no file yet.
    """

    config: Config
    generator: Generator | None
    discriminator: Discriminator | None
    info: dict[str, Any] = field(default_factory=dict)
    name: str = "unsaved"
    sha256: str = ""


def save(checkpoint: Checkpoint, path: str | os.PathLike[str]) -> str:
    """Write a checkpoint, whole or not at all, and return the SHA-256 of the file.

        >>> sha = save(checkpoint, "mine.safetensors")

    Same networks, config and info: same bytes.
    """
    tensors = {}
    for part in ("generator", "discriminator"):
        network = getattr(checkpoint, part)
        if network is not None:
            for name, tensor in network.state_dict().items():
                tensors[f"{part}.{name}"] = tensor.detach().cpu().contiguous()
    about = {
        "format": FORMAT,
        "config": dataclasses.asdict(checkpoint.config),
        "info": checkpoint.info,
    }
    # One metadata key: safetensors does not keep the order of several.
    metadata = {"dcgan_probe": json.dumps(about, sort_keys=True)}
    files.write_bytes(path, safetensors.torch.save(tensors, metadata))
    return files.sha256(path)


def shipped() -> list[str]:
    """Names of the checkpoints that ship, which `load` takes in place of a path."""
    return sorted(p.parent.name for p in _fixtures().glob("*/checkpoint.safetensors"))
