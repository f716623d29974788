"""Build a config and networks from chains of layers and known facts.

The paper's family becomes a `config.Config`, whatever its tensors are called, so that one network
has one converted file; every other chain becomes a `chain_config.ChainConfig`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from dcgan_probe.checkpoints.facts import Facts
from dcgan_probe.checkpoints.geometry import ChainShape, Way, discriminator_ways, generator_ways
from dcgan_probe.checkpoints.structure import StoredNetwork
from dcgan_probe.checkpoints.weights import fill, take
from dcgan_probe.errors import InputError
from dcgan_probe.networks.chain_config import ChainBlock, ChainConfig
from dcgan_probe.networks.config import Config
from dcgan_probe.networks.dcgan import LEAK, empty

EPS = 1e-5  # torch's
OTHERS = 12  # ways of strides that are tried beside the most usual
UNUSUAL = 2.0  # by how much their cost may be higher


def guesses(networks: Mapping[str, StoredNetwork], facts: Facts, where: str) -> list[ChainConfig]:
    """Configs that fit the shapes and the given facts, the most usual first.

    They differ in the strides and upsampling of the generator. Raises InputError where no strides
    lead to an image of the size, or from it.
    """
    g, d = networks.get("generator"), networks.get("discriminator")
    pairs: list[tuple[float, Way | None, Way | None]] = []
    if g is not None:
        ways = generator_ways(_shapes(g), facts.size)
        if not ways:
            raise InputError(
                f"{where}: generator: found kernels of {_kernels(g)}, expected ones "
                f"that lead to {_pixels(facts.size)}"
            )
        for way in ways[: 4 * OTHERS]:
            seen = discriminator_ways(_shapes(d), way.size)[:1] if d is not None else [None]
            pairs += [(way.cost + (s.cost if s else 0), way, s) for s in seen]
        if not pairs:
            raise InputError(
                f"{where}: discriminator: found kernels of {_kernels(d)}, expected "
                f"ones that take images of {ways[0].size}x{ways[0].size}"
            )
    elif d is not None:
        seen = discriminator_ways(_shapes(d), facts.size)
        if not seen:
            raise InputError(
                f"{where}: discriminator: found kernels of {_kernels(d)}, expected "
                f"ones that take {_pixels(facts.size)}"
            )
        pairs = [(seen[0].cost, None, seen[0])]
    pairs.sort(key=lambda pair: pair[0])
    customary = [pair for pair in pairs if pair[0] <= pairs[0][0] + UNUSUAL]
    return [describe(g, d, up, down, facts, where) for _, up, down in customary[: OTHERS + 1]]


def describe(
    g: StoredNetwork | None,
    d: StoredNetwork | None,
    up: Way | None,
    down: Way | None,
    facts: Facts,
    where: str,
) -> ChainConfig:
    """The config of two networks, with these strides and the given facts."""
    way = up or down
    assert way is not None
    output = facts.output or "tanh"
    z = g.layers[0].inputs - facts.classes if g else 0
    if g and z < 1:
        raise InputError(
            f"{where}: generator: found {g.layers[0].inputs} inputs, expected more "
            f"than the {facts.classes} classes: --class K/N"
        )
    channels = g.layers[-1].outputs if g else d.layers[0].inputs if d else 0
    if g and d and d.layers[0].inputs != channels:
        raise InputError(
            f"{where}: discriminator: channels: found {d.layers[0].inputs}, expected "
            f"{channels}, as in the generator"
        )
    eps = EPS if facts.eps is None else facts.eps
    hidden, slope = facts.slope or 0.0, LEAK if facts.d_slope is None else facts.d_slope
    try:
        config = ChainConfig(
            size=way.size,
            channels=channels,
            z_size=z,
            z_distribution=facts.z or "normal",
            classes=facts.classes,
            label=facts.class_number,
            class_first=bool(facts.class_first),
            images="[0, 1]" if output == "sigmoid" else "[-1, 1]",
            generator=_blocks(g, up, eps, hidden, "clip" if output == "none" else output),
            discriminator=_blocks(d, down, eps, slope, "none"),
        )
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    if d is not None:
        _check_flattened(config, d, where)
    return config


def _check_flattened(config: ChainConfig, network: StoredNetwork, where: str) -> None:
    """Make sure that a linear layer of a discriminator takes all locations of the maps before."""
    sides = config.sides("discriminator")
    for i, layer in enumerate(network.layers):
        if layer.kind == "linear":
            expected = network.layers[i - 1].outputs * sides[i - 1] ** 2
            if layer.inputs != expected:
                raise InputError(
                    f"{where}: discriminator: tensor {layer.path}.weight: found {layer.inputs} "
                    f"inputs, expected {expected} for images of {config.size}x{config.size}"
                )


def _blocks(
    network: StoredNetwork | None, way: Way | None, eps: float, slope: float, last: str
) -> tuple[ChainBlock, ...]:
    if network is None or way is None:
        return ()
    sides = [shape.side for shape in _shapes(network)]
    blocks = []
    for i, (layer, step) in enumerate(zip(network.layers, way.steps, strict=True)):
        end = i == len(network.layers) - 1
        reshaped = network.part == "generator" and layer.kind == "linear"
        side = sides[i] if reshaped else 1
        filters = layer.outputs // side**2
        norm, affine = "none", True
        if layer.norm is not None:
            affine = "weight" in layer.norm.tensors
            norm = "batch" if "running_mean" in layer.norm.tensors else "instance"
            if layer.kind == "linear" and norm == "batch" and layer.norm.width != filters:
                norm = "unit"
        hidden = ("leaky_relu", slope) if slope else ("relu", 0.0)
        activation, below = (last, 0.0) if end else hidden
        blocks.append(
            ChainBlock(
                kind=layer.kind,
                filters=filters,
                kernel=1 if layer.kind == "linear" else int(layer.weight.shape[2]),
                stride=step.stride,
                padding=step.padding,
                output_padding=step.output_padding,
                side=side,
                upsample=step.upsample,
                bias=layer.bias is not None,
                norm=norm,
                affine=affine,
                eps=eps if norm != "none" else EPS,
                activation=activation,
                slope=below,
            )
        )
    return tuple(blocks)


def _shapes(network: StoredNetwork) -> list[ChainShape]:
    """Kinds and kernels; for a linear layer the side of the maps beside it."""
    shapes = []
    layers = network.layers
    for i, layer in enumerate(layers):
        if layer.kind != "linear":
            shapes.append(ChainShape(layer.kind, int(layer.weight.shape[2])))
        elif network.part == "generator":
            after = layers[i + 1] if i + 1 < len(layers) else layer
            flat = after.kind == "linear"
            shapes.append(
                ChainShape("linear", side=1 if flat else _root(layer.outputs, after.inputs))
            )
        else:
            before = layers[i - 1]
            flat = before.kind == "linear"
            shapes.append(
                ChainShape("linear", side=1 if flat else _root(layer.inputs, before.outputs))
            )
    return shapes


def _root(units: int, maps: int) -> int:
    return round((units // maps) ** 0.5)


def _kernels(network: StoredNetwork | None) -> str:
    return ", ".join(str(shape.kernel) for shape in _shapes(network)) if network else ""


def _pixels(size: int | None) -> str:
    return f"images of {size}x{size} (--size)" if size else "square images"


# Tensors


def chain_tensors(config: ChainConfig, network: StoredNetwork) -> dict[str, Tensor]:
    """The tensors of a network under the names that its config gives them, checked by `take`."""
    tensors: dict[str, Tensor] = {}
    for name, layer in zip(config.layers(network.part), network.layers, strict=True):
        module = "linear" if layer.kind == "linear" else "conv"

        def put(leaf: str, source: str, tensor: Tensor, name: str = name) -> None:
            if not tensor.is_floating_point():
                kind = str(tensor.dtype).removeprefix("torch.")
                raise InputError(
                    f"{network.place}: tensor {source}: found {kind}, expected float32"
                )
            tensors[f"{name}.{leaf}"] = take(network.place, source, tensor)

        put(f"{module}.weight", f"{layer.path}.weight", layer.weight)
        if layer.bias is not None:
            put(f"{module}.bias", f"{layer.path}.bias", layer.bias)
        if layer.norm is not None:
            for leaf, tensor in layer.norm.tensors.items():
                put(f"norm.{leaf}", f"{layer.norm.path}.{leaf}", tensor)
            if "running_mean" in layer.norm.tensors:
                tensors[f"{name}.norm.num_batches_tracked"] = torch.tensor(0)
    return tensors


def build(config: Config | ChainConfig, part: str, tensors: Mapping[str, Tensor]) -> Any:
    """The network of a config, filled with tensors under the names of a `ChainConfig`."""
    if isinstance(config, Config):
        tensors = _family_tensors(part, tensors)
    return fill(empty(config, part), tensors)


def _family_tensors(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """On 1x1 maps a convolution is a linear layer, which is how `dcgan` has the first and last."""
    result = dict(tensors)
    if part == "generator":
        result["4x4.linear.weight"] = result.pop("4x4.conv.weight").flatten(1).T.contiguous()
    else:
        result["score.linear.weight"] = result.pop("score.conv.weight").flatten(1)
    return result


def family(config: ChainConfig) -> Config | None:
    """The `Config` of the same networks, if they are of the paper's family, in torch's layout."""
    networks = {"generator": config.generator, "discriminator": config.discriminator}
    blocks = [block for part in networks.values() for block in part]
    kernels = {b.kernel for b in (*config.generator[1:], *config.discriminator[:-1])}
    eps = {block.eps for block in blocks if block.norm != "none"}
    if len(kernels) != 1 or len(eps) != 1:
        return None
    widths = [
        part[i].filters for part, i in ((config.generator, -2), (config.discriminator, 0)) if part
    ]
    kernel = kernels.pop()
    try:
        known = Config(
            size=config.size,
            channels=config.channels,
            g_width=widths[0],
            d_width=widths[-1],
            kernel=kernel,
            z_size=config.z_size or Config.z_size,
            z_distribution=config.z_distribution,
            norm_per_unit=False,
            norm_eps=eps.pop(),
        )
    except InputError:
        return None
    return known if _as_chain(known, config) == config else None


def _as_chain(known: Config, like: ChainConfig) -> ChainConfig:
    """A `Config` block by block, for the networks that another config has."""
    k = known.kernel
    maps = [known.g_width * known.size // 2 // r for r in known.resolutions[:-1]]
    normed: dict[str, Any] = {"norm": "batch", "eps": known.norm_eps}
    up: dict[str, Any] = {"kind": "deconv", "activation": "relu"}
    halving: dict[str, Any] = {"kernel": k, "stride": 2, "padding": (k - 1) // 2}
    doubling = {**up, **halving, "output_padding": k % 2}
    generator = [ChainBlock(filters=maps[0], kernel=4, **normed, **up)]
    generator += [ChainBlock(filters=n, **normed, **doubling) for n in maps[1:]]
    generator.append(ChainBlock(filters=known.channels, **{**doubling, "activation": "tanh"}))
    widths = [known.d_width * known.size // 2 // r for r in reversed(known.resolutions[:-1])]
    down: dict[str, Any] = {"kind": "conv", "activation": "leaky_relu", "slope": LEAK, **halving}
    discriminator = [
        ChainBlock(filters=n, **down, **(normed if i else {})) for i, n in enumerate(widths)
    ]
    discriminator.append(ChainBlock(kind="conv", filters=1, kernel=4))
    return replace(
        like,
        size=known.size,
        channels=known.channels,
        classes=0,
        label=0,
        class_first=False,
        images="[-1, 1]",
        generator=tuple(generator) if like.generator else (),
        discriminator=tuple(discriminator) if like.discriminator else (),
    )
