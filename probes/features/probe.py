"""Extract the discriminator's responses as features, and measure how well they classify.

The functions on tensors are `dcgan_probe.metrics.features`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dcgan_probe.images import sources
from dcgan_probe.images.datasets import Labelled
from dcgan_probe.images.sources import ImageSource
from dcgan_probe.images.subsets import Chosen
from dcgan_probe.metrics import features
from dcgan_probe.metrics.feature_files import Features
from dcgan_probe.metrics.features import Layout
from dcgan_probe.metrics.svm import Svm
from dcgan_probe.session import Session

from . import baselines, contributions, data, extractors
from .accuracy import Row
from .classifier import LinearClassifier, Split
from .contributions import Contribution, TopFilter
from .extractors import Extractor
from .options import GRID, Options
from .protocols import Protocol
from .result import Classified, Extracted

CURVE = (10, 100, 1000)


def run(
    session: Session,
    images: str | Path,
    labels: str | Path | None = None,
    *,
    to: str | Path = "features.npy",
    **options: Any,
) -> Extracted | Classified:
    """Extract the discriminator's features and, with labels, train a linear L2-SVM on them.

        >>> session = dp.Session.open("svhn")
        >>> run(session, "photographs.zip", to="features.npy").features.values.shape
        (20000, 7168)
        >>> result = run(session, "cifar10.zip", "folders", per_class=[400], beside=["pixels"])
        >>> result.rows[0].points[0].score.interval
        (0.43, 0.44)

    labels: "folders", "y" or a CSV; see `datasets.read`. to: the file to write; see
    `feature_files.stored`. options: the fields of `Options`.

    Raises InputError for images of another size without `resize`, as `datasets.read` does for
    labels, for too few images, and for unknown names; TypeError for an unknown option. Source:
    sections 5.1 and 5.2.
    """
    asked = Options(**options)
    layers = features.layers(session.discriminator, asked.layers, min(asked.grid, GRID), every=True)
    protocol, departures = asked.find_protocol()
    if labels is None and asked.protocol is None:
        return _extract(session, Path(images), Path(to), layers, protocol, asked)
    dataset, split, whole = _read(session, Path(images), labels, protocol, asked)
    if not protocol.per_class:
        protocol = replace(protocol, per_class=split.curve(CURVE))
    split.check(protocol.per_class, dataset.classes)
    kinds = _extractors(session, dataset.images.only(split.train.tolist()), layers, protocol, asked)
    fits = []
    for kind in kinds:
        path = (
            Path(to) if kind is kinds[0] else Path(to).with_name(f"{Path(to).stem}-{kind.name}.npy")
        )
        stored = kind.extract(session, dataset.images, path)
        fits.append(_fit(session, stored, split, protocol, kind))
    layer_contributions, filters = _contributions(session, fits[0], protocol, dataset.classes)
    words = sources.describe(len(dataset), whole, images)
    return Classified(
        made_with=session.made_with(
            images=words, beside=list(asked.beside), **_recorded(asked, layers, to)
        ),
        images=words,
        classes=dataset.classes,
        counts=(len(split.train) + len(split.valid), len(split.valid), len(split.test)),
        protocol=protocol,
        departs=departures,
        rows=tuple(fit.row for fit in fits),
        confusion=fits[0].confusion,
        layers=layer_contributions,
        filters=filters,
        caption=session.caption(),
    )


def _extract(
    session: Session,
    images: Path,
    to: Path,
    layers: tuple[str, ...],
    protocol: Protocol,
    options: Options,
) -> Extracted:
    """Features of images without labels."""
    options.check_unlabelled()
    config = session.config
    source = ImageSource(images, config.size, config.channels, options.n, session.seed)
    chosen = Chosen([(source, range(len(source)))], options.resize)
    extractor = extractors.from_session(
        session, chosen, protocol.statistics, layers, options.grid, "the images"
    )
    made = session.made_with(
        images=str(source),
        statistics=protocol.statistics,
        **_recorded(options, layers, to),
    )
    stored = extractor.extract(session, chosen, to)
    return Extracted(made_with=made, features=stored, words=extractor.words)


def _read(
    session: Session,
    images: Path,
    labels: str | Path | None,
    protocol: Protocol,
    options: Options,
) -> tuple[Labelled, Split, int]:
    """The labelled images, their rows for training, choosing C and testing; how many there are."""
    dataset = data.read(
        protocol,
        images,
        labels,
        None if options.test is None else Path(options.test),
        session.config.size,
        session.config.channels,
        column=options.column,
        name_column=options.name_column,
        resize=options.resize,
        seed=session.seed,
    )
    whole = len(dataset)
    if options.n is not None:
        dataset = dataset.fewer(options.n, session.seed)
    return dataset, Split.of(dataset.labels, dataset.test, protocol.valid, session.seed), whole


def _extractors(
    session: Session,
    training: Chosen,
    layers: tuple[str, ...],
    protocol: Protocol,
    options: Options,
) -> list[Extractor]:
    """The session's discriminator, then the baselines beside it."""
    source = f"{len(training)} training images"
    own = extractors.from_session(
        session, training, protocol.statistics, layers, options.grid, source
    )
    beside = (
        baselines.find(name, session, training, layers, options.grid, source)
        for name in options.beside
    )
    return [own, *beside]


@dataclass(frozen=True, eq=False)
class _Fit:
    """One kind of features, classified. machine, confusion: of the last point."""

    row: Row
    layout: Layout
    classifier: LinearClassifier
    machine: Svm
    confusion: np.ndarray


def _fit(
    session: Session, stored: Features, split: Split, protocol: Protocol, kind: Extractor
) -> _Fit:
    """Classify by one kind of features, for each number of labels."""
    classifier = LinearClassifier(stored.values, split, str(session.device), session.seed)
    points = []
    for count in session.progress(protocol.per_class, f"classifying, {kind.name}"):
        point, machine, confusion = classifier.point(count, protocol)
        points.append(point)
    row = Row(kind.name, kind.words, len(stored.layout), tuple(points))
    return _Fit(row, stored.layout, classifier, machine, confusion)


def _contributions(
    session: Session, fit: _Fit, protocol: Protocol, classes: Sequence[str]
) -> tuple[tuple[Contribution, ...], tuple[TopFilter, ...]]:
    """What each layer contributes to the last point, if there are several, and the top filters."""
    deviation = contributions.deviations(fit.classifier.features, fit.classifier.split.train)
    share, top = contributions.shares(fit.machine, deviation, fit.layout, classes)
    layers = []
    slices = fit.layout.slices()
    for name, columns in session.progress(
        slices.items() if len(slices) > 1 else (), "layers alone"
    ):
        alone = fit.classifier.only(columns)
        point, _, _ = alone.point(fit.row.points[-1].per_class, protocol)
        layers.append(Contribution(name, columns.stop - columns.start, point, share[name]))
    return tuple(layers), tuple(top)


def _recorded(options: Options, layers: Sequence[str], to: str | Path) -> dict[str, Any]:
    """The options that every result of `features` records."""
    return {
        "layers": list(layers),
        "grid": options.grid,
        "resize": options.resize,
        "n": options.n,
        "to": Path(to).name,
    }
