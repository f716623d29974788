"""Spaces to compare images in: vectors whose Euclidean distance measures similarity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dcgan_probe.errors import unknown
from dcgan_probe.images.subsets import Chosen
from dcgan_probe.metrics import features
from dcgan_probe.session import Session

from .options import FEATURES, PIXELS, SPACES

PILOT = 512  # training images that give a space its scale
_PAIR = "1 is what two training images are apart"


@dataclass(frozen=True)
class Space:
    """A name, the unit of its distances in words, and what makes vectors of images there.

    vectors: from N x C x size x size float32 in [-1, 1] on the session's device to N x F float32.
    """

    name: str
    unit: str
    vectors: Callable[[Tensor], Tensor]


def find(session: Session, training: Chosen, names: Sequence[str] | None) -> list[Space]:
    """Spaces by name; without names pixels, and features where the checkpoint has a discriminator.

    Raises InputError for an unknown name, and for features without a discriminator.
    """
    if names is None:
        blind = features.seeing(session.checkpoint.discriminator) is None
        names = (PIXELS,) if blind else SPACES
    for name in names:
        if name not in SPACES:
            raise unknown("space", name, SPACES)
    makers = {PIXELS: pixels, FEATURES: lambda: of_discriminator(session, training)}
    return [makers[name]() for name in dict.fromkeys(names)]


def pixels() -> Space:
    """All pixels: distance is the root mean square of their differences, in grey levels of 255."""

    def vectors(images: Tensor) -> Tensor:
        flat = images.flatten(1)
        return flat * (127.5 / flat.shape[1] ** 0.5)

    return Space("pixels", "root mean square of 255 grey levels", vectors)


def of_discriminator(session: Session, training: Chosen) -> Space:
    """The responses of all convolutions of the session's D, max-pooled to 4 x 4.

    Those of each layer are scaled so that every layer gives as much to the squared distance of two
    training images, and all together 1. Raises InputError for a checkpoint without D.
    """
    network = session.discriminator
    names = features.layers(network, grid=features.GRID)

    def responses(images: Tensor) -> Tensor:
        return features.extract(network, images, names)

    parts = list(features.layout(network, names).slices().values())
    scale = _scale(responses(_pilot(session, training)), parts)
    return Space("features", _PAIR, lambda images: responses(images) * scale)


def _pilot(session: Session, training: Chosen) -> Tensor:
    """Some training images, drawn by the session's seed."""
    rows = np.random.default_rng(session.seed).permutation(len(training))[:PILOT]
    return training.read(rows.tolist()).to(session.device)


def _scale(vectors: Tensor, parts: list[slice]) -> Tensor:
    """Factors by which each part gives as much to the squared distance of two, 1 in all."""
    scale = torch.zeros(vectors.shape[1], device=vectors.device)
    for part in parts:
        # Two independent draws are apart by twice the variance.
        apart = 2 * len(parts) * vectors[:, part].var(dim=0).sum()
        # A layer that is the same for all images says nothing, and stays out.
        scale[part] = apart.rsqrt() if apart > 0 else 0.0
    return scale
