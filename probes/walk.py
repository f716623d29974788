"""Walk through latent space: do the images change smoothly, or jump (section 6.1)?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

import dcgan_probe as dp
from dcgan_probe.errors import InputError, at_least
from dcgan_probe.metrics import features
from dcgan_probe.plugins.contract import pass_session

from ._latent import concepts_option, exemplars_option, video_option
from ._walked import FEATURES, PARTS, PIXELS, Nearest, Track, Walk

if TYPE_CHECKING:
    from torch import Tensor

WAYS = ("linear", "spherical")
# Pairs of samples whose mean distance is the scale of all others.
PAIRS = 128
# Images of a film from one point to the next.
FRAMES = 24


def run(
    session: dp.Session,
    points: Sequence[str] | int = 9,
    steps: int = 10,
    ways: Sequence[str] = WAYS,
    closed: bool = False,
    concepts: dp.Concepts | None = None,
    exemplars: int = 3,
    video: str | None = None,
    images: Path | None = None,
) -> Walk:
    """Walk from point to point in latent space and measure how even the images change.

        >>> result = run(dp.Session.open("rooms", seed=3), points=4, steps=8)
        >>> result.tracks["linear"].pixels.shape
        (3, 8, 64, 64, 3)

    points: how many samples of the session's seed, or names: samples ("3:17"), concepts, of whose
    first `exemplars` the mean is taken, and what earlier commands kept. steps: images from one
    point to the next, both ends included. closed: from the last point back to the first. video:
    the ending of films to write. images: a set of images, such as those of the training: show the
    nearest to every image of the first way. Edits in force are kept. The length of a step is seen
    by the discriminator; without one, in pixels.

    Raises InputError for less than two points, less than two steps and unknown names.
    Source: section 6.1, figure 4; `latents.between`.
    """
    import torch

    names = [f"{session.seed}:{i}" for i in range(points)] if isinstance(points, int) else points
    if len(names) < 2:
        raise InputError(f"walk: found {len(names)} point{'s'[: len(names) != 1]}, expected two")
    at_least(1, ways=len(ways), exemplars=exemplars)
    at_least(2, steps=steps)
    for way in ways:
        if way not in WAYS:
            raise dp.errors.unknown("way", way, WAYS)
    ends = torch.stack([session.find_latents(n, concepts, exemplars).mean(0) for n in names])
    if closed:
        ends = torch.cat([ends, ends[:1]])
        names = [*names, names[0]]
    tracks = {
        way: _track(session, ends, way, steps, FRAMES if video else 0)
        for way in session.progress(ways, "ways")
    }
    apart = session.generate(session.latents(2 * PAIRS, seed=session.seed + 1)).split(PAIRS)
    options = {"points": list(names), "steps": steps, "closed": closed, "exemplars": exemplars}
    options["images"] = images and Path(images).name
    return Walk(
        session.made_with(**options, concepts=concepts.file if concepts else None),
        tuple(names),
        tracks,
        float(_distances(session, *apart).mean()),
        PIXELS if features.seeing(session.checkpoint.discriminator) is None else FEATURES,
        _nearest(session, tracks[ways[0]], images) if images else None,
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
    flat = session.generate(z.flatten(0, 1))
    images = flat.unflatten(0, z.shape[:2])
    lengths = _distances(session, images[:, :-1].flatten(0, 1), images[:, 1:].flatten(0, 1))
    most = int(lengths.argmax())
    at = (most % (steps - 1) + torch.linspace(0, 1, PARTS + 1)) / (steps - 1)
    row = most // (steps - 1)
    fine = session.generate(dp.latents.between(ends[row], ends[row + 1], at, way))
    part = _distances(session, fine[:-1], fine[1:]).max() / lengths.max().clamp_min(1e-12)

    film = session.generate(between(frames + 1)[:, :-1].flatten(0, 1)) if frames else None
    size = session.config.size
    return Track(
        z,
        dp.figures.pixels(flat).reshape(*z.shape[:2], size, size, 3),
        lengths.view(len(z), -1).numpy(),
        float(part),
        np.empty(0) if film is None else dp.figures.pixels(film),
    )


def _nearest(session: dp.Session, track: Track, path: Path) -> Nearest:
    import numpy as np

    from dcgan_probe.images.sources import ImageSource, batches
    from dcgan_probe.metrics.nearest import Search
    from dcgan_probe.session import BATCH

    source = ImageSource(path, session.config.size, session.config.channels)
    search = Search(session.generate(track.z.flatten(0, 1)).flatten(1))
    total = -(-len(source) // BATCH)
    for batch in session.progress(batches(source, BATCH), "nearest images", total):
        search.add(batch.flatten(1))
    found, shape = search.indices[:, 0], track.z.shape[:2]
    pixels = dp.figures.pixels(source.read(found.tolist()))
    return Nearest(
        Path(path).name,
        np.array([source.names[i] for i in found]).reshape(shape),
        (search.distances[:, 0] / search.queries.shape[1] ** 0.5).reshape(shape),
        pixels.reshape(*shape, *pixels.shape[1:]),
    )


def _distances(session: dp.Session, a: Tensor, b: Tensor) -> Tensor:
    """How far images look from others to the discriminator, pair by pair, N float32.

    Without one, the root mean square of the difference of their pixels.
    """
    import torch

    discriminator = features.seeing(session.checkpoint.discriminator)
    if discriminator is None:
        return (a - b).square().mean(dim=(1, 2, 3)).sqrt()
    found = []
    with torch.no_grad():
        for pair in zip(a.split(32), b.split(32), strict=True):
            images = [part.to(session.device) for part in pair]
            found.append(features.distance(discriminator, *images).sqrt().cpu())
    return torch.cat(found)


@click.command()
@click.option("--points", default=9, type=click.IntRange(2), help="How many samples to go through.")
@click.option(
    "--through", help="Names of points in place of samples, with commas: 3:17,smiling,3:20."
)
@click.option("--steps", default=10, type=click.IntRange(2), help="Images from point to point.")
@click.option(
    "--way",
    default="both",
    type=click.Choice(["both", *WAYS]),
    help="A straight line, or at an even angle.",
)
@click.option("--closed", is_flag=True, help="Go back to the first point.")
@concepts_option
@exemplars_option
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Images, such as those of the training: show the nearest to each of the first way.",
)
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
    images: Path | None,
    video: str | None,
) -> None:
    """Walk from sample to sample: do the images change smoothly, or jump?"""
    names = points if through is None else [name.strip() for name in through.split(",")]
    ways = WAYS if way == "both" else (way,)
    concepts = session.read_concepts(path)
    session.save(run(session, names, steps, ways, closed, concepts, exemplars, video, images))
