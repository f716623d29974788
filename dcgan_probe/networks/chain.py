"""Generators and discriminators that are a chain of blocks, from a `chain_config.ChainConfig`."""

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
            parts = _parts(block, inputs, side)
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
    """Append the one-hot vector of a class to latents, n x z to n x (z + classes)."""

    def __init__(self, classes: int, label: int):
        super().__init__()
        self.classes, self.label = classes, label

    def forward(self, z: Tensor) -> Tensor:
        vector = torch.arange(self.classes, device=z.device) == self.label
        return torch.cat([z, vector.to(z.dtype).expand(z.shape[0], -1)], 1)

    def extra_repr(self) -> str:
        return f"class {self.label} of {self.classes}"


def _before(config: ChainConfig, block: ChainBlock) -> list[tuple[str, nn.Module]]:
    """What makes of latents the input of the generator's first layer."""
    parts: list[tuple[str, nn.Module]] = []
    if config.classes:
        parts.append(("label", OneHot(config.classes, config.label)))
    if block.kind != "linear":
        parts.append(("maps", nn.Unflatten(1, (config.z_size + config.classes, 1, 1))))
    return parts


def _parts(block: ChainBlock, inputs: int, side: int) -> list[tuple[str, nn.Module]]:
    """The layers of a block that takes maps of a side."""
    options: dict[str, Any] = {"stride": block.stride, "padding": block.padding, "bias": block.bias}
    parts: list[tuple[str, nn.Module]] = []
    if block.kind == "linear":
        if side > 1:
            parts.append(("flat", nn.Flatten()))
        units = block.filters * block.side**2
        parts.append(("linear", nn.Linear(inputs * side**2, units, bias=block.bias)))
        if block.norm == "unit":
            parts.append(("norm", nn.BatchNorm1d(units, block.eps, affine=block.affine)))
        if block.side > 1 or block.norm == "batch":
            parts.append(("maps", nn.Unflatten(1, (block.filters, block.side, block.side))))
    elif block.kind == "conv":
        parts.append(("conv", nn.Conv2d(inputs, block.filters, block.kernel, **options)))
    else:
        more = {"output_padding": block.output_padding, **options}
        parts.append(("conv", nn.ConvTranspose2d(inputs, block.filters, block.kernel, **more)))
    if block.norm == "batch":
        parts.append(("norm", nn.BatchNorm2d(block.filters, block.eps, affine=block.affine)))
    elif block.norm == "instance":
        parts.append(("norm", nn.InstanceNorm2d(block.filters, block.eps, affine=block.affine)))
    activation = _activation(block)
    return parts if activation is None else [*parts, ("act", activation)]


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
