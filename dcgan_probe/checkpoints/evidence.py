"""Predict the inputs of each norm under a hypothesis, and compare them with stored statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from dcgan_probe import latents
from dcgan_probe.checkpoints.statistics import NormFit, fit, moments
from dcgan_probe.checkpoints.structure import StoredLayer, StoredNetwork
from dcgan_probe.networks.chain import upsampling
from dcgan_probe.networks.chain_config import UPSAMPLING, ChainBlock, ChainConfig, activated

LATENTS = 256
FEWER, LARGE = 128, 4_000_000  # for networks with this many weights


@dataclass(frozen=True)
class Between:
    """What lies between a norm and the next, beside weights. slope: None for no activation.

    config: how z is drawn, and the strides. norm_last: the next norm is behind the activation.
    dropout: behind activations, while the statistics were made; it leaves no other trace.
    """

    config: ChainConfig
    eps: float
    slope: float | None
    norm_last: bool = False
    upsampling: str = UPSAMPLING[0]
    dropout: float = 0.0


class Path:
    """The way from a norm, or from the input, to the next norm."""

    def __init__(
        self,
        network: StoredNetwork,
        blocks: Sequence[ChainBlock],
        before: int,
        at: int,
        x: Tensor | None,
    ):
        self.network, self.blocks, self.before, self.at = network, list(blocks), before, at
        self.x = x  # what enters the norm before, or a discriminator

    def is_exact(self, guess: Between) -> bool:
        """Whether only a layer lies between z and the norm, so that its moments are known."""
        return self.x is None and self.at == 0 and not guess.norm_last

    def fit(self, guess: Between, count: int | None = None) -> NormFit:
        """What enters the norm, beside what it has stored. count: of the first inputs only."""
        if not self.is_exact(guess):
            return self.fit_of(self.enters(guess, count))
        layer = self.network.layers[self.at]
        return self._fit(*moments_of_first(layer, self._block(0, guess), guess.config))

    def fit_of(self, entering: Tensor) -> NormFit:
        """What `enters` gave, beside what the norm has stored."""
        return self._fit(*moments(entering))

    def _fit(self, mean: Tensor, variance: Tensor) -> NormFit:
        layer = self.network.layers[self.at]
        assert layer.norm is not None
        stored = (layer.norm.tensors[f"running_{name}"].float() for name in ("mean", "var"))
        return fit(layer.norm.path, mean, variance, *stored)

    @torch.no_grad()
    def enters(self, guess: Between, count: int | None = None) -> Tensor:
        """What enters the norm."""
        layers = self.network.layers
        x = (_drawn(guess.config, self.network) if self.x is None else self.x)[:count]
        if self.before >= 0:
            x = _normalise(layers[self.before], x, guess.eps)
            block = self.blocks[self.before]
            if block.norm == "unit":
                x = x.reshape(len(x), block.filters, block.side, block.side)
            if not block.norm_last:
                x = _activate(x, guess)
        for i in range(self.before + 1, self.at + 1):
            block = self._block(i, guess)
            x = _weigh(layers[i], block, x)
            if i < self.at and block.norm == "instance":
                norm = layers[i].norm
                assert norm is not None
                gain, bias = (norm.tensors.get(name) for name in ("weight", "bias"))
                x = F.instance_norm(x, weight=gain, bias=bias, eps=guess.eps)
            if i < self.at or guess.norm_last:
                x = _activate(x, guess)
        return x

    def described(self, guess: Between) -> list[ChainBlock]:
        """All blocks, with what was chosen for those up to the norm."""
        blocks = self.blocks
        if self.before >= 0:
            block = normed(blocks[self.before], guess.eps)
            blocks[self.before] = block if block.norm_last else activated(block, guess.slope)
        for i in range(self.before + 1, self.at + 1):
            block = self._block(i, guess)
            if i < self.at or guess.norm_last:
                block = activated(block, guess.slope)
            blocks[i] = replace(block, norm_last=guess.norm_last and i == self.at)
        return blocks

    def _block(self, i: int, guess: Between) -> ChainBlock:
        return stepped(self.blocks[i], getattr(guess.config, self.network.part)[i], guess)


def stepped(block: ChainBlock, like: ChainBlock, guess: Between) -> ChainBlock:
    """A block with the strides of another."""
    return replace(
        block,
        stride=like.stride,
        padding=like.padding,
        output_padding=like.output_padding,
        upsample=like.upsample,
        upsampling=guess.upsampling if like.upsample > 1 else block.upsampling,
    )


def normed(block: ChainBlock, eps: float) -> ChainBlock:
    return block if block.norm == "none" else replace(block, eps=eps)


def slope_of(block: ChainBlock) -> float | None:
    return None if block.activation == "none" else block.slope


def size_of(network: StoredNetwork) -> int:
    return sum(layer.weight.numel() for layer in network.layers)


def rows_of_first(layer: StoredLayer, block: ChainBlock) -> Tensor:
    """What each input adds to the maps of the first layer: inputs x maps x locations."""
    weight = layer.weight.float()
    if layer.kind == "linear":
        assert layer.norm is not None
        return weight.T.reshape(weight.shape[1], layer.norm.width, -1)
    one = torch.eye(layer.inputs)[:, :, None, None]
    return _weigh(replace(layer, bias=None), block, one).flatten(2)


def moments_of_first(
    layer: StoredLayer, block: ChainBlock, config: ChainConfig
) -> tuple[Tensor, Tensor]:
    """Mean and variance of each map of the first layer, over all z, classes and locations."""
    rows = rows_of_first(layer, block)
    z, of_class = rows[: config.z_size], rows[config.z_size :]
    if config.class_first:
        of_class, z = rows[: config.classes], rows[config.classes :]
    variance = z.square().sum(0) * (1 / 3 if config.z_distribution == "uniform" else 1.0)
    mean = torch.zeros_like(variance)
    if config.classes:
        mean = of_class.mean(0)
        variance = variance + of_class.var(0, correction=0)
    if layer.bias is not None:
        assert layer.norm is not None
        by_map = layer.bias.float().reshape(layer.norm.width, -1)
        mean = mean + by_map
    return mean.mean(1), variance.mean(1) + mean.var(1, correction=0)


def _drawn(config: ChainConfig, network: StoredNetwork) -> Tensor:
    """Latents, and classes beside them, as training drew them."""
    count = FEWER if size_of(network) > LARGE else LATENTS
    z = latents.sample(config, count, seed=0)
    if not config.classes:
        return z
    labels = torch.arange(count) % config.classes
    one_hot = F.one_hot(labels, config.classes).float()
    return torch.cat([one_hot, z] if config.class_first else [z, one_hot], 1)


def _weigh(layer: StoredLayer, block: ChainBlock, x: Tensor) -> Tensor:
    weight = layer.weight.float()
    bias = None if layer.bias is None else layer.bias.float()
    if layer.kind == "linear":
        x = F.linear(x.flatten(1), weight, bias)
        return x if block.norm == "unit" else x.reshape(len(x), block.filters, block.side, -1)
    x = x.reshape(len(x), -1, 1, 1) if x.dim() == 2 else x
    if block.upsample > 1:
        x = upsampling(block)(x)
    if layer.kind == "conv":
        return F.conv2d(x, weight, bias, block.stride, block.padding)
    return F.conv_transpose2d(x, weight, bias, block.stride, block.padding, block.output_padding)


def _normalise(layer: StoredLayer, x: Tensor, eps: float) -> Tensor:
    assert layer.norm is not None
    values = {name: tensor.float() for name, tensor in layer.norm.tensors.items()}
    stored = values["running_mean"], values["running_var"]
    return F.batch_norm(x, *stored, values.get("weight"), values.get("bias"), eps=eps)


def _activate(x: Tensor, guess: Between) -> Tensor:
    if guess.slope is not None:
        x = F.leaky_relu(x, guess.slope)
    return F.dropout2d(x, guess.dropout) if guess.dropout and x.dim() == 4 else x
