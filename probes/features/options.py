"""The options of `features.run`, checked before any image is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dcgan_probe.errors import InputError, unknown

from .protocols import Protocol, find

STORED, IMAGES = STATISTICS = ("stored", "images")
BASELINES = ("pixels", "random", "kmeans")
GRID = 4


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of `features.run`, as on the command line.

    layers: of the discriminator, in any order; None for all with at least `grid` (at most 4) rows
    and columns. grid: each map is max-pooled to grid x grid. statistics: of batch norm, "stored" as
    in the checkpoint, or "images", averaged over these images (of labelled ones over those that are
    trained on). resize: crop and resize images of another size. n: maximum number of images; of
    labelled ones at most n for training and n for testing, drawn by the session's seed.

    test, column, name_column: other images for testing, and the columns of labels and of names:
    see `datasets.read`.
    protocol: a name of `protocols.PROTOCOLS`; what follows overrides it. valid: training images to
    choose C by, below 1 a share. per_class: labels of each class, one or many, None for all. draws:
    how often labels are drawn. c: the only values to try. beside: baselines, any of "pixels",
    "random" and "kmeans".
    """

    layers: Sequence[str] | None = None
    grid: int = GRID
    statistics: str | None = None
    resize: bool = False
    n: int | None = None
    test: str | Path | None = None
    column: str = "label"
    name_column: str | None = None
    protocol: str | None = None
    valid: float | None = None
    per_class: Sequence[int | None] | None = None
    draws: int | None = None
    c: Sequence[float] | None = None
    beside: Sequence[str] = ()

    def find_protocol(self) -> tuple[Protocol, tuple[str, ...]]:
        """The protocol with what overrides it, and in words where that departs from it.

        Raises InputError for an unknown protocol or unknown statistics.
        """
        protocol, departures = find(self.protocol).with_options(
            valid=self.valid,
            per_class=None if self.per_class is None else tuple(self.per_class),
            draws=self.draws,
            grid=None if self.c is None else tuple(self.c),
            statistics=self.statistics,
        )
        if protocol.statistics not in STATISTICS:
            raise unknown("statistics", protocol.statistics, STATISTICS)
        return protocol, departures

    def check_unlabelled(self) -> None:
        """Raise InputError for an option that takes effect with labels only."""
        for name, value in (
            ("test", self.test),
            ("name-column", self.name_column),
            ("valid", self.valid),
            ("per-class", self.per_class),
            ("draws", self.draws),
            ("c", self.c),
            ("beside", self.beside or None),
        ):
            if value is not None:
                raise InputError(f"--{name}: found no labels beside it, expected --labels")
