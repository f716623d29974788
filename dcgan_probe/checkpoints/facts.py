"""Facts about a network that its file of weights does not record.

Nothing here imports torch, so that the command line can name it.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

from dcgan_probe.errors import InputError, unknown

DISTRIBUTIONS = ("normal", "uniform")
OUTPUTS = ("tanh", "sigmoid", "none")
STATISTICS = ("file", "estimate")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Facts about networks that a user gives; None by default.

        >>> Facts(z="uniform", label="3/10").classes
        10

    z: "normal" (standard) or "uniform" on [-1, 1]. output: what the generator ends in; a "sigmoid"
    means images in [0, 1], for both networks; "none" is clipped to [-1, 1]. slope: of the
    generator's activations below zero, 0 for ReLU; d_slope: of the discriminator's. size: of the
    square images. eps: of every norm. label: "K/N", class K from 0 of N in a one-hot vector beside
    z; "K/N:first" before it, "K/N:last" behind it. weights: which generator of several is taken, by
    a part of its name. statistics: "estimate" estimates batch-norm statistics again.

    Raises InputError for another value.
    """

    z: str | None = None
    output: str | None = None
    slope: float | None = None
    d_slope: float | None = None
    size: int | None = None
    eps: float | None = None
    label: str | None = None
    weights: str | None = None
    statistics: str | None = None

    def __post_init__(self) -> None:
        for name, known in (("z", DISTRIBUTIONS), ("output", OUTPUTS), ("statistics", STATISTICS)):
            value = getattr(self, name)
            if value is not None and value not in known:
                raise unknown(name, value, known)
        for name in ("slope", "d_slope"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise InputError(f"{name}: found {value}, expected a number from 0 to 1")
        if self.eps is not None and not 0 < self.eps < 10:
            raise InputError(f"eps: found {self.eps}, expected a number above 0 and below 10")
        if self.size is not None and not 8 <= self.size <= 1024:
            raise InputError(f"size: found {self.size}, expected 8 to 1024 pixels")
        match = re.fullmatch(r"(\d{1,5})/(\d{1,5})(:first|:last)?", self.label or "0/1")
        if match is None or not int(match[1]) < int(match[2]):
            raise InputError(
                f"class: found {self.label!r}, expected K/N, class K (from 0) of N, such as 3/10, "
                "3/10:first (before z) or 3/10:last"
            )

    @property
    def classes(self) -> int:
        """Number of classes; 0 if not given."""
        return int(self.label.partition(":")[0].split("/")[1]) if self.label else 0

    @property
    def class_number(self) -> int:
        """The class whose images are drawn, from 0."""
        return int(self.label.split("/")[0]) if self.label else 0

    @property
    def class_first(self) -> bool | None:
        """Whether the class is before z; None if that was not said."""
        position = (self.label or "").partition(":")[2]
        return position == "first" if position else None

    def said(self) -> dict[str, str | float | int]:
        """The given facts, by name."""
        return {
            name: value for name, value in dataclasses.asdict(self).items() if value is not None
        }


NOTHING = Facts()
