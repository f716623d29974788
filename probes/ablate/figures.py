"""The figure of ablate: samples before and after, and where they changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from dcgan_probe import figures
from dcgan_probe.boxes.boxes import Box
from dcgan_probe.figures import strips
from dcgan_probe.session import Session

SHOWN = 6  # samples: they stay readable on a page of 800 pixels


@dataclass(frozen=True, eq=False)
class AblationPictures:
    """Rows of the figure, columns x H x W x 3 uint8, as large as they are shown."""

    before: np.ndarray
    after: np.ndarray
    change: np.ndarray
    caption: str

    def draw(self, path: Path, title: str) -> None:
        figures.draw(
            path,
            title,
            [figures.Block("", np.stack([self.before, self.after, self.change]))],
            ["as they are", "edited", "change"],
            self.caption,
            zoom=1,
        )
        strips.write(path.parent, self.before, self.after)


def pictures(
    session: Session,
    before: Tensor,
    after: Tensor,
    difference: Tensor,
    frames: Sequence[Sequence[Box]],
    shown: str,
) -> AblationPictures:
    """Draw the first samples. frames: boxes on each of them. shown: which samples they are."""
    zoom = figures.zoom_for(before.shape[2])

    def framed(images: Tensor) -> np.ndarray:
        drawn = []
        for image, boxes in zip(figures.pixels(images[:SHOWN]), frames, strict=False):
            edges = [box.edges for box in boxes]
            drawn.append(figures.outlined(image, edges, zoom, width=zoom))
        return np.stack(drawn)

    size = (before.shape[3] * zoom, before.shape[2] * zoom)
    return AblationPictures(
        framed(before),
        framed(after),
        figures.heat(difference[:SHOWN].numpy(), 0, 1, size),
        f"The same latents in every row: {shown}. Below: mean absolute change of pixels, dark 0 to "
        f"yellow 1 or more, on images in [-1, 1]. {session.caption()}.",
    )
