"""Checkpoints: a file in, checked networks out.

Our own format is one safetensors file. Its tensors are the networks' state dicts under
``generator.`` and ``discriminator.`` (either may be absent); its metadata holds, under
``dcgan_probe``, one JSON object with ``format``, ``config`` (see `config.Config`) and ``info``:
where the weights come from, how batch-norm statistics were had, the license.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from torch import nn

from dcgan_probe import files, weights
from dcgan_probe.config import AnyConfig, Config
from dcgan_probe.errors import InputError, unknown
from dcgan_probe.networks import Discriminator, Generator

if TYPE_CHECKING:
    from dcgan_probe.sources import Images

FORMAT = "dcgan-probe/checkpoint/1"
CONCEPTS = "concepts.json"
NETWORKS = {"generator": Generator, "discriminator": Discriminator}


@dataclass(frozen=True)
class Checkpoint:
    """Networks with what is known about them.

        >>> checkpoint = load("rooms")
        >>> checkpoint.generator(torch.zeros(1, checkpoint.config.z_size)).shape
        torch.Size([1, 3, 64, 64])

    generator, discriminator: in eval mode; None if the file holds none.
    info: provenance, as JSON values. sha256: of the file, "" if there is no file yet.
    """

    config: AnyConfig
    generator: nn.Module | None
    discriminator: nn.Module | None
    info: dict[str, Any] = field(default_factory=dict)
    name: str = "unsaved"
    sha256: str = ""


def save(checkpoint: Checkpoint, path: str | os.PathLike[str], half: bool = False) -> str:
    """Write a checkpoint, whole or not at all, and return the SHA-256 of the file.

        >>> sha = save(checkpoint, "mine.safetensors")

    half: round the weights of convolutions and linear layers to float16, for half the size; batch
    norm stays as it is. Same networks, config and info: same bytes. Raises InputError for networks
    of others, see `modules`: a file of ours says how to build them, which is not known.
    """
    if not isinstance(checkpoint.config, Config):
        raise InputError(
            f"{checkpoint.name}: found modules of other code, expected a DCGAN of ours"
        )
    tensors = {}
    for part in ("generator", "discriminator"):
        network = getattr(checkpoint, part)
        if network is not None:
            for name, tensor in network.state_dict().items():
                if half and tensor.dim() > 1:
                    tensor = tensor.half()
                tensors[f"{part}.{name}"] = tensor.detach().cpu().contiguous()
    about = {
        "format": FORMAT,
        "config": checkpoint.config.to_dict(),
        "info": checkpoint.info,
    }
    # One metadata key: safetensors does not keep the order of several.
    metadata = {"dcgan_probe": json.dumps(about, sort_keys=True)}
    files.write_bytes(path, safetensors.torch.save(tensors, metadata))
    return files.sha256(path)


def shipped() -> list[str]:
    """Names of the checkpoints that ship, which `load` takes in place of a path.

    >>> "svhn" in shipped()
    True
    """
    return sorted(path.parent.name for path in _fixtures().glob("*/checkpoint.safetensors"))


def shipped_boxes(name: str) -> Path | None:
    """The boxes that ship beside a checkpoint, its one other JSON file; None if there are none."""
    found = list((_fixtures() / name).glob("*.json")) if name in shipped() else []
    return next((path for path in found if path.name != CONCEPTS), None)


def shipped_concepts(name: str) -> Path | None:
    """The concepts that ship beside a checkpoint, or None."""
    path = _fixtures() / name / CONCEPTS
    return path if name in shipped() and path.exists() else None


def load(name_or_path: str | os.PathLike[str]) -> Checkpoint:
    """Open a checkpoint: one that ships, by name, or a file, a folder, or one of the hub.

        >>> checkpoint = load("svhn")
        >>> checkpoint.generator(torch.zeros(1, 100)).shape
        torch.Size([1, 3, 32, 32])

    What a path holds is told from its content: our own format, as a file or in the layout of the
    hub, or anything that `convert` takes. ``hub:org/name`` is fetched from there: see `hub`.
    A name that ships goes before a path; write ``./svhn`` for a file of that name. Weights of
    another precision become float32. Nothing in a file is executed, and every name, shape and
    type is checked against the network before its memory is taken. Only ``package.module:factory``
    runs code, that of the factory: see `modules.load`.

    Raises InputError: one line with the file, the place in it, what was found, what was expected.
    """
    # hub.py and modules.py make Checkpoints, so they import this module, not the other way round.
    from dcgan_probe import hub

    name = str(name_or_path)
    if name in shipped():
        return read_own(_fixtures() / name / "checkpoint.safetensors", name)
    if name.startswith(hub.PREFIX):
        return hub.load(name)
    path = Path(name_or_path)
    if not os.path.exists(path):
        from dcgan_probe import modules

        if modules.is_factory(name):
            return modules.load(name)
        raise unknown(
            "checkpoint",
            name,
            [*shipped(), "the path of a file or folder", "hub:org/name", "package.module:factory"],
        )
    if hub.is_layout(path):
        return hub.read(path)
    if is_own(path):
        return read_own(path, path.stem)
    return convert([path])


def convert(
    paths: Sequence[str | os.PathLike[str]],
    images: str | os.PathLike[str] | Images | None = None,
) -> Checkpoint:
    """Read other people's checkpoints, the ones that `dcgan_probe.foreign` knows.

        >>> checkpoint = convert(["netG_epoch_24.pth", "netD_epoch_24.pth"])
        >>> sha = save(checkpoint, "mine.safetensors")

    paths: one or two state dicts of pytorch/examples' dcgan, or one folder of the authors'
        ``.npy`` arrays.
    images: for the authors' discriminator, whose files hold no batch-norm statistics: real
        ones, what `sources.ImageSource` opens. Without it the generator's own images are taken.

    Raises InputError as `load` does.
    """
    # foreign.py builds Checkpoints, so it imports this module and not the other way round.
    from dcgan_probe import foreign

    given = [Path(path) for path in paths]
    for path in given:
        if is_own(path):
            raise InputError(f"{path}: found a checkpoint of dcgan-probe, expected another's")
    if len(given) == 1 and given[0].is_dir():
        return foreign.read_authors(given[0], images)
    if images is not None:
        raise InputError(f"{given[0]}: found images given, expected none: its statistics are known")
    return foreign.read_pytorch_example(given)


def empty(config: Config, part: str) -> nn.Module:
    """The "generator" or "discriminator" of a config, in eval mode, without memory for weights."""
    with torch.device("meta"):
        return NETWORKS[part](config).eval()


def digest(paths: Sequence[Path]) -> str:
    """SHA-256 of a file, or of the SHA-256 of several, one after the other."""
    each = [files.sha256(path) for path in paths]
    return each[0] if len(each) == 1 else hashlib.sha256("".join(each).encode()).hexdigest()


def _fixtures() -> Path:
    return Path(str(resources.files("dcgan_probe.fixtures")))


def is_own(path: Path) -> bool:
    """Whether a path is a file of our own format."""
    if path.is_dir() or weights.content(path) != "safetensors":
        return False
    with weights.opened(path) as file:
        return "dcgan_probe" in (file.metadata() or {})


def read_own(path: Path, name: str) -> Checkpoint:
    """A file of our own format as a checkpoint of this name; raises as `load` does."""
    with weights.opened(path) as file:
        config, info = _about(path, file.metadata()["dcgan_probe"])
        found = weights.specs_of(file)
        parts = [part for part in NETWORKS if any(n.startswith(f"{part}.") for n in found)]
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
        weights.check_specs(path, found, expected)
        tensors = {n: weights.take(path, n, file.get_tensor(n)) for n in expected}
    for part, network in networks.items():
        weights.fill(network, {n: tensors[f"{part}.{n}"] for n in network.state_dict()})
    generator: Any = networks.get("generator")
    discriminator: Any = networks.get("discriminator")
    return Checkpoint(config, generator, discriminator, info, name, files.sha256(path))


def _about(path: Path, text: str) -> tuple[Config, dict[str, Any]]:
    try:
        about = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: metadata: found no JSON ({error}), expected it") from error
    return checked(f"{path}: metadata", about)


def checked(where: str, about: Any) -> tuple[Config, dict[str, Any]]:
    """Config and info of the JSON that a checkpoint has about itself; InputError if it is other."""
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        found = about.get("format") if isinstance(about, dict) else about
        raise InputError(
            f"{where}: found format {found!r:.80}, expected {FORMAT!r}"
            " (was it written by a newer dcgan-probe?)"
        )
    config, info = about.get("config"), about.get("info")
    if not isinstance(config, dict) or not isinstance(info, dict):
        raise InputError(f"{where}: found no config or no info, expected an object each")
    for known in Config().to_dict():
        if known not in config:
            raise InputError(f"{where}: network config: {known}: found none, expected a value")
    try:
        return Config.from_dict(config), info
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
