"""Samples of the generator, with the edits in force: a sheet, and a file for each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import dcgan_probe as dp
from dcgan_probe.plugins import pass_session
from dcgan_probe.results import Result

if TYPE_CHECKING:
    import numpy as np

COLUMNS = 16


@dataclass(frozen=True, eq=False)
class Samples(Result):
    """What `run` returns. pixels: n x H x W x 3 uint8; names: a file name for each."""

    pixels: np.ndarray
    names: tuple[str, ...]
    caption: str

    def values(self) -> dict[str, Any]:
        return {"images": list(self.names)}

    def draw(self, folder: Path) -> None:
        import numpy as np

        columns = min(COLUMNS, len(self.pixels))
        rows = -(-len(self.pixels) // columns)
        sheet = np.full((rows * columns, *self.pixels.shape[1:]), 255, np.uint8)
        sheet[: len(self.pixels)] = self.pixels
        (folder / "images").mkdir()
        for name, image in zip(self.names, self.pixels, strict=True):
            dp.figures.write_image(folder / "images" / name, image)
        dp.figures.draw(
            folder / "sheet.png",
            f"{len(self.pixels)} samples",
            [dp.figures.Block("", sheet.reshape(rows, columns, *sheet.shape[1:]))],
            [str(row * columns) for row in range(rows)],
            f"Samples in the order of their index, the first of a row named beside it. "
            f"{self.caption}.",
        )

    def __str__(self) -> str:
        return f"{len(self.names)} samples"


def run(session: dp.Session, n: int = 64) -> Samples:
    """Draw the first n samples of the session's seed, with its edits in force.

        >>> run(dp.Session.open("rooms", seed=3), n=8).names[7]
        '..._seed3_0007.png'

    A sample's file name holds the first digits of the checkpoint's hash, the seed and the index:
    boxes drawn on these files, in whatever tool, find their latents again.
    """
    pixels = dp.figures.pixels(session.sample(n))
    sha = session.checkpoint.sha256
    names = tuple(dp.boxes.sample_name(sha, session.seed, i) for i in range(n))
    return Samples(session.made_with(n=n), pixels, names, session.caption())


@click.command()
@click.option("--n", default=64, type=click.IntRange(1), help="How many samples.")
@pass_session
def sample(session: dp.Session, n: int) -> None:
    """Draw samples, with the edits in force: a sheet, and files to draw boxes on."""
    session.save(run(session, n))
