"""A selection: an edit of some filters of one layer."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from dcgan_probe import hooks, latents
from dcgan_probe.boxes.boxes import Boxes
from dcgan_probe.edits.regions import cells, listed, region_edges, region_of
from dcgan_probe.edits.tails import Base
from dcgan_probe.errors import InputError
from dcgan_probe.networks.config import AnyConfig
from dcgan_probe.storage import files, json_values
from dcgan_probe.storage.json_values import Value

FORMAT = "dcgan-probe/selection/1"

MAX_FILTER = 2**31 - 1


@dataclass(frozen=True)
class Selection:
    """An edit of filters of one layer: their maps become gain * map + (1 - gain) * value.

        >>> sha = session.checkpoint.sha256
        >>> dropped = Selection("16x16", (3, 17, 40), sha)
        >>> stronger = Selection("16x16", (3, 17, 40), sha, gains=(2.0, 2.0, 2.0))
        >>> put_in = Selection("16x16", (3,), sha, values=(1.5,), where=(10, 8, 30, 25))
        >>> with session.editing(dropped, put_in):
        ...     session.sample(8)

    - `checkpoint` is the SHA-256 of the checkpoint; `about` describes how the filters were chosen,
      as JSON values, and `about["replaced_by"]` names `values` in captions.
    - `gains` has one number for each filter, or is empty: all 0, the paper's dropping.
    - `values` has the replacement values, in the layer's own units, one for
      each filter, or is empty: all 0.
    - `where` is a region of the image, edges x0, y0, x1, y1 in its pixels. Locations of the layer
      whose centre lies in it are changed; None is all of them.
    - `source` is the path that it was read from; it does not count in comparisons.

    Raises InputError for anything else. Source: section 6.3.1.
    """

    layer: str
    filters: tuple[int, ...]
    checkpoint: str
    about: dict[str, Any] = field(default_factory=dict)
    gains: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    where: tuple[float, float, float, float] | None = None
    source: str = field(default="", compare=False)

    changes: ClassVar[str] = "filters"

    def __post_init__(self) -> None:
        # Checked here, so that an edit from a script is as sound as one that was read.
        for name in ("filters", "gains", "values"):
            # Numbers of torch and NumPy, as those of argsort, and ranges.
            given = getattr(self, name)
            if isinstance(given, Tensor | np.ndarray):
                object.__setattr__(self, name, given.tolist())
            elif isinstance(given, range | list | tuple):
                plain = [getattr(each, "item", lambda each=each: each)() for each in given]
                object.__setattr__(self, name, plain)
        value = Value(vars(self), self.source or "selection")
        value["layer"].text()
        value["checkpoint"].text()
        filters: dict[int, None] = {}
        for number in value["filters"].items():
            if number.whole(0, MAX_FILTER) in filters:
                raise number.error("each filter once")
            filters[number.found] = None
        value["about"].members()
        object.__setattr__(self, "filters", tuple(int(number) for number in filters))
        for name in ("gains", "values"):
            numbers = tuple(number.number() for number in value[name].items())
            if numbers and len(numbers) != len(filters):
                raise value[name].error(f"{len(filters)} numbers, one for each filter")
            object.__setattr__(self, name, numbers)
        if self.where is not None:
            object.__setattr__(self, "where", region_edges(value["where"]))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Selection:
        """Read a selection; raises InputError for an invalid file."""
        return cls.from_value(json_values.read_own(Path(path), "filters", FORMAT), str(path))

    @classmethod
    def from_value(cls, file: Value, source: str = "") -> Selection:
        """The selection of `to_dict`; InputError, with the place in the file, for anything else."""
        required = {name: file[name].found for name in ("layer", "filters", "checkpoint", "about")}
        optional = {name: file[name].found for name in ("gains", "values", "where") if name in file}
        return cls(**required, **optional, source=source)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write JSON atomically."""
        files.write_json(path, self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values, for `from_value`."""
        rest = {"checkpoint": self.checkpoint, "about": self.about}
        return {"format": FORMAT, **self.change(), **rest}

    def change(self) -> dict[str, Any]:
        """What the edit does, as JSON values; gains, values and where only if there are any.

        >>> Selection("8x8", (1, 5), sha).change()
        {'layer': '8x8', 'filters': [1, 5]}
        """
        named = {"gains": self.gains, "values": self.values, "where": self.where or ()}
        optional = {name: list(numbers) for name, numbers in named.items() if numbers}
        return {"layer": self.layer, "filters": list(self.filters), **optional}

    @property
    def layers(self) -> tuple[str, ...]:
        """The layer, as the layers of other edits are named."""
        return (self.layer,)

    def on(self, generator: nn.Module, config: AnyConfig) -> hooks.Ablation:
        """Apply the edit inside the ``with``, in its region.

            >>> with Selection("8x8", (1, 5), sha, where=(10, 8, 30, 25)).on(generator, config):
            ...     images = generator(z)

        Raises InputError for a layer, a filter or a region that the generator does not have, at
        once.
        """
        # One forward of one latent, so that a filter out of range is refused here and now.
        z = latents.sample(config, 1, seed=0).to(next(generator.parameters()).device)
        maps = hooks.activations(generator, self.layer, z)
        hooks.check_filters(self.layer, self.filters, maps.shape[1])
        region = self.region(config)
        if region is None:
            return self.hook(generator)
        inside = cells(region, self.layer, tuple(maps.shape), config)[0]
        return self.hook(generator, torch.from_numpy(inside))

    def region(self, config: AnyConfig) -> Boxes | None:
        """`where` as a box on one image of a network; InputError if it is not inside the image."""
        return None if self.where is None else region_of(self.where, config, self.source)

    def hook(self, generator: nn.Module, where: Tensor | None = None) -> hooks.Ablation:
        """Apply the edit inside the ``with``, in every forward of a generator.

            >>> with Selection("8x8", (1, 5), sha).hook(session.generator):
            ...     without = session.sample(8)

        where: locations of the layer to change, as `hooks.ablate` takes them; None is all of them.
        `on` finds those of `self.where`. Raises InputError as `hooks.ablate` does.
        """
        gain, value = self.gains or 0.0, self.values or 0.0
        return hooks.ablate(generator, self.layer, self.filters, gain, value, where)

    def apply(self, base: Base) -> Tensor:
        """The images of a base's maps, which are those of the layer, with the edit everywhere.

            >>> base = Tail(session.generator, "8x8").start(z)
            >>> Selection("8x8", (1, 5), sha).apply(base).shape
            torch.Size([32, 3, 64, 64])

        Raises InputError for an edit of a region, which only `on` places on the layer.
        """
        if self.where is not None:
            place = f"{self.source}: region" if self.source else "region"
            raise InputError(
                f"{place} {listed(self.where)}: found a region, expected an edit everywhere"
            )
        filters = list(self.filters)
        if not self.gains and not self.values:
            return base.without(filters)
        gain, value = (
            torch.tensor(numbers or [0.0] * len(filters)).to(base.maps).view(1, -1, 1, 1)
            for numbers in (self.gains, self.values)
        )
        return base.replaced(filters, gain * base.maps[:, filters] + (1 - gain) * value)

    def __str__(self) -> str:
        """In a few words, for captions.

        >>> str(Selection("8x8", (1, 5), sha, gains=(0.5, 0.5), where=(10, 8, 30, 25)))
        '2 filters of 8x8 at 0.5 inside 10,8,30,25'
        """
        filters = f"{len(self.filters)} filter{'s' * (len(self.filters) != 1)} of {self.layer}"
        scaled = any(self.gains)
        if self.values:
            # A gain scales what a map has above or below the value.
            named = self.about.get("replaced_by")
            value = named if isinstance(named, str) else _range(self.values)
            how = f"at {_range(self.gains)} around {value}" if scaled else f"replaced by {value}"
        else:
            how = f"at {_range(self.gains)}" if scaled else "dropped"
        inside = "" if self.where is None else f" inside {listed(self.where)}"
        return f"{filters} {how}{inside}"


def _range(numbers: tuple[float, ...]) -> str:
    low, high = f"{min(numbers):.3g}", f"{max(numbers):.3g}"
    return low if low == high else f"{low} to {high}"
