"""Images of maps with several layers edited, and random edits to hold a choice against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import dcgan_probe as dp
from dcgan_probe.edits import tails

from ._choice import Layer

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from dcgan_probe.edits.tails import Base

BATCH = 32


def edited(session: dp.Session, base: Base, layers: Sequence[Layer]) -> Tensor:
    """Images of maps of the first of some layers, each layer edited."""
    import torch

    with ExitStack() as stack, torch.no_grad():
        for of in layers[1:]:
            stack.enter_context(
                dp.hooks.ablate(
                    session.generator, of.name, of.filters, of.gains or 0.0, of.values or 0.0
                )
            )
        if not layers:
            return base.images()
        first = layers[0]
        filters = list(first.filters)
        if not first.gains and not first.values:
            return base.without(filters)
        gain, value = (
            torch.tensor(of or [0.0] * len(filters)).to(base.maps).view(1, -1, 1, 1)
            for of in (first.gains, first.values)
        )
        return base.replaced(filters, gain * base.maps[:, filters] + (1 - gain) * value)


def images_of(
    session: dp.Session, tail: tails.Tail, z: Tensor, edits: Sequence[Sequence[Layer]]
) -> list[Tensor]:
    """Images of latents for each of some edits, in batches, on the CPU; see `edited`."""
    import torch

    parts: list[list[Tensor]] = [[] for _ in edits]
    for batch in session.progress(z.split(BATCH), "images of edits"):
        base = tail.start(batch.to(session.device))
        for images, edit in zip(parts, edits, strict=True):
            images.append(edited(session, base, edit).cpu())
    return [torch.cat(images) for images in parts]


def changes_of(
    session: dp.Session,
    tail: tails.Tail,
    z: Tensor,
    edits: Sequence[Sequence[Layer]],
    inside: np.ndarray,
) -> list[tuple[float, float]]:
    """What each of some edits changes in the mean inside and outside of a mask, N x H x W bool."""
    import torch

    mask = torch.from_numpy(inside)
    sums = torch.zeros(len(edits), 2, dtype=torch.float64)
    batches = zip(z.split(BATCH), mask.split(BATCH), strict=True)
    for batch, within in session.progress(batches, "edits", -(-len(z) // BATCH)):
        base = tail.start(batch.to(session.device))
        before = base.images().cpu()
        for i, edit in enumerate(edits):
            change = (edited(session, base, edit).cpu() - before).abs().mean(dim=1).double()
            sums[i] += torch.stack([change[within].sum(), change[~within].sum()])
    within, outside = int(mask.sum()), int((~mask).sum())
    return [(a / within, b / outside) for a, b in sums.tolist()]


def random_sets(
    chosen: Sequence[Layer], means: Mapping[str, Sequence[float]], count: int, seed: int
) -> list[list[Layer]]:
    """As many filters of each layer, drawn at random, with the gains of those that were chosen.

    means: of every filter of a layer, which replace the random filters where the chosen ones are
    replaced by something.
    """
    import numpy as np

    rng = np.random.default_rng([seed, 1])
    sets = []
    for _ in range(count):
        layers = []
        for of in chosen:
            drawn = rng.choice(of.count, len(of.filters), replace=False).tolist()
            put = tuple(means[of.name][f] for f in drawn) if of.values else ()
            rest = tuple(sorted(set(range(of.count)) - set(drawn)))
            layers.append(replace(of, filters=tuple(drawn), unchosen=rest, values=put))
        sets.append(layers)
    return sets
