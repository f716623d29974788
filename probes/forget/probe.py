"""Find the filters that draw an object, drop them, and measure what is left."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, overload

import torch
from torch import Tensor

from dcgan_probe.boxes.boxes import Boxes
from dcgan_probe.edits.levels import means
from dcgan_probe.edits.ranking import Ranking
from dcgan_probe.errors import InputError, at_least, unknown
from dcgan_probe.images import sources
from dcgan_probe.probes.forget.choice import CHOOSING, RULES
from dcgan_probe.probes.forget.erased import Erased
from dcgan_probe.probes.forget.evaluation import evaluate, measure_stability
from dcgan_probe.probes.forget.figures import name_samples, pictures, rows_to_show
from dcgan_probe.probes.forget.places import as_layers, erase
from dcgan_probe.probes.forget.result import Forgotten
from dcgan_probe.probes.forget.rivals import Rivals
from dcgan_probe.probes.forget.settings import CONTROLS, LEFT, WAYS, RuleSettings
from dcgan_probe.recognition.judges import Judges, split
from dcgan_probe.recognition.regression import held_out_accuracy
from dcgan_probe.recognition.rule import choose as choose
from dcgan_probe.recognition.samples import BoxedSamples
from dcgan_probe.recognition.samples import default_layer as default_layer
from dcgan_probe.session import BATCH, Session


@overload
def run(
    session: Session,
    boxes: Boxes | str | os.PathLike[str] | None = ...,
    label: str | None = ...,
    layer: str | Sequence[str] | None = ...,
    *,
    controls: int | None = ...,
    left: float = ...,
    judges: Judges | None = ...,
    n: int = ...,
    by: Literal["places"],
    fill: str | None = ...,
    where: tuple[float, float, float, float] | None = ...,
) -> Erased: ...


@overload
def run(
    session: Session,
    boxes: Boxes | str | os.PathLike[str] | None = ...,
    label: str | None = ...,
    layer: str | Sequence[str] | None = ...,
    controls: int | None = ...,
    select: str = ...,
    k: int = ...,
    replace: str | None = ...,
    left: float = ...,
    judges: Judges | None = ...,
    n: int = ...,
    resamples: int = ...,
    real: Tensor | None = ...,
    by: Literal["filters"] = ...,
    fill: None = ...,
    where: None = ...,
) -> Forgotten: ...


def run(
    session: Session,
    boxes: Boxes | str | os.PathLike[str] | None = None,
    label: str | None = None,
    layer: str | Sequence[str] | None = None,
    controls: int | None = None,
    select: str = "paper",
    k: int = 16,
    replace: str | None = None,
    left: float = LEFT,
    judges: Judges | None = None,
    n: int = 160,
    resamples: int = 0,
    real: Tensor | None = None,
    by: str = "filters",
    fill: str | None = None,
    where: tuple[float, float, float, float] | None = None,
) -> Forgotten | Erased:
    """Find the filters that draw an object, drop them, and measure what is left.

        >>> session = Session.open("rooms")
        >>> result = run(session, "windows.json", label="window")
        >>> with session.editing(*result.edits):
        ...     without = session.sample(16)

    boxes: boxes on samples of this checkpoint, or the path of a file of them; by default those
    that ship. label: the object; not needed if the boxes have one label. layer: of the generator,
    see `default_layer`; several only for "gates".
    controls: number of random filter sets of equal size to compare with; 20 by default.

    select: how filters are chosen. "paper": those with a weight above zero in a logistic regression
    that separates activations inside the boxes from as many random ones outside, on the same
    images. "top": the `k` with the largest weights. "l1": those of a sparse regression. "causal":
    by the measured effect of dropping them. "gates": gains and replacements learned by gradient
    descent. replace: value of dropped filters: "zero", their "mean", or their mean "outside" the
    boxes. The default is "outside" for causal and "zero" otherwise; gates learn it.
    left: share of the evidence for the object that causal and gates may leave, by their own guide.

    judges: detectors, by name or path (see `detectors.find`) or as objects, that mark the object
    on n new samples. "boxes" is learned from every second boxed image; filters are then chosen on
    the others only. By default the detector that ships for the object, or "boxes".
    resamples: number of repeated choices, each on a random half of the images. real: N x C x S x
    S images to measure drift from; by default other samples.

    by: "filters" is the experiment above. "places" replaces all filters where a regression finds
    the object, and returns an `Erased`. It chooses layers, fill and width by trial (see
    `recognition.erasing.choose_erasing`), and takes label, layer, left, judges, n, controls (the
    same edit at the places of other samples; 3 by default), `fill` ("mix", "recolour" or
    "smooth") and `where`, a region x0, y0, x1, y1 in pixels that limits the edit.

    The accuracy of the regression is held-out: of 5 folds by image, no image on both sides.
    Raises InputError for boxes of another checkpoint, an unknown label, a layer without
    places or in which the boxes hold no cell or all cells, a choice of no filter or of all, and
    for a judge that finds no object or returns an invalid mask.
    Source: section 6.3.1, figure 6.
    """
    if by not in WAYS:
        raise unknown("way to forget", by, WAYS)
    if by == "places":
        if select != "paper" or replace is not None or resamples or real is not None:
            raise InputError(
                "by places: found select, replace, resamples or real, expected them by filters only"
            )
        controls = CONTROLS[by] if controls is None else controls
        at_least(1, n=n, controls=controls)
        layers = as_layers(layer)
        boxes = session.read_boxes(boxes)
        return erase(session, boxes, label, layers, fill, left, judges, n, where, controls)
    if fill is not None or where is not None:
        raise InputError("--fill and --where: found one by filters, expected them by places only")
    controls = CONTROLS[by] if controls is None else controls
    at_least(1, n=n, controls=controls)
    at_least(0, resamples=resamples)
    replace = replace or ("outside" if select == "causal" else "zero")
    layers = _sort_layers(session, layer)
    settings = RuleSettings(layers=layers, select=select, k=k, replace=replace, left=left)
    boxes = session.read_boxes(boxes)
    label = boxes.one_label(label)
    boxes = boxes.only(label)
    boxes.check(session.checkpoint.sha256)
    choosing_boxes, detectors = split(session, boxes, label, judges)

    samples = BoxedSamples.draw(session, boxes, layers[0])
    samples.check()
    choosing = samples.only(choosing_boxes.images)
    rankings = RULES[select](choosing, settings)
    if not any(ranking.chosen.filters for ranking in rankings):  # gates may all be left open
        raise InputError(
            f"layer {', '.join(layers)}: found no filter that {select} turns down, expected some; "
            "choose a smaller share to leave, another layer or another rule"
        )
    # New samples, as in the paper: none of those that the boxes were drawn on.
    start = boxes.n if session.seed == boxes.seed else 0
    rivals = Rivals.draw(rankings, _means(session, rankings, n), controls, session.seed)
    outcomes = evaluate(samples, rivals, detectors, start, n, real)

    accuracy = held_out_accuracy(choosing.cells)
    named = {"source": Path(boxes.source).name, "seed": boxes.seed, "n": len(boxes.boxes)}
    about = {
        "rule": select,
        "label": label,
        "weights": choosing.regression.weights.tolist(),
        "held_out_accuracy": accuracy,
        "converged": choosing.regression.converged,
        "boxes": named,
        "seed": session.seed,
    }
    if any(edit.values for edit in rivals.chosen):
        about["replaced_by"] = settings.replaced_by
    options = {
        "label": label,
        **settings.options(),
        "controls": controls,
        "resamples": resamples,
        "real": None if real is None else len(real),
        "judges": [judge.name for judge in detectors],
        "n": n,
        "boxes": named,
        "boxes_chosen_with": len(choosing_boxes.boxes),
    }
    rows = rows_to_show(outcomes.fresh[0], outcomes.fresh[1], detectors)
    words = name_samples(rows, start, session.seed)
    shown = [images[rows] for images in outcomes.fresh]
    return Forgotten(
        made_with=session.made_with(**options),
        label=label,
        rule=select,
        selections=tuple(dataclasses.replace(edit, about=about) for edit in rivals.chosen),
        filters=sum(ranking.count for ranking in rankings),
        weights=choosing.regression.weights,
        accuracy=tuple(accuracy),
        converged=choosing.regression.converged,
        cells=int(choosing.cells.inside.sum()),
        boxes=len(boxes.boxes),
        unresolved=boxes.count_between((samples.maps.shape[2], samples.maps.shape[3])),
        change=outcomes.change,
        random=outcomes.random,
        proofs=outcomes.proofs,
        drift=outcomes.drift,
        stability=measure_stability(choosing, settings, rivals.chosen, resamples),
        pictures=pictures(samples, choosing.regression, outcomes.boxed, shown, words),
        traces=outcomes.traces,
        damage=outcomes.damage,
        target=settings.target,
        notes=tuple(ranking.note for ranking in rankings if ranking.note),
    )


def read_real(session: Session, path: Path, n: int) -> Tensor:
    """Read at most n real images of a folder or another source, N x C x S x S in [-1, 1]."""
    batches = sources.batches(session.images(path, n), BATCH)
    return torch.cat([batch.cpu() for batch in batches])


def _means(session: Session, rankings: Sequence[Ranking], n: int) -> dict[str, tuple[float, ...]]:
    """What random filters are replaced by, of every filter in each layer that has replacements."""
    z = session.latents(n, start=CHOOSING)
    return {
        ranking.chosen.layer: means(
            session.generator, ranking.chosen.layer, range(ranking.count), z
        )
        for ranking in rankings
        if ranking.chosen.values
    }


def _sort_layers(session: Session, layer: str | Sequence[str] | None) -> tuple[str, ...]:
    """The layers to edit, each once, in the order of the data."""
    if layer is None:
        layer = default_layer(session.config)
    if isinstance(layer, str):
        return (layer,)
    order = session.config.layers("generator")
    for name in layer:
        if name not in order:
            raise unknown("layer", name, order, where="Generator")
    return tuple(sorted(set(layer), key=order.index))
