"""The responses of the discriminator as features of images, and what a linear machine reads there.

The functions on tensors are `dcgan_probe.metrics.features`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

import dcgan_probe as dp
from dcgan_probe.errors import InputError, unknown
from dcgan_probe.plugins.contract import pass_session

from . import _baselines, _protocols
from ._classified import Classified, Extracted, Row

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from dcgan_probe.images.subsets import Chosen
    from dcgan_probe.metrics.feature_files import Features
    from dcgan_probe.metrics.features import Layout
    from dcgan_probe.metrics.svm import Svm

    from ._baselines import Kind
    from ._carries import Carries, Filter
    from ._classify import Classifier, Split
    from ._protocols import Protocol

STORED, IMAGES = STATISTICS = ("stored", "images")
GRID = 4
CURVE = (10, 100, 1000)


def run(
    session: dp.Session,
    images: str | Path,
    labels: str | Path | None = None,
    *,
    to: str | Path = "features.npy",
    test: str | Path | None = None,
    column: str = "label",
    layers: Sequence[str] | None = None,
    grid: int = GRID,
    statistics: str | None = None,
    resize: bool = False,
    n: int | None = None,
    protocol: str | None = None,
    valid: float | None = None,
    per_class: Sequence[int | None] | None = None,
    draws: int | None = None,
    c: Sequence[float] | None = None,
    beside: Sequence[str] = (),
) -> Extracted | Classified:
    """Extract the features of images, and with labels classify them by a linear L2-SVM.

        >>> session = dp.Session.open("svhn")
        >>> run(session, "photographs.zip", to="features.npy").features.values.shape
        (20000, 7168)
        >>> result = run(session, "cifar10.zip", "folders", per_class=[400], beside=["pixels"])
        >>> result.rows[0].points[0].score.interval
        (0.43, 0.44)

    to: the file of the features; see `feature_files.stored`. layers, grid: see `features.extract`.
    statistics: of batch norm, "stored" as in the checkpoint, or "images", averaged over these
    images (of labelled ones over those that are trained on). n: at most so many images, the first
    by name; of labelled ones at most n for training and n for testing, drawn by the session's seed.
    labels, test, column: see `labelled.read`. protocol: see `_protocols.PROTOCOLS`; what follows it
    overrides it. valid: training images to choose C by, below 1 a share. per_class: labels of each
    class, one or many, None for all. draws: of labels, to report. c: the only values to try.
    beside: any of "pixels", "random" and "kmeans".

    Raises InputError for images of another size, unless `resize`; for labels as `labelled.read`
    does; for fewer images than asked for; for names that are not there.
    Source: sections 5.1 and 5.2.
    """
    from dcgan_probe.images.sources import ImageSource
    from dcgan_probe.images.subsets import Chosen
    from dcgan_probe.metrics import features

    from . import _classify as classify

    known = features.layers(session.discriminator, layers, min(grid, GRID))
    config, to = session.config, Path(to)
    recipe, departs = _protocols.named(protocol).with_options(
        valid=valid,
        per_class=None if per_class is None else tuple(per_class),
        draws=draws,
        grid=None if c is None else tuple(c),
        statistics=statistics,
    )
    if recipe.statistics not in STATISTICS:
        raise unknown("statistics", recipe.statistics, STATISTICS)
    options = {"layers": list(known), "grid": grid, "resize": resize, "n": n, "to": to.name}
    if labels is None and protocol is None:
        asked: dict[str, Any] = {
            "test": test,
            "valid": valid,
            "per-class": per_class,
            "draws": draws,
            "c": c,
        }
        asked["beside"] = beside or None
        for name, value in asked.items():
            if value is not None:
                raise InputError(f"--{name}: found no labels beside it, expected --labels")
        source = ImageSource(images, config.size, config.channels, limit=n)
        chosen = Chosen([(source, range(len(source)))], resize)
        kind = _ours(session, chosen, recipe.statistics, known, grid, "the images")
        words = f"{len(source)} images of {Path(images).name}"
        made = session.made_with(images=words, statistics=recipe.statistics, **options)
        return Extracted(made, _stored(session, to, chosen, kind), kind.words)

    data = _protocols.opened(
        recipe,
        Path(images),
        labels,
        None if test is None else Path(test),
        config.size,
        config.channels,
        column=column,
        resize=resize,
        seed=session.seed,
    )
    if n is not None:
        data = data.fewer(n, session.seed)
    split = classify.Split.of(data.labels, data.test, recipe.valid, session.seed)
    if not recipe.per_class:
        recipe = replace(recipe, per_class=split.curve(CURVE))
    split.check(recipe.per_class, data.classes)
    training = data.images.only(split.train.tolist())
    said = f"{len(training)} training images"
    kinds = [_ours(session, training, recipe.statistics, known, grid, said)]
    kinds += [_baselines.beside(b, session, training, known, grid, said) for b in beside]
    measured = []
    for kind in kinds:
        path = to if kind is kinds[0] else to.with_name(f"{to.stem}-{kind.name}.npy")
        found = _stored(session, path, data.images, kind)
        measured.append(_measured(session, found, split, recipe, kind))
    ours = measured[0]
    layers_alone, filters = _carried(session, ours, recipe, data.classes)
    words = f"{len(data)} images of {Path(images).name}"
    return Classified(
        session.made_with(images=words, beside=list(beside), **options),
        words,
        data.classes,
        (len(split.train) + len(split.valid), len(split.valid), len(split.test)),
        recipe,
        departs,
        tuple(one.row for one in measured),
        ours.confusion,
        layers_alone,
        filters,
        session.caption(),
    )


class _Measured(NamedTuple):
    """A kind of features, classified. machine, confusion: of the last point."""

    row: Row
    layout: Layout
    classifier: Classifier
    machine: Svm
    confusion: np.ndarray


def _measured(
    session: dp.Session, found: Features, split: Split, recipe: Protocol, kind: Kind
) -> _Measured:
    from ._classify import Classifier

    classifier = Classifier(found.values, split, str(session.device), session.seed)
    points = []
    for count in session.progress(recipe.per_class, f"classifying, {kind.name}"):
        point, machine, confusion = classifier.point(count, recipe)
        points.append(point)
    row = Row(kind.name, kind.words, len(found.layout), tuple(points))
    return _Measured(row, found.layout, classifier, machine, confusion)


def _carried(
    session: dp.Session, of: _Measured, recipe: Protocol, classes: tuple[str, ...]
) -> tuple[tuple[Carries, ...], tuple[Filter, ...]]:
    """What each layer has to do with the last point, if there are several, and the top filters."""
    from . import _carries

    deviation = _carries.deviations(of.classifier.features, of.classifier.split.train)
    share, top = _carries.shares(of.machine, deviation, of.layout, classes)
    found = []
    slices = of.layout.slices()
    for name, at in session.progress(slices.items() if len(slices) > 1 else (), "layers alone"):
        point, _, _ = of.classifier.only(at).point(of.row.points[-1].per_class, recipe)
        found.append(_carries.Carries(name, at.stop - at.start, point, share[name]))
    return tuple(found), tuple(top)


def _ours(
    session: dp.Session,
    images: Chosen,
    statistics: str,
    layers: tuple[str, ...],
    grid: int,
    said: str,
) -> Kind:
    """The features of the session's discriminator. images: for statistics; said: in words."""
    from dcgan_probe.metrics import features

    network, words = session.discriminator, STORED
    if statistics == IMAGES:
        network = features.averaged(network, images, session.seed)
        words = f"averaged over {said}"
    checkpoint = session.checkpoint
    # Features are found again by this, so a network that is in no file needs a name as well.
    sha = checkpoint.sha256 or _weights(session.discriminator)
    named = f"{checkpoint.name} ({sha[:8]})"
    about = {"network": named, "sha256": sha, "statistics": words}
    return _baselines.discriminator(network, layers, grid, about, "discriminator")


