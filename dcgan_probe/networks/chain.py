"""Generators and discriminators that are chains of blocks, built from a `ChainConfig`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dcgan_probe.networks.chain_config import ChainBlock, ChainConfig


class Chain(nn.Sequential):
    """A network of blocks in sequence, named as its config names them.

        >>> blocks = (ChainBlock(kind="deconv", filters=1, kernel=7, activation="tanh"),)
        >>> chain = Chain(ChainConfig(size=7, channels=1, z_size=8, generator=blocks), "generator")
        >>> chain(torch.zeros(2, 8)).shape
        torch.Size([2, 1, 7, 7])

    part: "generator", N x z_size float32 to N x channels x size x size in [-1, 1]; or
    "discriminator", those to N logits, or to N x P of them where the last maps have P locations.
    """

    config: ChainConfig

    def __init__(self, config: ChainConfig, part: str):
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        names, sides = config.layers(part), config.sides(part)
        inputs, side = config.z_size + config.classes, 1
        if part == "discriminator":
            inputs, side = config.channels, config.size
        described = getattr(config, part)
        for i, (name, block) in enumerate(zip(names, described, strict=True)):
            after = described[i + 1].kind if i + 1 < len(described) else None
            parts = _parts(block, inputs, side, after)
            if part == "generator":
                if i == 0:
                    parts = [*_before(config, block), *parts]
                if i == len(names) - 1 and config.images == "[0, 1]":
                    parts.append(("range", Affine(2.0, -1.0)))
            elif i == 0 and config.images == "[0, 1]":
                parts = [("range", Affine(0.5, 0.5)), *parts]
            if part == "discriminator" and i == len(names) - 1:
                single = block.filters * sides[i] ** 2 == 1
                parts.append(("squeeze", nn.Flatten(0 if single else 1)))
            blocks[name] = nn.Sequential(OrderedDict(parts))
            inputs, side = block.filters, sides[i]
        super().__init__(blocks)
        self.config = config


class Affine(nn.Module):
    """Map x to gain * x + shift: from the range of images that a network has to another."""

    def __init__(self, gain: float, shift: float):
        super().__init__()
        self.gain, self.shift = gain, shift

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * x + self.shift

    def extra_repr(self) -> str:
        return f"{self.gain} * x + {self.shift}"


class OneHot(nn.Module):
    """Put the one-hot vector of a class behind latents, n x z or n x z x 1 x 1, or before them.

    What already has a class beside it, z + classes numbers, is passed on as it is.
    """

    def __init__(self, z_size: int, classes: int, label: int, first: bool = False):
        super().__init__()
        self.z_size, self.classes, self.label, self.first = z_size, classes, label, first

    def forward(self, z: Tensor) -> Tensor:
        if z.shape[1] == self.z_size + self.classes:
            return z
        vector = (torch.arange(self.classes, device=z.device) == self.label).to(z.dtype)
        places = [1] * (z.dim() - 2)
        vector = vector.view(-1, *places).expand(z.shape[0], -1, *places)
        return torch.cat([vector, z] if self.first else [z, vector], 1)

    def extra_repr(self) -> str:
        return f"class {self.label} of {self.classes}" + (", before z" if self.first else "")


def _before(config: ChainConfig, block: ChainBlock) -> list[tuple[str, nn.Module]]:
    """What makes of latents the input of the generator's first layer."""
    parts: list[tuple[str, nn.Module]] = []
    if block.kind != "linear":
        parts.append(("maps", nn.Unflatten(1, (-1, 1, 1))))
    if config.classes:
        one_hot = OneHot(config.z_size, config.classes, config.label, config.class_first)
        parts.append(("label", one_hot))
    return parts


def _parts(
    block: ChainBlock, inputs: int, side: int, after: str | None
) -> list[tuple[str, nn.Module]]:
    """The layers of a block that takes maps of a side; after: the kind of the next block."""
    options: dict[str, Any] = {"stride": block.stride, "padding": block.padding, "bias": block.bias}
    parts: list[tuple[str, nn.Module]] = []
    if block.upsample > 1:
        parts.append(("up", upsampling(block)))
    flat = block.kind == "linear" and block.side == 1 and after in ("linear", None)
    if block.kind == "linear":
        if side > 1:
            parts.append(("flat", nn.Flatten()))
        units = block.filters * block.side**2
        parts.append(("linear", nn.Linear(inputs * side**2, units, bias=block.bias)))
    elif block.kind == "conv":
        parts.append(("conv", nn.Conv2d(inputs, block.filters, block.kernel, **options)))
    else:
        more = {"output_padding": block.output_padding, **options}
        parts.append(("conv", nn.ConvTranspose2d(inputs, block.filters, block.kernel, **more)))
    norm: list[tuple[str, nn.Module]] = []
    if block.norm == "unit" or (block.norm == "batch" and flat):
        units = block.filters * block.side**2
        norm = [("norm", nn.BatchNorm1d(units, block.eps, affine=block.affine))]
    elif block.norm == "batch":
        norm = [("norm", nn.BatchNorm2d(block.filters, block.eps, affine=block.affine))]
    elif block.norm == "instance":
        norm = [("norm", nn.InstanceNorm2d(block.filters, block.eps, affine=block.affine))]
    activation = _activation(block)
    act = [] if activation is None else [("act", activation)]
    rest = [*act, *norm] if block.norm_last else [*norm, *act]
    if block.kind == "linear" and not flat:
        # A norm of units has one gain for each, so it comes before they are maps.
        at = [name for name, _ in rest].index("norm") + 1 if block.norm == "unit" else 0
        rest.insert(at, ("maps", nn.Unflatten(1, (block.filters, block.side, block.side))))
    return [*parts, *rest]


def upsampling(block: ChainBlock) -> nn.Upsample:
    """What makes the maps larger before the convolution of a block."""
    if block.upsampling == "nearest":
        return nn.Upsample(scale_factor=block.upsample)
    aligned = block.upsampling == "aligned"
    return nn.Upsample(scale_factor=block.upsample, mode="bilinear", align_corners=aligned)


def _activation(block: ChainBlock) -> nn.Module | None:
    kinds: dict[str, Callable[[], nn.Module | None]] = {
        "none": lambda: None,
        "relu": nn.ReLU,
        "leaky_relu": lambda: nn.LeakyReLU(block.slope),
        "tanh": nn.Tanh,
        "sigmoid": nn.Sigmoid,
        "clip": nn.Hardtanh,
    }
    return kinds[block.activation]()
