"""What `features` returns: features in a file, and what a linear machine reads in them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcgan_probe.results.result import Result

if TYPE_CHECKING:
    import numpy as np

    from dcgan_probe.metrics.feature_files import Features

    from ._carries import Carries, Filter
    from ._classify import Point
    from ._protocols import Protocol


@dataclass(frozen=True, eq=False)
class Extracted(Result):
    """What `run` returns without labels. features: N x F float32, mapped from their file."""

    features: Features
    words: str

    def values(self) -> dict[str, Any]:
        layout, count = self.features.layout, len(self.features.values)
        return {
            "file": self.features.path.name,
            "images": count,
            "features": len(layout),
            "layers": dict(zip(layout.layers, layout.filters, strict=True)),
            "grid": layout.grid,
            "about": {k: v for k, v in self.features.about.items() if k != "names"},
        }

    def draw(self, folder: Path) -> None:
        pass

    def __str__(self) -> str:
        shape = " x ".join(map(str, self.features.values.shape))
        return (
            f"{self.features.path}: {shape} float32, a row an image ({self.words}); "
            f"{self.features.path.with_suffix('.json').name} names rows and columns"
        )


@dataclass(frozen=True)
class Row:
    """One kind of features on the images. detail: how they are made. points: by labels a class."""

    name: str
    detail: str
    features: int
    points: tuple[Point, ...]


@dataclass(frozen=True, eq=False)
class Classified(Result):
    """What `run` returns with labels.

    counts: images for training (those that choose C among them), for choosing C, for testing.
    rows: the discriminator first, then what stands beside it. confusion: K x K, of the last point
    of the discriminator, true classes down and told ones across, all draws together. layers: what
    each has to do with the answer; filters: those with the most. departs: what was asked for
    that the protocol has otherwise.
    """

    images: str
    classes: tuple[str, ...]
    counts: tuple[int, int, int]
    protocol: Protocol
    departs: tuple[str, ...]
    rows: tuple[Row, ...]
    confusion: np.ndarray
    layers: tuple[Carries, ...]
    filters: tuple[Filter, ...]
    caption: str

    def values(self) -> dict[str, Any]:
        return {
            "images": self.images,
            "classes": list(self.classes),
            "training": self.counts[0],
            "choosing_c": self.counts[1],
            "testing": self.counts[2],
            "protocol": {k: v for k, v in asdict(self.protocol).items() if k != "published"},
            "departs_from_protocol": list(self.departs),
            "rows": [
                {
                    "name": row.name,
                    "detail": row.detail,
                    "features": row.features,
                    "points": [point.values() for point in row.points],
                }
                for row in self.rows
            ],
            "confusion": self.confusion.tolist(),
            "layers": [
                {
                    "layer": layer.layer,
                    "features": layer.columns,
                    "alone": layer.point.values(),
                    "share_of_squared_weight": layer.share,
                }
                for layer in self.layers
            ],
            "filters": [asdict(one) for one in self.filters],
            "published": [asdict(one) for one in self.protocol.published],
        }

    def draw(self, folder: Path) -> None:
        from . import _features_figures as figures

        figures.curves(self, folder / "accuracy.png")
        figures.confusion(self, folder / "confusion.png")
        if self.layers:
            figures.layers(self, folder / "layers.png")

    def __str__(self) -> str:
        train, valid, test = self.counts
        lines = [
            f"{self.images}: {len(self.classes)} classes, {train} images for training, {valid} of "
            f"them to choose C by, {test} for testing. Test accuracy with its 95% interval"
        ]
        if self.departs:
            lines.append(
                f"departs from the protocol {self.protocol.name}: {'; '.join(self.departs)}"
            )
        for row in self.rows:
            lines.append(f"{row.name}, {row.features} features ({row.detail}):")
            for point in row.points:
                edge = ", AN END OF THE GRID" if point.edge else ""
                lines.append(f"  {labels_of(point)}: {point.score}, C {point.c:.2g}{edge}")
        for one in self.protocol.published:
            lines.append(
                f"published: {one.name}: {100 * one.accuracy:.2f}% with "
                f"{'all labels' if one.per_class is None else f'{one.per_class} a class'} "
                f"({one.source})"
            )
        for layer in self.layers:
            lines.append(
                f"layer {layer.layer} alone, {layer.columns} features: {layer.point.score}; "
                f"{100 * layer.share:.1f}% of the squared weight of all"
            )
        if self.filters:
            top = (f"{f.layer} {f.filter} ({f.speaks_for})" for f in self.filters)
            lines.append(f"filters with the most weight (class they speak for): {', '.join(top)}")
        return "\n".join(lines)


def labels_of(point: Point) -> str:
    """How many labels a point of the curve has, in words."""
    if point.per_class is None:
        return f"all {point.labels} labels"
    return f"{point.per_class} a class, {point.labels} labels"
