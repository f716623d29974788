"""Small networks in the layouts of public projects, and how each saves them.

Every layout has plain modules, whose forward is the right answer, and a function that makes of
them what is written to a file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Z = 16


def up(
    *kernels: int | tuple[int, ...],
    widths: tuple[int, ...] = (32, 16, 8, 6, 4),
    channels: int = 3,
    act: Callable[[], nn.Module] = nn.ReLU,
    out: Callable[[], nn.Module] | None = nn.Tanh,
    bias: bool = False,
    eps: float = 1e-5,
    z: int = Z,
) -> nn.Sequential:
    """A generator: (kernel, stride, padding, output padding) a layer, or the kernel alone."""
    layers: list[nn.Module] = []
    before = z
    for i, kernel in enumerate(kernels):
        if isinstance(kernel, int):
            kernel = (kernel, 1, 0) if i == 0 else (kernel, 2, (kernel - 1) // 2, kernel % 2)
        last = i == len(kernels) - 1
        after = channels if last else widths[i]
        layers.append(nn.ConvTranspose2d(before, after, *kernel[:4], bias=bias))
        if not last:
            layers += [nn.BatchNorm2d(after, eps), act()]
        before = after
    return nn.Sequential(*layers, *([out()] if out else []))


def down(
    *kernels: int | tuple[int, ...],
    widths: tuple[int, ...] = (8, 16, 32, 24, 40),
    channels: int = 3,
    slope: float = 0.2,
    norm: Callable[[int], nn.Module] | None = nn.BatchNorm2d,
    first_norm: bool = False,
    bias: bool = False,
    wrap: Callable[[nn.Module], nn.Module] = lambda module: module,
    dropout: bool = False,
) -> nn.Sequential:
    """A discriminator, as `up`; its last layer has stride 1 and no padding if not said."""
    layers: list[nn.Module] = []
    before = channels
    for i, kernel in enumerate(kernels):
        last = i == len(kernels) - 1
        if isinstance(kernel, int):
            kernel = (kernel, 1, 0) if last else (kernel, 2, (kernel - 1) // 2)
        after = 1 if last else widths[i]
        layers.append(wrap(nn.Conv2d(before, after, *kernel, bias=bias)))
        if not last:
            if norm is not None and (i or first_norm):
                layers.append(norm(after))
            layers.append(nn.LeakyReLU(slope))
            if dropout:
                layers.append(nn.Dropout2d(0.25))
        before = after
    return nn.Sequential(*layers)


def linear(sides: int, *kernels: int, widths: tuple[int, ...] = (24, 16, 8)) -> nn.Sequential:
    """A generator that begins with a linear layer."""
    rest = up(*kernels, widths=widths[1:], channels=1, z=widths[0])
    rest[0] = nn.ConvTranspose2d(widths[0], rest[0].out_channels, kernels[0], 2, 1, bias=False)
    first = nn.Linear(Z, widths[0] * sides**2), nn.Unflatten(1, (widths[0], sides, sides))
    return nn.Sequential(*first, nn.BatchNorm2d(widths[0]), nn.ReLU(), *rest)


def upsampled(
    side: int = 8, channels: int = 1, mode: str = "nearest", eps: float = 0.8
) -> nn.Sequential:
    """A generator of PyTorch-GAN: upsampling and convolutions, no activation behind the first."""
    larger = {"nearest": {}, "bilinear": {"mode": "bilinear"}}[mode]
    layers: list[nn.Module] = [nn.Linear(Z, 16 * side**2), nn.Unflatten(1, (16, side, side))]
    layers.append(nn.BatchNorm2d(16))
    for a, b in ((16, 16), (16, 8)):
        layers += [nn.Upsample(scale_factor=2, **larger), nn.Conv2d(a, b, 3, 1, 1)]
        layers += [nn.BatchNorm2d(b, eps), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(8, channels, 3, 1, 1), nn.Tanh())


def norms_last(channels: int = 1) -> nn.Sequential:
    """A discriminator of PyTorch-GAN: dropout and norms behind the activations."""
    layers: list[nn.Module] = []
    for a, b in ((channels, 8), (8, 16), (16, 24), (24, 32)):
        layers += [nn.Conv2d(a, b, 3, 2, 1), nn.LeakyReLU(0.2), nn.Dropout2d(0.25)]
        layers += [nn.BatchNorm2d(b, 0.8)] if a > channels else []
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 4, 1))


def two_linear() -> nn.Sequential:
    """A generator of 28x28 with two linear layers, as of InfoGAN."""
    linear = nn.Linear(Z, 40), nn.BatchNorm1d(40), nn.ReLU()
    linear = *linear, nn.Linear(40, 16 * 49), nn.BatchNorm1d(16 * 49), nn.ReLU()
    maps = nn.Unflatten(1, (16, 7, 7)), nn.ConvTranspose2d(16, 12, 4, 2, 1), nn.BatchNorm2d(12)
    return nn.Sequential(*linear, *maps, nn.ReLU(), nn.ConvTranspose2d(12, 1, 4, 2, 1), nn.Tanh())


def linear_last() -> nn.Sequential:
    """The discriminator beside it."""
    convs = nn.Conv2d(1, 8, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(8, 16, 4, 2, 1)
    maps = *convs, nn.BatchNorm2d(16), nn.LeakyReLU(0.2), nn.Flatten()
    linear = nn.Linear(16 * 49, 40), nn.BatchNorm1d(40), nn.LeakyReLU(0.2), nn.Linear(40, 1)
    return nn.Sequential(*maps, *linear)


def one_by_one() -> nn.Sequential:
    """A generator whose linear layer outputs maps of 1x1."""
    first = nn.Linear(Z, 24), nn.Unflatten(1, (24, 1, 1)), nn.ReLU()
    return nn.Sequential(*first, *up(4, 4, 4, 4, z=24))


def normal(n: int) -> Tensor:
    return torch.randn(n, Z)


def uniform(n: int) -> Tensor:
    return torch.rand(n, Z) * 2 - 1


def with_class(n: int) -> Tensor:
    labels = torch.nn.functional.one_hot(torch.randint(0, 10, (n,)), 10).float()
    return torch.cat([normal(n), labels], 1)


class Named(nn.Module):
    """Layers under a name."""

    def __init__(self, **parts: nn.Module):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


def prefixed(prefix: str, network: nn.Module) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in network.state_dict().items()}


def plain(g: nn.Sequential | None, d: nn.Sequential | None) -> Any:
    """As pytorch/examples: main.0.weight, ...; both in one file."""
    parts = {"netG": g, "netD": d}
    return {name: prefixed("main.", part) for name, part in parts.items() if part is not None}


def ema(g: nn.Sequential, d: nn.Sequential | None) -> Any:
    """An averaged copy beside; here the copy's weights are others."""
    other = {name: tensor * 1.5 for name, tensor in prefixed("main.", g).items()}
    return {"g": other, "g_ema": prefixed("main.", g), "iteration": 7}


