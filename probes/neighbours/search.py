"""Search the training images in one pass for those nearest to samples and held-out images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from dcgan_probe.images.sources import batches
from dcgan_probe.images.subsets import Chosen
from dcgan_probe.metrics.nearest import Search
from dcgan_probe.session import Session

from .comparison import Comparison
from .spaces import Space
from .verdict import Verdict, preference, three_sample

NEAREST = 5
BATCH = 256
A_CELL = 100  # samples, and held-out images, that a cell has on average
DIRECTIONS = 64  # random ones, on which images are projected to be parted into cells
PARTED = 10_000  # maximum number of training images


def compare(
    session: Session,
    training: Chosen,
    control: Chosen | None,
    spaces: Sequence[Space],
    drawn: Sequence[Tensor],
    cells: int | None,
) -> list[tuple[Comparison, ...]]:
    """Compare each set of as many samples with the real images, in each space.

    drawn: N x C x size x size float32 in [-1, 1] each. cells: one for `A_CELL` samples if None.
    Memory: all samples and held-out images in every space, and a batch of the training images.
    """
    sets = list(drawn)
    if control is not None:
        sets.append(torch.cat(list(batches(control, BATCH))))
    searches = [_SpaceSearch(session, space, sets, len(training)) for space in spaces]
    reading = batches(training, BATCH)
    for batch in session.progress(reading, "searching", -(-len(training) // BATCH)):
        for search in searches:
            search.add(batch.to(session.device))
    if cells is None:
        cells = max(1, min(map(len, sets)) // A_CELL)
    compared = [
        _compare(session, search, len(training), len(drawn), len(sets[0]), cells)
        for search in searches
    ]
    return list(zip(*compared, strict=True))


class _SpaceSearch:
    """The search in one space, to which the training images are added in batches."""

    def __init__(self, session: Session, space: Space, sets: Sequence[Tensor], training: int):
        self.space = space
        queries = [
            space.vectors(batch.to(session.device))
            for images in sets
            for batch in images.split(BATCH)
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


def _compare(
    session: Session, space_search: _SpaceSearch, training: int, sets: int, n: int, cells: int
) -> list[Comparison]:
    """Compare each set of n samples; all other queries are held-out images."""
    count = sets * n
    search, space = space_search.search, space_search.space
    distances, nearest = search.distances, search.indices
    held_out = distances[count:, 0]
    parts = [slice(i * n, (i + 1) * n) for i in range(sets)]
    if not len(held_out):
        none = np.empty(0)
        return [
            Comparison(space.name, space.unit, distances[p], nearest[p], none, none, none, None)
            for p in parts
        ]
    other = Search(search.queries[:count])
    for batch in search.queries[count:].split(BATCH):
        other.add(batch)
    cell = space_search.cells(cells, session.seed)
    comparisons = []
    for part in parts:
        to_held_out, nearest_held_out = other.distances[part, 0], other.indices[part, 0]
        verdict = Verdict(
            three_sample(distances[part, 0], held_out, cell[part], cell[count:]),
            preference(
                distances[part, 0],
                nearest[part, 0],
                to_held_out,
                nearest_held_out,
                training,
                len(held_out),
                session.seed,
            ),
        )
        comparisons.append(
            Comparison(
                space.name,
                space.unit,
                distances[part],
                nearest[part],
                held_out,
                to_held_out,
                nearest_held_out,
                verdict,
            )
        )
    return comparisons
