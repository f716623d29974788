"""Which filters to drop to forget an object: the paper's rule, and others to hold against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dcgan_probe as dp
from dcgan_probe.errors import InputError
from dcgan_probe.probes._regression import Cells, sparse

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from dcgan_probe.probes._gates import Choosing

RULES = ("paper", "top", "l1", "causal", "gates")
REPLACEMENTS = ("zero", "mean", "outside")
LEFT = 0.3  # share of the evidence for the object that `causal` and `gates` leave
OPEN = 0.95  # a gate that is further open is taken for open
SCANNED, VERIFIED = 48, 96  # samples on which `causal` drops filters alone, and together
BATCH = 24
LEAST_CHANGE = 1e-3  # outside; smaller ones are no merit


@dataclass(frozen=True, eq=False)
class Layer:
    """The filters that were chosen in a layer, those that matter most first.

    gains, values: of each, as `Selection` has them; empty where it drops them. unchosen: the other
    filters, the least fit to be chosen first.
    """

    name: str
    filters: tuple[int, ...]
    unchosen: tuple[int, ...]
    gains: tuple[float, ...] = ()
    values: tuple[float, ...] = ()

    def first(self, k: int) -> Layer:
        """The same with only the first k of its filters."""
        rest = (*self.unchosen, *reversed(self.filters[k:]))
        return Layer(self.name, self.filters[:k], rest, self.gains[:k], self.values[:k])

    def last(self) -> Layer:
        """As many filters, or as many as there are, that are the least fit, dropped."""
        kept = self.unchosen[: len(self.filters)]
        rest = (*self.unchosen[len(kept) :], *reversed(self.filters))
        return Layer(self.name, kept, rest)


def by_weight(layer: str, weights: np.ndarray, k: int, values: Sequence[float]) -> Layer:
    """The k filters of the largest weights."""
    order = (-weights).argsort(kind="stable").tolist()
    return _layer(layer, order, k, values)


def by_sparse_weight(
    layer: str, cells: Cells, weights: np.ndarray, values: Sequence[float]
) -> Layer:
    """The filters of positive weight in the sparsest regression that is about as accurate."""
    few = sparse(cells)
    order = sorted(range(len(few)), key=lambda f: (-few[f], -weights[f]))
    return _layer(layer, order, int((few > 0).sum()), values)


def by_effect(choosing: Choosing, values: Sequence[float], left: float) -> Layer:
    """Filters in the order of what dropping each alone does, as many as leave little together.

    Each filter is dropped alone on `SCANNED` samples: the evidence for the object that goes, over
    the change outside, orders them. Then the first 1, 2, ... of them are dropped together, on
    `VERIFIED` samples: the smallest set that leaves `left` of the evidence, or less, is taken; if
    there is none, the one that leaves least.
    """
    import torch

    count = choosing.maps.shape[1]
    put = torch.tensor(values or [0.0] * count)
    alone = _dropped(choosing, [[f] for f in range(count)], put, SCANNED)
    gone = 1 - alone[:, 0]
    # Where nothing goes, the change outside is no credit.
    worth = torch.where(gone > 0, gone / (alone[:, 1] + LEAST_CHANGE), gone)
    order = worth.argsort(descending=True, stable=True).tolist()
    sizes = _sizes(min(int((gone > 0).sum()), count - 1))
    together = _dropped(choosing, [order[:k] for k in sizes], put, VERIFIED)[:, 0]
    enough = [k for k, still in zip(sizes, together.tolist(), strict=True) if still <= left]
    k = enough[0] if enough else sizes[int(together.argmin())]
    return _layer(choosing.layer, order, k, values)


def _dropped(choosing: Choosing, sets: Sequence[list[int]], put: Tensor, n: int) -> Tensor:
    """Evidence left and change outside without each of some sets of filters, on n samples."""
    import torch

    session = choosing.session
    tail = dp.tails.Tail(session.generator, choosing.layer)
    found = torch.zeros(len(sets), 2)
    starts = range(0, min(n, len(choosing.maps)), BATCH)
    for start in session.progress(starts, f"filters of {choosing.layer}"):
        rows = slice(start, start + BATCH)
        base = tail.start(choosing.maps[rows].to(session.device))
        with torch.no_grad():
            for i, filters in enumerate(sets):
                new = put[filters].to(base.maps).view(1, -1, 1, 1)
                measured = choosing.measured(base.replaced(filters, new), rows)
                found[i] += torch.stack(measured).cpu() / len(starts)
    return found


def by_gates(
    choosing: Choosing,
    layers: Sequence[str],
    values: dict[str, Tensor],
    left: float,
    seed: int,
) -> list[Layer]:
    """Gains and replacements learnt for every filter of one layer or several at once."""
    from dcgan_probe.probes._gates import learn

    found = []
    for gates in learn(choosing, layers, values, left, seed=seed):
        order = gates.gains.argsort(stable=True).tolist()
        k = int((gates.gains < OPEN).sum())
        kept = order[:k]
        gains = tuple(gates.gains[kept].tolist())
        put = tuple(gates.values[kept].tolist())
        found.append(Layer(gates.layer, tuple(kept), tuple(reversed(order[k:])), gains, put))
    return found


def replacements(kind: str, maps: Tensor, inside: np.ndarray) -> tuple[float, ...]:
    """What takes the place of each filter of a layer: () for zero, or one number a filter.

    maps: N x filters x h x w. inside: N x h x w bool. "mean" is each filter's mean over all places,
    "outside" that over the places outside of the boxes.
    """
    import torch

    if kind == "zero":
        return ()
    if kind == "mean":
        return tuple(maps.double().mean(dim=(0, 2, 3)).tolist())
    places = torch.from_numpy(~inside)[:, None].double()
    return tuple(((maps.double() * places).sum(dim=(0, 2, 3)) / places.sum()).tolist())


def _layer(name: str, order: Sequence[int], k: int, values: Sequence[float]) -> Layer:
    if k in (0, len(order)):
        found = "no filter" if k == 0 else f"all {k} filters"
        raise InputError(
            f"layer {name!r}: found {found} to drop, expected some; choose another --layer or "
            "--select"
        )
    chosen = tuple(order[:k])
    put = tuple(values[f] for f in chosen) if values else ()
    return Layer(name, chosen, tuple(reversed(order[k:])), values=put)


def _sizes(most: int) -> list[int]:
    """1, 2, 3, ... and in larger steps further on, up to the most."""
    sizes, k = [], 1
    while k < most:
        sizes.append(k)
        k += max(1, k // 16)
    return [*sizes, most] if most else [1]
