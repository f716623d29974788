"""What `turn.run` returns: samples along an axis, and what a classifier sees along it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from dcgan_probe.figures import film
from dcgan_probe.figures.panels import Block, draw, zoom_for
from dcgan_probe.latents.sampling import write as write_latents
from dcgan_probe.probes.turn.figures import chart_response
from dcgan_probe.results.result import Result

# Samples on which a classifier measures the axis.
MEASURED = 200
# Of a film.
COLUMNS = 4
BELOW = (
    f"Below, what the classifier sees along the axis, mean of {MEASURED} samples: an axis "
    "of its own moves its label alone. "
)


@dataclass(frozen=True, kw_only=True)
class Response:
    """What a classifier sees along the axis, of `MEASURED` samples.

    mean: by label, its mean probability at each place. rises: by label, the share of samples that
    have more of it at the far end than at the near one.
    """

    classifier: str
    about: dict[str, Any]
    mean: dict[str, list[float]]
    rises: dict[str, float]

    @property
    def ranked(self) -> dict[str, list[float]]:
        """The mean of each label, that of the one that the axis changes most first."""
        order = sorted(self.mean, key=lambda label: -abs(self.change(label)))
        return {label: self.mean[label] for label in order}

    def change(self, label: str) -> float:
        """How much the mean probability of a label changes, from end to end."""
        return self.mean[label][-1] - self.mean[label][0]

    def values(self) -> dict[str, Any]:
        return {
            "classifier": {"name": self.classifier, "about": self.about},
            "samples": MEASURED,
            "mean": self.mean,
            "rises": self.rises,
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class Turn(Result):
    """What `run` returns. axis: z_size float32, from the mean of one concept to that of the other.

    at: the places along it, in lengths of the axis; 0 is the sample itself. pixels: n x places x
    H x W x 3 uint8. frames: images of a film, T x n x H x W x 3 uint8, or none.
    """

    start: str
    end: str
    axis: Tensor
    at: tuple[float, ...]
    pixels: np.ndarray
    response: Response | None
    frames: np.ndarray
    video: str | None
    caption: str

    def values(self) -> dict[str, Any]:
        return {
            "from": self.start,
            "to": self.end,
            "length_of_axis": float(self.axis.norm()),
            "at": list(self.at),
            "response": self.response.values() if self.response else None,
        }

    def draw(self, folder: Path) -> None:
        sha = self.made_with["checkpoint"]["sha256"]
        write_latents(folder / "axis.safetensors", self.axis[None], sha)
        if self.video:
            film.write_tiled(folder / f"turn.{self.video}", self.frames, COLUMNS)
        blocks = [
            Block(f"{place:+.2g}" if place else "0", self.pixels[:, i : i + 1])
            for i, place in enumerate(self.at)
        ]
        draw(
            folder / "turn.png",
            f"From {self.start} to {self.end}",
            blocks,
            [str(i) for i in range(len(self.pixels))],
            f"Every row is one sample, in the column 0. To its sides, the same with the axis from "
            f"{self.start} to {self.end} subtracted and added, so many times its length. "
            f"{'' if self.response is None else BELOW}{self.caption}.",
            zoom=max(1, zoom_for(self.pixels.shape[2]) // 2),
            below=None if self.response is None else chart_response(self.at, self.response.ranked),
        )

    def __str__(self) -> str:
        line = f"from {self.start} to {self.end}: {len(self.pixels)} samples, {len(self.at)} places"
        if self.response is None:
            return line
        parts = [
            f"{label} {self.response.mean[label][0]:.2f} to {self.response.mean[label][-1]:.2f} "
            f"(rises in {self.response.rises[label]:.0%})"
            for label in list(self.response.ranked)[:3]
        ]
        return f"{line}\nmost changed, as {self.response.classifier} sees it: {', '.join(parts)}"
