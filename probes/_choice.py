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
LEFT = 0.1  # share of the evidence for the object that `causal` and `gates` leave, by the guide they choose with
OPEN = 0.95  # a gate that is further open is taken for open
VERIFIED = 96  # samples on which `causal` measures what is left


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


def by_effect(choosing: Choosing, values: Sequence[float], seed: int) -> Layer:
    """Filters in the order of their gradients, as many as leave little when they are dropped.

    Gates with fixed replacements are learnt (`_gates.learn`), which orders the filters by how far
    theirs closed. Then sets of the first 1, 2, ... of them are dropped, on samples, and measured:
    the smallest that leaves `LEFT` of the object or less is taken, or the one that leaves least.
    """
    import torch

    from dcgan_probe.probes._gates import learn
    from dcgan_probe.tails import Tail

    fixed = torch.tensor(values) if values else torch.zeros(choosing.maps.shape[1])
    name = choosing.layer
    (gates,) = learn(choosing, [name], {name: fixed}, LEFT, decided=True, seed=seed)
    order = gates.gains.argsort(stable=True).tolist()
    tail = Tail(choosing.session.generator, name)
    sizes = _sizes(int((gates.gains < OPEN).sum()))
    left = torch.zeros(len(sizes))
    rows = choosing.maps[:VERIFIED].split(32)
    for batch in range(len(rows)):
        base = tail.start(rows[batch].to(choosing.session.device))
        within = slice(32 * batch, 32 * batch + len(rows[batch]))
        with torch.no_grad():
            for i, k in enumerate(sizes):
                images = base.replaced(order[:k], fixed[order[:k]].to(base.maps).view(1, -1, 1, 1))
                # The guide's share, weighted by what there is in the batch.
                part = choosing.evidence[within].sum() / choosing.evidence[:VERIFIED].sum()
                left[i] += choosing.measured(images, within)[0].cpu() * part
    enough = [k for k, still in zip(sizes, left.tolist(), strict=True) if still <= LEFT]
    return _layer(name, order, enough[0] if enough else sizes[int(left.argmin())], values)


def by_gates(
    choosing: Choosing, layers: Sequence[str], values: dict[str, Tensor], seed: int
) -> list[Layer]:
    """Gains and replacements learnt for every filter of one layer or several at once."""
    from dcgan_probe.probes._gates import learn

    found = []
    for gates in learn(choosing, layers, values, LEFT, seed=seed):
        order = gates.gains.argsort(stable=True).tolist()
        k = int((gates.gains < OPEN).sum())
        kept = order[:k]
        gains = tuple(gates.gains[kept].tolist())
        put = tuple(gates.values[kept].tolist())
        found.append(Layer(gates.layer, tuple(kept), tuple(reversed(order[k:])), gains, put))
    return found


def replacements(
    kind: str, maps: Tensor, inside: np.ndarray
) -> tuple[float, ...]:
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
        k += max(1, k // 8)
    return [*sizes, most] if most else [1]
