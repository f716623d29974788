"""The result of invert: how near the generator comes to a photograph, and its picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from dcgan_probe.figures.panels import Block, chart_width, draw, zoom_for
from dcgan_probe.figures.rasters import pixels
from dcgan_probe.latents.sampling import write as write_latents
from dcgan_probe.probes.invert import search
from dcgan_probe.probes.invert.figures import chart_losses
from dcgan_probe.probes.invert.search import Matches
from dcgan_probe.results.result import Result

# Decibels below the sample's that still count as close: at most twice its squared error.
CLOSE_DB = 3.0
# A sample that is found again with more than 8 of 255 levels of error was not found again.
SURE_DB = 30.0
# Levels of difference, of 255, that are drawn as the brightest.
BRIGHTEST = 64
# Starts that are drawn beside the best: more would make all of them small on a page.
OTHERS = 3


@dataclass(frozen=True, eq=False, kw_only=True)
class Inversion(Result):
    """What `run` returns. z: m x z_size float32, the latents found, the nearest first.

    photo: its path. name: how later commands call z[:1]. found: of the photograph; again: of
    `sample`, a sample named by seed and index, searched in the same way: see `search.Matches`.
    """

    photo: str
    name: str
    found: Matches
    sample: str
    again: Matches
    caption: str

    @property
    def z(self) -> Tensor:
        return self.found.z

    def values(self) -> dict[str, Any]:
        return {
            "photo": self.photo,
            "name": self.name,
            "verdict": self.verdict(),
            "candidates": search.CANDIDATES,
            **self.found.values(),
            "sample": {"name": self.sample, **self.again.values()},
        }

    def verdict(self) -> str:
        """Whether the nearest image is close to the photograph, in words."""
        own, best = float(self.again.near.psnr[0]), float(self.found.near.psnr[0])
        if own < SURE_DB:
            return (
                f"it is unknown how close this is: even a sample is found again with {own:.1f} "
                f"dB only, expected {SURE_DB:g}; try more steps or starts"
            )
        if best >= own - CLOSE_DB:
            return "close: the photograph is found about as well as a sample"
        return (
            f"not close: {own - best:.1f} dB short of what a sample reaches, "
            f"{10 ** ((own - best) / 10):.3g} times its squared error"
        )

    def draw(self, folder: Path) -> None:
        sha = self.made_with["checkpoint"]["sha256"]
        write_latents(folder / "z.safetensors", self.z[:1], sha)
        rows, verdict = (self.found, self.again), self.verdict()
        blocks = [
            _block("wanted", [pixels(row.target) for row in rows]),
            _block("nearest random", [pixels(row.random) for row in rows]),
            _block("found: the best", [pixels(row.images[:1]) for row in rows]),
            _block("error", [_difference(row.images[:1], row.target) for row in rows]),
        ]
        if len(self.z) > 1:
            others = [pixels(row.images[1 : 1 + OTHERS]) for row in rows]
            blocks.append(_block("other starts, the better first", others))
        size = self.found.target.shape[3]
        zoom = zoom_for(size)
        width = sum(block.images.shape[1] for block in blocks) * size * zoom + 100
        sample = f"sample {self.sample}"
        draw(
            folder / "invert.png",
            "A photograph, and the nearest images that the generator draws",
            blocks,
            [_row("photograph", self.found), _row(sample, self.again)],
            f"{verdict[0].upper()}{verdict[1:]}. Above the photograph, "
            f"{Path(self.photo).name}; below a sample, which has a z, searched for in the same "
            "way: what can be reached at best. Nearest random: "
            f"the nearest of {search.CANDIDATES} samples, {self.found.random_near.words()} for the "
            f"photograph and {self.again.random_near.words()} for the sample. Error: black is "
            f"0, white {BRIGHTEST} of 255 levels or more. {self.caption}.",
            zoom=zoom,
            below=chart_losses(
                {"photograph": self.found.losses, sample: self.again.losses},
                chart_width(max(600, width)),
            ),
        )

    def __str__(self) -> str:
        where = "" if self.found.near.distance is not None else " (no discriminator: pixels alone)"
        levels = 255 * 10 ** (-float(self.found.near.psnr[0]) / 20)
        return "\n".join(
            [
                f"{self.photo}: found with {self.found.near.words()}{where}: "
                f"{levels:.0f} of 255 levels of error",
                f"nearest of {search.CANDIDATES} random z: {self.found.random_near.words()}",
                f"sample {self.sample}, which has a z, searched for in the same way: "
                f"{self.again.near.words()} (nearest random: {self.again.random_near.words()})",
                self.verdict(),
                f"z is called {self.name} in later commands",
            ]
        )


def _block(heading: str, rows: Sequence[np.ndarray]) -> Block:
    return Block(heading, np.stack(rows))


def _row(label: str, matches: Matches) -> str:
    return f"{label}\n" + matches.near.words().replace(", ", "\n")


def _difference(images: Tensor, target: Tensor) -> np.ndarray:
    """How far images are from a target averaged over channels, as grey."""
    levels = (images - target).abs().mean(1, keepdim=True) * 127.5
    return pixels(levels / BRIGHTEST * 2 - 1)