def wgan_names(g: nn.Sequential, d: nn.Sequential | None) -> Any:
    """As WassersteinGAN: main.initial:16-32:convt.weight, main.pyramid:32:batchnorm.weight."""
    named = {}
    for name, tensor in g.state_dict().items():
        number, leaf = name.split(".")
        kind = type(g[int(number)]).__name__.lower().replace("convtranspose2d", "convt")
        named[f"main.layer-{number}:{kind}.{leaf}"] = tensor
    return named


def grouped(g: nn.Sequential, d: nn.Sequential | None) -> Any:
    """Convolutions first, norms after them, as a module registers them."""
    tensors = g.state_dict()
    convs = {
        f"conv{n}": t
        for n, t in tensors.items()
        if isinstance(g[int(n.split(".")[0])], nn.ConvTranspose2d)
    }
    return {**convs, **{f"bn{n}": t for n, t in tensors.items() if f"conv{n}" not in convs}}


@dataclass
class Layout:
    """A layout: its networks, how z is drawn, how it is saved, and what has to be said of it."""

    name: str
    g: Callable[[], nn.Sequential] | None = None
    d: Callable[[], nn.Sequential] | None = None
    size: int = 32
    draw: Callable[[int], Tensor] = normal
    save: Callable[[Any, Any], Any] = plain
    facts: dict[str, Any] = field(default_factory=dict)


