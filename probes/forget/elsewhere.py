"""Random controls of edits by place: the same edit where other samples have the object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from dcgan_probe.edits.places import PlaceEdit, Planner
from dcgan_probe.edits.tails import Tail
from dcgan_probe.session import Session

BATCH = 32


@torch.no_grad()
def erase_elsewhere(
    session: Session, edit: PlaceEdit, z: Tensor, controls: int
) -> tuple[Tensor, ...]:
    """Images of latents, each edited where another of them has the object; one set a control.

        >>> erase_elsewhere(session, edit, session.latents(64), controls=2)[0].shape
        torch.Size([64, 3, 64, 64])

    So places are as large, and lie where objects lie, and each has a donor that fits there. The
    samples that the edit changes pass their places on in a random circle, by the session's seed;
    the others are unchanged. None where it changes fewer than two.
    """
    planner = edit.planner(session.generator, session.config)
    tail = Tail(session.generator, edit.seen[0])
    bases = [tail.start(part.to(session.device)) for part in z.split(BATCH)]
    found: list[dict[str, Tensor]] = []
    for base in bases:
        base.planned(edit.seen, partial(_look, planner, found))
    logits = {name: torch.cat([each[name] for each in found]) for name in edit.layers}
    reached = torch.stack([each.flatten(1).isfinite().any(1) for each in logits.values()]).any(0)
    rows = torch.where(reached)[0].cpu().numpy()
    if len(rows) < 2:
        return ()
    sets = []
    for i in range(controls):
        order = np.random.default_rng([session.seed, 5, i]).permutation(rows)
        other = torch.arange(len(z))
        other[torch.from_numpy(order)] = torch.from_numpy(np.roll(order, 1))
        parts = []
        for base, places in zip(bases, other.split(BATCH), strict=True):
            at = places.to(session.device)
            moved = {name: each[at] for name, each in logits.items()}
            plan = partial(planner.replace, logits=moved)
            parts.append(base.planned(edit.seen, plan).cpu())
        sets.append(torch.cat(parts))
    return tuple(sets)


def _look(
    planner: Planner, found: list[dict[str, Tensor]], maps: Mapping[str, Tensor]
) -> dict[str, Callable[[Tensor], Tensor]]:
    """Note where the edit acts, and change nothing."""
    found.append(planner.logits(maps))
    return {}
