"""Donors: samples whose activations take the place of others, matched on the rim of a place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from dcgan_probe.errors import InputError
from dcgan_probe.latents import sampling
from dcgan_probe.networks.config import AnyConfig
from dcgan_probe.storage.json_values import Value

PART = 50  # donors that are looked at together
KEEP_BYTES = 1 << 29  # a pool of at most so much stays in memory; a larger one is drawn anew
MAX_INDEX = 2**31 - 1
RIM = 2  # locations around a place that a donor has to fit
FLOOR = 0.3  # of p: from here on a location belongs to the place
# What a donor is charged that has the object at the place itself, in squared deviations.
CHARGE = 10.0


@dataclass(frozen=True)
class Donors:
    """Samples that activations are taken from: latents `indices` of `seed`.

        >>> Donors(seed=0, indices=(142,)).latents(session.config).shape
        torch.Size([1, 100])

    unedited: they are drawn as the checkpoint draws them, whatever edits the generator has; else
    with the edits that are older than theirs. Raises InputError for no index, one that is there
    twice, or one that is not a whole number.
    """

    seed: int
    indices: tuple[int, ...]
    unedited: bool = False

    def __post_init__(self) -> None:
        value = Value(vars(self), "donors")
        value["seed"].whole(0, sampling.MAX_SEED)
        indices = tuple(index.whole(0, MAX_INDEX) for index in value["indices"].items())
        if not indices or len(set(indices)) < len(indices):
            raise InputError("donors: indices: found none, or one twice, expected each once")
        _check_flag(value["unedited"])
        object.__setattr__(self, "indices", indices)

    def latents(self, config: AnyConfig) -> Tensor:
        """len(indices) x z_size float32."""
        first, last = min(self.indices), max(self.indices)
        if last - first < 2 * len(self.indices) + sampling.BLOCK:
            z = sampling.sample(config, last - first + 1, self.seed, first)
            return z[[index - first for index in self.indices]]
        return torch.cat([sampling.sample(config, 1, self.seed, each) for each in self.indices])

    def change(self) -> dict[str, Any]:
        """As JSON values; consecutive indices as a start and a count."""
        first, count = self.indices[0], len(self.indices)
        value: dict[str, Any] = {"seed": self.seed}
        if count > 1 and self.indices == tuple(range(first, first + count)):
            value |= {"start": first, "n": count}
        else:
            value["indices"] = list(self.indices)
        return value | ({"unedited": True} if self.unedited else {})

    @classmethod
    def from_change(cls, value: Value) -> Donors:
        """The donors of `change`; InputError for anything else."""
        seed = value["seed"].whole(0, sampling.MAX_SEED)
        unedited = "unedited" in value and _check_flag(value["unedited"])
        if "indices" in value:
            indices = tuple(each.whole(0, MAX_INDEX) for each in value["indices"].items())
            if not indices or len(set(indices)) < len(indices):
                raise value["indices"].error("one index or more, each once")
            return cls(seed, indices, unedited)
        start, n = value["start"].whole(0, MAX_INDEX), value["n"].whole(1, 1_000_000)
        return cls(seed, tuple(range(start, start + n)), unedited)


def _check_flag(value: Value) -> bool:
    if not isinstance(value.found, bool):
        raise value.error("true or false")
    return value.found


class Part(NamedTuple):
    """Some donors. maps: M x filters x h x w by layer. p: M x h x w by layer, of the object."""

    maps: dict[str, Tensor]
    p: dict[str, Tensor]


class Pool:
    """Donors' maps in parts, kept in memory if they are small, else drawn at each pass.

    draw: the maps of the donors of a slice.
    """

    def __init__(self, draw: Callable[[slice], Part], count: int):
        self._draw, self._count = draw, count
        self._kept: list[Part] = []
        first = self._first = draw(slice(0, min(PART, count)))
        tensors = [*first.maps.values(), *first.p.values()]
        size = sum(each.numel() * each.element_size() for each in tensors)
        if size * -(-count // PART) <= KEEP_BYTES:
            later = range(PART, count, PART)
            self._kept = [first, *(draw(slice(at, min(at + PART, count))) for at in later)]
        # Of every filter, over the first donors: the unit of a misfit, whatever the batch.
        self.deviations = {
            name: maps.double().std((0, 2, 3), correction=0) + 1e-4
            for name, maps in first.maps.items()
        }

    def parts(self) -> Iterator[Part]:
        """All donors, `PART` at a time."""
        if self._kept:
            yield from self._kept
            return
        yield self._first
        for at in range(PART, self._count, PART):
            yield self._draw(slice(at, min(at + PART, self._count)))


class Match(NamedTuple):
    """The donor of every sample. number: N, in the pool. misfit: N. maps: of the first layer.

    shown: N, the donor's own p of the object, mean over the place.
    """

    number: Tensor
    misfit: Tensor
    shown: Tensor
    maps: Tensor


@torch.no_grad()
def match(
    pool: Pool, maps: Mapping[str, Tensor], p: Mapping[str, Tensor], level: float = 0.0
) -> Match:
    """The donor that fits each sample best on the rim of its place.

        >>> match(pool, {"8x8": maps}, {"8x8": p}).number.shape
        torch.Size([16])

    maps: N x filters x h x w by layer, the first of which donors' maps are returned of. p: N x h x
    w. The misfit of a layer is the mean square difference on the rim, in units of the filters'
    deviations, and `CHARGE` times the donor's own p at the place; layers are averaged. level: what
    share of the squared mean difference of every filter is forgiven, since a cloned donor brings
    texture and no level. It is computed in float64, so that a batch is matched as its parts are.
    """
    rims = {name: _Rim(maps[name], p[name], pool.deviations[name], level) for name in maps}
    (first, begin), n = next(iter(maps.items())), len(next(iter(maps.values())))
    device = begin.device
    best = Match(
        torch.zeros(n, dtype=torch.long, device=device),
        torch.full((n,), torch.inf, dtype=torch.float64, device=device),
        torch.zeros(n, dtype=torch.float64, device=device),
        torch.empty_like(begin),
    )
    seen = 0
    for part in pool.parts():
        shown = torch.stack([rims[name].shown(part.p[name]) for name in maps]).mean(0)
        misfit = torch.stack([rims[name].misfit(part.maps[name]) for name in maps]).mean(0)
        least, at = (misfit + CHARGE * shown).min(1)
        better = least < best.misfit
        best = Match(
            torch.where(better, at + seen, best.number),
            torch.where(better, least, best.misfit),
            torch.where(better, shown.gather(1, at[:, None])[:, 0], best.shown),
            torch.where(better.view(-1, 1, 1, 1), part.maps[first][at].to(begin), best.maps),
        )
        seen += len(part.maps[first])
    return best


class _Rim:
    """What every donor is compared with, at one layer: two matrix products for many donors."""

    def __init__(self, maps: Tensor, p: Tensor, deviation: Tensor, level: float):
        self.level, self.scale = level, deviation[:, None]
        place = (p > FLOOR).double()
        wide = F.max_pool2d(place[:, None], 2 * RIM + 1, 1, RIM)[:, 0]
        self.rim = _distribution((wide - place) * (1 - p.double()))
        self.place = _distribution(place)
        self.maps = maps.detach().double().flatten(2) / self.scale
        self.weighted = (self.maps * self.rim[:, None]).flatten(1)
        self.own = (self.maps.square().sum(1) * self.rim).sum(1, keepdim=True)
        self.mean = torch.einsum("ncx,nx->nc", self.maps, self.rim)

    def shown(self, p: Tensor) -> Tensor:
        """Samples x donors: the donors' own p, mean over the place."""
        return self.place @ p.double().flatten(1).T

    def misfit(self, donors: Tensor) -> Tensor:
        """Samples x donors: mean square difference on the rim, over filters."""
        maps = donors.double().flatten(2) / self.scale
        square = self.rim @ maps.square().sum(1).T
        apart = self.own - 2 * self.weighted @ maps.flatten(1).T + square
        if self.level:
            mean = torch.einsum("mcx,nx->nmc", maps, self.rim)
            apart = apart - self.level * (mean - self.mean[:, None]).square().sum(2)
        return apart / maps.shape[1]


def _distribution(weights: Tensor) -> Tensor:
    flat = weights.flatten(1)
    return flat / (flat.sum(1, keepdim=True) + 1e-6)
