"""An edit of a generator: filters of one layer, and what becomes of them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dcgan_probe import files
from dcgan_probe.errors import InputError

FORMAT = "dcgan-probe/selection/1"


@dataclass(frozen=True)
class Selection:
    """Filters of a layer that are dropped: their feature maps are set to zero at all places.

        >>> selection = Selection("16x16", (3, 17, 40), checkpoint=session.checkpoint.sha256)
        >>> with session.editing(selection):
        ...     session.sample(8)

    checkpoint: SHA-256 of the checkpoint whose filters they are.
    about: how they were chosen, as JSON values.
    Source: section 6.3.1.
    """

    layer: str
    filters: tuple[int, ...]
    checkpoint: str
    about: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Selection:
        """A selection that `write` wrote; InputError says what is wrong with another file."""
        path = Path(path)
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: found no JSON ({error}), expected a selection") from error
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            found = value.get("format") if isinstance(value, dict) else type(value).__name__
            raise InputError(f"{path}: format: found {found!r}, expected {FORMAT!r}")
        for name, kind in (("layer", str), ("checkpoint", str), ("filters", list), ("about", dict)):
            if not isinstance(value.get(name), kind):
                found = type(value.get(name)).__name__
                raise InputError(f"{path}: {name}: found {found}, expected {kind.__name__}")
        filters = value["filters"]
        for i, number in enumerate(filters):
            if type(number) is not int or number < 0:
                raise InputError(
                    f"{path}: filters[{i}]: found {number!r}, expected a filter number"
                )
        return cls(value["layer"], tuple(filters), value["checkpoint"], value["about"])

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write JSON, whole or not at all."""
        fields = {"layer": self.layer, "filters": list(self.filters)}
        rest = {"checkpoint": self.checkpoint, "about": self.about}
        files.write_json(path, {"format": FORMAT, **fields, **rest})
