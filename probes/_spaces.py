"""Where images are compared: vectors of them whose Euclidean distance says how alike they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

import dcgan_probe as dp
from dcgan_probe.checkpoints import weights
from dcgan_probe.dedup import autoencoder
from dcgan_probe.errors import InputError
from dcgan_probe.images import decoding
from dcgan_probe.metrics import features
from dcgan_probe.storage import files

if TYPE_CHECKING:
    from dcgan_probe.images.subsets import Chosen

FORMAT = "dcgan-probe/code/1"
PILOT = 512  # training images that give a space its scale
CODED = 20_000  # at most so many train the autoencoder
_PAIR = "1 is what two training images are apart"


@dataclass(frozen=True)
class Space:
    """A name, the unit of its distances in words, and what makes vectors of images there.

    vectors: from N x C x size x size float32 in [-1, 1] on the session's device to N x F float32.
    """

    name: str
    unit: str
    vectors: Callable[[Tensor], Tensor]


def pixels() -> Space:
    """All pixels: distance is the root mean square of their differences, in grey levels of 255."""

    def vectors(images: Tensor) -> Tensor:
        flat = images.flatten(1)
        return flat * (127.5 / flat.shape[1] ** 0.5)

    return Space("pixels", "root mean square of 255 grey levels", vectors)


def of_discriminator(session: dp.Session, training: Chosen) -> Space:
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


def of_code(session: dp.Session, training: Chosen, file: Path | None) -> Space:
    """The code of the autoencoder of `dedup`: its 128 units, before they are cut to bits.

    file: holds the autoencoder, or will hold the one that is trained on the training images.
    """
    if file is not None and file.exists():
        model = _read(file)
    else:
        rows = np.random.default_rng(session.seed).permutation(len(training))[:CODED]
        chunks = np.array_split(rows, -(-len(rows) // dp.session.BATCH))
        reading = session.progress(chunks, "reading for the code")
        small = np.concatenate([_small(training.read(chunk.tolist())) for chunk in reading])
        settings = autoencoder.Settings(seed=session.seed)
        model = autoencoder.fit(
            small,
            settings,
            session.device,
            lambda steps: session.progress(steps, "training the code"),
        )
        if file is not None:
            _write(file, model)
    model = model.to(session.device).eval().requires_grad_(False)

    def code(images: Tensor) -> Tensor:
        return model.encoder(autoencoder.contrasts(_small(images)).to(session.device)).relu()

    scale = _scale(code(_pilot(session, training)), [slice(None)])
    return Space("dedup", _PAIR, lambda images: code(images) * scale)


def _pilot(session: dp.Session, training: Chosen) -> Tensor:
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


def _small(images: Tensor) -> np.ndarray:
    """Images at the size of the code, N x 3 x 32 x 32 uint8."""
    return np.stack([decoding.pixels(i, autoencoder.SIZE, 3) for i in dp.figures.pixels(images)])


def _write(file: Path, model: autoencoder.Autoencoder) -> None:
    from safetensors.torch import save

    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    files.write_bytes(file, save(tensors, {"format": FORMAT}))


def _read(file: Path) -> autoencoder.Autoencoder:
    """The autoencoder of a file of `_write`; InputError for any other."""
    model = autoencoder.Autoencoder()
    expected = weights.specs(model.state_dict())
    if weights.content(file) != "safetensors":
        raise InputError(f"{file}: found a file of another kind, expected an autoencoder's")
    with weights.opened(file) as opened:
        found = (opened.metadata() or {}).get("format")
        if found != FORMAT:
            raise InputError(f"{file}: format: found {found!r}, expected {FORMAT!r}")
        weights.check_specs(file, weights.specs_of(opened), expected)
        tensors = {n: weights.take(file, n, opened.get_tensor(n)) for n in expected}
    model.load_state_dict(tensors)
    return model
