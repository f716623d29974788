"""The native checkpoint format: write, read and check it.

A checkpoint is one safetensors file. Its tensors are the networks' state dicts under
``generator.`` and ``discriminator.`` (either may be absent); its metadata holds, under
``dcgan_probe``, one JSON object with ``format``, ``config`` (see `config.Config`) and ``info``:
where the weights come from, how batch-norm statistics were had, the license.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import safetensors.torch

from dcgan_probe.checkpoints import weights
from dcgan_probe.checkpoints.checkpoint import Checkpoint
from dcgan_probe.checkpoints.weights import WeightFile
from dcgan_probe.errors import InputError
from dcgan_probe.networks.chain_config import KIND, ChainConfig
from dcgan_probe.networks.config import Config
from dcgan_probe.networks.dcgan import NETWORKS, empty
from dcgan_probe.storage import files

FORMAT = "dcgan-probe/checkpoint/1"
# A number of its own, so that a version that knows no chains says that the file is newer.
CHAIN_FORMAT = "dcgan-probe/checkpoint/2"


def save(checkpoint: Checkpoint, path: str | os.PathLike[str], half: bool = False) -> str:
    """Write a checkpoint, whole or not at all, and return the SHA-256 of the file.

        >>> sha = save(checkpoint, "mine.safetensors")

    half: round the weights of convolutions and linear layers to float16, for half the size; batch
    norm is unchanged. Same networks, config and info: same bytes. Raises InputError for networks
    of others, see `modules`: a dcgan-probe file says how to build them, which is not known.
    """
    files.write_bytes(path, to_bytes(checkpoint, half))
    return files.sha256(path)


def to_bytes(checkpoint: Checkpoint, half: bool = False) -> bytes:
    """What `save` writes."""
    config = writable(checkpoint)
    tensors = {}
    for part in ("generator", "discriminator"):
        network = getattr(checkpoint, part)
        if network is not None:
            for name, tensor in network.state_dict().items():
                if half and tensor.dim() > 1:
                    tensor = tensor.half()
                tensors[f"{part}.{name}"] = tensor.detach().cpu().contiguous()
    about = {
        "format": format_of(config),
        "config": checkpoint.config.to_dict(),
        "info": checkpoint.info,
    }
    # One metadata key: safetensors does not keep the order of several.
    metadata = {"dcgan_probe": json.dumps(about, sort_keys=True)}
    data: bytes = safetensors.torch.save(tensors, metadata)
    return data


def writable(checkpoint: Checkpoint) -> Config | ChainConfig:
    """The config of networks that a file can say how to build; InputError for other modules."""
    if isinstance(checkpoint.config, Config | ChainConfig):
        return checkpoint.config
    raise InputError(
        f"{checkpoint.name}: found modules of other code, expected dcgan-probe's DCGAN"
    )


def format_of(config: Config | ChainConfig) -> str:
    """The format of a file with such a config."""
    return CHAIN_FORMAT if isinstance(config, ChainConfig) else FORMAT


def is_own(file: WeightFile) -> bool:
    """Whether a file that was looked at is a checkpoint in the native format."""
    if file.kind != "safetensors":
        return False
    with weights.opened(file.path) as opened:
        return "dcgan_probe" in (opened.metadata() or {})


def read_own(path: Path, name: str) -> Checkpoint:
    """A file of our own format as a checkpoint of this name; raises as `load` does."""
    with weights.opened(path) as file:
        config, info = _about(path, file.metadata()["dcgan_probe"])
        specs = weights.specs_of(file)
        parts = [part for part in NETWORKS if any(n.startswith(f"{part}.") for n in specs)]
        if not parts:
            raise InputError(
                f"{path}: found no tensor of a network, expected generator.* or discriminator.*"
            )
        networks = {part: empty(config, part) for part in parts}
        expected = {
            f"{part}.{n}": spec
            for part in parts
            for n, spec in weights.specs(networks[part].state_dict()).items()
        }
        weights.check_specs(path, specs, expected)
        tensors = {n: weights.take(path, n, file.get_tensor(n)) for n in expected}
    for part, network in networks.items():
        weights.fill(network, {n: tensors[f"{part}.{n}"] for n in network.state_dict()})
    generator: Any = networks.get("generator")
    discriminator: Any = networks.get("discriminator")
    return Checkpoint(config, generator, discriminator, info, name, files.sha256(path))


def _about(path: Path, text: str) -> tuple[Config | ChainConfig, dict[str, Any]]:
    try:
        about = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: metadata: found no JSON ({error}), expected it") from error
    return checked(f"{path}: metadata", about)


def checked(where: str, about: Any) -> tuple[Config | ChainConfig, dict[str, Any]]:
    """Config and info of the JSON that a checkpoint has about itself; InputError if it is other."""
    if not isinstance(about, dict) or about.get("format") not in (FORMAT, CHAIN_FORMAT):
        file_format = about.get("format") if isinstance(about, dict) else about
        raise InputError(
            f"{where}: found format {file_format!r:.80}, expected {FORMAT!r} or {CHAIN_FORMAT!r}"
            " (was it written by a newer dcgan-probe?)"
        )
    config, info = about.get("config"), about.get("info")
    if not isinstance(config, dict) or not isinstance(info, dict):
        raise InputError(f"{where}: found no config or no info, expected an object each")
    if config.get("kind") == KIND:
        try:
            return ChainConfig.from_dict(config), info
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
    for known in Config().to_dict():
        if known not in config:
            raise InputError(f"{where}: network config: {known}: found none, expected a value")
    try:
        return Config.from_dict(config), info
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
