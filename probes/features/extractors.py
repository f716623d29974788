"""Extractors: functions from images to features, with the layout and origin of the features.

The functions on tensors are `dcgan_probe.metrics.features`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from dcgan_probe.images.subsets import Chosen
from dcgan_probe.metrics import feature_files, features
from dcgan_probe.metrics.feature_files import Features
from dcgan_probe.metrics.features import Layout
from dcgan_probe.session import Session

from .options import IMAGES, STORED


@dataclass(frozen=True, eq=False)
class Extractor:
    """A way to make features of images, from n x C x size x size float32 to n x F float32.

    words: how, for people. about: what the features depend on, as JSON values.
    """

    name: str
    words: str
    compute: Callable[[Tensor], Tensor]
    layout: Layout
    about: dict[str, Any]

    def extract(self, session: Session, images: Chosen, path: Path) -> Features:
        """Features of images, written to a ``.npy`` file or found in it; see `stored`."""
        content = {"images": images.fingerprint(), "names": images.names}
        return feature_files.stored(
            path,
            images,
            self.compute,
            self.layout,
            {**self.about, **content},
            lambda batches, task, total: session.progress(batches, f"{task}, {self.name}", total),
            session.force,
        )


def from_network(
    network: nn.Module, layers: tuple[str, ...], grid: int, about: dict[str, Any], name: str
) -> Extractor:
    """The responses of a discriminator; see `features.extract`."""
    device = next(network.parameters()).device

    def compute(images: Tensor) -> Tensor:
        return features.extract(network, images.to(device), layers, grid)

    return Extractor(
        name,
        f"{about['network']}, layers {', '.join(layers)}, grid {grid}, batch-norm statistics "
        f"{about['statistics']}",
        compute,
        features.layout(network, layers, grid),
        about,
    )


def from_session(
    session: Session,
    images: Chosen,
    statistics: str,
    layers: tuple[str, ...],
    grid: int,
    source: str,
) -> Extractor:
    """The responses of the session's discriminator.

    images: for batch-norm statistics, if these are "images"; source: the images in words.
    """
    network, words = session.discriminator, STORED
    if statistics == IMAGES:
        network = features.averaged(network, images, session.seed)
        words = f"averaged over {source}"
    checkpoint = session.checkpoint
    # Stored features are recognised by this, so a network that is in no file needs a hash as well.
    sha = checkpoint.sha256 or _hash_weights(session.discriminator)
    named = f"{checkpoint.name} ({sha[:8]})"
    about = {"network": named, "sha256": sha, "statistics": words}
    return from_network(network, layers, grid, about, "discriminator")


def _hash_weights(network: nn.Module) -> str:
    """SHA-256 of the weights of a network."""
    sha = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        sha.update(name.encode())
        sha.update(tensor.cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()
