"""Samples of several checkpoints from the same latents, above real images.

    python benchmarks/sheets.py --to sheet.png --images held_out.zip \\
        "ships=faces" "R1, 3,500 steps more=out/train/best.safetensors"

Each checkpoint is NAME=MODEL. Samples 0 to 15 of seed 0, and the first 16 images.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

import dcgan_probe as dp
from dcgan_probe import figures
from dcgan_probe.images.sources import ImageSource

ROWS, COLUMNS, ZOOM = 2, 8, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--images", required=True)
    parser.add_argument("--title", default="Samples of the same latents")
    parser.add_argument("--to", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    count = ROWS * COLUMNS
    rows, labels, said = [], [], []
    for text in options.models:
        name, model = text.split("=", 1)
        session = dp.Session.open(model, seed=0)
        rows.append(figures.pixels(session.sample(count)))
        labels.append(name)
        said.append(f"{name}: {session.checkpoint.sha256[:8]}")
    source = ImageSource(Path(options.images), session.config.size, session.config.channels)
    rows.append(figures.pixels(source.read(range(count))))
    labels.append("real")
    images = np.concatenate(rows).reshape(-1, COLUMNS, *rows[0].shape[1:])
    names = [
        f"{label}\n{first} to {first + COLUMNS - 1}"
        for label in labels
        for first in range(0, count, COLUMNS)
    ]
    caption = (
        f"Samples 0 to {count - 1} of seed 0. {'; '.join(said)}. Real: the first {count} of "
        f"{Path(options.images).name}."
    )
    figures.draw(options.to, options.title, [figures.Block("", images)], names, caption, zoom=ZOOM)


if __name__ == "__main__":
    main()
