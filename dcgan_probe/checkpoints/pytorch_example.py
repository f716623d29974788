"""Read state dicts of the DCGAN of pytorch/examples.

The layers are numbered, ``main.0.weight``, ``main.1.running_mean``, ..., one file a network, so
names translate by arithmetic on the number of a block.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from dcgan_probe.checkpoints import pickles, weights
from dcgan_probe.checkpoints.assembly import (
    HALVING,
    as_checkpoint,
    fill_empty,
    kernel_shape,
    merge_facts,
    read_facts,
)
from dcgan_probe.checkpoints.checkpoint import Checkpoint
from dcgan_probe.checkpoints.weights import Spec, WeightFile, check_specs, opened, specs, take
from dcgan_probe.errors import InputError
from dcgan_probe.networks.config import Config
from dcgan_probe.networks.dcgan import NETWORKS, empty

SOURCE = "state dicts of https://github.com/pytorch/examples, dcgan"


def read_pytorch_example(paths: Sequence[str | os.PathLike[str]]) -> Checkpoint:
    """Read the state dicts of a DCGAN that pytorch/examples, or a copy of its networks, trained.

        >>> checkpoint = read_pytorch_example(["netG_epoch_24.pth", "netD_epoch_24.pth"])
        >>> checkpoint.config.z_distribution
        'normal'

    paths: files of a generator, a discriminator, or both, as ``torch.save`` or safetensors wrote
    them. A state dict may lie in a dict (``{"netG": ..., "netD": ...}``), and its names may begin
    with ``module.``. Which network it is, and all sizes, follow from the shapes: images of 16 to
    256 pixels, strided kernels of 4 or 5, widths that double from layer to layer. Running
    statistics are those of the file.

    Raises InputError, one line, for all else. Source: pytorch/examples, dcgan/main.py.
    """
    return read_files([weights.look_at(Path(path)) for path in paths])


def read_files(files: Sequence[WeightFile]) -> Checkpoint:
    """`read_pytorch_example`, of files that were looked at."""
    paths = [file.path for file in files]
    where = " and ".join(map(str, paths))
    states: dict[str, tuple[str, dict[str, Tensor]]] = {}
    for place, state in (each for file in files for each in _states(file)):
        part = "generator" if "main.1.weight" in state else "discriminator"
        if part in states:
            raise InputError(f"{place}: found a second {part}, expected at most one of each")
        states[part] = place, state
    facts = {part: _pytorch_facts(states[part], part) for part in NETWORKS if part in states}
    config = merge_facts(where, facts, z_distribution="normal", norm_per_unit=False, norm_eps=1e-5)
    networks = {part: _pytorch_network(config, part, *states[part]) for part in states}
    info = {"source": SOURCE, "statistics": "running statistics of the source"}
    return as_checkpoint(config, networks, info, paths[0].stem, paths)


def _pytorch_facts(state: tuple[str, dict[str, Tensor]], part: str) -> dict[str, int]:
    where, found = state[0], specs(state[1])
    kernels = [
        int(match[1])
        for name, spec in found.items()
        if (match := re.fullmatch(r"main\.(\d{1,2})\.weight", name)) and len(spec.shape) == 4
    ]
    last = max(kernels, default=0)
    first, final = (kernel_shape(where, found, f"main.{number}.weight") for number in (0, last))
    if part == "generator":
        return read_facts(part, last // 3, final) | {"z_size": first[0]}
    return read_facts(part, (last + 1) // 3, first)


def _pytorch_layout(config: Config, part: str) -> dict[str, tuple[str, Spec]]:
    """Our name of each tensor -> its name and shape in a state dict of pytorch/examples."""
    layout = {}
    for ours, spec in specs(empty(config, part).state_dict()).items():
        block, module, leaf = ours.split(".")
        if leaf == "num_batches_tracked":
            continue
        i = config.layers(part).index(block)
        # Three modules a block (conv, norm, act), but no norm in the first of a discriminator.
        number = 3 * i + (module == "norm") - (part == "discriminator" and i > 0)
        if module == "linear":
            outputs, inputs = spec.shape
            shape = (inputs, outputs // 16) if part == "generator" else (outputs, inputs // 16)
            spec = Spec((*shape, 4, 4), spec.dtype)
        layout[ours] = f"main.{number}.{leaf}", spec
    return layout


def _pytorch_network(config: Config, part: str, where: str, state: dict[str, Tensor]) -> Any:
    layout = _pytorch_layout(config, part)
    state = {n: tensor for n, tensor in state.items() if not n.endswith("num_batches_tracked")}
    check_specs(where, specs(state), dict(layout.values()), HALVING)
    tensors = {ours: take(where, theirs, state[theirs]) for ours, (theirs, _) in layout.items()}
    if part == "generator":
        # On a 1x1 input, a 4x4 deconvolution is a linear layer, stored inputs first.
        tensors["4x4.linear.weight"] = tensors["4x4.linear.weight"].flatten(1).T.contiguous()
    else:
        tensors["score.linear.weight"] = tensors["score.linear.weight"].flatten(1)
    return fill_empty(config, part, tensors)


def _states(file: WeightFile) -> list[tuple[str, dict[str, Tensor]]]:
    """The state dicts in a file, each with its place for messages."""
    path, kind = file
    if kind == "npy":
        raise InputError(f"{path}: found one .npy array, expected the folder of all of them")
    if kind == "safetensors":
        with opened(path) as tensors:
            names = tensors.keys()
            loaded = {name: tensors.get_tensor(name) for name in names}
    else:
        loaded = pickles.read(file)
    items = list(loaded.items()) if isinstance(loaded, Mapping) else []
    candidates = [(str(path), loaded), *((f"{path}: {key}", value) for key, value in items)]
    states = [(place, state) for place, value in candidates if (state := _plain(value))]
    if not states:
        keys = ", ".join(str(key) for key, _ in items[:3]) or "none"
        found = f"keys {keys}" if isinstance(loaded, Mapping) else f"a {type(loaded).__name__}"
        raise InputError(
            f"{path}: found {found:.200}, expected the state dict of a pytorch/examples dcgan"
            " (main.0.weight, ...) or a checkpoint of dcgan-probe"
        )
    return states


def _plain(value: Any) -> dict[str, Tensor]:
    """The tensors of a state dict, without the prefix of data parallelism; else nothing."""
    if not isinstance(value, Mapping):
        return {}
    state = {
        str(name).removeprefix("module."): tensor
        for name, tensor in value.items()
        if isinstance(tensor, Tensor)
    }
    return state if any(name.startswith("main.") for name in state) else {}
