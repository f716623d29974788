"""From shapes of tensors to a config and its networks: what the readers of other formats share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dcgan_probe.checkpoints.checkpoint import Checkpoint, digest
from dcgan_probe.checkpoints.weights import Spec, fill
from dcgan_probe.errors import InputError
from dcgan_probe.networks.config import Config
from dcgan_probe.networks.dcgan import empty

# Ends the message where a width is wrong.
HALVING = " (feature maps halve with every layer of a generator, double in a discriminator)"

Facts = dict[str, dict[str, int]]


def as_checkpoint(
    config: Config, networks: dict[str, Any], info: dict[str, Any], name: str, files: list[Path]
) -> Checkpoint:
    """Networks of files as a checkpoint, whose identity is the digest of the files."""
    parts = (networks.get("generator"), networks.get("discriminator"))
    return Checkpoint(config, *parts, info, name, digest(files))


def merge_facts(where: object, facts: Facts, **fixed: Any) -> Config:
    """The config that the shapes of both networks lead to; they must agree."""
    merged: dict[str, Any] = {}
    for part, values in facts.items():
        for name, value in values.items():
            if merged.setdefault(name, value) != value:
                raise InputError(
                    f"{where}: {part}: {name}: found {value}, expected {merged[name]},"
                    " as in the generator"
                )
    # A network that is not there gets the width of the one that is: a Config has both.
    merged.setdefault("g_width", merged.get("d_width", 0))
    merged.setdefault("d_width", merged["g_width"])
    try:
        return Config(**merged, **fixed)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def read_facts(part: str, layers: int, kernel: tuple[int, ...]) -> dict[str, int]:
    """What the strided layers, and the shape of the one next to the image, say of a network."""
    width, channels, size, _ = kernel
    name = "g_width" if part == "generator" else "d_width"
    return {"size": 4 * 2**layers, "channels": channels, "kernel": size, name: width}


def kernel_shape(where: object, found: Mapping[str, Spec], name: str) -> tuple[int, ...]:
    """The shape of a tensor that must be a kernel."""
    spec = found.get(name)
    if spec is None or len(spec.shape) != 4:
        raise InputError(f"{where}: tensor {name}: found {spec or 'none'}, expected 4 dimensions")
    return spec.shape


def fill_empty(config: Config, part: str, tensors: dict[str, Tensor]) -> Any:
    """A network of tensors under our names; what is not there is as in a new batch norm."""
    network = empty(config, part)
    for name in network.state_dict():
        if name.endswith("num_batches_tracked"):
            tensors[name] = torch.tensor(0)
        elif name.endswith(("running_mean", "running_var")) and name not in tensors:
            like = tensors[f"{name.rsplit('.', 1)[0]}.weight"]
            tensors[name] = like.new_full(like.shape, float(name.endswith("var")))
    return fill(network, tensors)
