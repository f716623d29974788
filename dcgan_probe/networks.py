"""The generator and discriminator of Radford, Metz and Chintala (2015), from one small config.

Both are plain ``nn.Sequential`` networks of named blocks. A block is called by the resolution of
what it puts out, and that name is what users type after ``--layer`` and what hooks take:

    generator       4x4  8x8  16x16  32x32  64x64      z -> image
    discriminator   32x32  16x16  8x8  4x4  score      image -> logit

A discriminator of two convolutions a resolution has 32x32a before 32x32, and so on.

The parts of a block can be named too: ``8x8.conv``, ``8x8.norm``, ``8x8.act``. ``8x8`` itself is
what the block passes on, its feature maps after normalisation and activation.
"""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from dcgan_probe.errors import InputError, unknown

LEAK = 0.2
MAX_WIDTH = 1024
MAX_FEATURE_MAPS = 16384

# n latents of a generator of random numbers, n x z_size float32.
Draw = Callable[[int, np.random.Generator], Tensor]


class AnyConfig(Protocol):
    """What probes ask of a GAN's config: `Config` of ours, or `modules.Traced` of another.

    size, channels: of the square images. z_size, z_distribution: of the latents, which are
    "uniform" on [-1, 1], "normal" (standard), or drawn by a function.
    """

    @property
    def size(self) -> int: ...

    @property
    def channels(self) -> int: ...

    @property
    def z_size(self) -> int: ...

    @property
    def z_distribution(self) -> str | Draw: ...

    def layers(self, network: str) -> tuple[str, ...]:
        """Names of the layers of "generator" or "discriminator", in the order of the data."""

    def hidden(self, network: str) -> dict[str, tuple[int, int]]:
        """Height and width of what it passes on at each resolution, without image and score."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""


@dataclass(frozen=True)
class Config:
    """What a DCGAN is built from; everything else follows.

        >>> Config(size=32, g_width=64, d_width=64).layers("generator")
        ('4x4', '8x8', '16x16', '32x32')

    size: image height and width in pixels, a power of two from 16 to 256.
    channels: 1 (grey) or 3 (RGB).
    g_width, d_width: feature maps at half the image size; they double with every halving.
    kernel: 4 or 5, the size of every strided kernel; those without stride are 3 or 5.
    z_size, z_distribution: the latent; "uniform" on [-1, 1] or "normal" (standard).
    norm_per_unit: batch norm of the generator's first layer has a gain and bias for every unit
        (the authors' code) or one for every feature map (what most others do).
    norm_eps: added to the variance in batch norm.
    d_depth: convolutions of the discriminator at each resolution, 1 or 2; the first is strided.

    Raises InputError for a value outside of these. Source: section 3; the authors' code for the
    latent's range, the norm of the first layer and its eps.
    """

    size: int = 64
    channels: int = 3
    g_width: int = 128
    d_width: int = 128
    kernel: int = 5
    z_size: int = 100
    z_distribution: str = "uniform"
    norm_per_unit: bool = True
    norm_eps: float = 1e-8
    d_depth: int = 1

    def __post_init__(self) -> None:
        def need(name: str, ok: bool, expected: str) -> None:
            if not ok:
                found = getattr(self, name)
                raise InputError(f"network config: {name}: found {found!r}, expected {expected}")

        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            kind = {"int": int, "str": str, "bool": bool, "float": float}[str(field.type)]
            need(field.name, type(value) is kind, f"a value of type {kind.__name__}")
        need("size", self.size in (16, 32, 64, 128, 256), "a power of two from 16 to 256")
        need("channels", self.channels in (1, 3), "1 or 3")
        need("g_width", 1 <= self.g_width <= MAX_WIDTH, f"1 to {MAX_WIDTH}")
        need("d_width", 1 <= self.d_width <= MAX_WIDTH, f"1 to {MAX_WIDTH}")
        for name in ("g_width", "d_width"):
            widest = getattr(self, name) * self.size // 8
            need(name, widest <= MAX_FEATURE_MAPS, f"at most {MAX_FEATURE_MAPS} maps at 4x4")
        need("kernel", self.kernel in (4, 5), "4 or 5")
        need("z_size", 1 <= self.z_size <= 4096, "1 to 4096")
        need("z_distribution", self.z_distribution in ("uniform", "normal"), "uniform or normal")
        need("norm_eps", 0 < self.norm_eps < 1, "a number between 0 and 1")
        need("d_depth", self.d_depth in (1, 2), "1 or 2")

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for `from_dict`.

        >>> PRESETS["paper"].to_dict()["size"]
        64
        """
        values = dataclasses.asdict(self)
        if self.d_depth == 1:
            del values["d_depth"]  # older files have none, and the same network is the same bytes
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """The config that `to_dict` wrote; InputError names a field that is not one."""
        known = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in known:
                raise unknown("field", name, known, where="network config")
        return cls(**values)

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Heights of the generator's layers, 4 to `size`."""
        return tuple(4 * 2**i for i in range(int(math.log2(self.size // 4)) + 1))

    def layers(self, network: str) -> tuple[str, ...]:
        """Names of the layers of "generator" or "discriminator", in the order of the data."""
        names = tuple(f"{r}x{r}" for r in self.resolutions)
        if network == "generator":
            return names
        # The plain name is that of the last convolution of a resolution.
        ends = ("a", "")[-self.d_depth :]
        return (*(name + end for name in reversed(names[:-1]) for end in ends), "score")

    def hidden(self, network: str) -> dict[str, tuple[int, int]]:
        """Layers of feature maps, in the order of the data: without the image and the score.

        >>> Config(size=32).hidden("generator")
        {'4x4': (4, 4), '8x8': (8, 8), '16x16': (16, 16)}
        """
        sides = {name: int(name.split("x")[0]) for name in self.layers(network)[:-1]}
        return {name: (side, side) for name, side in sides.items()}


PRESETS = {
    "paper": Config(),
    "torch": Config(
        g_width=64,
        d_width=64,
        kernel=4,
        z_distribution="normal",
        norm_per_unit=False,
        norm_eps=1e-5,
    ),
    # Section 5.1: 128-128-256-256-512-512 maps, whose 4x4 grids are its 28,672 features.
    "cifar10": Config(size=32, z_size=256, d_depth=2),
}


class Generator(nn.Sequential):
    """z to images, by a linear layer and strided deconvolutions.

        >>> Generator(PRESETS["paper"])(torch.zeros(2, 100)).shape
        torch.Size([2, 3, 64, 64])

    Takes N x z_size float32, returns N x channels x size x size float32 in [-1, 1] (tanh).
    Source: section 3, figure 1. No layer has a bias (the authors' code).
    """

    config: Config

    def __init__(self, config: Config):
        maps = [config.g_width * config.size // 2 // r for r in config.resolutions[:-1]]
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        units = maps[0] * 16
        first: list[tuple[str, nn.Module]] = [
            ("linear", nn.Linear(config.z_size, units, bias=False)),
            ("maps", nn.Unflatten(1, (maps[0], 4, 4))),
        ]
        if config.norm_per_unit:
            first.insert(1, ("norm", nn.BatchNorm1d(units, eps=config.norm_eps)))
        else:
            first.append(("norm", nn.BatchNorm2d(maps[0], eps=config.norm_eps)))
        blocks["4x4"] = nn.Sequential(OrderedDict([*first, ("act", nn.ReLU())]))
        for i, resolution in enumerate(config.resolutions[1:], start=1):
            last = i == len(maps)
            conv = nn.ConvTranspose2d(
                maps[i - 1],
                config.channels if last else maps[i],
                config.kernel,
                stride=2,
                padding=(config.kernel - 1) // 2,
                output_padding=config.kernel % 2,
                bias=False,
            )
            parts: list[tuple[str, nn.Module]] = [("conv", conv)]
            if last:
                parts += [("act", nn.Tanh())]
            else:
                parts += [("norm", nn.BatchNorm2d(maps[i], eps=config.norm_eps))]
                parts += [("act", nn.ReLU())]
            blocks[f"{resolution}x{resolution}"] = nn.Sequential(OrderedDict(parts))
        super().__init__(blocks)
        self.config = config


class Discriminator(nn.Sequential):
    """Images to the logit of being real, by strided convolutions.

        >>> Discriminator(PRESETS["paper"])(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2])

    Takes N x channels x size x size float32 in [-1, 1], returns N float32 logits; their sigmoid
    is the paper's output. Source: section 3. LeakyReLU of slope 0.2, no batch norm in the first
    layer, no bias anywhere (the authors' code).
    """

    config: Config

    def __init__(self, config: Config):
        sizes = [r for r in reversed(config.resolutions[:-1]) for _ in range(config.d_depth)]
        maps = [config.d_width * config.size // 2 // r for r in sizes]
        padding = (config.kernel - 1) // 2
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        for i, name in enumerate(config.layers("discriminator")[:-1]):
            before = config.channels if i == 0 else maps[i - 1]
            strided = i % config.d_depth == 0
            # Without stride only an odd kernel keeps the resolution.
            kernel = config.kernel if strided else 2 * padding + 1
            stride = 2 if strided else 1
            conv = nn.Conv2d(before, maps[i], kernel, stride, padding, bias=False)
            parts: list[tuple[str, nn.Module]] = [("conv", conv)]
            if i > 0:
                parts += [("norm", nn.BatchNorm2d(maps[i], eps=config.norm_eps))]
            parts += [("act", nn.LeakyReLU(LEAK))]
            blocks[name] = nn.Sequential(OrderedDict(parts))
        blocks["score"] = nn.Sequential(
            OrderedDict(
                flat=nn.Flatten(),
                linear=nn.Linear(maps[-1] * 16, 1, bias=False),
                squeeze=nn.Flatten(0),
            )
        )
        super().__init__(blocks)
        self.config = config


def initialise(network: nn.Module, seed: int) -> nn.Module:
    """Give a network the paper's initial weights, in place, and return it.

        >>> untrained = initialise(Discriminator(PRESETS["torch"]), seed=0)

    Weights are N(0, 0.02); batch-norm gains N(1, 0.02) and biases 0 (gain: the authors' code).
    In networks of others, embeddings and numbers that are neither stay as they are.
    The same seed gives the same weights. Source: section 4.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            norm = isinstance(module, _NormBase | nn.GroupNorm | nn.LayerNorm)
            if isinstance(module, _NormBase):
                module.reset_running_stats()
            # The module's own parameters, whatever its class: a weight under spectral norm has
            # another name, and layers that are not torch's have theirs.
            for name, weight in module.named_parameters(recurse=False):
                if name == "bias":
                    weight.zero_()
                elif norm:
                    weight.normal_(1.0, 0.02, generator=generator)
                elif weight.dim() > 1 and not isinstance(module, nn.Embedding):
                    weight.normal_(0.0, 0.02, generator=generator)
    return network


def untrained(network: nn.Module, seed: int) -> nn.Module:
    """A network of the same architecture with the paper's initial weights; see `initialise`.

    >>> twin = untrained(session.discriminator, seed=0)
    """
    device = next(network.parameters()).device
    return initialise(copied(network).cpu(), seed).to(device)


_CONFIGS: WeakKeyDictionary[nn.Module, AnyConfig] = WeakKeyDictionary()


def describe(network: nn.Module, config: AnyConfig) -> None:
    """Say what a network of another class is, for `config_of`; it is not written to."""
    _CONFIGS[network] = config


def config_of(network: nn.Module) -> AnyConfig:
    """The config of a network.

        >>> config_of(Generator(PRESETS["paper"])).size
        64

    Raises InputError for one that is neither ours nor of a session.
    """
    if isinstance(network, Generator | Discriminator):
        return network.config
    if network not in _CONFIGS:
        raise InputError(
            f"{type(network).__name__}: found a network that nobody looked into, expected one of "
            "a session: see Session.from_modules"
        )
    return _CONFIGS[network]


def copied(network: nn.Module) -> nn.Module:
    """A copy with weights of its own, and the same config."""
    copy = deepcopy(network)
    if network in _CONFIGS:
        describe(copy, _CONFIGS[network])
    return copy


def norms(network: nn.Module) -> Iterator[nn.BatchNorm1d | nn.BatchNorm2d]:
    """The batch-norm layers of a network."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            yield module


def estimate_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set batch-norm statistics to the mean over batches, and leave the network in eval mode.

        >>> g = initialise(Generator(PRESETS["torch"]), seed=0)
        >>> estimate_statistics(g, [torch.randn(128, 100) for _ in range(2)])

    batches: inputs of the network; the authors' code used batches of 128. Means and variances of
    the batches count equally. The authors trained and sampled with the statistics of each batch;
    a network that is probed needs ones that stay. Raises InputError if there are no batches.
    """
    before = {norm: norm.momentum for norm in norms(network)}
    for norm in before:
        norm.reset_running_stats()
        norm.momentum = None  # torch's way to say: the plain mean over all batches
    network.train()
    for part in network.modules():
        if isinstance(part, _DropoutNd):
            part.eval()  # it would draw
    seen = 0
    try:
        with torch.no_grad():
            for batch in batches:
                network(batch)
                seen += 1
    finally:
        network.eval()
        for norm, momentum in before.items():
            norm.momentum = momentum
    if not seen:
        raise InputError("batch-norm statistics: found no batches, expected at least one")
