"""Small untrained GANs in the style of known ones, none of which is ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm


class UpBlock(nn.Module):
    """A residual block of SNGAN's generator (Miyato et al. 2018), of z and perhaps a class."""

    def __init__(self, into: int, out: int, norm: Any = nn.BatchNorm2d):
        super().__init__()
        self.norm1, self.norm2 = norm(into), norm(out)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.conv1 = nn.Conv2d(into, out, 3, padding=1)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.skip = nn.Conv2d(into, out, 1)

    def forward(self, x: Tensor, *of: Tensor) -> Tensor:
        h = F.interpolate(self.relu1(self.norm1(x, *of)), scale_factor=2)
        h = self.conv2(self.relu2(self.norm2(self.conv1(h), *of)))
        return h + self.skip(F.interpolate(x, scale_factor=2))


class ResidualG(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 12 * 4 * 4)
        self.blocks = nn.ModuleList([UpBlock(12, 12), UpBlock(12, 8), UpBlock(8, 8)])
        self.norm, self.relu = nn.BatchNorm2d(8), nn.ReLU(inplace=True)
        self.to_rgb = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.linear(z).view(z.size(0), -1, 4, 4)
        for block in self.blocks:
            x = block(x)
        return torch.tanh(self.to_rgb(self.relu(self.norm(x))))


class BigG(nn.Module):
    """Parts of z enter every block, by its norms (BigGAN, Brock et al. 2019)."""

    class Norm(nn.Module):
        def __init__(self, maps: int):
            super().__init__()
            self.norm = nn.BatchNorm2d(maps, affine=False)
            self.gain, self.bias = nn.Linear(4, maps, bias=False), nn.Linear(4, maps, bias=False)

        def forward(self, x: Tensor, part: Tensor) -> Tensor:
            gain, bias = (of(part)[:, :, None, None] for of in (self.gain, self.bias))
            return self.norm(x) * (1 + 0.3 * gain) + bias

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 12 * 4 * 4)
        blocks = [UpBlock(12, 12, self.Norm), UpBlock(12, 8, self.Norm), UpBlock(8, 8, self.Norm)]
        self.blocks = nn.ModuleList(blocks)
        self.out = nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1))

    def forward(self, z: Tensor) -> Tensor:
        first, *parts = z.chunk(4, dim=1)
        x = self.linear(first).view(-1, 12, 4, 4)
        for block, part in zip(self.blocks, parts, strict=True):
            x = block(x, part)
        return torch.tanh(self.out(x))


class StyledConv(nn.Module):
    """A convolution whose weights every sample scales anew (StyleGAN2, Karras et al. 2020)."""

    def __init__(self, into: int, out: int, size: int, kernel: int = 3, plain: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, into, kernel, kernel))
        self.style = nn.Linear(16, into)
        self.bias = nn.Parameter(torch.zeros(out, 1, 1))
        self.plain, self.pad = plain, kernel // 2
        self.register_buffer("noise", 0.1 * torch.randn(size, size))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        n, into, height, width = x.shape
        weight = self.weight * (1 + self.style(w)).view(n, 1, into, 1, 1)
        if not self.plain:
            weight = weight * weight.square().sum((2, 3, 4), keepdim=True).add(1e-8).rsqrt()
        weight = weight.view(-1, into, *weight.shape[3:])
        x = F.conv2d(x.reshape(1, n * into, height, width), weight, padding=self.pad, groups=n)
        x = x.view(n, -1, height, width) + self.bias
        return x if self.plain else F.leaky_relu(x + self.noise, 0.2)


class StyleG(nn.Module):
    """A mapping, a constant, styles at every layer, and an image that is added up."""

    def __init__(self) -> None:
        super().__init__()
        self.mapping = nn.Sequential(nn.Linear(16, 16), nn.LeakyReLU(0.2), nn.Linear(16, 16))
        self.constant = nn.Parameter(torch.randn(1, 12, 4, 4))
        sizes, widths = [4, 8, 16, 32], [12, 12, 10, 8]
        ins = [12, *widths[:-1]]
        self.up = nn.ModuleList(map(StyledConv, ins, widths, sizes))
        self.conv = nn.ModuleList(map(StyledConv, widths, widths, sizes))
        self.to_rgb = nn.ModuleList(StyledConv(w, 3, 1, 1, plain=True) for w in widths)

    def forward(self, z: Tensor) -> Tensor:
        w = self.mapping(z / z.square().mean(1, keepdim=True).sqrt())
        x, image = self.constant.expand(len(z), -1, -1, -1), None
        for up, conv, to_rgb in zip(self.up, self.conv, self.to_rgb, strict=True):
            if image is not None:
                x, image = (F.interpolate(of, scale_factor=2) for of in (x, image))
            x = conv(up(x, w), w)
            image = to_rgb(x, w) if image is None else image + to_rgb(x, w)
        return (image * 0.1).clamp(-1, 1)


