"""Boxes that ship, and the latents of the samples that boxes were drawn on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import dcgan_probe as dp
from dcgan_probe.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


def latents_of(session: dp.Session, boxes: dp.Boxes) -> Tensor:
    """N x z_size float32 latents of the images that were looked at, as `boxes.images` has them.

    Raises InputError for a file of latents that cannot be read or does not fit the generator.
    """
    import numpy as np
    import torch

    if boxes.seed is not None:
        return session.latents(boxes.n, boxes.seed)[list(boxes.images)]
    path = boxes.latents_path
    try:
        z = np.load(str(path), allow_pickle=False, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: found no .npy of latents that can be read: {error}") from error
    wanted = session.config.z_size
    if z.ndim != 2 or z.shape[1] != wanted or z.dtype.kind != "f":
        raise InputError(f"{path}: found {z.dtype} {z.shape}, expected float32 N x {wanted}")
    if len(z) < boxes.n:
        raise InputError(f"{path}: found {len(z)} latents, expected at least {boxes.n}")
    return torch.from_numpy(np.asarray(z[list(boxes.images)], dtype=np.float32))


def shipped_boxes(session: dp.Session) -> Path:
    """The boxes that ship with the session's checkpoint; InputError if there are none."""
    path = dp.checkpoints.shipped_boxes(session.checkpoint.name)
    if path is None:
        raise InputError(f"no boxes ship with {session.checkpoint.name}, expected --boxes FILE")
    return path
