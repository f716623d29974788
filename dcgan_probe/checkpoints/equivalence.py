"""Find the file that a module would convert to, so that both have one identity.

A DCGAN that is passed as a module and the file that `convert` makes of its weights are one
network. Where its layers are a chain that a dcgan-probe file can hold, and the network of that file
gives the same outputs, the module's identity is the SHA-256 of that file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from dcgan_probe.checkpoints import native
from dcgan_probe.checkpoints.assembly import build, chain_tensors, describe, family
from dcgan_probe.checkpoints.checkpoint import Checkpoint
from dcgan_probe.checkpoints.facts import OUTPUTS, Facts
from dcgan_probe.checkpoints.geometry import Step, Way
from dcgan_probe.checkpoints.state_dicts import CHAIN, EXAMPLE, STORED
from dcgan_probe.checkpoints.structure import StoredNetwork, find_networks
from dcgan_probe.errors import InputError
from dcgan_probe.networks.chain_config import ChainBlock, ChainConfig, activated
from dcgan_probe.networks.config import Config

SAME = 1e-5
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.InstanceNorm2d)


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
        ways = {part: _way(networks[part], parts[part], size) for part in parts}
        for output in OUTPUTS:
            config = describe(
                networks.get("generator"),
                networks.get("discriminator"),
                ways.get("generator"),
                ways.get("discriminator"),
                Facts(z=z_distribution, output=output),
                "modules",
            )
            blocks: dict[str, Any] = {
                part: _blocks(getattr(config, part), networks[part], parts[part]) for part in parts
            }
            config = replace(config, **blocks)
            if (checkpoint := _same(config, networks, inputs, outputs)) is not None:
                return hashlib.sha256(native.to_bytes(checkpoint)).hexdigest()
    except (InputError, AttributeError, KeyError):
        return None  # no chain of layers that a dcgan-probe file can hold
    return None


def _network(part: str, module: nn.Module) -> StoredNetwork:
    state = {name: tensor.cpu() for name, tensor in module.state_dict().items()}
    chains = find_networks(state, part)
    if len(chains) != 1 or chains[0].part != part:
        raise InputError(f"{part}: found {len(chains)} chains, expected one")
    return chains[0]


def _way(network: StoredNetwork, module: nn.Module, size: int) -> Way:
    """The strides, paddings and upsampling that the modules have."""
    steps = []
    beside = _beside(network, module)
    for i, layer in enumerate(network.layers):
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
        larger = _upsampling(beside[i - 1]) if i else None
        times = int(float(str(larger.scale_factor))) if larger is not None else 1
        small = i == 0 or (network.layers[i - 1].kind == "linear" and _is_flat(network, i))
        # On a 1x1 input the stride does not matter: then 1 is written.
        stride = 1 if layer.kind == "deconv" and small and more == 0 else part.stride[0]
        steps.append(Step(stride, part.padding[0], more, times))
    return Way(tuple(steps), size, 0)


def _is_flat(network: StoredNetwork, i: int) -> bool:
    return network.layers[i - 1].outputs == network.layers[i].inputs


def _beside(network: StoredNetwork, module: nn.Module) -> list[list[nn.Module]]:
    """What comes behind each layer and before the next, in the order in which it was made."""
    modules = dict(module.named_modules())
    places = list(modules)
    starts = [places.index(layer.path) for layer in network.layers]
    ends = [*starts[1:], len(places)]
    return [
        [modules[name] for name in places[start + 1 : end]]
        for start, end in zip(starts, ends, strict=True)
    ]


def _upsampling(modules: list[nn.Module]) -> nn.Upsample | None:
    return next((part for part in modules if isinstance(part, nn.Upsample)), None)


def _blocks(
    blocks: tuple[ChainBlock, ...], network: StoredNetwork, module: nn.Module
) -> tuple[ChainBlock, ...]:
    """Blocks with the activations, eps and upsampling that the modules have, and in their order."""
    result = []
    beside = _beside(network, module)
    shared = _activations([part for parts in beside for part in parts])
    for i, block in enumerate(blocks):
        acts = _activations(beside[i])
        if i < len(blocks) - 1 and shared:
            # One module that is called again and again lies somewhere else.
            alone = len(shared) == 1 and len(blocks) > 2
            slope = shared[0][1] if alone else acts[0][1] if acts else None
            block = activated(block, slope)
        norms = [at for at, part in enumerate(beside[i]) if isinstance(part, NORMS)]
        if norms and block.norm != "none":
            eps = float(getattr(beside[i][norms[0]], "eps", block.eps))
            last = bool(acts) and i < len(blocks) - 1 and acts[0][0] < norms[0]
            block = replace(block, eps=eps, norm_last=last)
        larger = _upsampling(beside[i - 1]) if i else None
        if larger is not None:
            aligned = "aligned" if larger.align_corners else "bilinear"
            mode = larger.mode if larger.mode == "nearest" else aligned
            block = replace(block, upsampling=mode)
        result.append(block)
    return tuple(result)


def _activations(modules: list[nn.Module]) -> list[tuple[int, float]]:
    """Where ReLUs and LeakyReLUs are, and their slopes."""
    return [
        (at, float(getattr(part, "negative_slope", 0.0)))
        for at, part in enumerate(modules)
        if isinstance(part, nn.ReLU | nn.LeakyReLU)
    ]


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
        try:
            with torch.no_grad():
                output = module(inputs[part].cpu()).reshape(len(inputs[part]), -1)
        except RuntimeError:
            return None  # shapes that do not fit: the modules are called in another order
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