G, D = (lambda: up(4, 4, 4, 4)), (lambda: down(4, 4, 4, 4))
LAYOUTS = [
    Layout("pytorch/examples", G, D),
    Layout("LeakyReLU in the generator", lambda: up(4, 4, 4, 4, act=lambda: nn.LeakyReLU(0.2)), D),
    Layout("eps 0.8", lambda: up(4, 4, 4, 4, eps=0.8)),
    Layout("z uniform", G, draw=uniform),
    Layout("one-hot class behind z", lambda: up(4, 4, 4, 4, z=Z + 10), draw=with_class),
    Layout(
        "sigmoid, images in [0, 1]",
        lambda: up(4, 4, 4, 4, out=nn.Sigmoid),
        D,
        facts={"output": "sigmoid"},
    ),
    Layout("no last activation", lambda: up(4, 4, 4, 4, out=None), facts={"output": "none"}),
    Layout(
        "28x28, first kernel 7",
        lambda: up(7, 4, 4, channels=1),
        lambda: down(4, 4, 7, channels=1),
        28,
    ),
    Layout("28x28, first layer linear", lambda: linear(7, 4, 4), None, 28),
    Layout(
        "28x28, last padding 3",
        lambda: up(4, 4, 4, (4, 2, 3), channels=1),
        None,
        28,
        facts={"size": 28},
    ),
    Layout(
        "28x28, last kernel 1 with padding 2",
        lambda: up(4, 4, 4, 4, (1, 1, 2), channels=1),
        lambda: down(4, 4, 4, (4, 2, 1), channels=1),
        28,
        facts={"size": 28},
    ),
    Layout(
        "28x28, no padding anywhere",
        lambda: up((3, 2, 0), (4, 1, 0), (3, 2, 0), (4, 2, 0), channels=1),
        lambda: down((4, 2, 0), (4, 2, 0), (4, 2, 0), channels=1),
        28,
        facts={"size": 28},
    ),
    Layout("48x48, first kernel 3", lambda: up(3, 4, 4, 4, 4), lambda: down(4, 4, 4, 4, 3), 48),
    Layout("32x32, first kernel 2", lambda: up(2, 4, 4, 4, 4)),
    Layout("64x64, first kernel 8", lambda: up(8, 4, 4, 4), None, 64),
    Layout("last kernel 3", lambda: up(4, 4, 4, 4, (3, 1, 1)), D),
    Layout(
        "biases everywhere", lambda: up(4, 4, 4, 4, bias=True), lambda: down(4, 4, 4, 4, bias=True)
    ),
    Layout("norm in D's first block", G, lambda: down(4, 4, 4, 4, first_norm=True)),
    Layout("D without norms", G, lambda: down(4, 4, 4, 4, norm=None, bias=True)),
    Layout(
        "D with instance norms",
        G,
        lambda: down(4, 4, 4, 4, norm=lambda n: nn.InstanceNorm2d(n, affine=True)),
    ),
    Layout(
        "D with spectral norm", G, lambda: down(4, 4, 4, 4, wrap=nn.utils.spectral_norm, norm=None)
    ),
    Layout(
        "D with spectral norm, as parametrization",
        G,
        lambda: down(4, 4, 4, 4, wrap=nn.utils.parametrizations.spectral_norm),
    ),
    Layout("D with dropout", G, lambda: down(4, 4, 4, 4, dropout=True)),
    Layout("upsampling and convolutions, norms last in D", upsampled, norms_last),
    Layout("upsampling to 28x28", lambda: upsampled(7), None, 28),
    Layout("bilinear upsampling", lambda: upsampled(mode="bilinear", channels=3)),
    Layout("28x28, two linear layers in both", two_linear, linear_last, 28),
    Layout("linear layer to 1x1", one_by_one),
    Layout(
        "eps 0.8 and LeakyReLU",
        lambda: up(4, 4, 4, 4, eps=0.8, act=lambda: nn.LeakyReLU(0.2)),
    ),
    Layout("sigmoid, shown by D", lambda: up(4, 4, 4, 4, out=nn.Sigmoid), D),
    Layout("plain nn.Sequential", G, D, save=lambda g, d: g.state_dict()),
    Layout("model.", G, save=lambda g, d: prefixed("model.", g)),
    Layout("_orig_mod.module.main.", G, save=lambda g, d: prefixed("_orig_mod.module.main.", g)),
    Layout(
        "Lightning",
        G,
        D,
        save=lambda g, d: {
            "state_dict": {**prefixed("generator.main.", g), **prefixed("discriminator.main.", d)},
            "epoch": 3,
            "pytorch-lightning_version": "2.0",
            "hyper_parameters": {"lr": 2e-4},
        },
    ),
    Layout("nested dictionaries", G, D, save=lambda g, d: {"models": {"nets": plain(g, d)}}),
    Layout(
        "numbers and words beside",
        G,
        save=lambda g, d: {"netG": prefixed("main.", g), "loss": np.float64(1), "note": "x"},
    ),
    Layout("averaged copy, by --weights", G, save=ema, facts={"weights": "g_ema"}),
    Layout("WassersteinGAN's names", G, save=wgan_names),
    Layout("convolutions first, then norms", G, save=grouped),
]


def trained(network: nn.Module, inputs: list[Tensor]) -> nn.Module:
    """Weights that are alive, and the statistics that training would leave."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d)]
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            for name, weight in module.named_parameters():
                if weight.dim() > 1:
                    nn.init.normal_(weight, 0, 0.15)
                elif "bias" in name:
                    nn.init.normal_(weight, 0, 0.1)
        elif module in norms:
            nn.init.normal_(module.weight, 1, 0.1)
            nn.init.normal_(module.bias, 0, 0.1)
            module.momentum = None
    network.train()
    with torch.no_grad():
        for batch in inputs:
            network(batch)
    return network.eval()


def build(layout: Layout, batches: int = 20) -> tuple[Any, Any]:
    """The plain generator and discriminator of a layout; z has places, as its layers want it."""
    torch.manual_seed(0)
    g = d = None
    images = [torch.rand(16, 3, layout.size, layout.size) * 2 - 1]
    if layout.g is not None:
        g = layout.g()
        g = trained(g, [shaped(g, layout.draw(64)) for _ in range(batches)])
        with torch.no_grad():
            images = [g(shaped(g, layout.draw(32)))]
    if layout.d is not None:
        d = trained(layout.d(), images)
    return g, d


def shaped(g: nn.Sequential, z: Tensor) -> Tensor:
    """z as a generator's first layer wants it."""
    return z if isinstance(g[0], nn.Linear) else z[:, :, None, None]
