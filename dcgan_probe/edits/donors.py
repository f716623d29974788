"""Donors: samples whose activations replace others, matched at the rim of a region."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from dcgan_probe.edits.colours import Colours
from dcgan_probe.errors import InputError
from dcgan_probe.latents import sampling
from dcgan_probe.networks.config import AnyConfig
from dcgan_probe.storage.json_values import Value

PART = 50  # donors that are looked at together
KEEP_BYTES = 1 << 29  # a pool of at most so much stays in memory; a larger one is redrawn
MAX_INDEX = 2**31 - 1
RIM = 1  # locations around a place that a donor has to fit
FLOOR = 0.3  # of p: from here on a location belongs to the place
# What a donor is charged that has the object at the place itself, in squared deviations.
CHARGE = 10.0

drawing: ContextVar[bool] = ContextVar("drawing", default=False)


@contextmanager
def drawn_as_donors() -> Iterator[None]:
    """Inside the ``with``, edits that are of one picture leave the generator as it is."""
    token = drawing.set(True)
    try:
        yield
    finally:
        drawing.reset(token)


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
    """Donors ready to be compared: kept in memory if they are small, else drawn at each pass.

    draw: the maps of the donors of a slice. images: N x C x S x S, what the first of them look
    like, at most `PART`; without them only filters are compared, and no colours.
    """

    def __init__(self, draw: Callable[[slice], Part], count: int, images: Tensor | None = None):
        self._draw, self._count = draw, count
        self._kept: list[_Compared] = []
        first = draw(slice(0, min(PART, count)))
        # The units of a misfit are of the first donors, whatever the batch.
        self.views = {name: _View(maps, images) for name, maps in first.maps.items()}
        begin = self._first = self._compared(first)
        tensors = [*begin.maps.values(), *begin.p.values(), *begin.views.values()]
        size = sum(each.numel() * each.element_size() for each in tensors)
        if size * -(-count // PART) <= KEEP_BYTES:
            later = range(PART, count, PART)
            slices = (slice(at, min(at + PART, count)) for at in later)
            self._kept = [begin, *(self._compared(draw(each)) for each in slices)]

    def within(self, windows: Mapping[str, tuple[slice, slice]]) -> Pool:
        """The same donors, of whose maps only some rows and columns are looked at, by layer."""
        return _Within(self, windows)

    def parts(self) -> Iterator[_Compared]:
        """All donors, `PART` at a time."""
        if self._kept:
            yield from self._kept
            return
        yield self._first
        for at in range(PART, self._count, PART):
            yield self._compared(self._draw(slice(at, min(at + PART, self._count))))

    def _compared(self, part: Part) -> _Compared:
        views = {name: self.views[name](maps) for name, maps in part.maps.items()}
        return _Compared(
            part.maps,
            {name: p.double().flatten(1) for name, p in part.p.items()},
            views,
            {name: view.square().sum(1) for name, view in views.items()},
        )


class _Compared(NamedTuple):
    """Some donors, by layer. p: M x locations, views: M x values x locations, and norms: M x
    locations, sums of squared values, all float64."""

    maps: dict[str, Tensor]
    p: dict[str, Tensor]
    views: dict[str, Tensor]
    norms: dict[str, Tensor]


class _Within(Pool):
    """Donors of another pool; units and colours are those of whole maps."""

    def __init__(self, whole: Pool, windows: Mapping[str, tuple[slice, slice]]):
        self._whole, self._windows = whole, windows
        self.views = whole.views

    def parts(self) -> Iterator[_Compared]:
        for part in self._whole.parts():
            yield _Compared(
                {name: each[..., *self._windows[name]] for name, each in part.maps.items()},
                {name: self._cut(part, name, each) for name, each in part.p.items()},
                {name: self._cut(part, name, each) for name, each in part.views.items()},
                {name: self._cut(part, name, each) for name, each in part.norms.items()},
            )

    def _cut(self, part: _Compared, name: str, values: Tensor) -> Tensor:
        """What of the last axis, of locations row after row, lies in the window."""
        grid = values.unflatten(-1, part.maps[name].shape[2:])
        return grid[..., *self._windows[name]].flatten(-2)


class Match(NamedTuple):
    """The donor of every sample. number: N, in the pool. misfit: N. maps: of the first layer.

    shown: N, the donor's own p of the object, mean over the place.
    """

    number: Tensor
    misfit: Tensor
    shown: Tensor
    maps: Tensor


@torch.no_grad()
def match(pool: Pool, maps: Mapping[str, Tensor], p: Mapping[str, Tensor]) -> Match:
    """The donor that fits each sample best on the rim of its place.

        >>> match(pool, {"8x8": maps}, {"8x8": p}).number.shape
        torch.Size([16])

    maps: N x filters x h x w by layer, the first of which donors' maps are returned of. p: N x h x
    w. The misfit of a layer is the mean square difference on the rim over filters, in units of
    their deviations, the same over the colours that a linear regression reads off the maps, so that
    they count as much as all filters together, and `CHARGE` times the donor's own p at the place;
    layers are averaged. It is computed in float64, so that a batch is matched as its parts are.
    """
    rims = {name: _Rim(pool.views[name](maps[name]), p[name]) for name in maps}
    first, begin = next(iter(maps.items()))
    n, device = len(begin), begin.device
    best = Match(
        torch.zeros(n, dtype=torch.long, device=device),
        torch.full((n,), torch.inf, dtype=torch.float64, device=device),
        torch.zeros(n, dtype=torch.float64, device=device),
        torch.empty_like(begin),
    )
    seen = 0
    for part in pool.parts():
        shown = torch.stack([rims[name].place @ part.p[name].T for name in maps]).mean(0)
        apart = [rims[name].misfit(part.views[name], part.norms[name]) for name in maps]
        misfit = torch.stack(apart).mean(0)
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


class _View:
    """Maps as they are compared: filters, and colours, each in units of its deviation.

    Of many filters few may paint the colour, and a donor of another colour is a patch on the wall.
    """

    def __init__(self, maps: Tensor, images: Tensor | None):
        values = maps.detach().double()
        deviation = values.std((0, 2, 3), correction=0) + 1e-4
        # Divided so that the sum of squares is a mean.
        self.scale = (deviation * len(deviation) ** 0.5).view(1, -1, 1)
        self.colours = None if images is None else Colours.of(maps[: len(images)], images)

    def __call__(self, maps: Tensor) -> Tensor:
        """N x filters x h x w to N x values x locations."""
        values = maps.detach().double().flatten(2)
        filters = values / self.scale
        if self.colours is None:
            return filters
        seen = self.colours.read(maps.detach()).flatten(2)
        return torch.cat([filters, seen / seen.shape[1] ** 0.5], 1)


class _Rim:
    """What every donor is compared with, at one layer: two matrix products for many donors."""

    def __init__(self, view: Tensor, p: Tensor):
        place = (p > FLOOR).double()
        wide = F.max_pool2d(place[:, None], 2 * RIM + 1, 1, RIM)[:, 0]
        self.rim = _distribution((wide - place) * (1 - p.double()))
        self.place = _distribution(place)
        self.weighted = (view * self.rim[:, None]).flatten(1)
        self.own = (view.square().sum(1) * self.rim).sum(1, keepdim=True)

    def misfit(self, views: Tensor, norms: Tensor) -> Tensor:
        """Samples x donors: sum of square differences of views, mean on the rim."""
        return self.own - 2 * self.weighted @ views.flatten(1).T + self.rim @ norms.T


def _distribution(weights: Tensor) -> Tensor:
    flat = weights.flatten(1)
    return flat / (flat.sum(1, keepdim=True) + 1e-6)
