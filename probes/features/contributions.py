"""How much each layer and filter contributes to a linear classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dcgan_probe.metrics.features import Layout
from dcgan_probe.metrics.svm import Svm

from .accuracy import Point

CHUNK = 1024
TOP = 10


@dataclass(frozen=True)
class Contribution:
    """How much a layer contributes to the answer.

    point: the classification by this layer alone. share: of the squared weight of the SVM on
    all layers, each weight in units of its column's deviation, so that scale does not count.
    """

    layer: str
    columns: int
    point: Point
    share: float


@dataclass(frozen=True)
class TopFilter:
    """A filter by its share of the squared weight, and the class that it supports most."""

    layer: str
    filter: int
    share: float
    speaks_for: str


def shares(
    machine: Svm, deviation: np.ndarray, layout: Layout, classes: Sequence[str]
) -> tuple[dict[str, float], list[TopFilter]]:
    """Each layer's share of the squared weight, and the filters with the largest.

    deviation: of each column, F. Weights are taken times it. A filter supports the class whose
    weights of it sum to most.
    """
    weights = np.asarray(machine.weights, np.float64) * deviation
    squared = np.square(weights).sum(0)
    total = squared.sum() or 1.0
    by_layer = {name: float(squared[at].sum() / total) for name, at in layout.slices().items()}
    locations = layout.grid**2
    by_filter = squared.reshape(-1, locations).sum(1) / total
    owner = [
        (name, i)
        for name, count in zip(layout.layers, layout.filters, strict=True)
        for i in range(count)
    ]
    signed = weights.reshape(len(weights), -1, locations).sum(2)
    top = [
        TopFilter(
            layer=owner[i][0],
            filter=owner[i][1],
            share=float(by_filter[i]),
            speaks_for=classes[int(signed[:, i].argmax())],
        )
        for i in np.argsort(-by_filter, kind="stable")[:TOP]
    ]
    return by_layer, top


def deviations(features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The standard deviation of each column over rows, F float64; memory holds a chunk of rows."""
    total = np.zeros(features.shape[1])
    squares = np.zeros(features.shape[1])
    first = features[rows[0]].astype(np.float64)  # subtracted, so that no digits cancel
    for start in range(0, len(rows), CHUNK):
        part = features[rows[start : start + CHUNK]] - first
        total += part.sum(0)
        squares += np.square(part).sum(0)
    mean = total / len(rows)
    return np.sqrt(np.maximum(squares / len(rows) - mean**2, 0))
