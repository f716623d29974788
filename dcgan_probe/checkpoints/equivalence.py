"""Tell which file a module would become: what was drawn on one is then taken by the other.

A DCGAN that is handed over as a module and the file that `convert` makes of its weights are one
network. Where its layers are a chain that a file of ours can hold, and the network of that file
gives the same outputs, the module's identity is the SHA-256 of that file.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from dcgan_probe.checkpoints import native
from dcgan_probe.checkpoints.assembly import build, chain_tensors, describe, family
from dcgan_probe.checkpoints.checkpoint import Checkpoint
from dcgan_probe.checkpoints.facts import Facts
from dcgan_probe.checkpoints.geometry import Step, Way
from dcgan_probe.checkpoints.state_dicts import CHAIN, EXAMPLE, STORED
from dcgan_probe.checkpoints.structure import StoredNetwork, find_networks
from dcgan_probe.errors import InputError
from dcgan_probe.networks.chain_config import ChainConfig
from dcgan_probe.networks.config import Config

SAME = 1e-5


def identity(
    parts: Mapping[str, nn.Module],
    z_distribution: str,
    inputs: Mapping[str, Tensor],
    outputs: Mapping[str, Tensor],
    size: int,
) -> str | None:
    """SHA-256 of the file that `convert` would write of modules; None if there is none such.

    inputs, outputs: of each network, as probes give and take them.
    """
    try:
        networks = {part: _network(part, module) for part, module in parts.items()}
        for facts in _facts(parts, z_distribution):
            ways = {part: _way(networks[part], parts[part], size) for part in parts}
            config = describe(
                networks.get("generator"),
                networks.get("discriminator"),
                ways.get("generator"),
                ways.get("discriminator"),
                facts,
                "modules",
            )
            if (checkpoint := _same(config, networks, inputs, outputs)) is not None:
                return hashlib.sha256(native.to_bytes(checkpoint)).hexdigest()
    except (InputError, AttributeError, KeyError):
        return None  # no chain of layers that a file of ours holds
    return None


def _network(part: str, module: nn.Module) -> StoredNetwork:
    chains = find_networks(module.state_dict(), part)
    if len(chains) != 1 or chains[0].part != part:
        raise InputError(f"{part}: found {len(chains)} chains, expected one")
    return chains[0]


def _way(network: StoredNetwork, module: nn.Module, size: int) -> Way:
    """The strides and paddings that the modules have."""
    steps = []
    for layer in network.layers:
        part: Any = module.get_submodule(layer.path)
        kind = type(part).__bases__[0] if is_parametrized(part) else type(part)
        if kind not in (nn.Linear, nn.Conv2d, nn.ConvTranspose2d) or "forward" in vars(part):
            raise InputError(f"{layer.path}: found a {kind.__name__}, expected a layer of torch")
        if layer.kind == "linear":
            steps.append(Step())
            continue
        more = part.output_padding[0] if layer.kind == "deconv" else 0
        plain = part.stride[0] == part.stride[1] and part.padding[0] == part.padding[1]
        if not plain or part.groups != 1 or part.dilation != (1, 1):
            raise InputError(f"{layer.path}: found a layer that is not square, expected one")
        steps.append(Step(part.stride[0], part.padding[0], more))
    return Way(tuple(steps), size, 0)


def _facts(parts: Mapping[str, nn.Module], z_distribution: str) -> Iterator[Facts]:
    """What the modules say of slopes, eps and the last activation."""
    slopes: dict[str, float] = {}
    eps = []
    for part, module in parts.items():
        leaky = [m.negative_slope for m in module.modules() if isinstance(m, nn.LeakyReLU)]
        slopes[part] = leaky[0] if leaky else 0.0
        eps += [m.eps for m in module.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d)]
    for output, value in itertools.product(("tanh", "sigmoid"), dict.fromkeys(eps or [1e-5])):
        yield Facts(
            z=z_distribution,
            output=output,
            slope=slopes.get("generator"),
            d_slope=slopes.get("discriminator"),
            eps=value,
        )


def _same(
    config: ChainConfig,
    networks: Mapping[str, StoredNetwork],
    inputs: Mapping[str, Tensor],
    outputs: Mapping[str, Tensor],
) -> Checkpoint | None:
    """The checkpoint of a config, if its networks give the outputs of the modules."""
    known: Config | ChainConfig = family(config) or config
    built = {}
    for part, network in networks.items():
        module = build(known, part, chain_tensors(config, network))
        with torch.no_grad():
            output = (
                module(inputs[part]).flatten(1)
                if part == "generator"
                else (module(inputs[part]).view(len(inputs[part]), -1))
            )
        right = outputs[part].reshape(len(output), -1)
        ways = [output] if part == "generator" else [output, output.sigmoid()]
        if not any(
            way.shape == right.shape and torch.allclose(way, right, atol=SAME, rtol=1e-4)
            for way in ways
        ):
            return None
        built[part] = module
    source = EXAMPLE if isinstance(known, Config) else CHAIN
    info = {"source": source, "statistics": STORED}
    return Checkpoint(known, built.get("generator"), built.get("discriminator"), info)
