"""Interpolate in latent space: do images change smoothly, or jump (section 6.1)?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dcgan_probe import latents
from dcgan_probe.errors import InputError, at_least, unknown
from dcgan_probe.figures.rasters import pixels
from dcgan_probe.images.sources import ImageSource, batches
from dcgan_probe.latents.concepts import Concepts
from dcgan_probe.metrics import features
from dcgan_probe.metrics.nearest import Search
from dcgan_probe.probes.walk.result import FEATURES, PARTS, PIXELS, Nearest, Track, Walk
from dcgan_probe.probes.walk.ways import WAYS
from dcgan_probe.session import BATCH, Session

# Pairs of samples whose mean distance is the scale of all others.
PAIRS = 128
# Images of a film from one point to the next.
FRAMES = 24


def run(
    session: Session,
    points: Sequence[str] | int = 9,
    steps: int = 10,
    ways: Sequence[str] = WAYS,
    closed: bool = False,
    concepts: Concepts | None = None,
    exemplars: int = 3,
    video: str | None = None,
    images: Path | None = None,
) -> Walk:
    """Interpolate from point to point in latent space, and measure how evenly images change.

        >>> result = run(Session.open("rooms", seed=3), points=4, steps=8)
        >>> result.tracks["linear"].pixels.shape
        (3, 8, 64, 64, 3)

    points: a number of samples of the session's seed; or names: samples ("3:17"), concepts (the
    mean of their first `exemplars`), and what earlier commands kept. steps: number of images from
    one point to the next, including both. closed: return to the first point. video: extension of
    films to write. images: a set of images, such as the training set: show the nearest to every
    image of the first path. Active edits apply. The length of a step is measured in the
    discriminator's features, or in pixels without a discriminator.

    Raises InputError for fewer than two points or steps, and for unknown names.
    Source: section 6.1, figure 4; `latents.between`.
    """
    names = [f"{session.seed}:{i}" for i in range(points)] if isinstance(points, int) else points
    if len(names) < 2:
        raise InputError(f"walk: found {len(names)} point{'s'[: len(names) != 1]}, expected two")
    at_least(1, ways=len(ways), exemplars=exemplars)
    at_least(2, steps=steps)
    for way in ways:
        if way not in WAYS:
            raise unknown("way", way, WAYS)
    ends = torch.stack([session.find_latents(n, concepts, exemplars).mean(0) for n in names])
    if closed:
        ends = torch.cat([ends, ends[:1]])
        names = [*names, names[0]]
    tracks = {
        way: _track(session, ends, way, steps, FRAMES if video else 0, closed)
        for way in session.progress(ways, "ways")
    }
    apart = session.generate(session.latents(2 * PAIRS, seed=session.seed + 1)).split(PAIRS)
    seeing = features.seeing(session.checkpoint.discriminator)
    return Walk(
        made_with=session.made_with(
            points=list(names),
            steps=steps,
            closed=closed,
            exemplars=exemplars,
            images=images and Path(images).name,
            concepts=concepts.file if concepts else None,
        ),
        points=tuple(names),
        tracks=tracks,
        unrelated=float(_distances(session, *apart).mean()),
        measured_in=PIXELS if seeing is None else FEATURES,
        nearest=_nearest(session, tracks[ways[0]], images) if images else None,
        video=video,
        caption=session.caption(),
    )


def _track(
    session: Session, ends: Tensor, way: str, steps: int, frames: int, closed: bool
) -> Track:
    def between(count: int) -> Tensor:
        at = torch.linspace(0, 1, count)
        pairs = zip(ends, ends[1:], strict=False)
        return torch.stack([latents.between(a, b, at, way) for a, b in pairs])

    z = between(steps)
    flat = session.generate(z.flatten(0, 1))
    images = flat.unflatten(0, z.shape[:2])
    lengths = _distances(session, images[:, :-1].flatten(0, 1), images[:, 1:].flatten(0, 1))
    size = session.config.size
    film = np.empty(0)
    if frames:
        # Each point once: it ends one way and begins the next, as a loop's last is its first.
        moving = between(frames + 1)[:, :-1].flatten(0, 1)
        film = pixels(session.generate(moving if closed else torch.cat([moving, ends[-1:]])))
    return Track(
        z=z,
        pixels=pixels(flat).reshape(*z.shape[:2], size, size, 3),
        lengths=lengths.view(len(z), -1).numpy(),
        largest_part=_largest_part(session, ends, way, lengths, steps),
        frames=film,
    )


def _largest_part(session: Session, ends: Tensor, way: str, lengths: Tensor, steps: int) -> float:
    """The share of the largest step that its largest part has, of `PARTS` parts."""
    largest = int(lengths.argmax())
    row, step = divmod(largest, steps - 1)
    at = (step + torch.linspace(0, 1, PARTS + 1)) / (steps - 1)
    fine = session.generate(latents.between(ends[row], ends[row + 1], at, way))
    part = _distances(session, fine[:-1], fine[1:]).max()
    return float(part / lengths.max().clamp_min(1e-12))


def _nearest(session: Session, track: Track, path: Path) -> Nearest:
    source = ImageSource(path, session.config.size, session.config.channels)
    search = Search(session.generate(track.z.flatten(0, 1)).flatten(1))
    total = -(-len(source) // BATCH)
    for batch in session.progress(batches(source, BATCH), "nearest images", total):
        search.add(batch.flatten(1))
    nearest, shape = search.indices[:, 0], track.z.shape[:2]
    images = pixels(source.read(nearest.tolist()))
    return Nearest(
        images=Path(path).name,
        names=np.array([source.names[i] for i in nearest]).reshape(shape),
        distances=(search.distances[:, 0] / search.queries.shape[1] ** 0.5).reshape(shape),
        pixels=images.reshape(*shape, *images.shape[1:]),
    )


def _distances(session: Session, a: Tensor, b: Tensor) -> Tensor:
    """How far images look from others to the discriminator, pair by pair, N float32.

    Without one, the root mean square of the difference of their pixels.
    """
    discriminator = features.seeing(session.checkpoint.discriminator)
    if discriminator is None:
        return (a - b).square().mean(dim=(1, 2, 3)).sqrt()
    distances = []
    with torch.no_grad():
        for pair in zip(a.split(32), b.split(32), strict=True):
            images = [part.to(session.device) for part in pair]
            distances.append(features.distance(discriminator, *images).sqrt().cpu())
    return torch.cat(distances)
