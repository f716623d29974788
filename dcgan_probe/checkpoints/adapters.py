"""Adapt networks to probes: the shape of z, a class, the range of images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dcgan_probe.errors import InputError, unknown

# What images a network gives and takes, by name; probes have "[-1, 1]", as red, green, blue.
IMAGES = ("[-1, 1]", "[0, 1]", "[-1, 1] BGR", "[0, 1] BGR")
PLAIN = IMAGES[0]
Label = int | tuple[int, int]


class Adapted(nn.Module):
    """A network between probes and what it was made for; its layers are named ``network.``....

        >>> Adapted(netG, places=True)(torch.zeros(2, 100)).shape
        torch.Size([2, 3, 64, 64])

    part: "generator" or "discriminator". places: the network takes z as N x z_size x 1 x 1. label:
    it takes a class beside, an N int64 tensor, or of (label, classes) one-hot vectors;
    label_places: these as N x classes x 1 x 1. images: one of `IMAGES`, the range and order of
    channels that it was trained on.
    """

    label: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        part: str = "generator",
        places: bool = False,
        label: Label | None = None,
        images: str = PLAIN,
        label_places: bool = False,
    ):
        super().__init__()
        if images not in IMAGES:
            raise unknown("range", images, IMAGES, where="images")
        self.network: nn.Module = network
        self.part, self.places, self.images = part, places, images
        # In buffers, which are part of what identifies the network.
        self.label: Tensor | None
        vector = _label(label)
        if vector is not None and label_places:
            vector = vector[:, :, None, None]
        self.register_buffer("label", vector)

    def forward(self, x: Tensor) -> Tensor:
        if self.part == "discriminator":
            x = self._images(x, 0.5, 0.5)
        elif self.places:
            x = x[:, :, None, None]
        if self.label is None:
            output = self.network(x)
        else:
            output = self.network(x, self.label.expand(x.shape[0], *self.label.shape[1:]))
        return output if self.part == "discriminator" else self._images(output, 2.0, -1.0)

    def _images(self, x: Tensor, gain: float, shift: float) -> Tensor:
        if self.images.startswith("[0, 1]"):
            x = gain * x + shift
        return x.flip(1) if self.images.endswith("BGR") else x


def unwrapped(network: nn.Module) -> nn.Module:
    """The network itself, without its `Adapted`.

    >>> unwrapped(Adapted(netG, places=True)) is netG
    True
    """
    return network.network if isinstance(network, Adapted) else network


def _label(label: Label | None) -> Tensor | None:
    if label is None:
        return None
    if type(label) is int and label >= 0:
        return torch.tensor([label])
    if isinstance(label, tuple) and len(label) == 2 and all(type(each) is int for each in label):
        number, classes = label
        if 0 <= number < classes:
            return torch.eye(classes)[[number]]
    raise InputError(f"label: found {label!r}, expected a class, or (class, number of classes)")
