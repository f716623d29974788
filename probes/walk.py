"""Walk through latent space: do the images change smoothly, or jump (section 6.1)?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import dcgan_probe as dp
from dcgan_probe.errors import InputError
from dcgan_probe.plugins import pass_session
from dcgan_probe.probes._latent import concepts_option, exemplars_option, film, video_option
from dcgan_probe.results import Result

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

WAYS = ("linear", "spherical")
# The largest step is walked again in so many parts, to tell a jump from a fast change.
PARTS = 8
# Pairs of samples whose mean distance is the scale of all others.
PAIRS = 128
# Images of a film from one point to the next.
FRAMES = 24


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
class Walk(Result):
    """What `run` returns. points: as they were named, the first again at the end of a closed walk.

    tracks: by way, "linear" and "spherical". Distances are square roots of `features.distance`;
    unrelated is their mean over pairs of samples: what it would be to jump to another image.
    """

    points: tuple[str, ...]
    tracks: dict[str, Track]
    unrelated: float
    video: str | None
    caption: str

    def values(self) -> dict[str, Any]:
        return {
            "points": list(self.points),
            "distance_of_unrelated_samples": self.unrelated,
            "ways": {way: track.values() for way, track in self.tracks.items()},
        }

    def draw(self, folder: Path) -> None:
        sha = self.made_with["checkpoint"]["sha256"]
        for way, track in self.tracks.items():
            dp.latents.write(folder / f"{way}.safetensors", track.z.flatten(0, 1), sha)
            if self.video:
                film(folder / f"{way}.{self.video}", track.frames[:, None])
        zoom = max(1, dp.figures.zoom_for(next(iter(self.tracks.values())).pixels.shape[2]) // 2)
        dp.figures.draw(
            folder / "walk.png",
            "A walk through latent space",
            [dp.figures.Block(way, track.pixels) for way, track in self.tracks.items()],
            [f"{a} to {b}" for a, b in zip(self.points, self.points[1:], strict=False)],
            "Every row goes in even steps from point to point, on the straight line or at an even "
            "angle. Below, how much each step changes the image, in the discriminator's "
            "features: a jump to another image would reach the grey line. "
            f"{self.caption}.",
            zoom=zoom,
            below=_chart(self, zoom),
        )

    def __str__(self) -> str:
        lines = [f"walked through {', '.join(self.points)}"]
        for way, track in self.tracks.items():
            lines.append(
                f"{way}: a step changes the image by {track.lengths.mean():.3f} on average and by "
                f"{track.lengths.max():.3f} at most (unrelated samples differ by "
                f"{self.unrelated:.3f}); of the largest step in {PARTS} parts, the largest part "
                f"is {track.largest_part:.2f} (even: {1 / PARTS:.2f} or little more; a jump: 1)"
            )
        return "\n".join(lines)


def run(
    session: dp.Session,
    points: Sequence[str] | int = 9,
    steps: int = 10,
    ways: Sequence[str] = WAYS,
    closed: bool = False,
    concepts: dp.Concepts | None = None,
    exemplars: int = 3,
    video: str | None = None,
) -> Walk:
    """Walk from point to point in latent space and measure how even the images change.

        >>> result = run(dp.Session.open("rooms", seed=3), points=4, steps=8)
        >>> result.tracks["linear"].pixels.shape
        (3, 8, 64, 64, 3)

    points: how many samples of the session's seed, or names: samples ("3:17"), concepts, of whose
    first `exemplars` the mean is taken, and what earlier commands kept. steps: images from one
    point to the next, both ends included. closed: from the last point back to the first. video:
    the ending of films to write. Edits in force are kept.

    Raises InputError for less than two points, less than two steps and unknown names.
    Source: section 6.1, figure 4; `latents.between`.
    """
    import torch

    names = [f"{session.seed}:{i}" for i in range(points)] if isinstance(points, int) else points
    if len(names) < 2:
        raise InputError(f"walk: found {len(names)} point{'s'[: len(names) != 1]}, expected two")
    if steps < 2:
        raise InputError(f"walk: found {steps} steps, expected at least 2")
    for way in ways:
        if way not in WAYS:
            raise dp.errors.unknown("way", way, WAYS)
    ends = torch.stack([dp.concepts.find(session, n, concepts, exemplars).mean(0) for n in names])
    if closed:
        ends = torch.cat([ends, ends[:1]])
        names = [*names, names[0]]
    tracks = {
        way: _track(session, ends, way, steps, FRAMES if video else 0)
        for way in session.progress(ways, "ways")
    }
    apart = session.latents(2 * PAIRS, seed=session.seed + 1).view(2, PAIRS, -1)
    options = {"points": list(names), "steps": steps, "closed": closed, "exemplars": exemplars}
    return Walk(
        session.made_with(**options, concepts=concepts.source if concepts else None),
        tuple(names),
        tracks,
        float(_distances(session, apart[0], apart[1]).mean()),
        video,
        session.caption(),
    )


def _track(session: dp.Session, ends: Tensor, way: str, steps: int, frames: int) -> Track:
    import numpy as np
    import torch

    def between(count: int) -> Tensor:
        at = torch.linspace(0, 1, count)
        pairs = zip(ends, ends[1:], strict=False)
        return torch.stack([dp.latents.between(a, b, at, way) for a, b in pairs])

    z = between(steps)
    lengths = _distances(session, z[:, :-1].flatten(0, 1), z[:, 1:].flatten(0, 1))
    most = int(lengths.argmax())
    at = (most % (steps - 1) + torch.linspace(0, 1, PARTS + 1)) / (steps - 1)
    row = most // (steps - 1)
    fine = dp.latents.between(ends[row], ends[row + 1], at, way)
    part = _distances(session, fine[:-1], fine[1:]).max() / lengths.max().clamp_min(1e-12)

    def pixels(z: Tensor) -> np.ndarray:
        return dp.figures.pixels(session.generate(z.flatten(0, 1)))

    size = session.config.size
    return Track(
        z,
        pixels(z).reshape(*z.shape[:2], size, size, 3),
        lengths.view(len(z), -1).numpy(),
        float(part),
        pixels(between(frames + 1)[:, :-1]) if frames else np.empty(0),
    )


def _distances(session: dp.Session, a: Tensor, b: Tensor) -> Tensor:
    """How far the images of latents are from those of others, N float32."""
    import torch

    found = []
    with torch.no_grad():
        for ours, theirs in zip(a.split(32), b.split(32), strict=True):
            images = [session.generate(z).to(session.device) for z in (ours, theirs)]
            found.append(dp.features.distance(session.discriminator, *images).sqrt().cpu())
    return torch.cat(found)


def _chart(walk: Walk, zoom: int) -> np.ndarray:
    import numpy as np

    figures = dp.figures
    images = [track.pixels for track in walk.tracks.values()]
    wide = sum(image.shape[1] * image.shape[3] * zoom for image in images) + 120
    figure = figures.blank(max(600, wide), 230)
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
    axes.set_ylim(0, walk.unrelated * 1.2)
    axes.set_ylabel("change of a step", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="upper right", ncols=2)
    figure.subplots_adjust(left=0.08, right=0.99, bottom=0.12, top=0.95)
    return figures.rendered(figure)


@click.command()
@click.option("--points", default=9, type=click.IntRange(2), help="How many samples to go through.")
@click.option(
    "--through", help="Names of points in place of samples, with commas: 3:17,smiling,3:20."
)
@click.option("--steps", default=10, type=click.IntRange(2), help="Images from point to point.")
@click.option("--way", default="both", type=click.Choice(["both", *WAYS]))
@click.option("--closed", is_flag=True, help="Go back to the first point.")
@concepts_option
@exemplars_option
@video_option
@pass_session
def walk(
    session: dp.Session,
    points: int,
    through: str | None,
    steps: int,
    way: str,
    closed: bool,
    path: Path | None,
    exemplars: int,
    video: str | None,
) -> None:
    """Walk from sample to sample: do the images change smoothly, or jump?"""
    names = points if through is None else [name.strip() for name in through.split(",")]
    ways = WAYS if way == "both" else (way,)
    concepts = dp.concepts.of(session, path)
    session.save(run(session, names, steps, ways, closed, concepts, exemplars, video))
