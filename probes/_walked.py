"""What `walk` returns, and its picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dcgan_probe as dp
from dcgan_probe.results.result import Result

from ._latent import film

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

# The largest step is walked again in so many parts, to tell a jump from a fast change.
PARTS = 8
# In what steps are measured.
FEATURES, PIXELS = "the discriminator's features", "pixels, root mean square"


@dataclass(frozen=True, eq=False)
class Track:
    """One way through the points.

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


@dataclass(frozen=True, eq=False)
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


@dataclass(frozen=True, eq=False)
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
            dp.latents.write(folder / f"{way}.safetensors", track.z.flatten(0, 1), sha)
            if self.video:
                film(folder / f"{way}.{self.video}", track.frames[:, None])
        zoom = max(1, dp.figures.zoom_for(next(iter(self.tracks.values())).pixels.shape[2]) // 2)
        blocks = [dp.figures.Block(way, track.pixels) for way, track in self.tracks.items()]
        near = self.nearest
        nearest = [dp.figures.Block(f"nearest in {near.images}", near.pixels)] if near else []
        dp.figures.draw(
            folder / "walk.png",
            "A walk through latent space",
            [*blocks, *nearest],
            [f"{a} to {b}" for a, b in zip(self.points, self.points[1:], strict=False)],
            "Every row goes in even steps from point to point, on the straight line or at an even "
            f"angle. Below, how much each step changes the image, in {self.measured_in}: "
            "a jump to another image would reach the grey line. "
            f"{self.caption}.",
            zoom=zoom,
            below=_chart(self, zoom),
        )

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


def _chart(walk: Walk, zoom: int) -> np.ndarray:
    import numpy as np

    figures = dp.figures
    images = [track.pixels for track in walk.tracks.values()]
    width = max(600, sum(image.shape[1] * image.shape[3] * zoom for image in images) + 120)
    figure = figures.blank(width, 230)
    axes = figure.subplots()
    for (way, track), colour in zip(
        walk.tracks.items(), (figures.BLUE, figures.ORANGE), strict=False
    ):
        rows, steps = track.lengths.shape
        at = (np.arange(rows * steps) + 0.5) / steps
        axes.plot(at, track.lengths.ravel(), ".-", color=colour, label=way, linewidth=1)
    axes.axhline(walk.unrelated, color=figures.PALE, linestyle="--", linewidth=1)
    axes.text(0, walk.unrelated, "unrelated samples", color=figures.PALE, va="bottom", fontsize=8)
    for point in range(rows + 1):
        axes.axvline(point, color="#DDDDDD", linewidth=0.7, zorder=0)
    axes.set_xticks(range(rows + 1), walk.points, fontsize=8)
    longest = max(float(track.lengths.max()) for track in walk.tracks.values())
    axes.set_ylim(0, 1.2 * max(walk.unrelated, longest))  # a jump may be the longest of all
    axes.set_ylabel("change of a step", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="upper right", ncols=2)
    figure.subplots_adjust(
        left=max(0.08, 70 / width),  # room for the label
        right=0.99,
        bottom=0.12,
        top=0.95,
    )
    return figures.rendered(figure)
