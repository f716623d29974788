"""Images of maps with several layers edited, and random edits to hold a choice against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import dcgan_probe as dp

from ._choice import Layer

if TYPE_CHECKING:
    from torch import Tensor

    from dcgan_probe.tails import Base

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
    session: dp.Session, tail: dp.tails.Tail, z: Tensor, maps: Tensor, edit: Sequence[Layer]
) -> Tensor:
    """Images of latents and their maps in batches, on the CPU; see `edited`."""
    import torch

    parts = []
    for both in zip(z.split(BATCH), maps.split(BATCH), strict=True):
        base = tail.start(*(part.to(session.device) for part in both))
        parts.append(edited(session, base, edit).cpu())
    return torch.cat(parts)


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
            every = len(of.filters) + len(of.unchosen)
            drawn = rng.choice(every, len(of.filters), replace=False).tolist()
            put = tuple(means[of.name][f] for f in drawn) if of.values else ()
            rest = tuple(sorted(set(range(every)) - set(drawn)))
            layers.append(replace(of, filters=tuple(drawn), unchosen=rest, values=put))
        sets.append(layers)
    return sets
