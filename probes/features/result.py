"""The result of features: a file of features, and what a linear classifier reads in them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dcgan_probe.metrics.feature_files import Features
from dcgan_probe.results.result import Result

from . import figures
from .accuracy import Row
from .contributions import Contribution, TopFilter
from .protocols import Protocol


@dataclass(frozen=True, eq=False, kw_only=True)
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
            f"{self.features.path.name}.json names rows and columns"
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Classified(Result):
    """What `run` returns with labels.

    counts: images for training (those that choose C among them), for choosing C, for testing.
    rows: the discriminator first, then the baselines. confusion: K x K, of the last point of the
    discriminator, true classes down and predicted ones across, all draws together. layers: what
    each contributes; filters: those that contribute most. departs: in words, which options depart
    from the protocol.
    """

    images: str
    classes: tuple[str, ...]
    counts: tuple[int, int, int]
    protocol: Protocol
    departs: tuple[str, ...]
    rows: tuple[Row, ...]
    confusion: np.ndarray
    layers: tuple[Contribution, ...]
    filters: tuple[TopFilter, ...]
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
        point = self.rows[0].points[-1]
        figures.draw_accuracy(
            folder / "accuracy.png",
            self.rows,
            self.protocol.published,
            1 / len(self.classes),
            f"Accuracy on {self.counts[2]} test images by how many labels were trained on, with "
            "95% intervals: of the mean over draws of labels, and for a single draw over test "
            f"images. Regularisation strength C chosen on {self.counts[1]} other images. "
            f"{self._departures()}"
            f"{self.caption}.",
        )
        figures.draw_confusion(
            folder / "confusion.png",
            self.confusion,
            self.classes,
            "Percent of the test images of each class, by the class predicted, with "
            f"{point.describe_labels()}: {point.score} right. {self.images}. {self.caption}.",
        )
        if not self.layers:
            return
        figures.draw_layers(
            folder / "layers.png",
            self.layers,
            point.score.mean,
            1 / len(self.classes),
            "Blue: test accuracy of a linear SVM on one layer, with its own regularisation "
            f"strength C, {point.describe_labels()}, with 95% intervals. Orange: the layer's "
            "part of the squared weights of the SVM on all layers, in units of each feature's "
            "standard deviation. A layer with little weight may hold the same information as "
            f"others. {self.caption}.",
        )

    def _departures(self) -> str:
        if not self.departs:
            return ""
        return f"NOT the protocol {self.protocol.name} exactly: {'; '.join(self.departs)}. "

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
                lines.append(f"  {point.describe_labels()}: {point.score}, C {point.c:.2g}{edge}")
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
            lines.append(f"filters with the most weight (class they support): {', '.join(top)}")
        return "\n".join(lines)
