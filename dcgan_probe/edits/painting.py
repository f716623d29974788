"""A painting: a sequence of edits in one file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from dcgan_probe.edits import filters, places, shift
from dcgan_probe.edits.filters import Selection
from dcgan_probe.edits.places import Drawn, PlaceEdit
from dcgan_probe.edits.shift import Shift
from dcgan_probe.errors import InputError
from dcgan_probe.networks.config import AnyConfig
from dcgan_probe.storage import files, json_values
from dcgan_probe.storage.json_values import Value

FORMAT = "dcgan-probe/painting/1"
Part = Shift | Selection | PlaceEdit
KINDS: dict[str, type[Shift] | type[Selection] | type[PlaceEdit]] = {
    shift.FORMAT: Shift,
    filters.FORMAT: Selection,
    places.FORMAT: PlaceEdit,
}


@dataclass(frozen=True)
class Painting:
    """Edits of one checkpoint in the order in which they act, as `dcgan-probe paint` makes them.

        >>> painting = Painting((smiling, stronger, brushed), session.checkpoint.sha256)
        >>> with session.editing(painting):                 # as session.editing(*painting.edits)
        ...     session.sample(64)

    about: on what it was painted, as JSON values. Raises InputError for edits of another
    checkpoint.
    """

    edits: tuple[Part, ...]
    checkpoint: str
    about: dict[str, Any] = field(default_factory=dict)
    source: str = field(default="", compare=False)

    changes: ClassVar[str] = "edits"

    def __post_init__(self) -> None:
        value = Value(vars(self), self.source or "painting")
        value["checkpoint"].text()
        for i, edit in enumerate(self.edits):
            if edit.checkpoint != self.checkpoint:
                raise InputError(
                    f"{value.where}: edits[{i}].checkpoint: found {edit.checkpoint[:8]}, expected "
                    f"{self.checkpoint[:8]}, that of the painting"
                )
        value["about"].members()

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Painting:
        """A painting that `write` wrote; InputError says what is wrong with another file."""
        return cls.from_value(json_values.read_own(Path(path), "a painting", FORMAT), str(path))

    @classmethod
    def from_value(cls, file: Value, source: str = "") -> Painting:
        """The painting of `to_dict`; InputError, with the place in the file, for anything else."""
        edits = []
        for part in file["edits"].items():
            kind = part["format"]
            if not isinstance(kind.found, str) or kind.found not in KINDS:
                raise kind.error(" or ".join(map(repr, KINDS)))
            edits.append(KINDS[kind.found].from_value(part))
        return cls(tuple(edits), file["checkpoint"].text(), file["about"].found, source)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write JSON, whole or not at all; what `read` returns is equal to this, bit for bit."""
        files.write_json(path, self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values, for `from_value`."""
        edits = [edit.to_dict() for edit in self.edits]
        rest = {"checkpoint": self.checkpoint, "about": self.about}
        return {"format": FORMAT, "edits": edits, **rest}

    def change(self) -> dict[str, Any]:
        """What its edits do, as JSON values."""
        return {"edits": [edit.change() for edit in self.edits]}

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers of all edits, each once."""
        return tuple(dict.fromkeys(layer for edit in self.edits for layer in edit.layers))

    def __str__(self) -> str:
        name = Path(self.source).name or "a painting"
        count = len(self.edits)
        return f"{name} of {count} edit{'s'[: count != 1]}"

    @contextmanager
    def on(self, generator: nn.Module, config: AnyConfig) -> Iterator[None]:
        """A ``with`` inside of which a generator is edited, by each edit after the ones before it.

        Raises InputError as each of them does.
        """
        with ExitStack() as stack:
            drawn = Drawn()
            for edit in self.edits:
                if isinstance(edit, PlaceEdit):
                    stack.enter_context(edit.planner(generator, config, drawn).on(generator))
                else:
                    stack.enter_context(edit.on(generator, config))
                if not isinstance(edit, PlaceEdit) or not edit.is_of_a_region:
                    drawn = Drawn()  # donors are others from here on
            yield