class DownBlock(nn.Module):
    def __init__(self, into: int, out: int):
        super().__init__()
        self.conv1 = spectral_norm(nn.Conv2d(into, out, 3, padding=1))
        self.conv2 = spectral_norm(nn.Conv2d(out, out, 3, padding=1))
        self.skip = spectral_norm(nn.Conv2d(into, out, 1))
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(self.relu2(self.conv1(self.relu1(x))))
        return F.avg_pool2d(h + self.skip(x), 2)


class ResidualD(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(DownBlock(3, 8), DownBlock(8, 8), DownBlock(8, 12))
        self.relu = nn.ReLU()
        self.linear = spectral_norm(nn.Linear(12, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.relu(self.blocks(x)).sum((2, 3)))


class ClassNorm(nn.Module):
    """Batch norm with a gain and a bias of each class (Dumoulin et al. 2017)."""

    def __init__(self, maps: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(maps, affine=False)
        self.gain, self.bias = nn.Embedding(5, maps), nn.Embedding(5, maps)
        nn.init.normal_(self.gain.weight, 1.0, 0.3)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.norm(x) * self.gain(y)[..., None, None] + self.bias(y)[..., None, None]


class ConditionalG(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(16, 12 * 16), nn.Unflatten(1, (12, 4, 4)))
        blocks = [UpBlock(12, 12, ClassNorm), UpBlock(12, 8, ClassNorm), UpBlock(8, 8, ClassNorm)]
        self.blocks = nn.ModuleList(blocks)
        self.last = nn.Sequential(nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1), nn.Tanh())

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        x = self.first(z)
        for block in self.blocks:
            x = block(x, y)
        return self.last(x)


class ConditionalD(nn.Module):
    """Convolutions, and a projection on the class (Miyato and Koyama 2018)."""

    def __init__(self) -> None:
        super().__init__()
        maps = [3, 8, 12, 16]
        layers: list[nn.Module] = []
        for into, out in zip(maps, maps[1:], strict=False):
            layers += [nn.Conv2d(into, out, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        self.features = nn.Sequential(*layers)
        self.linear, self.of_class = nn.Linear(16, 1), nn.Embedding(5, 16)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = self.features(x).mean((2, 3))
        return self.linear(h).squeeze(1) + (self.of_class(y) * h).sum(1)


class OfClass(nn.Module):
    """A network that takes a class, with the class given. docs/any-gan.md has the same lines."""

    def __init__(self, network: nn.Module, label: int):
        super().__init__()
        self.network = network
        self.register_buffer("label", torch.tensor([label]))

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x, self.label.expand(x.shape[0]))


class UpsampleG(nn.Sequential):
    """Upsample and convolve (Odena et al. 2016), one list of layers, as much code has it."""

    def __init__(self) -> None:
        def up(into: int, out: int) -> list[nn.Module]:
            conv = nn.Conv2d(into, out, 3, padding=1)
            return [nn.Upsample(scale_factor=2), conv, nn.BatchNorm2d(out), nn.LeakyReLU(0.2, True)]

        first = [nn.Linear(16, 12 * 16), nn.Unflatten(1, (12, 4, 4)), nn.BatchNorm2d(12)]
        last = [nn.Conv2d(6, 1, 3, padding=1), nn.Tanh()]
        super().__init__(*first, *up(12, 12), *up(12, 8), *up(8, 6), *last)


class PatchD(nn.Sequential):
    """A discriminator with a score for every patch (Isola et al. 2017)."""

    def __init__(self) -> None:
        maps = [1, 6, 8, 12]
        layers: list[nn.Module] = []
        for into, out in zip(maps, maps[1:], strict=False):
            layers += [nn.Conv2d(into, out, 4, 2, 1), nn.InstanceNorm2d(out), nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.Conv2d(12, 1, 3, padding=1))


def alive(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """Weights of a seed, large enough that images differ, and statistics that are not 0 and 1."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        network = make()
        for part in network.modules():
            if isinstance(part, nn.Conv2d | nn.Linear) and not parametrize.is_parametrized(part):
                nn.init.kaiming_normal_(part.weight)
            elif isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_(0, 0.1)
                part.running_var.uniform_(0.5, 1.5)
        return network.eval()


def residual() -> dict[str, Any]:
    g, d = alive(ResidualG), alive(ResidualD, 1)
    return {"generator": g, "discriminator": d, "latent": 16}


def conditional(label: int = 2) -> dict[str, Any]:
    g, d = OfClass(alive(ConditionalG), label), OfClass(alive(ConditionalD, 1), label)
    return {"generator": g, "discriminator": d, "latent": (16, "uniform")}


def on_a_sphere(n: int, rng: np.random.Generator) -> Tensor:
    return F.normalize(torch.from_numpy(rng.standard_normal((n, 16)))) * 4


def big() -> dict[str, Any]:
    g, d = alive(BigG), alive(ResidualD, 1)
    return {"generator": g, "discriminator": d, "latent": 16}


def style() -> dict[str, Any]:
    g, d = alive(StyleG), alive(ResidualD, 1)
    return {"generator": g, "discriminator": d, "latent": 16}


def upsample() -> dict[str, Any]:
    g, d = alive(UpsampleG), alive(PatchD, 1)
    return {"generator": g, "discriminator": d, "latent": on_a_sphere}
