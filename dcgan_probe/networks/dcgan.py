"""The generator and discriminator of Radford, Metz and Chintala (2015), from one small config.

Both are plain ``nn.Sequential`` networks of blocks, which are named as `config` says. The parts of
a block can be named too: ``8x8.conv``, ``8x8.norm``, ``8x8.act``. ``8x8`` itself is what the block
passes on, its feature maps after normalisation and activation.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from copy import deepcopy
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.spectral_norm import SpectralNorm

from dcgan_probe.errors import InputError
from dcgan_probe.networks.chain import Chain
from dcgan_probe.networks.chain_config import ChainConfig
from dcgan_probe.networks.config import AnyConfig, Config

LEAK = 0.2


class Generator(nn.Sequential):
    """z to images, by a linear layer and strided deconvolutions.

        >>> Generator(PRESETS["paper"])(torch.zeros(2, 100)).shape
        torch.Size([2, 3, 64, 64])

    Takes N x z_size float32, returns N x channels x size x size float32 in [-1, 1] (tanh).
    Source: section 3, figure 1. No layer has a bias (the authors' code).
    """

    config: Config

    def __init__(self, config: Config):
        sides = config.sides("generator")
        # With two convolutions for each doubling, the first keeps the number of maps.
        widest = config.g_width * config.size // 8
        halvings = range(len(config.resolutions) - 1)
        maps = [widest >> i for i in halvings for _ in range(1 + config.stride_second)]
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
        names = config.layers("generator")
        blocks[names[0]] = nn.Sequential(OrderedDict([*first, ("act", nn.ReLU())]))
        for i, name in enumerate(names[1:], start=1):
            last = i == len(maps)
            strided = sides[i] > sides[i - 1]
            padding = (config.kernel - 1) // 2
            conv = nn.ConvTranspose2d(
                maps[i - 1],
                config.channels if last else maps[i],
                config.kernel if strided else 2 * padding + 1,
                stride=2 if strided else 1,
                padding=padding,
                output_padding=config.kernel % 2 if strided else 0,
                bias=False,
            )
            parts: list[tuple[str, nn.Module]] = [("conv", conv)]
            if last:
                parts += [("act", nn.Tanh())]
            else:
                parts += [("norm", nn.BatchNorm2d(maps[i], eps=config.norm_eps))]
                parts += [("act", nn.ReLU())]
            blocks[name] = nn.Sequential(OrderedDict(parts))
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
        sides = (config.size, *config.sides("discriminator"))
        halvings = range(len(config.resolutions) - 1)
        maps = [config.d_width << i for i in halvings for _ in range(config.d_depth)]
        padding = (config.kernel - 1) // 2
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        for i, name in enumerate(config.layers("discriminator")[:-1]):
            before = config.channels if i == 0 else maps[i - 1]
            strided = sides[i + 1] < sides[i]
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


NETWORKS = {"generator": Generator, "discriminator": Discriminator}


def empty(config: Config | ChainConfig, part: str) -> nn.Module:
    """The "generator" or "discriminator" of a config, in eval mode, without memory for weights."""
    with torch.device("meta"):
        if isinstance(config, ChainConfig):
            return Chain(config, part).eval()
        return NETWORKS[part](config).eval()


def initialise(network: nn.Module, seed: int) -> nn.Module:
    """Give a network the paper's initial weights, in place, and return it.

        >>> untrained = initialise(Discriminator(PRESETS["torch"]), seed=0)

    Weights are N(0, 0.02); batch-norm gains N(1, 0.02) and biases 0 (gain: the authors' code).
    In networks of others, embeddings and other numbers are unchanged.
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

    Raises InputError for one that is neither a DCGAN of this package nor of a session.
    """
    if isinstance(network, Generator | Discriminator | Chain):
        return network.config
    if network not in _CONFIGS:
        raise InputError(
            f"{type(network).__name__}: found an unknown network, expected one of "
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
        if isinstance(part, _DropoutNd) or _iterates(part):
            part.eval()  # it would draw, or change its weight
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


def _iterates(part: nn.Module) -> bool:
    """Whether a part has a spectral norm, whose power iteration moves on with each forward."""
    hooks = part._forward_pre_hooks.values()
    return isinstance(part, _SpectralNorm) or any(isinstance(h, SpectralNorm) for h in hooks)
