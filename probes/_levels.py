"""How high filters of a generator's layer go: what an edit puts in place of their maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import dcgan_probe as dp
from dcgan_probe.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

SAMPLES = 256
PERCENT = 99


def means(
    session: dp.Session, layer: str, filters: Sequence[int], n: int = SAMPLES, start: int = 0
) -> tuple[float, ...]:
    """The mean of each filter's map, over all places of n samples of the session's seed.

        >>> edit = dp.Selection("16x16", (3, 17), sha, values=means(session, "16x16", (3, 17)))

    start: the first of the samples. Raises InputError for a layer or a filter that is not there.
    """
    import torch

    total = torch.zeros(len(filters), dtype=torch.float64)
    for maps in _maps(session, layer, filters, n, start):
        total += maps.double().mean(dim=2).sum(dim=0)
    return tuple((total / n).tolist())


def levels(
    session: dp.Session, layer: str, filters: Sequence[int], n: int = SAMPLES
) -> tuple[float, ...]:
    """How high each filter goes: the 99th percentile of its map, over what `means` is over.

        >>> edit = dp.Selection("8x8", (3,), sha, values=levels(session, "8x8", (3,)),
        ...                     where=(40, 8, 56, 24))

    The smallest activation that is at least as large as 99 in 100. The maximum would be that of
    one place of one sample, and grow with n. Raises InputError as `means` does.
    """
    import torch

    top = torch.empty(len(filters), 0)
    for maps in _maps(session, layer, filters, n):
        count = n * maps.shape[2]
        above = count - -(-PERCENT * (count - 1) // 100)
        # Only what can still be among the highest is kept, so that memory does not grow with n.
        top = torch.cat([top, maps.transpose(0, 1).flatten(1)], dim=1)
        top = top.topk(min(above, top.shape[1]), dim=1).values
    return tuple(top.amin(dim=1).tolist())


def _maps(
    session: dp.Session, layer: str, filters: Sequence[int], n: int, start: int = 0
) -> Iterator[Tensor]:
    """Batches of what filters put out, samples x filters x places, with the edits in force."""
    import torch

    if n < 1:
        raise InputError(f"layer {layer!r}: found {n} samples to measure on, expected at least 1")
    # The edit is made and lifted: it is refused if a filter is not there.
    with session.editing(dp.Selection(layer, tuple(filters), session.checkpoint.sha256)):
        pass
    for z in session.latents(n, start=start).split(dp.session.BATCH):
        with torch.no_grad():
            maps = dp.hooks.activations(session.generator, layer, z.to(session.device))
        yield maps[:, list(filters)].unsqueeze(-1).flatten(2).cpu()
