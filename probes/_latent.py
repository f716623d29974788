"""What the probes in latent space share: their options, and films of what they draw."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

import dcgan_probe as dp
from dcgan_probe.figures.film import write as write_film

if TYPE_CHECKING:
    import numpy as np

concepts_option = click.option(
    "--concepts",
    "path",
    type=click.Path(path_type=Path),
    help="A file of concepts; those that ship with the checkpoint if not given.",
)
video_option = click.option(
    "--video",
    type=click.Choice(["mp4", "png", "gif"]),
    help="Write a film too: mp4, or an animated PNG or GIF.",
)
exemplars_option = click.option(
    "--exemplars",
    default=3,
    type=click.IntRange(1),
    help="How many of a concept's exemplars are averaged; its first.",
)


def film(path: Path, frames: np.ndarray, columns: int = 1) -> None:
    """Write a film: frames is T x N x H x W x 3 uint8, N images side by side in so many columns."""
    import numpy as np

    zoom = dp.figures.zoom_for(frames.shape[2])
    tiles = np.stack([dp.figures.tile(images, columns, zoom) for images in frames])
    write_film(path, tiles)
