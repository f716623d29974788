"""Forgetting what is not localised: boxes on pale, empty ground of the cells.

    python benchmarks/forgetting/ground.py

The honest answer is that the question cannot be answered; this shows that `forget` gives it.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

import dcgan_probe as dp
from dcgan_probe.probes import forget

SIDE, STEP = 16, 4
FLAT, PALE = 0.003, 0.5  # variance and brightness, on images in [-1, 1]


def pale_ground(session: dp.Session, n: int = 150) -> dp.Boxes:
    """A box on the palest flat square of each sample that has one."""
    grey = session.sample(n).mean(1, keepdim=True)
    mean = F.avg_pool2d(grey, SIDE, STEP)
    variance = F.avg_pool2d(grey**2, SIDE, STEP) - mean**2
    worth = torch.where(variance < FLAT, mean, -1.0)[:, 0]
    boxes = []
    for i, (best, place) in enumerate(zip(*worth.flatten(1).max(1), strict=True)):
        if best > PALE:
            y, x = (STEP * edge for edge in divmod(int(place), worth.shape[2]))
            boxes.append(dp.Box(i, "pale ground", x, y, x + SIDE, y + SIDE))
    size = (session.config.size, session.config.size)
    sha = session.checkpoint.sha256
    return dp.Boxes(tuple(boxes), tuple(range(n)), size, seed=session.seed, checkpoint=sha)


if __name__ == "__main__":
    cells = dp.Session.open("cells", device="cpu")
    drawn = pale_ground(cells)
    print(f"{len(drawn.boxes)} boxes")
    print(forget.run(cells, drawn, n=96))
