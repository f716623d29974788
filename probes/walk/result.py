"""The result of walk: the paths, the length of their steps, and the nearest images of a set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from dcgan_probe.figures import film
from dcgan_probe.figures.panels import Block, chart_width, draw, zoom_for
from dcgan_probe.latents.sampling import write as write_latents
from dcgan_probe.probes.walk.figures import chart_steps
from dcgan_probe.results.result import Result

# The largest step is repeated in this many parts, to tell a jump from a fast change.
PARTS = 8
# In what steps are measured.
FEATURES, PIXELS = "the discriminator's features", "pixels, root mean square"


@dataclass(frozen=True, eq=False, kw_only=True)
class Track:
    """One path through the points.

    z: S x steps x z_size float32, from point to point, each with both of its ends; pixels: their
    images, S x steps x H x W x 3 uint8. lengths: S x (steps - 1) distances of successive images;
    largest_part: of the largest of them walked in `PARTS` parts, the share of the largest part.
    frames: images of a film, T x H x W x 3 uint8, or none.
    """

    z: Tensor
    pixels: np.ndarray
    lengths: np.ndarray
    largest_part: float
    frames: np.ndarray

    def values(self) -> dict[str, Any]:
        return {
            "step_lengths": self.lengths.tolist(),
            "mean": float(self.lengths.mean()),
            "largest": float(self.lengths.max()),
            "largest_part_of_the_largest": self.largest_part,
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class Nearest:
    """The images of a set that are nearest, in pixels, to those of a track.

    names, distances: S x steps, root mean square difference of pixels in [-1, 1]; pixels: as the
    track's.
    """

    images: str
    names: np.ndarray
    distances: np.ndarray
    pixels: np.ndarray

    def values(self) -> dict[str, Any]:
        return {
            "images": self.images,
            "names": self.names.tolist(),
            "rms_distances": self.distances.tolist(),
        }

    def __str__(self) -> str:
        return (
            f"nearest in {self.images}: {len(set(self.names.ravel()))} different images along "
            f"{self.names.size} steps, {self.distances.mean():.3f} away on average and "
            f"{self.distances.min():.3f} at least (RMS of pixels in [-1, 1])"
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Walk(Result):
    """What `run` returns. points: as they were named, the first again at the end of a closed walk.

    tracks: by way, "linear" and "spherical". Distances are square roots of `features.distance`, or,
    without a discriminator, root mean squares of pixels in [-1, 1]; `measured_in` says which.
    unrelated is their mean over pairs of samples: what it would be to jump to another image.
    nearest: of the images of the first way, those nearest in a set, if one was given.
    """

    points: tuple[str, ...]
    tracks: dict[str, Track]
    unrelated: float
    measured_in: str
    nearest: Nearest | None
    video: str | None
    caption: str

    def values(self) -> dict[str, Any]:
        return {
            "points": list(self.points),
            "measured_in": self.measured_in,
            "distance_of_unrelated_samples": self.unrelated,
            "ways": {way: track.values() for way, track in self.tracks.items()},
            "nearest": self.nearest.values() if self.nearest else None,
        }

    def draw(self, folder: Path) -> None:
        sha = self.made_with["checkpoint"]["sha256"]
        for way, track in self.tracks.items():
            write_latents(folder / f"{way}.safetensors", track.z.flatten(0, 1), sha)
            if self.video:
                film.write_tiled(folder / f"{way}.{self.video}", track.frames[:, None])
        # The paths look much alike, so one is drawn, larger; the chart has all of them.
        first, *others = self.tracks
        zoom = max(1, zoom_for(self.tracks[first].pixels.shape[2]) // 2)
        blocks = [Block(f"{first} path", self.tracks[first].pixels)]
        left_out = "".join(f"For images of the {way} path: --way {way}. " for way in others)
        if self.nearest:
            blocks.append(Block(f"nearest in {self.nearest.images}", self.nearest.pixels))
        draw(
            folder / "walk.png",
            "A walk through latent space",
            blocks,
            [f"{a} to {b}" for a, b in zip(self.points, self.points[1:], strict=False)],
            "Each row goes in equal steps from one point to the next. Below: how much each step "
            f"changes the image, in {self.measured_in}. A jump to another image would reach the "
            f"dashed line, the mean distance of unrelated samples. {left_out}{self.caption}.",
            zoom=zoom,
            below=self._chart(blocks, zoom),
        )

    def _chart(self, blocks: Sequence[Block], zoom: int) -> Figure:
        images = sum(block.images.shape[1] * block.images.shape[3] for block in blocks)
        lengths = {way: track.lengths for way, track in self.tracks.items()}
        width = chart_width(max(600, images * zoom + 120))
        return chart_steps(lengths, self.points, self.unrelated, width)

    def __str__(self) -> str:
        lines = [f"walked through {', '.join(self.points)}; distances in {self.measured_in}"]
        for way, track in self.tracks.items():
            lines.append(
                f"{way}: a step changes the image by {track.lengths.mean():.3f} on average and by "
                f"{track.lengths.max():.3f} at most (unrelated samples differ by "
                f"{self.unrelated:.3f}); of the largest step in {PARTS} parts, the largest part "
                f"is {track.largest_part:.2f} (even: {1 / PARTS:.2f} or little more; a jump: 1)"
            )
        if self.nearest:
            lines.append(str(self.nearest))
        return "\n".join(lines)
