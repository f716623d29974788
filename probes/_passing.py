"""The training images go by once, past all samples and held-out images in every space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor

import dcgan_probe as dp
from dcgan_probe.images.sources import batches
from dcgan_probe.images.subsets import Chosen
from dcgan_probe.metrics.nearest import Search

from . import _copying
from ._near import Near
from ._spaces import Space

NEAREST = 5
BATCH = 256
A_CELL = 100  # samples, and held-out images, that a cell has on average
DIRECTIONS = 64  # random ones, on which images are projected to be parted into cells
PARTED = 10_000  # at most so many training images


def searched(
    session: dp.Session,
    training: Chosen,
    control: Chosen | None,
    spaces: Sequence[Space],
    drawn: Sequence[Tensor],
    cells: int | None,
) -> list[tuple[Near, ...]]:
    """For each set of as many samples, what is near to it in each space.

    drawn: N x C x size x size float32 in [-1, 1] each. cells: one for `A_CELL` samples if None.
    Memory: all samples and held-out images in every space, and a batch of the training images.
    """
    sets = list(drawn)
    if control is not None:
        sets.append(torch.cat(list(batches(control, BATCH))))
    passing = [_Passing(session, space, sets, len(training)) for space in spaces]
    reading = batches(training, BATCH)
    for batch in session.progress(reading, "searching", -(-len(training) // BATCH)):
        for one in passing:
            one.add(batch.to(session.device))
    if cells is None:
        cells = max(1, min(len(of) for of in sets) // A_CELL)
    near = [_compared(session, p, len(training), len(drawn), len(sets[0]), cells) for p in passing]
    return list(zip(*near, strict=True))


class _Passing:
    """One space, while the training images go by."""

    def __init__(self, session: dp.Session, space: Space, sets: Sequence[Tensor], training: int):
        self.space = space
        queries = [
            space.vectors(batch.to(session.device)) for of in sets for batch in of.split(BATCH)
        ]
        self.search = Search(torch.cat(queries), min(NEAREST, training))
        draws = torch.Generator().manual_seed(session.seed)
        directions = torch.randn(queries[0].shape[1], DIRECTIONS, generator=draws)
        self.directions = directions.to(session.device)
        self.every = -(-training // PARTED)
        self.parted: list[Tensor] = []

    def add(self, images: Tensor) -> None:
        vectors = self.space.vectors(images)
        first = -self.search.seen % self.every
        self.parted.append((vectors[first :: self.every] @ self.directions).cpu())
        self.search.add(vectors)

    def cells(self, count: int, seed: int) -> np.ndarray:
        """The cell of each query, in a partition of the training images by k-means."""
        seen = torch.cat(self.parted).numpy()
        count = min(count, len(np.unique(seen, axis=0)))
        parted = KMeans(count, n_init=1, random_state=seed).fit(seen)
        return parted.predict((self.search.queries @ self.directions).cpu().numpy())


def _compared(
    session: dp.Session, of: _Passing, training: int, sets: int, n: int, cells: int
) -> list[Near]:
    """What is near to each of so many sets of n samples; all other queries are held out."""
    count = sets * n
    distances, nearest = of.search.distances, of.search.indices
    held_out = distances[count:, 0]
    parts = [slice(i * n, (i + 1) * n) for i in range(sets)]
    about = (of.space.name, of.space.unit)
    if not len(held_out):
        none = np.empty(0)
        return [Near(*about, distances[p], nearest[p], none, none, none, None) for p in parts]
    other = Search(of.search.queries[:count])
    for batch in of.search.queries[count:].split(BATCH):
        other.add(batch)
    cell = of.cells(cells, session.seed)
    made = []
    for part in parts:
        to_training, to_held_out = (found.distances[part, 0] for found in (of.search, other))
        near, near_held_out = (found.indices[part, 0] for found in (of.search, other))
        counts = (training, len(held_out))
        verdict = _copying.Verdict(
            _copying.three_sample(to_training, held_out, cell[part], cell[count:]),
            _copying.preference(
                to_training, near, to_held_out, near_held_out, *counts, session.seed
            ),
        )
        made.append(
            Near(
                *about,
                distances[part],
                nearest[part],
                held_out,
                to_held_out,
                near_held_out,
                verdict,
            )
        )
    return made
