"""Whether the network of the cells draws white cells of its photographs again.

    python benchmarks/neighbours/white_cells.py cells.zip

A white cell is a square of 32 pixels around the middle of its box. Those of samples 0 to 149 of
seed 0, and of the photographs of `test`, are compared with those of the photographs of `train` in
eight orientations, and moved by up to 4 pixels of the photograph.
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import cv2
import numpy as np

import dcgan_probe as dp
from dcgan_probe.fixtures.cells import crops

SIDE = 32
WIDE = SIDE * crops.SIDE // crops.SIZE  # pixels of a photograph
MOVES = (-4, -2, 0, 2, 4)


def of_photographs(photographs: Path, split: str, moves: tuple[int, ...]) -> np.ndarray:
    """N x SIDE x SIDE x 3: each white cell at all moves that keep its square inside."""
    found = []
    for photograph, cells in crops.read(photographs, split):
        height, width = photograph.shape[:2]
        for (x, y, w, h), dx, dy in product(cells, moves, moves):
            left, top = (round(at) - WIDE // 2 for at in (x + w / 2 + dx, y + h / 2 + dy))
            if 0 <= left <= width - WIDE and 0 <= top <= height - WIDE:
                square = photograph[top : top + WIDE, left : left + WIDE]
                found.append(cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA))
    return np.stack(found)[..., ::-1]


def of_samples() -> np.ndarray:
    """N x SIDE x SIDE x 3: the white cells whose square is inside of their sample."""
    session = dp.Session.open("cells", seed=0, device="cpu")
    boxes = session.read_boxes()
    images = dp.figures.pixels(session.sample(boxes.n))
    found = []
    for box in boxes.boxes:
        left, top = (round(middle / 2) - SIDE // 2 for middle in (box.x0 + box.x1, box.y0 + box.y1))
        square = images[box.image][max(top, 0) : top + SIDE, max(left, 0) : left + SIDE]
        if square.shape[:2] == (SIDE, SIDE):
            found.append(square)
    return np.stack(found)


def nearest(squares: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Root mean square of the difference, in levels of 255, from the nearest of others."""
    a, b = (images.reshape(len(images), -1).astype(np.float32) for images in (squares, others))
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    nearest_squared: np.ndarray = squared.min(1)
    return np.sqrt(np.maximum(nearest_squared, 0) / a.shape[1])


def main(photographs: Path) -> None:
    train = of_photographs(photographs, "train", MOVES)
    turned = [np.rot90(train, k, (1, 2)) for k in range(4)]
    train = np.concatenate([*turned, *(images[:, :, ::-1] for images in turned)])
    test = of_photographs(photographs, "test", (0,))
    for name, squares in (("samples", of_samples()), ("test photographs", test)):
        distance = nearest(squares, train)
        low, middle, high = np.percentile(distance, [5, 50, 95])
        print(
            f"{len(squares)} of {name}: {middle:.1f} (median; 5% to 95%: {low:.1f} to {high:.1f})"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