def _weights(network: nn.Module) -> str:
    """SHA-256 of the weights of a network."""
    sha = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        sha.update(name.encode())
        sha.update(tensor.cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()


def _stored(session: dp.Session, path: Path, images: Chosen, kind: Kind) -> Features:
    from dcgan_probe.metrics import feature_files

    content = {"images": images.fingerprint(), "names": images.names}
    return feature_files.stored(
        path,
        images,
        kind.compute,
        kind.layout,
        {**kind.about, **content},
        lambda batches, what, total: session.progress(batches, f"{what}, {kind.name}", total),
        session.force,
    )


class _Counts(click.ParamType):
    name = "N[,N...]"

    def convert(self, value: Any, param: Any, context: Any) -> tuple[int | None, ...]:
        found: list[int | None] = []
        for word in value.split(","):
            if word != "all" and not (word.isdecimal() and int(word)):
                self.fail(f"found {word!r}, expected numbers above 0, or all", param, context)
            found.append(None if word == "all" else int(word))
        return tuple(found)


class _Floats(click.ParamType):
    name = "C[,C...]"

    def convert(self, value: Any, param: Any, context: Any) -> tuple[float, ...]:
        try:
            found = tuple(float(word) for word in value.split(","))
        except ValueError:
            found = ()
        if not found or not all(0 < c < float("inf") for c in found):
            self.fail(f"found {value!r}, expected numbers above 0", param, context)
        return found


class _Words(click.ParamType):
    name = "NAME[,NAME...]"

    def convert(self, value: Any, param: Any, context: Any) -> tuple[str, ...]:
        return tuple(value.split(",")) if isinstance(value, str) else value


_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--images", required=True, type=_PATH, help="Folder, zip, tar, LMDB, .npz or .mat.")
@click.option(
    "--labels",
    metavar="[folders|y|FILE.csv]",
    help="Classify: images lie in folders of their class; y beside X in a .mat; a CSV of name, "
    "label and perhaps split. Without it features are extracted, no more.",
)
@click.option("--column", default="label", help="Of the CSV, the one with labels.")
@click.option("--test", type=_PATH, help="Other images, for testing, with labels of the same kind.")
@click.option(
    "--protocol",
    type=click.Choice(list(_protocols.PROTOCOLS)),
    help="Data, sizes and classes of the paper's table 1 or 2.",
)
@click.option("--to", type=_PATH, help="File of the features, .npy.  [default: OUT/features.npy]")
@click.option("--layers", type=_Words(), help="Only these; all convolutions if not given.")
@click.option("--grid", default=GRID, type=click.IntRange(1), help="Maps are max-pooled to it.")
@click.option(
    "--statistics",
    type=click.Choice(STATISTICS),
    help="Of batch norm: as stored, or averaged over the (training) images, as the authors did. "
    "[default: stored, or of the protocol]",
)
@click.option("--resize", is_flag=True, help="Bring images of another size to that of D.")
@click.option("--n", type=click.IntRange(1), help="At most so many; labelled, of either side.")
@click.option("--valid", type=click.FloatRange(0, min_open=True), help="Images to choose C by.")
@click.option("--per-class", type=_Counts(), help="Labels a class: 10,100,all is a curve.")
@click.option("--draws", type=click.IntRange(1), help="How often labels are drawn, to report.")
@click.option("--c", type=_Floats(), help="The only values of C to try.")
@click.option(
    "--beside",
    type=_Words(),
    default=(),
    show_default=False,
    help=f"Of the same images: {', '.join(_baselines.BESIDE)}.",
)
@pass_session
def features(session: dp.Session, to: Path | None, **options: Any) -> None:
    """Extract the discriminator's features of images, and classify by them.

    Every convolution layer, max-pooled to a 4x4 grid (section 5.1), in a file that numpy maps. With
    labels a linear L2-SVM: accuracy by labels a class, confusion, and which layers carry it.
    """
    if to is None:
        if session.out is None:
            raise InputError("--to: found none, expected a file: this session has no folder")
        to = session.out / "features.npy"
    session.save(run(session, to=to, **options))
