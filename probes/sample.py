"""Draw samples with the active edits: a sheet, and one file for each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dcgan_probe import boxes, figures
from dcgan_probe.errors import at_least
from dcgan_probe.plugins.contract import pass_session
from dcgan_probe.report.plots import as_list
from dcgan_probe.report.reading import Reading
from dcgan_probe.results.result import Result

if TYPE_CHECKING:  # a command imports neither until it runs
    import numpy as np

    from dcgan_probe.session import Session

COLUMNS = 16
# Of a contact sheet.
ACROSS, ON_A_SHEET = 10, 80

READING = Reading(
    "Samples in the order of their index, with the active edits.",
    "A sheet shows what is common; rare failures, and whether samples copy images of the "
    "training, need evaluate and neighbours.",
    {},
    {"sheet": "Samples in the order of their index"},
    finding=lambda values: f"{len(as_list(values.get('images'))) or 'Numbered'} samples",
)


@dataclass(frozen=True, eq=False, kw_only=True)
class SampleSheet(Result):
    """What `run` returns. pixels: n x H x W x 3 uint8; names: a file name for each.

    numbered: draw contact sheets, and no files.
    """

    pixels: np.ndarray
    names: tuple[str, ...]
    numbered: bool
    caption: str

    def values(self) -> dict[str, Any]:
        return {"images": [] if self.numbered else list(self.names)}

    def draw(self, folder: Path) -> None:
        if self.numbered:
            self._draw_contact_sheets(folder)
            return
        rows = figures.grid(self.pixels, COLUMNS)
        (folder / "images").mkdir()
        for name, image in zip(self.names, self.pixels, strict=True):
            figures.write_image(folder / "images" / name, image)
        figures.draw(
            folder / "sheet.png",
            f"{len(self.pixels)} samples",
            [figures.Block("", rows)],
            [str(row * rows.shape[1]) for row in range(len(rows))],
            f"Samples in the order of their index, the first of a row named beside it. "
            f"{self.caption}.",
        )

    def _draw_contact_sheets(self, folder: Path) -> None:
        seed = self.made_with["seed"]
        for page, start in enumerate(range(0, len(self.pixels), ON_A_SHEET)):
            images = self.pixels[start : start + ON_A_SHEET]
            figures.sheet(
                folder / f"sheet{page}.png",
                f"Samples {start} to {start + len(images) - 1} of seed {seed}",
                images,
                [f"{seed}:{start + i}" for i in range(len(images))],
                f"Each with its seed and index, as `concepts add` takes them. {self.caption}.",
                columns=ACROSS,
            )

    def __str__(self) -> str:
        return f"{len(self.names)} samples"


def run(session: Session, n: int = 64, numbered: bool = False) -> SampleSheet:
    """Draw the first n samples of the session's seed, with its active edits.

        >>> run(Session.open("rooms", seed=3), n=8).names[7]
        '..._seed3_0007.png'

    A sample's file name holds the first digits of the checkpoint's hash, the seed and the index:
    boxes drawn on these files, in whatever tool, find their latents again. numbered: contact sheets
    that name every sample, in place of files. Raises InputError for no samples.
    """
    at_least(1, n=n)
    sha = session.checkpoint.sha256
    return SampleSheet(
        made_with=session.made_with(n=n, numbered=numbered),
        pixels=figures.pixels(session.sample(n)),
        names=tuple(boxes.sample_name(sha, session.seed, i) for i in range(n)),
        numbered=numbered,
        caption=session.caption(),
    )


@click.command()
@click.option("--n", default=64, type=click.IntRange(1), help="Number of samples.")
@click.option(
    "--numbered",
    is_flag=True,
    help="Draw only contact sheets, with the seed and index of each sample.",
)
@pass_session
def sample(session: Session, n: int, numbered: bool) -> None:
    """Draw samples with the active edits: a sheet, and one file for each."""
    session.save(run(session, n, numbered))
