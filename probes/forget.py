"""Make a generator forget an object: find the filters that draw it from boxes, and drop them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import dcgan_probe as dp
from dcgan_probe.edits import tails
from dcgan_probe.errors import InputError, at_least, unknown
from dcgan_probe.images import sources
from dcgan_probe.plugins import completion
from dcgan_probe.plugins.contract import pass_session
from dcgan_probe.recognition.regression import Fit, cells_of, fit, held_out_accuracy, maps_of

from . import _choice, _judges, _proof
from ._boxed import (
    boxes_option,
    default_layer,
    latents_of,
    no_cell_outside,
    read_boxes,
    shipped_boxes,
    without_a_cell,
)
from ._choice import REPLACEMENTS, RULES, Layer
from ._edited import changes_of, images_of, random_sets
from ._forget_figures import pictures
from ._forgotten import Change, Drift, Forgotten
from ._levels import means as means_of

if TYPE_CHECKING:
    from torch import Tensor

    from dcgan_probe.recognition.detectors import Detector

__all__ = [
    "Change",
    "Drift",
    "Forgotten",
    "choose",
    "default_layer",
    "forget",
    "run",
    "shipped_boxes",
]

SHOWN = 12
CHOOSING = 100_000  # samples from here on are chosen with, those before are judged and shown


def run(
    session: dp.Session,
    boxes: dp.Boxes,
    label: str | None = None,
    layer: str | Sequence[str] | None = None,
    controls: int = 20,
    select: str = "paper",
    k: int = 16,
    replace: str | None = None,
    left: float = _choice.LEFT,
    judges: Sequence[str | Detector] | None = None,
    n: int = 160,
    resamples: int = 0,
    real: Tensor | None = None,
) -> Forgotten:
    """Find the filters that draw an object, and what is left of it without them.

        >>> session = Session.open("rooms")
        >>> result = run(session, dp.Boxes.read("windows.json"), label="window")
        >>> with session.editing(*result.selections):
        ...     without = session.sample(16)

    boxes: drawn on samples of this very checkpoint. label: which of their labels; may be left out
    where there is one. layer: of the generator, see `default_layer`; several for "gates".
    controls: how many random filter sets of equal size to compare with.

    select: "paper", every filter with a weight above zero in a logistic regression that tells
    activations inside the boxes from as many drawn at random outside of them on the same images;
    "top", the `k` of largest weight; "l1", those of a sparse regression; "causal", by the effect of
    dropping them; "gates", gains and replacements learnt by gradient. replace: what takes the place
    of dropped filters, "zero", their "mean", or that "outside" of the boxes, which is the default
    for causal, as zero is for the others; gates learn their own.
    left: how much of the evidence for the object causal and gates leave, to their own guide.

    judges: detectors by name or path (see `detectors.find`), or themselves, that say what is left
    on n fresh samples; "boxes" is one learnt from every second image with boxes, and the choice is
    then made on the others only. If not given, the detector that ships for the object, or "boxes".
    resamples: how often to choose again from boxed images drawn with replacement. real: N x C x S x
    S images to measure drift from; other samples if not given.

    The accuracy of the regression is held-out: of 5 folds by image, no image on both sides.
    Raises InputError for boxes of another checkpoint, a label that is not there, a layer without
    places or in which the boxes hold no cell or all cells, a choice of no filter or of all, and
    for a judge that finds no object or puts out what is no mask.
    Source: section 6.3.1, figure 6.
    """
    at_least(1, n=n, controls=controls, k=k)
    at_least(0, resamples=resamples)
    if not 0 < left < 1:
        raise InputError(f"left: found {left:g}, expected more than 0 and less than 1")
    label = _label(boxes, label)
    boxes = boxes.only(label)
    boxes.check(session.checkpoint.sha256)
    layers = _layers(session, layer, select)
    asked = _judges.asked(session, label, judges)
    choosing_boxes, judging_boxes = (
        _judges.halves(boxes) if _judges.BOXES in asked else (boxes, boxes)
    )
    replace = replace or ("outside" if select == "causal" else "zero")
    if replace not in REPLACEMENTS:
        raise unknown("replacement", replace, REPLACEMENTS)
    judging = [_judges.made(session, judging_boxes, label, name) for name in asked]

    task = _Task(session, layers, select, k, replace, left)
    first, where = layers[0], f"{boxes.source or 'boxes'}: layer {layers[0]!r}"
    z = latents_of(session, boxes)
    maps = maps_of(session, z, first)
    grid = (maps.shape[2], maps.shape[3])
    # Only images with boxes give places, inside and outside.
    drawn = dataclasses.replace(boxes, images=tuple({box.image for box in boxes.boxes}))
    if dp.edits.cells(drawn, first, tuple(maps.shape), session.config).all():
        raise no_cell_outside(drawn, first, session.config)
    chosen, fitted, cells = task.choose(choosing_boxes, where)
    accuracy = held_out_accuracy(cells)

    start = boxes.n if session.seed == boxes.seed else 0
    means = {
        of.name: means_of(session, of.name, range(of.count), n, CHOOSING)
        for of in chosen
        if of.values
    }
    random = random_sets(chosen, means, controls, session.seed)
    proofs = (
        _proof.prove(session, chosen, random, judging, session.latents(n, start=start))
        if judging
        else []
    )

    about = {
        "rule": select,
        "label": label,
        "weights": fitted.weights.tolist(),
        "held_out_accuracy": accuracy,
        "converged": fitted.converged,
        "boxes": {"source": Path(boxes.source).name, "seed": boxes.seed, "n": len(boxes.boxes)},
        "seed": session.seed,
    }
    if any(of.values for of in chosen):
        means_named = {"mean": "their mean", "outside": "their mean outside the object"}
        about["replaced_by"] = "learnt values" if select == "gates" else means_named[replace]
    selections = tuple(
        dp.Selection(of.name, of.filters, session.checkpoint.sha256, about, of.gains, of.values)
        for of in chosen
    )

    tail = tails.Tail(session.generator, first)
    before, after = images_of(session, tail, z, ([], chosen))
    inside = boxes.mask((before.shape[2], before.shape[3]))
    changes = [Change(*of) for of in changes_of(session, tail, z, [chosen, *random], inside)]
    # New samples, as in the paper: none of those that the boxes were drawn on.
    fresh = images_of(session, tail, session.latents(n, start=start), ([], chosen, random[0]))
    words = f"samples {start} to {start + min(n, SHOWN) - 1} of seed {session.seed}"
    reference = real
    if reference is None:
        reference = session.generate(session.latents(n, start=start + n))
    named = "other samples" if real is None else "the real images"
    as_is, gone, at_random = (_distance(images, reference, session.seed) for images in fresh)
    drift = Drift(as_is, gone, at_random, named)
    options = {
        "label": label,
        "layers": layers,
        "select": select,
        "k": k if select == "top" else None,
        "replace": "learnt" if select == "gates" else replace,
        "left": left if select in ("causal", "gates") else None,
        "controls": controls,
        "judges": [judge.name for judge in judging],
        "n": n,
        "boxes": about["boxes"],
        "boxes_chosen_with": len(choosing_boxes.boxes),
    }
    return Forgotten(
        session.made_with(**options),
        label,
        select,
        selections,
        fitted.weights,
        tuple(accuracy),
        fitted.converged,
        int(cells.inside.sum()),
        len(boxes.boxes),
        without_a_cell(boxes, grid),
        changes[0],
        tuple(changes[1:]),
        tuple(proofs),
        drift,
        _stability(task, choosing_boxes, chosen, where, resamples),
        pictures(session, boxes, (before, after), [f[:SHOWN] for f in fresh], words, maps, fitted),
    )


def choose(
    session: dp.Session, boxes: dp.Boxes, label: str | None = None, layer: str | None = None
) -> dp.Selection:
    """The filters that `run` drops by the paper's rule, without judging what that does.

        >>> session = Session.open("rooms")
        >>> with session.editing(choose(session, dp.Boxes.read("windows.json"), "window")):
        ...     without = session.sample(16)

    boxes, label, layer: as `run` takes them; raises as it does for these. Source: section 6.3.1.
    """
    label = _label(boxes, label)
    boxes = boxes.only(label)
    boxes.check(session.checkpoint.sha256)
    (name,) = _layers(session, layer, "paper")
    task = _Task(session, [name], "paper", 0, "zero", _choice.LEFT)
    (chosen,), _, _ = task.choose(boxes, f"{boxes.source or 'boxes'}: layer {name!r}")
    about = {"rule": "paper", "label": label}
    return dp.Selection(name, chosen.filters, session.checkpoint.sha256, about)


@dataclass(frozen=True)
class _Task:
    """How to choose filters, from whatever boxes."""

    session: dp.Session
    layers: Sequence[str]
    select: str
    k: int
    replace: str
    left: float

    def choose(self, boxes: dp.Boxes, where: str) -> tuple[list[Layer], Fit, Any]:
        import torch

        session, first = self.session, self.layers[0]
        z = latents_of(session, boxes)
        maps = maps_of(session, z, first)
        inside = boxes.mask((maps.shape[2], maps.shape[3]))
        cells = cells_of(maps.numpy(), inside, session.seed, where)
        fitted = fit(cells.activations, cells.inside)
        values = _choice.replacements(self.replace, maps, inside)
        weights = fitted.weights
        if self.select == "paper":
            chosen = [_choice.by_weight(first, weights, int((weights > 0).sum()), values)]
        elif self.select == "top":
            chosen = [_choice.by_weight(first, weights, min(self.k, len(weights)), values)]
        elif self.select == "l1":
            chosen = [_choice.by_sparse_weight(first, cells, weights, values)]
        else:
            from ._gates import Choosing

            guide = _judges.learnt(session, boxes)
            choosing = Choosing.of(session, first, guide, CHOOSING)
            if self.select == "causal":
                chosen = [_choice.by_effect(choosing, values, self.left)]
            else:
                begin = {first: torch.tensor(_choice.replacements("outside", maps, inside))}
                for name in self.layers[1:]:
                    later = maps_of(session, z, name)
                    mask = boxes.mask((later.shape[2], later.shape[3]))
                    begin[name] = torch.tensor(_choice.replacements("outside", later, mask))
                chosen = _choice.by_gates(choosing, self.layers, begin, self.left, session.seed)
        return chosen, fitted, cells


def _stability(
    task: _Task, boxes: dp.Boxes, chosen: Sequence[Layer], where: str, resamples: int
) -> float | None:
    """Mean Jaccard overlap of the chosen filters with those from boxed images drawn again."""
    import numpy as np

    if not resamples:
        return None
    kept = {(of.name, f) for of in chosen for f in of.filters}
    overlaps = []
    for i in task.session.progress(range(resamples), "choosing again"):
        rng = np.random.default_rng([task.session.seed, 3, i])
        drawn = set(rng.choice(boxes.images, len(boxes.images)).tolist())
        again, _, _ = task.choose(_judges.only_images(boxes, drawn), where)
        found = {(of.name, f) for of in again for f in of.filters}
        overlaps.append(len(kept & found) / len(kept | found))
    return float(np.mean(overlaps))


def _layers(session: dp.Session, layer: str | Sequence[str] | None, select: str) -> list[str]:
    if layer is None:
        layer = default_layer(session.config)
    layers = [layer] if isinstance(layer, str) else list(layer)
    if select not in RULES:
        raise unknown("rule", select, RULES)
    order = session.config.layers("generator")
    if len(layers) > 1:
        if select != "gates":
            raise InputError(f"select {select}: found {len(layers)} layers, expected one")
        for name in layers:
            if name not in order:
                raise unknown("layer", name, order, where="Generator")
        layers = sorted(set(layers), key=order.index)
    return layers


def _distance(images: Tensor, reference: Tensor, seed: int) -> float:
    from dcgan_probe.metrics.distances import sliced_wasserstein

    return sliced_wasserstein(images, reference, seed, projections=128)["mean"]


def _label(boxes: dp.Boxes, label: str | None) -> str:
    if label is not None:
        return label
    if len(boxes.labels) == 1:
        return boxes.labels[0]
    listed = ", ".join(boxes.labels) or "(there are no boxes)"
    raise InputError(
        f"{boxes.source or 'boxes'}: found {len(boxes.labels)} labels, expected one or --object "
        f"with one of: {listed}"
    )


@click.command()
@boxes_option
@click.option("--object", "label", help="Which label; not needed where the boxes have only one.")
@click.option(
    "--layer",
    "layers",
    multiple=True,
    help="Layer of the generator; its second-highest convolution if not given. With --select "
    "gates it may be given again.",
)
@click.option(
    "--select",
    default="paper",
    type=click.Choice(RULES),
    help="Weights above zero, the --k largest, a sparse regression's, by effect, or learnt gains.",
)
@click.option("--k", default=16, type=click.IntRange(1), help="How many, for --select top.")
@click.option(
    "--replace",
    type=click.Choice(REPLACEMENTS),
    help="By what dropped filters are replaced: zero, their mean, or that outside of the boxes. "
    "Zero if not given; for causal the mean outside.",
)
@click.option(
    "--left",
    default=_choice.LEFT,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of the evidence for the object that causal and gates leave.",
)
@click.option(
    "--judge",
    "judges",
    multiple=True,
    shell_complete=completion.installed("detector", "boxes"),
    help="Detector that says what is left: boxes, an installed one, or a .pt2; may be given again.",
)
@click.option("--n", default=160, type=click.IntRange(16), help="Fresh samples to judge.")
@click.option(
    "--controls", default=20, type=click.IntRange(1), help="Random filter sets to compare."
)
@click.option(
    "--resamples",
    default=0,
    type=click.IntRange(0),
    help="Times to choose again from resampled boxes, to see how stable the choice is.",
)
@click.option(
    "--real",
    type=click.Path(path_type=Path),
    help="Real images that edited ones drift from; other samples if not given.",
)
@pass_session
def forget(
    session: dp.Session,
    path: Path | None,
    label: str | None,
    layers: tuple[str, ...],
    judges: tuple[str, ...],
    real: Path | None,
    **options: Any,
) -> None:
    """Make the generator forget an object that boxes were drawn on.

    A logistic regression on the layer's activations tells inside from outside the boxes; every
    filter with a weight above zero is dropped (section 6.3.1), in the commands after this too. On
    fresh samples a detector says what is left, beside random filters and those it chooses last.
    """
    import torch

    boxes = read_boxes(session, path)
    images = None
    if real is not None:
        source = sources.batches(session.images(real, options["n"]), dp.session.BATCH)
        images = torch.cat([batch.cpu() for batch in source])
    layer = layers[0] if len(layers) == 1 else layers or None
    result = run(session, boxes, label, layer, judges=judges or None, real=images, **options)
    session.save(result)
    for selection in result.selections:
        session.edit(selection)
