"""A shift: an edit that adds a vector to every latent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dcgan_probe import hooks
from dcgan_probe.edits.donors import drawing
from dcgan_probe.errors import InputError
from dcgan_probe.networks.config import AnyConfig
from dcgan_probe.storage import files, json_values
from dcgan_probe.storage.json_values import Value

FORMAT = "dcgan-probe/shift/1"


@dataclass(frozen=True)
class Shift:
    """z + vector in place of z, such as a part of the axis between two concepts.

        >>> smiling = Shift((0.0,) * 99 + (1.5,), session.checkpoint.sha256)
        >>> with session.editing(smiling):
        ...     session.sample(8)

    vector: z_size numbers. about: what it is the sum of, as JSON values. Raises InputError for
    numbers that are not finite.
    """

    vector: tuple[float, ...]
    checkpoint: str
    about: dict[str, Any] = field(default_factory=dict)
    source: str = field(default="", compare=False)

    changes: ClassVar[str] = "latents"
    layers: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        value = Value(vars(self), self.source or "shift")
        value["checkpoint"].text()
        vector = tuple(number.number() for number in value["vector"].items())
        object.__setattr__(self, "vector", vector)
        value["about"].members()

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Shift:
        """A shift that `write` wrote; InputError says what is wrong with another file."""
        return cls.from_value(json_values.read_own(Path(path), "a shift", FORMAT), str(path))

    @classmethod
    def from_value(cls, file: Value, source: str = "") -> Shift:
        """The shift of `to_dict`; InputError, with the place in the file, for anything else."""
        vector = tuple(number.number() for number in file["vector"].items())
        return cls(vector, file["checkpoint"].text(), file["about"].found, source)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write JSON, whole or not at all."""
        files.write_json(path, self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values, for `from_value`."""
        rest = {"checkpoint": self.checkpoint, "about": self.about}
        return {"format": FORMAT, **self.change(), **rest}

    def change(self) -> dict[str, Any]:
        """What the edit does, as JSON values."""
        return {"vector": list(self.vector)}

    def __str__(self) -> str:
        return f"latents shifted by {torch.tensor(self.vector).norm():.3g}"

    def moved(self, z: Tensor) -> Tensor:
        """Latents with the vector added, N x z_size."""
        return z + torch.tensor(self.vector, dtype=z.dtype, device=z.device).view(
            1, -1, *[1] * (z.dim() - 2)
        )

    @contextmanager
    def on(self, generator: nn.Module, config: AnyConfig) -> Iterator[None]:
        """A ``with`` inside of which a generator takes moved latents, except those of donors.

        Raises InputError for a vector that is not as long as its latents.
        """
        if len(self.vector) != config.z_size:
            raise InputError(
                f"{self.source or 'shift'}: vector: found {len(self.vector)} numbers, expected "
                f"{config.z_size}, the size of z"
            )
        with hooks.edit_input(generator, lambda z: z if drawing.get() else self.moved(z)):
            yield
