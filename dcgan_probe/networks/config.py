"""The config of a GAN: sizes, latents, layers by name; and the presets.

A layer is called by the resolution of its output, and that name is what users type after
``--layer`` and what hooks take:

    generator       4x4  8x8  16x16  32x32  64x64      z -> image
    discriminator   32x32  16x16  8x8  4x4  score      image -> logit

Where two convolutions output the same resolution, the first is 32x32a and the second 32x32.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from dcgan_probe.errors import InputError, unknown

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

MAX_WIDTH = 1024
MAX_FEATURE_MAPS = 16384

# Fields that were added later, and what they are in files and states from before.
SINCE = {"d_depth": 1, "stride_second": False}

# n latents of a generator of random numbers, n x z_size float32.
Draw = Callable[[int, "np.random.Generator"], "Tensor"]


class AnyConfig(Protocol):
    """What probes ask of a GAN's config: our own `Config`, or `modules.Traced` of another.

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

    def convolutions(self, network: str) -> dict[str, tuple[int, int]]:
        """Height and width of every convolution as it is passed on, without image and score."""

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
    kernel: 4 or 5, or 3 with `stride_second`: the size of every strided kernel; those without
        stride are 3 or 5.
    z_size, z_distribution: the latent; "uniform" on [-1, 1] or "normal" (standard).
    norm_per_unit: batch norm of the generator's first layer has a gain and bias for every unit
        (the authors' code) or one for every feature map (what most others do).
    norm_eps: added to the variance in batch norm.
    d_depth: convolutions of the discriminator for each halving, 1 or 2; the first is strided.
    stride_second: of two, the second is strided instead, so the first of all keeps the size of the
        image; the generator mirrors that (the authors' network of ImageNet).

    Raises InputError for a value outside of these. Source: section 3; the authors' code for the
    latent's range, the norm of the first layer and its eps, and the network of ImageNet.
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
    stride_second: bool = False

    def __post_init__(self) -> None:
        def need(name: str, ok: bool, expected: str) -> None:
            if not ok:
                setting = getattr(self, name)
                raise InputError(f"network config: {name}: found {setting!r}, expected {expected}")

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
        kernels = (3, 4, 5) if self.stride_second else (4, 5)
        need("kernel", self.kernel in kernels, "4 or 5, or 3 with stride_second")
        need("z_size", 1 <= self.z_size <= 4096, "1 to 4096")
        need("z_distribution", self.z_distribution in ("uniform", "normal"), "uniform or normal")
        need("norm_eps", 0 < self.norm_eps < 1, "a number between 0 and 1")
        need("d_depth", self.d_depth in (1, 2), "1 or 2")
        two = "false, or d_depth 2"
        need("stride_second", self.d_depth == 2 or not self.stride_second, two)

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for `from_dict`.

        >>> PRESETS["paper"].to_dict()["size"]
        64
        """
        values = dataclasses.asdict(self)
        # Older files have none of these, and the same network is the same bytes.
        for name, usual in SINCE.items():
            if values[name] == usual:
                del values[name]
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
        """Heights of the images on the way, 4 to `size`."""
        return tuple(4 * 2**i for i in range(int(math.log2(self.size // 4)) + 1))

    def sides(self, network: str) -> tuple[int, ...]:
        """Heights of the convolutions' outputs, and the generator's linear layer.

        >>> PRESETS["cifar10"].sides("discriminator")
        (32, 16, 16, 8, 8, 4)
        """
        halved = self.resolutions[:-1]
        if network == "generator":
            twice = 2 if self.stride_second else 1
            return (4, *(2 * side for side in halved for _ in range(twice)))
        if self.stride_second:
            return tuple(side for half in reversed(halved) for side in (2 * half, half))
        return tuple(side for side in reversed(halved) for _ in range(self.d_depth))

    def layers(self, network: str) -> tuple[str, ...]:
        """Names of the layers of "generator" or "discriminator", in the order of the data."""
        sides = self.sides(network)
        # The plain name is that of the last layer of a resolution.
        names = (
            f"{side}x{side}" + ("a" if side == after else "")
            for side, after in zip(sides, (*sides[1:], 0), strict=True)
        )
        return (*names, *(["score"] if network == "discriminator" else []))

    def hidden(self, network: str) -> dict[str, tuple[int, int]]:
        """Layers of feature maps, in the order of the data: without the image and the score.

        >>> Config(size=32).hidden("generator")
        {'4x4': (4, 4), '8x8': (8, 8), '16x16': (16, 16)}
        """
        sides = {name: int(name.split("x")[0]) for name in self.layers(network)[:-1]}
        return {name: (side, side) for name, side in sides.items()}

    def convolutions(self, network: str) -> dict[str, tuple[int, int]]:
        """Those of `hidden` that a convolution outputs, and not the generator's linear layer."""
        hidden = list(self.hidden(network).items())
        return dict(hidden[1:] if network == "generator" else hidden)


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
    # Section 5.1, from the authors' code: 128-128-256-256-512-512 maps, whose 4x4 grids are its
    # 28,672 features. Its kernels are 3x3, its strides on the layers 2, 4 and 6.
    "cifar10": Config(size=32, kernel=3, z_size=256, d_depth=2, stride_second=True),
    # As many maps, by kernels of 5x5 and strides on 1, 3 and 5; called cifar10 before.
    "cifar10-5x5": Config(size=32, z_size=256, d_depth=2),
}
