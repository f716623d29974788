"""The picture of docs/probes/put.md: windows and white cells put where there were none.

python benchmarks/putting/put_picture.py          # writes docs/pictures/put.png
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

import dcgan_probe as dp
from dcgan_probe import figures
from dcgan_probe.probes import put
from dcgan_probe.probes.put.evaluation import PASTED, PUT

ASKED = {
    "rooms": ("window", (34.0, 16.0, 54.0, 35.0), 2),
    "cells": ("white cell", (20.0, 20.0, 44.0, 44.0), 1),
}  # object, where it is put, and the column of the close-ups
OUT = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "put.png"
SHOWN, SAMPLES = 5, 48
CLOSE = 2  # times that close-ups are larger


def rows(model: str) -> tuple[np.ndarray, str]:
    """The first fresh samples that show none there, before, put and pasted.

    First in each row are the donor and close-ups of one sample.
    """
    label, at, column = ASKED[model]
    session = dp.Session.open(model, device="cpu")
    result = put.run(session, session.read_boxes(), label, at, n=SAMPLES)
    shown = result.pictures
    samples = np.stack([shown.before, shown.after[PUT], shown.after[PASTED]])[:, :SHOWN]
    zoom = samples.shape[2] / session.config.size
    close = [close_up(row[column], at, zoom) for row in samples[1:]]
    print(result, flush=True)
    said = (
        f"{model} ({session.checkpoint.sha256[:8]}): sample 0:{result.donor.placed.box.image} by "
        f"{result.way}"
    )
    return np.concatenate([np.stack([shown.donor, *close])[:, None], samples], 1), said


def close_up(image: np.ndarray, at: tuple[float, ...], zoom: float) -> np.ndarray:
    """The surroundings of a box, as large as the image."""
    side = len(image) // CLOSE
    x, y = (
        min(max(round((low + high) / 2 * zoom) - side // 2, 0), len(image) - side)
        for low, high in zip(at[:2], at[2:], strict=True)
    )
    return image[y : y + side, x : x + side].repeat(CLOSE, 0).repeat(CLOSE, 1)


if __name__ == "__main__":
    torch.set_num_threads(1)
    found, said = zip(*(rows(model) for model in ASKED), strict=True)
    images = np.concatenate(found)
    figures.draw(
        OUT,
        "An object of one sample, put into others",
        [
            figures.Block("donor", images[:, :1]),
            figures.Block("new samples without the object there", images[:, 1:]),
        ],
        ["as they are", "put", "pixels\npasted"] * len(ASKED),
        "Left the donor and its box, below it close-ups of one of the samples. The first new "
        "samples of seed 0 with no such object in the outline, the same latents in three rows. "
        f"Layers, fill and donor were chosen on held-out boxed samples. {'; '.join(said)}.",
        zoom=1,
    )
