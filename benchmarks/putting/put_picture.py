"""The picture of README: windows and white cells put where there were none.

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
    "rooms": ("a window of sample 0:{image}", "window", (34.0, 8.0, 54.0, 27.0)),
    "cells": ("a white cell of sample 0:{image}", "white cell", (20.0, 20.0, 44.0, 44.0)),
}
OUT = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "put.png"
SHOWN, SAMPLES = 5, 48


def block(model: str) -> tuple[figures.Block, str]:
    """The donor, and the first fresh samples that show none there, before, put and pasted."""
    heading, label, at = ASKED[model]
    session = dp.Session.open(model, device="cpu")
    result = put.run(session, session.read_boxes(), label, at, n=SAMPLES)
    shown = result.pictures
    rows = np.stack([shown.before, shown.after[PUT], shown.after[PASTED]])[:, :SHOWN]
    donor = np.full_like(rows[:, :1], 255)
    donor[0, 0] = shown.donor
    print(result, flush=True)
    image = result.donor.placed.box.image
    said = f"{model} ({session.checkpoint.sha256[:8]}): {result.way}"
    return figures.Block(heading.format(image=image), np.concatenate([donor, rows], 1)), said


if __name__ == "__main__":
    torch.set_num_threads(1)
    blocks, said = zip(*(block(model) for model in ASKED), strict=True)
    figures.draw(
        OUT,
        "An object of one sample, put into others",
        blocks,
        ["as they are", "put", "pixels\npasted"],
        "Left in each block the donor and its box; then the first fresh samples of seed 0 with "
        "no such object at the place that is outlined, the same latents in every row. Layers, fill "
        f"and donor were chosen on held-out boxed samples. {'; '.join(said)}.",
        zoom=1,
    )
