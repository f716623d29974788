"""Boxes as probes take them: the option, what ships, their latents and layer, who has no cell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

import dcgan_probe as dp
from dcgan_probe.errors import InputError
from dcgan_probe.networks import config

if TYPE_CHECKING:
    from torch import Tensor

boxes_option = click.option(
    "--boxes",
    "path",
    type=click.Path(path_type=Path),
    help="Boxes on samples of this checkpoint; those that ship with it if not given.",
)


def default_layer(config: config.AnyConfig) -> str:
    """The second-highest convolution layer of a generator, not counting the one that paints pixels.

        >>> default_layer(dp.Config(size=64))
        '16x16'

    The paper drops 200 maps of its second-highest convolution layer: more than the 128 of 32x32.
    In any network: of what it passes on at each resolution, the second-highest but not the first.
    Raises InputError for a generator without feature maps.
    """
    hidden = list(config.hidden("generator"))
    if not hidden:
        raise InputError("generator: found no layer of feature maps, expected one; name a --layer")
    return hidden[-2] if len(hidden) > 2 else hidden[-1]


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


def read_boxes(session: dp.Session, path: Path | None) -> dp.Boxes:
    """The boxes of `boxes_option`, on images of the session's size."""
    return session.read_boxes(path)


def no_cell_outside(boxes: dp.Boxes, layer: str, config: config.AnyConfig) -> InputError:
    """The error for boxes that cover every cell of a layer; it names a layer that has others."""
    grids = config.hidden("generator")
    resolving = [name for name, grid in grids.items() if not boxes.mask(grid).all()]
    expected = (
        f"layer {resolving[0]}, the coarsest that has one"
        if resolving
        else "boxes that leave something out"
    )
    return InputError(
        f"{boxes.source or 'boxes'}: found no cell of layer {layer!r} outside of the boxes, "
        f"expected {expected}"
    )


def without_a_cell(boxes: dp.Boxes, grid: tuple[int, int]) -> int:
    """How many boxes lie between the centres of a layer's cells."""
    alone = (replace(boxes, boxes=(box,)) for box in boxes.boxes)
    return sum(not box.mask(grid).any() for box in alone)
