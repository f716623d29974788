"""Which filters to drop to forget an object: the paper's rule, and others to hold against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcgan_probe.edits import tails
from dcgan_probe.errors import InputError
from dcgan_probe.recognition.regression import Cells, sparse

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from ._gates import Choosing

RULES = ("paper", "top", "l1", "causal", "gates")
REPLACEMENTS = ("zero", "mean", "outside")
LEFT = 0.1  # share of the evidence for the object that `causal` and `gates` leave
OPEN = 0.95  # a gate that is further open is taken for open
SCANNED, VERIFIED = 24, 96  # samples on which `causal` compares filters, and measures what it chose
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

    @property
    def count(self) -> int:
        """How many filters there are in the layer."""
        return len(self.filters) + len(self.unchosen)

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
    """Filters dropped one after another, each time the best of those there are, until enough goes.

    What dropping a filter does depends on what has been dropped: so in each round every other one
    is dropped beside those, on `SCANNED` samples, and worth what evidence for the object goes with
    it over what more changes outside. The best are dropped, half as many as there are already, and
    at least one. When `left` of the evidence or less is left on `VERIFIED` samples, those without
    which that stays true are given back, the one first that saves most change; if it never comes to
    that, the set that leaves least is taken. Filters that are not chosen are in the order of what
    dropping each alone does.
    """
    import torch

    count = choosing.maps.shape[1]
    put = torch.tensor(values or [0.0] * count)
    dropped: list[int] = []
    best, least = dropped, 1.0
    alone: list[int] = []
    while least > left:
        others = [f for f in range(count) if f not in dropped]
        scanned = _dropped(choosing, [[], *([f] for f in others)], put, SCANNED, dropped)
        gone, change = (scanned[0] - scanned[1:])[:, 0], (scanned[1:] - scanned[0])[:, 1]
        # Where nothing goes, the change outside is no credit.
        worth = torch.where(gone > 0, gone / (change.clamp_min(0) + LEAST_CHANGE), gone)
        good = worth.argsort(descending=True, stable=True).tolist()
        alone = (
            alone or good
        )  # in the first round nothing is dropped yet, and every filter is other
        more = [others[i] for i in good[: max(1, len(dropped) // 2)] if gone[i] > 0]
        if not more or len(dropped) + len(more) == count:
            break
        dropped = [*dropped, *more]
        still = _dropped(choosing, [dropped], put, VERIFIED)[0, 0].item()
        if still < least:
            best, least = dropped, still
    if least <= left:
        best = _fewer(choosing, best, put, left)
    order = [*best, *(f for f in alone if f not in best)]
    return _layer(choosing.layer, order, len(best), values)


def _fewer(choosing: Choosing, dropped: list[int], put: Tensor, left: float) -> list[int]:
    """Without those filters that need not be dropped for `left` of the evidence to stay."""
    while len(dropped) > 1:
        sets = [[other for other in dropped if other != f] for f in dropped]
        scanned = _dropped(choosing, [dropped, *sets], put, SCANNED)
        saves = scanned[0, 1] - scanned[1:, 1]
        saves[scanned[1:, 0] > left] = 0
        fewer = sets[int(saves.argmax())]
        if saves.max() <= 0 or _dropped(choosing, [fewer], put, VERIFIED)[0, 0] > left:
            break
        dropped = fewer
    return dropped


def _dropped(
    choosing: Choosing,
    sets: Sequence[Sequence[int]],
    put: Tensor,
    n: int,
    beside: Sequence[int] = (),
) -> Tensor:
    """Evidence left and change outside without each of some sets of filters, on n samples.

    beside: filters that are dropped with every set.
    """
    import torch

    session = choosing.session
    tail = tails.Tail(session.generator, choosing.layer)
    found = torch.zeros(len(sets), 2)
    batches = choosing.holding[:n].split(BATCH)
    for rows in batches:
        maps = choosing.maps[rows]
        maps[:, list(beside)] = put[list(beside)].view(1, -1, 1, 1)
        base = tail.start(choosing.z[rows].to(session.device), maps.to(session.device))
        what = f"{choosing.layer}: {len(beside)} filters dropped"
        with torch.no_grad():
            for i, filters in enumerate(session.progress(sets, what)):
                new = put[list(filters)].to(base.maps).view(1, -1, 1, 1)
                images = base.replaced(filters, new) if filters else base.images()
                found[i] += torch.stack(choosing.measured(images, rows)).cpu() / len(batches)
    return found


def by_gates(
    choosing: Choosing,
    layers: Sequence[str],
    values: dict[str, Tensor],
    left: float,
    seed: int,
) -> list[Layer]:
    """Gains and replacements learnt for every filter of one layer or several at once."""
    from ._gates import learn

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
