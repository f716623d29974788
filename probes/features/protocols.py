"""Classification protocols: held-out images, draws of labels, values of C, published numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from dcgan_probe.errors import unknown

# The grid of the authors' SVHN script.
GRID = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)


@dataclass(frozen=True)
class Published:
    """A published accuracy, in [0, 1], and its source. per_class: labels of each, None is all."""

    name: str
    accuracy: float
    per_class: int | None
    source: str


@dataclass(frozen=True)
class Protocol:
    """How a classification is done: all that decides it but features and images.

    valid: training images held out to choose C by; below 1, a share. per_class: labels of each
    class, None for all; empty for a curve of round numbers. choosing, draws: how often labels are
    drawn to choose C, and to report. grid: values of C. extend: extend the grid if its end is
    best. statistics: see `options.Options`.
    """

    name: str = ""
    valid: float = 0.2
    per_class: tuple[int | None, ...] = ()
    choosing: int = 3
    draws: int = 10
    grid: tuple[float, ...] = GRID
    extend: bool = True
    statistics: str = "stored"
    published: tuple[Published, ...] = ()

    def with_options(self, **options: Any) -> tuple[Protocol, tuple[str, ...]]:
        """This protocol with what a user asked for, and in words where that departs from it."""
        asked = {name: value for name, value in options.items() if value is not None}
        changed = {name: value for name, value in asked.items() if getattr(self, name) != value}
        if "grid" in asked:
            changed["extend"] = False
        words = [
            f"{name} {_format(value)}, not {_format(getattr(self, name))}"
            for name, value in changed.items()
            if name != "extend"
        ]
        return replace(self, **changed), tuple(words) if self.name else ()

    def values(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


PAPER, REPORTED = "Radford et al. 2015", "as reported by Radford et al. 2015"
_CIFAR = (
    ("DCGAN (trained on ImageNet-1k) + L2-SVM", 0.828, f"{PAPER}, table 1"),
    ("1-layer k-means, 4800 units", 0.806, f"{REPORTED}, table 1"),
    ("3-layer k-means with learned receptive fields", 0.820, f"{REPORTED}, table 1"),
    ("Exemplar CNN", 0.843, f"{REPORTED}, table 1"),
    ("DCGAN + L2-SVM, made again", 0.708, "an independent reproduction"),
)
_SVHN = (
    ("KNN", 0.7793),
    ("TSVM", 0.6655),
    ("M1+M2", 0.3602),
    ("SWWAE with dropout", 0.2356),
    ("supervised CNN of D's shape (validation)", 0.2887),
    ("DCGAN + L2-SVM", 0.2248),
)
PROTOCOLS = {
    # Section 5.1, which does not say how C was chosen.
    "cifar10": Protocol(
        name="cifar10",
        valid=10_000,
        per_class=(400, None),
        statistics="images",
        published=tuple(Published(name, a, None, where) for name, a, where in _CIFAR),
    ),
    # Section 5.2 and the authors' script.
    "svhn-1000": Protocol(
        name="svhn-1000",
        valid=10_000,
        per_class=(100,),
        choosing=10,
        draws=100,
        extend=False,
        statistics="images",
        published=tuple(
            Published(name, round(1 - error, 4), 100, f"{REPORTED}, table 2")
            for name, error in _SVHN
        ),
    ),
}


def find(name: str | None) -> Protocol:
    """A protocol by name; without a name, this project's own. Raises InputError for another."""
    if name is None:
        return Protocol()
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


def _format(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join("all" if one is None else f"{one:g}" for one in value)
    return f"{value:g}" if isinstance(value, int | float) else str(value)
