"""Edits by place: replace all filters of a layer at some locations.

    with session.editing(edit):          # a PlaceEdit, from `forget --by places` or a file
        images = session.sample(16)      # wall where the windows were

At the first layer of the edit, activations are replaced where a regression sees the object, by
those of a donor or by what is around. At a later layer, if there is one, the maps that the edited
ones became are mixed in where the regression sees the object there: outside, everything comes back
as it was. With a region in place of the regression, whatever is there is replaced; with a donor
that has the object, it is put there (a transplant). A region is a rectangle, or what strokes of a
brush took in.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dcgan_probe import hooks
from dcgan_probe.edits.colours import Colours
from dcgan_probe.edits.donors import (
    PART,
    Donors,
    Match,
    Part,
    Pool,
    drawing,
    drawn_as_donors,
    match,
)
from dcgan_probe.edits.extent import WHOLE, cut, feathered, inside_of, reach, weighted, window_of
from dcgan_probe.edits.filling import FILLS, LIMIT, fill
from dcgan_probe.edits.regions import cells, listed, region_edges, region_of
from dcgan_probe.edits.regression import PlaceRegression
from dcgan_probe.edits.strokes import Stroke, weights
from dcgan_probe.errors import InputError, unknown
from dcgan_probe.networks.config import AnyConfig
from dcgan_probe.storage import files, json_values
from dcgan_probe.storage.json_values import Value

FORMAT = "dcgan-probe/place-edit/1"
T = TypeVar("T")


@dataclass(frozen=True)
class PlaceEdit:
    """Activations replaced at some locations of one layer, or of several one after the other.

        >>> sha = session.checkpoint.sha256
        >>> gone = PlaceEdit(("8x8", "16x16"), sha, "window", regression=regression,
        ...                  fill="clone", donors=Donors(0, range(20_000, 20_150)))
        >>> brushed = PlaceEdit(("16x16",), sha, fill="smooth", where=(10, 8, 30, 25))
        >>> put = PlaceEdit(("16x16",), sha, "window", where=(32, 8, 52, 25), fill="clone",
        ...                 donors=Donors(0, (142,), unedited=True), moved=(22, 0))
        >>> with session.editing(gone, put):
        ...     session.sample(8)

    - `layers` in the order of the data; `checkpoint` is the SHA-256 of the one whose layers they
      are; `label` names the object.
    - `regression` says where the object is; `widen` is added to its logits, so that the edit
      reaches its rim. `where` is a region of the image, edges x0, y0, x1, y1 in its pixels: with a
      regression the edit stays inside; without one all of it is replaced.
    - `strokes` of a brush, one after the other, make the region instead: they begin with `where`;
      without it with nothing, or with everything if the first one restores.
    - `feather`: number of pixels, from the edges of `where` inwards, the edit sets in, from none
      to all; sides of the image do not count.
    - `fill` is "mix", "recolour", "clone" or "smooth" (see `filling`); all but the last take the
      donor, of `donors`, that fits best on the rim.
    - `moved` is by how many pixels, to the right and down, a donor's maps are moved: whole
      locations of every layer.
    - `nonnegative`: the first layer's maps are never below 0, as was measured on samples.
    - `about` says how it was chosen, as JSON values; `source` is the path that it was read from
      and does not count in comparisons.

    Raises InputError for anything else.
    """

    layers: tuple[str, ...]
    checkpoint: str
    label: str = ""
    regression: PlaceRegression | None = None
    widen: float = 0.0
    where: tuple[float, float, float, float] | None = None
    fill: str = "mix"
    donors: Donors | None = None
    moved: tuple[float, float] = (0.0, 0.0)
    feather: float = 0.0
    nonnegative: bool = False
    strokes: tuple[Stroke, ...] = ()
    about: dict[str, Any] = field(default_factory=dict)
    source: str = field(default="", compare=False)

    changes: ClassVar[str] = "locations"

    def __post_init__(self) -> None:
        value = Value(vars(self), self.source or "edit")
        layers = tuple(layer.text() for layer in value["layers"].items())
        if not layers or len(set(layers)) < len(layers):
            raise value["layers"].error("one layer or more, each once")
        object.__setattr__(self, "layers", layers)
        value["checkpoint"].text()
        if self.label:
            value["label"].text()
        if self.fill not in FILLS:
            raise unknown("fill", self.fill, FILLS, where=value.where)
        if (self.donors is None) != (self.fill == "smooth"):
            noun = "no donors" if self.donors is None else "donors"
            raise InputError(f"{value.where}: fill {self.fill}: found {noun}")
        object.__setattr__(self, "strokes", tuple(self.strokes))
        paints = bool(self.strokes) and not self.strokes[0].restores
        if self.regression is None and self.where is None and not paints:
            raise InputError(f"{value.where}: found no regression and no region, expected one")
        if self.regression is not None:
            for name in layers:
                if name not in self.regression.layers:
                    raise unknown("layer", name, self.regression.layers, value.where)
        object.__setattr__(self, "widen", value["widen"].number())
        if self.where is not None:
            object.__setattr__(self, "where", region_edges(value["where"]))
        object.__setattr__(self, "feather", value["feather"].number())
        if self.feather < 0 or (self.feather and self.where is None):
            raise value["feather"].error("0, or with a region more")
        moved = tuple(number.number() for number in value["moved"].items())
        if len(moved) != 2:
            raise value["moved"].error("two numbers, to the right and down")
        object.__setattr__(self, "moved", moved)
        value["about"].members()

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> PlaceEdit:
        """Read an edit; raises InputError for an invalid file."""
        file = json_values.read_own(Path(path), "an edit by place", FORMAT)
        return cls.from_value(file, str(path))

    @classmethod
    def from_value(cls, file: Value, source: str = "") -> PlaceEdit:
        """The edit of `to_dict`; InputError, with the place in the file, for anything else."""
        plain = ("layers", "checkpoint", "label", "fill", "about")
        values = {name: file[name].found for name in plain}
        optional = ("widen", "where", "moved", "feather", "nonnegative")
        values |= {name: file[name].found for name in optional if name in file}
        if "regression" in file:
            values["regression"] = PlaceRegression.from_dict(file["regression"])
        if "donors" in file:
            values["donors"] = Donors.from_change(file["donors"])
        if "strokes" in file:
            values["strokes"] = tuple(Stroke.read(each) for each in file["strokes"].items())
        return cls(**values, source=source)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write JSON, whole or not at all; what `read` returns is equal to this, bit for bit."""
        files.write_json(path, self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values, for `from_value`."""
        value = {"format": FORMAT, "checkpoint": self.checkpoint, **self.change()}
        if self.regression is not None:
            value["regression"] = self.regression.to_dict()
        return {**value, "about": self.about}

    def change(self) -> dict[str, Any]:
        """What the edit does, as JSON values, the regression by the SHA-256 of its numbers."""
        value: dict[str, Any] = {
            "layers": list(self.layers),
            "label": self.label,
            "fill": self.fill,
            "nonnegative": self.nonnegative,
        }
        if self.regression is not None:
            value["regression"] = self.regression.sha256
        if self.widen:
            value["widen"] = self.widen
        if self.where is not None:
            value["where"] = list(self.where)
        if self.donors is not None:
            value["donors"] = self.donors.change()
        if any(self.moved):
            value["moved"] = list(self.moved)
        if self.feather:
            value["feather"] = self.feather
        if self.strokes:
            value["strokes"] = [stroke.to_dict() for stroke in self.strokes]
        return value

    def __str__(self) -> str:
        """In a few words, for captions.

        >>> str(PlaceEdit(("16x16",), sha, "window", fill="smooth", where=(10, 8, 30, 25)))
        'window replaced at 16x16 by its surroundings inside 10,8,30,25'
        """
        inside = "" if self.where is None else f" inside {listed(self.where)}"
        if self.strokes and not self.strokes[0].restores:
            inside = " where a brush was"
        how = f"{' and '.join(self.layers)} by {self._filled_by()}{inside}"
        return f"{self.label or 'all'} replaced at {how}"

    def _filled_by(self) -> str:
        if self.donors is None:
            return "its surroundings"
        count = len(self.donors.indices)
        if count == 1:
            name = f"sample {self.donors.seed}:{self.donors.indices[0]}"
        else:
            name = f"the best of {count} donors"
        return {"clone": f"{name}, cloned", "recolour": f"{name}, recoloured"}.get(self.fill, name)

    @property
    def seen(self) -> tuple[str, ...]:
        """The layers whose unedited maps it needs, which `hooks.lookahead` records."""
        more = self.regression.layers if self.regression is not None else ()
        return tuple(dict.fromkeys((*more, *self.layers)))

    def on(self, generator: nn.Module, config: AnyConfig) -> AbstractContextManager[Any]:
        """A ``with`` inside of which a generator is edited, as it is before it is entered.

            >>> with edit.on(generator, config):
            ...     images = generator(z)

        Donors are drawn from the generator with the edits that it has now, except those of a
        region, which are of the picture that is edited; or without any if they are `unedited`.
        Raises InputError for layers or a region that it does not have, at once.
        """
        return self.planner(generator, config).on(generator)

    def planner(
        self, generator: nn.Module, config: AnyConfig, drawn: Drawn | None = None
    ) -> Planner:
        """What takes maps of the layers `seen` and returns functions of maps, for a lookahead.

        drawn: what planners of other edits drew from the same generator. Raises InputError as `on`
        does.
        """
        return Planner(self, generator, config, drawn or Drawn())

    def shares(self, layer: str, grid: tuple[int, int], config: AnyConfig) -> np.ndarray | None:
        """How much of each location of a layer the region takes in: h x w float64, 0 to 1.

        grid: of the layer. None where the edit has no region. Raises InputError for a rectangle
        that is not inside the image, or has no location of the layer.
        """
        if not self.is_of_a_region:
            return None
        begin = np.ones(grid)
        if self.where is not None:
            region = region_of(self.where, config, self.source)
            begin = cells(region, layer, (1, 1, *grid), config)[0]
            if self.feather:
                begin = begin * feathered(self.where, self.feather, grid, config.size)
        elif not self.strokes[0].restores:
            begin = np.zeros(grid)
        return weights(self.strokes, grid, config.size, begin)

    @property
    def is_of_a_region(self) -> bool:
        """Whether it stays inside of a rectangle, or where a brush was."""
        return self.where is not None or bool(self.strokes)


class Drawn:
    """Maps of donors that several edits of one generator share: the last `KEPT` asked for.

    They hold as long as the generator's filters are edited alike.
    """

    KEPT = 64

    def __init__(self) -> None:
        self._values: dict[Any, Any] = {}

    def get(self, key: Any, make: Callable[[], T]) -> T:
        """What was made for a key, or is made now."""
        value: T = self._values.pop(key) if key in self._values else make()
        self._values[key] = value
        if len(self._values) > self.KEPT:
            del self._values[next(iter(self._values))]
        return value


class Planner:
    """An edit by place of a generator, with its donors' maps: called with maps, it plans.

    Results do not depend on how samples are put into batches.
    """

    def __init__(self, edit: PlaceEdit, generator: nn.Module, config: AnyConfig, drawn: Drawn):
        self.edit = edit
        weight = next(generator.parameters())
        self.device = weight.device
        self.config = config
        first = drawn.get(
            ("first", edit.seen),
            lambda: _draw(generator, edit.seen, Donors(0, (0,)).latents(config), self.device),
        )
        for name in edit.layers:
            if first[name].dim() != 4 or first[name][0, 0].numel() < 2:
                raise InputError(
                    f"{edit.source or 'edit'}: layer {name!r}: found no places to tell apart, "
                    "expected maps of several locations"
                )
        _check_order(edit, config)
        self.grids = {name: (h.shape[2], h.shape[3]) for name, h in first.items()}
        self.shares: dict[str, Tensor | None] = {}
        for name in edit.layers:
            share = edit.shares(name, self.grids[name], config)
            self.shares[name] = None if share is None else torch.from_numpy(share)
        # With a region nothing is replaced but there, and nothing else is looked at but its rim. At
        # a later layer what was replaced has spread, by how much is not known.
        self.windows = dict.fromkeys(edit.layers, WHOLE)
        window = window_of(self.shares[edit.layers[0]])
        self.empty = window is None  # the brush took nothing in
        self.windows[edit.layers[0]] = window or (slice(0), slice(0))
        self.logits(first)
        self.pool: Pool | None = None
        self.donor: Tensor | None = None
        self.colours: Colours | None = None
        donors = edit.donors
        if donors is not None and len(donors.indices) == 1:
            name = edit.layers[0]
            maps = drawn.get((donors, name), lambda: self._single(generator, name, donors))
            self.donor = cut(self._moved(name, maps), self.windows[name]).clone()
            if edit.fill == "recolour":
                self.colours = Colours.of(maps, self._images(generator, donors))
        elif donors is not None:
            shared = donors, edit.seen, edit.layers, edit.moved, edit.regression
            self.pool = drawn.get(shared, lambda: self._pool(generator, donors))
            self.colours = self.pool.views[edit.layers[0]].colours

    def on(self, generator: nn.Module) -> AbstractContextManager[Any]:
        """A ``with`` inside of which a generator is edited."""
        if self.edit.regression is None and len(self.edit.layers) == 1:
            # The layer's output is all that it needs: nothing to look ahead for.
            return hooks.edit(generator, self.edit.layers[0], self._replaced)
        return hooks.lookahead(generator, self.edit.seen, self)

    def _replaced(self, maps: Tensor) -> Tensor:
        (name,) = self.edit.layers
        functions = self({name: maps})
        return functions[name](maps) if functions else maps

    def __call__(self, maps: Mapping[str, Tensor]) -> dict[str, Callable[[Tensor], Tensor]]:
        if self.empty or (self.edit.is_of_a_region and drawing.get()):
            return {}
        return self.replace(maps, self.logits(maps))

    def replace(
        self, maps: Mapping[str, Tensor], logits: Mapping[str, Tensor]
    ) -> dict[str, Callable[[Tensor], Tensor]]:
        """The same for places that are given, as `logits` returns them."""
        edit, donor = self.edit, self.donor
        if self.pool is not None:
            donor = self.match(maps, logits).maps
        maps = {name: cut(maps[name], self.windows[name]) for name in edit.layers}
        logits = {name: cut(logits[name], self.windows[name]) for name in edit.layers}
        if self.pool is None and donor is not None:
            donor = donor.expand(len(logits[edit.layers[0]]), -1, -1, -1)
        functions = replacing(edit, maps, logits, donor, self.colours)
        first, window = edit.layers[0], self.windows[edit.layers[0]]
        return functions | {first: inside_of(functions[first], window)}

    def match(self, maps: Mapping[str, Tensor], logits: Mapping[str, Tensor]) -> Match:
        """The donor of every sample, of an edit that has several to choose from."""
        assert self.pool is not None, "one donor is not chosen"
        layers, windows = self.edit.layers, self.windows
        return find_donors(
            self.edit,
            self.pool.within(windows),
            {name: cut(maps[name], windows[name]) for name in layers},
            {name: cut(logits[name], windows[name]) for name in layers},
        )

    def logits(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """N x h x w, of being replaced, at every layer; in [-12, 12], or -inf: not at all."""
        edit = self.edit
        if edit.regression is None:
            n = len(maps[edit.layers[0]])
            full = {name: torch.full((n, *self.grids[name]), LIMIT) for name in edit.layers}
            logits = {name: each.to(maps[name].device) for name, each in full.items()}
        else:
            scores = edit.regression.logits(maps, edit.layers)
            logits = {name: reach(scores[name], edit.widen) for name in edit.layers}
        return {name: weighted(logits[name], self.shares[name]) for name in edit.layers}

    def _single(self, generator: nn.Module, name: str, donors: Donors) -> Tensor:
        with hooks.unedited(generator) if donors.unedited else drawn_as_donors():
            return _draw(generator, (name,), donors.latents(self.config), self.device)[name]

    def _pool(self, generator: nn.Module, donors: Donors) -> Pool:
        edit, z = self.edit, donors.latents(self.config)

        def draw(part: slice) -> Part:
            with hooks.unedited(generator) if donors.unedited else drawn_as_donors():
                maps = _draw(generator, edit.seen, z[part], self.device)
            n = len(z[part])
            p = {
                name: torch.zeros(n, *self.grids[name], device=self.device) for name in edit.layers
            }
            if edit.regression is not None:
                scores = edit.regression.logits(maps, edit.layers)
                p = {name: torch.sigmoid(scores[name]) for name in edit.layers}
            return Part({name: self._moved(name, maps[name]) for name in edit.layers}, p)

        return Pool(draw, len(z), self._moved("images", self._images(generator, donors)))

    def _images(self, generator: nn.Module, donors: Donors) -> Tensor:
        """Of the first donors, at most `PART`."""
        undone = hooks.unedited(generator) if donors.unedited else drawn_as_donors()
        with torch.no_grad(), undone:
            return generator(donors.latents(self.config)[:PART].to(self.device))

    def _moved(self, name: str, maps: Tensor) -> Tensor:
        right, down = self.edit.moved
        if not right and not down:
            return maps
        height, width = maps.shape[2:]
        steps = right * width / self.config.size, down * height / self.config.size
        if any(step != round(step) for step in steps):
            side = self.config.size / width
            raise InputError(
                f"{self.edit.source or 'edit'}: moved: found {right:g}, {down:g} pixels, expected "
                f"multiples of {side:g}, a location of layer {name}"
            )
        x, y = (round(step) for step in steps)
        padded = F.pad(maps, (max(x, 0), max(-x, 0), max(y, 0), max(-y, 0)), mode="replicate")
        return padded[:, :, max(-y, 0) :, max(-x, 0) :][:, :, :height, :width]


def find_donors(
    edit: PlaceEdit, pool: Pool, maps: Mapping[str, Tensor], logits: Mapping[str, Tensor]
) -> Match:
    """The donor of every sample, by the rims at all layers of the edit."""
    p = {name: torch.sigmoid(logits[name]) for name in edit.layers}
    return match(pool, {name: maps[name] for name in edit.layers}, p)


def replacing(
    edit: PlaceEdit,
    maps: Mapping[str, Tensor],
    logits: Mapping[str, Tensor],
    donor: Tensor | None,
    colours: Colours | None = None,
) -> dict[str, Callable[[Tensor], Tensor]]:
    """Functions of maps, by layer: the first is filled, and what that becomes is mixed in later.

    maps: unedited, N x filters x h x w by layer. logits: N x h x w, of being replaced. donor: its
    maps of the first layer, None for "smooth". colours: of the first layer, for "recolour".
    """
    first, *later = edit.layers

    def filled(own: Tensor) -> Tensor:
        # Not the maps that were seen: an edit that is newer may act on an earlier layer.
        return fill(own, logits[first], donor, edit.fill, edit.nonnegative, colours)

    functions: dict[str, Callable[[Tensor], Tensor]] = {first: filled}
    for name in later:
        functions[name] = _mixer(maps[name], logits[name])
    return functions


def _mixer(before: Tensor, logit: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda became: fill(before, logit, became, "mix")


def _check_order(edit: PlaceEdit, config: AnyConfig) -> None:
    order = [name for name in config.layers("generator") if name in edit.layers]
    if len(order) == len(edit.layers) and tuple(order) != edit.layers:
        raise InputError(
            f"{edit.source or 'edit'}: layers: found {', '.join(edit.layers)}, expected them in "
            f"the order of the data: {', '.join(order)}"
        )


@torch.no_grad()
def _draw(
    generator: nn.Module, names: tuple[str, ...], z: Tensor, device: torch.device
) -> dict[str, Tensor]:
    return hooks.collect(generator, names, z.to(device))
