"""The config of a GAN outside the paper's family: a list of blocks.

`config.Config` describes the paper's networks by a handful of numbers, from which every layer
follows. Public checkpoints differ layer by layer (a last kernel of 1, a first one of 7, biases, a
sigmoid), so a `ChainConfig` lists the layers. It is built into the same named blocks of ``conv``,
``norm`` and ``act``, so that probes and hooks see no difference.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from typing import Any

from dcgan_probe.errors import InputError, unknown

KIND = "chain"
KINDS = ("linear", "conv", "deconv")
NORMS = ("none", "batch", "unit", "instance")
ACTIVATIONS = ("none", "relu", "leaky_relu", "tanh", "sigmoid", "clip")
RANGES = ("[-1, 1]", "[0, 1]")
# How an upsampling layer fills in the maps; "aligned" is bilinear with align_corners.
UPSAMPLING = ("nearest", "bilinear", "aligned")
MAX_SIDE = 1024
MAX_OUTPUTS = 16384


@dataclass(frozen=True, kw_only=True)
class ChainBlock:
    """One linear layer or (transposed) convolution, with what is before and after it.

        >>> ChainBlock(kind="deconv", filters=64, kernel=4, stride=2, padding=1).leads_to(8)
        16

    kind: "linear", "conv" or "deconv" (transposed). filters: feature maps it outputs. side: of
    the maps that a generator's linear layer is reshaped to; 1 for all else. upsample: how many
    times the maps are made larger before a convolution, in the way of `UPSAMPLING`. norm: "batch";
    "unit", a batch norm with a gain for every unit of a linear layer; "instance"; or "none".
    norm_last: it follows the activation. affine: the norm has gains and biases. slope: of a
    "leaky_relu", below zero.

    Raises InputError for a value outside of these.
    """

    kind: str
    filters: int
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    output_padding: int = 0
    side: int = 1
    upsample: int = 1
    upsampling: str = "nearest"
    bias: bool = False
    norm: str = "none"
    norm_last: bool = False
    affine: bool = True
    eps: float = 1e-5
    activation: str = "none"
    slope: float = 0.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, kind = getattr(self, field.name), _TYPES[str(field.type)]
            if type(value) is not kind:
                raise _mistake(field.name, value, f"a value of type {kind.__name__}")
        choices = {"kind": KINDS, "norm": NORMS, "activation": ACTIVATIONS}
        for name, known in {**choices, "upsampling": UPSAMPLING}.items():
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), known, where="network config")
        for name, low, high in (
            ("filters", 1, MAX_OUTPUTS),
            ("kernel", 1, 32),
            ("stride", 1, 8),
            ("padding", 0, 16),
            ("output_padding", 0, 7),
            ("side", 1, 64),
            ("upsample", 1, 4),
        ):
            if not low <= getattr(self, name) <= high:
                raise _mistake(name, getattr(self, name), f"{low} to {high}")
        if not 0 <= self.eps < 10:
            raise _mistake("eps", self.eps, "a number from 0 to 10")
        if not 0 <= self.slope <= 1:
            raise _mistake("slope", self.slope, "a number from 0 to 1")

    def leads_to(self, side: int) -> int:
        """Height and width of its output for maps of a side; below 1 if it does not fit."""
        if self.kind == "linear":
            return self.side
        side *= self.upsample
        if self.kind == "conv":
            return (side + 2 * self.padding - self.kernel) // self.stride + 1
        return (side - 1) * self.stride - 2 * self.padding + self.kernel + self.output_padding


def activated(block: ChainBlock, slope: float | None) -> ChainBlock:
    """A block with a ReLU, a LeakyReLU of a slope, or (None) no activation."""
    activation = "none" if slope is None else "leaky_relu" if slope else "relu"
    return dataclasses.replace(block, activation=activation, slope=slope or 0.0)


_TYPES = {"int": int, "str": str, "bool": bool, "float": float}


@dataclass(frozen=True, kw_only=True)
class ChainConfig:
    """What two chains of blocks are built from; probes ask it what they ask a `config.Config`.

    size, channels: of the square images. z_size, z_distribution: the latents, without the class.
    classes, label: a conditional generator takes, behind its z, the one-hot vector of a class;
    label is the one whose images are drawn, from 0. class_first: the vector is before z. images:
    the range in which the networks themselves give and take images, "[-1, 1]" or "[0, 1]"; outside
    it is always [-1, 1].
    generator, discriminator: their blocks, in the order of the data; empty for a missing network.

    Raises InputError for blocks that do not lead to an image of this size, or from it.
    """

    size: int
    channels: int
    z_size: int = 0
    z_distribution: str = "normal"
    classes: int = 0
    label: int = 0
    class_first: bool = False
    images: str = "[-1, 1]"
    generator: tuple[ChainBlock, ...] = ()
    discriminator: tuple[ChainBlock, ...] = ()

    def __post_init__(self) -> None:
        for name in ("size", "channels", "z_size", "classes", "label"):
            if type(getattr(self, name)) is not int:
                raise _mistake(name, getattr(self, name), "a value of type int")
        if type(self.class_first) is not bool:
            raise _mistake("class_first", self.class_first, "true or false")
        if self.z_distribution not in ("uniform", "normal"):
            raise _mistake("z_distribution", self.z_distribution, "uniform or normal")
        if self.images not in RANGES:
            raise _mistake("images", self.images, " or ".join(RANGES))
        if self.channels not in (1, 3):
            raise _mistake("channels", self.channels, "1 or 3")
        if not 2 <= self.size <= MAX_SIDE:
            raise _mistake("size", self.size, f"2 to {MAX_SIDE}")
        if not 0 <= self.z_size <= 4096 or not 0 <= self.classes <= 10000:
            raise _mistake("z_size", self.z_size, "1 to 4096, and at most 10000 classes")
        if self.classes and not 0 <= self.label < self.classes:
            raise _mistake("label", self.label, f"0 to {self.classes - 1}")
        if self.generator and self.sides("generator")[-1] != self.size:
            raise _mistake("size", self.size, f"{self.sides('generator')[-1]}, as the blocks have")
        if self.generator and self.generator[-1].filters != self.channels:
            raise _mistake("channels", self.channels, f"{self.generator[-1].filters}, as the last")
        for network in ("generator", "discriminator"):
            if min(self.sides(network), default=1) < 1 or max(self.sides(network), default=1) > (
                MAX_SIDE
            ):
                raise _mistake("size", self.size, f"one that the blocks of the {network} take")

    def sides(self, network: str) -> tuple[int, ...]:
        """Height and width of each block's output."""
        side = 1 if network == "generator" else self.size
        sides = []
        for block in getattr(self, network):
            side = block.leads_to(side)
            sides.append(side)
        return tuple(sides)

    def layers(self, network: str) -> tuple[str, ...]:
        """Names of the layers of "generator" or "discriminator", in the order of the data.

        As in a `config.Config`, by the resolution of their outputs. Where several have one
        resolution, the last has the plain name, and those before it a letter: 8x8a, 8x8b, 8x8.
        """
        sides = self.sides(network)
        names = [f"{side}x{side}" for side in sides]
        if network == "discriminator" and names:
            names[-1] = "score"
        left, seen = Counter(names), Counter[str]()
        result = []
        for name in names:
            left[name] -= 1
            result.append(name + (_letters(seen[name]) if left[name] else ""))
            seen[name] += 1
        return tuple(result)

    def hidden(self, network: str) -> dict[str, tuple[int, int]]:
        """Layers of feature maps, in the order of the data: without the image and the score."""
        pairs = zip(self.layers(network)[:-1], self.sides(network)[:-1], strict=True)
        return {name: (side, side) for name, side in pairs if side > 1}

    def convolutions(self, network: str) -> dict[str, tuple[int, int]]:
        """Those of `hidden` that a convolution outputs, and not a linear layer."""
        kinds = zip(self.layers(network), getattr(self, network), strict=True)
        convolved = {name for name, block in kinds if block.kind != "linear"}
        return {name: side for name, side in self.hidden(network).items() if name in convolved}

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for `from_dict`."""
        values = {"kind": KIND, **dataclasses.asdict(self)}
        if not self.class_first:
            del values["class_first"]  # files from before it was known keep their digest
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ChainConfig:
        """The config that `to_dict` wrote; InputError names a field that is not one."""
        values = {name: value for name, value in values.items() if name != "kind"}
        known = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in known:
                raise unknown("field", name, known, where="network config")
        for name in ("size", "channels"):
            if name not in values:
                raise InputError(f"network config: {name}: found none, expected a value")
        for network in ("generator", "discriminator"):
            values[network] = _blocks(network, values.get(network, ()))
        return cls(**values)


def _blocks(network: str, values: Any) -> tuple[ChainBlock, ...]:
    known = {field.name for field in dataclasses.fields(ChainBlock)}
    if not isinstance(values, list | tuple):
        raise _mistake(network, values, "a list of blocks")
    for value in values:
        if not isinstance(value, dict) or not {"kind", "filters"} <= value.keys() <= known:
            raise _mistake(network, value, f"blocks of {', '.join(sorted(known))}")
    return tuple(ChainBlock(**value) for value in values)


def _letters(number: int) -> str:
    return chr(ord("a") + number % 26) * (number // 26 + 1)


def _mistake(name: str, value: object, expected: str) -> InputError:
    return InputError(f"network config: {name}: found {value!r:.80}, expected {expected}")
