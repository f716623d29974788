"""The protocol of all edits, and reading any kind of edit from a file."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from dcgan_probe.edits import painting
from dcgan_probe.edits.painting import KINDS, Painting, Part
from dcgan_probe.errors import InputError
from dcgan_probe.networks.config import AnyConfig
from dcgan_probe.storage import json_values


class Edit(Protocol):
    """An edit of a generator: a `Selection` of filters, a `PlaceEdit`, a `Shift`, a `Painting`.

    checkpoint: SHA-256 of the one that it edits; source: the file that it was read from, or "".
    layers: that it edits; changes: what of them, for messages. Its text says in a few words what it
    does, for captions.
    """

    @property
    def checkpoint(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def changes(self) -> str: ...

    @property
    def layers(self) -> tuple[str, ...]: ...

    def change(self) -> dict[str, Any]:
        """What it does, as JSON values, for results."""

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write JSON, whole or not at all."""

    def on(self, generator: nn.Module, config: AnyConfig) -> AbstractContextManager[Any]:
        """A ``with`` inside of which a generator is edited."""


def read(path: str | os.PathLike[str]) -> Part | Painting:
    """The edit in a file, of any kind; InputError says what is wrong with another file.

    >>> read("windows.json").layers      # doctest: +SKIP
    ('8x8', '16x16')
    """
    kinds: dict[str, Any] = {**KINDS, painting.FORMAT: Painting}
    file = json_values.load(Path(path), "an edit")
    kind = file["format"].found if "format" in file else None
    if not isinstance(kind, str) or kind not in kinds:
        expected = " or ".join(map(repr, kinds))
        raise InputError(f"{path}: format: found {json_values.shown(kind)}, expected {expected}")
    edit: Part | Painting = kinds[kind].from_value(file, str(path))
    return edit
