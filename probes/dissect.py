"""Dissect a layer: which filters look like an object, and which of them cause it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import dcgan_probe as dp
from dcgan_probe.errors import InputError, at_least
from dcgan_probe.networks import config
from dcgan_probe.plugins import completion
from dcgan_probe.plugins.contract import pass_session
from dcgan_probe.recognition.regression import maps_of
from dcgan_probe.results.result import Result

from ._agreement import Agreement, agreement
from ._boxed import (
    boxes_option,
    default_layer,
    latents_of,
    no_cell_outside,
    read_boxes,
)
from ._effects import Effect, Judge, measure
from ._masked import Pictures, pictures

if TYPE_CHECKING:
    import numpy as np

    from dcgan_probe.distributed import Ranks
    from dcgan_probe.recognition.detectors import Detector

LISTED = 5


@dataclass(frozen=True, eq=False)
class Object:
    """All filters of the layer against one labelled object.

    judge: the detector that says what is left of it, or "boxes"; about: what is known of it.
    samples: on how many the effect was measured. tells_effect: Spearman's rank correlation, over
    filters, of held-out IoU and size of the effect; tells_place: of held-out IoU and the change
    inside less that outside. None where one of the two is the same for all filters.
    """

    label: str
    judge: str
    about: dict[str, Any]
    samples: int
    agreement: Agreement
    effect: Effect
    tells_effect: float | None
    tells_place: float | None
    pictures: Pictures

    def by_agreement(self) -> list[int]:
        """Filters by held-out IoU, the highest first."""
        return (-self.agreement.held_out_iou).argsort(kind="stable").tolist()

    def by_effect(self) -> list[int]:
        """Filters by the size of their effect, the largest first."""
        return (-self.effect.size).argsort(kind="stable").tolist()

    def row(self, f: int) -> dict[str, Any]:
        """The numbers of one filter; area_left only where a detector judged."""
        effect, left = self.effect, self.effect.area_left
        low, high = effect.interval[f].tolist()
        return {
            "filter": f,
            "threshold": float(self.agreement.threshold[f]),
            "iou": float(self.agreement.iou[f]),
            "held_out_iou": float(self.agreement.held_out_iou[f]),
            **({} if left is None else {"area_left": float(left[f])}),
            "change_inside": float(effect.inside[f]),
            "change_outside": float(effect.outside[f]),
            "effect": float(effect.size[f]),
            "effect_95": [low, high] if math.isfinite(low) else None,
        }

    def values(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "judge": {"name": self.judge, "about": self.about},
            "samples": self.samples,
            "pixels_of_object": self.effect.pixels,
            "chance_iou": self.agreement.chance,
            "rank_correlation_of_iou": {
                "effect": self.tells_effect,
                "change_inside_less_outside": self.tells_place,
            },
            "filters": [self.row(f) for f in range(len(self.effect.size))],
        }

    def __str__(self) -> str:
        looks, causes = self.by_agreement()[:LISTED], self.by_effect()[:LISTED]
        if self.effect.area_left is None:
            judged = "no detector: effect is the change inside the boxes less that outside"
        else:
            judged = f"judged by {self.judge}: effect is the share of the object's area that goes"
        effect, place = (
            "none" if rho is None else f"{rho:.2f}" for rho in (self.tells_effect, self.tells_place)
        )
        both = len(set(looks) & set(causes))
        head = "  filter  held-out IoU  effect (95% interval)   change inside  outside"
        return "\n".join(
            [
                f"{self.label}: {self.samples} samples, {judged}",
                f"most like the boxes (a mask of all places has IoU {self.agreement.chance:.3f}):",
                head,
                *map(self._line, looks),
                "of most effect:",
                head,
                *map(self._line, causes),
                f"{both} of {len(looks)} are in both lists",
                f"rank correlation of IoU over all {len(self.effect.size)} filters: {effect} with "
                f"the effect, {place} with the change inside less that outside",
            ]
        )

    def _line(self, f: int) -> str:
        low, high = self.effect.interval[f]
        return (
            f"  {f:6d}  {self.agreement.held_out_iou[f]:12.3f}  {self.effect.size[f]:6.3f} "
            f"({low:6.3f} to {high:6.3f})  {self.effect.inside[f]:13.3f}  "
            f"{self.effect.outside[f]:7.3f}"
        )


@dataclass(frozen=True, eq=False)
class Dissected(Result):
    """What `run` returns: one object a label, in the order of the labels."""

    layer: str
    objects: tuple[Object, ...]

    def values(self) -> dict[str, Any]:
        return {"layer": self.layer, "objects": [each.values() for each in self.objects]}

    def draw(self, folder: Path) -> None:
        for i, each in enumerate(self.objects):
            # Labels may be any text, so they are in the picture and not in the name of its file.
            each.pictures.draw(folder / ("dissect.png" if not i else f"dissect_{i + 1}.png"))

    def __str__(self) -> str:
        count = len(self.objects[0].effect.size)
        return "\n\n".join([f"layer {self.layer}, {count} filters", *map(str, self.objects)])


def run(
    session: dp.Session,
    boxes: dp.Boxes,
    layer: str | None = None,
    label: str | None = None,
    n: int = 200,
    judge: str | Detector | None = None,
    top: int = 8,
    ranks: Ranks | None = None,
) -> Dissected:
    """Hold every filter of a generator's layer against every object that boxes were drawn on.

        >>> session = dp.Session.open("rooms")
        >>> found = run(session, dp.Boxes.read("windows.json"), layer="16x16", n=50)
        >>> found.objects[0].effect.area_left.shape
        (128,)

    boxes: drawn on samples of this very checkpoint. layer: of the generator, that of `forget` if
    None. label: one of the labels of the boxes; all if None.

    Agreement is measured on the boxed samples: the IoU of boxes and map > threshold at the layer's
    size; half of the images choose the threshold, the others score it. Effect is measured on n
    samples that no box was drawn on, by dropping each filter alone: what a detector still finds of
    the object, and the mean absolute change of pixels, on images in [-1, 1], inside and outside of
    where it was before. judge: a detector, or what `detectors.find` takes; if None, that which
    ships for the label. Where none does, the change is measured on the boxed samples, in and out
    of the boxes.

    top: how many filters are drawn, those of the largest effect. ranks: processes that share the
    filters; all return the same. Memory holds the layer's maps of the boxed samples, and a batch.

    Raises InputError for boxes of another checkpoint, a label that is not there, a layer without
    places or in which the boxes hold no cell or all cells, and what a detector does wrongly.
    Source: Bau et al. 2019, GAN Dissection, with boxes in place of its segmentations; dropping,
    section 6.3.1.
    """
    from dcgan_probe.distributed import Ranks

    at_least(1, n=n, top=top)
    boxes.check(session.checkpoint.sha256)
    if not boxes.boxes:
        raise InputError(f"{boxes.source or 'boxes'}: found no boxes, expected at least one")
    layer = layer or default_layer(session.config)
    labels = boxes.labels if label is None else (label,)
    judges = _judges(session, [boxes.only(each) for each in labels], judge)
    boxed = latents_of(session, boxes)
    maps = maps_of(session, boxed, layer).numpy()
    insides = [_inside(each.boxes, layer, maps.shape, session.config) for each in judges]
    agreements = [
        agreement(maps, inside, f"{boxes.source or 'boxes'}: layer {layer!r}: {each.label!r}")
        for each, inside in zip(judges, insides, strict=True)
    ]
    start = boxes.n if session.seed == boxes.seed else 0
    fresh = session.latents(n, start=start)
    ranks = ranks or Ranks(device=session.device)
    objects: dict[str, Object] = {}
    for z, by_detector in ((fresh, True), (boxed, False)):
        own = {
            each: found
            for each, found in zip(judges, agreements, strict=True)
            if (each.detector is not None) == by_detector
        }
        if own:
            effects, strongest = measure(session, layer, z, list(own), ranks)
            for (each, found), effect in zip(own.items(), effects, strict=True):
                shown = pictures(session, layer, each.label, found, effect, z, strongest, top)
                objects[each.label] = _object(each, found, effect, len(z), shown)
    options = {"layer": layer, "labels": list(labels), "n": n, "top": top}
    options["boxes"] = {"source": Path(boxes.source).name, "seed": boxes.seed, "n": boxes.n}
    return Dissected(session.made_with(**options), layer, tuple(objects[each] for each in labels))


def _object(
    judge: Judge, found: Agreement, effect: Effect, samples: int, pictures: Pictures
) -> Object:
    return Object(
        judge.label,
        judge.name,
        {} if judge.detector is None else judge.detector.about,
        samples,
        found,
        effect,
        _rank_correlation(found.held_out_iou, effect.size),
        _rank_correlation(found.held_out_iou, effect.inside - effect.outside),
        pictures,
    )


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    from scipy.stats import spearmanr  # type: ignore[import-untyped]

    if len(set(a)) == 1 or len(set(b)) == 1:
        return None
    return float(spearmanr(a, b).statistic)


def _judges(
    session: dp.Session, of: Sequence[dp.Boxes], given: str | Detector | None
) -> list[Judge]:
    """Who judges each object: the given detector, that which ships, or the boxes."""
    from dcgan_probe.recognition import detectors, exported

    judges = []
    for boxes in of:
        (label,) = boxes.labels
        found = given or detectors.shipped(session.checkpoint.name, label)
        if isinstance(found, str):
            found = detectors.find(found, label, session.device)
        # Only an installed detector was asked for this very label.
        if len(of) > 1 and found and (found is given or isinstance(found, exported.Network)):
            labels = ", ".join(each.labels[0] for each in of)
            raise InputError(
                f"detector {found.name}: found {len(of)} labels for its one object, expected "
                f"--object with one of: {labels}"
            )
        judges.append(Judge(boxes, found))
    return judges


def _inside(
    boxes: dp.Boxes, layer: str, shape: tuple[int, ...], config: config.AnyConfig
) -> np.ndarray:
    """Which cells of a layer are in boxes, N x h x w bool; InputError if all or none are."""
    mask = dp.edits.cells(boxes, layer, shape, config)
    if mask.all():
        raise no_cell_outside(boxes, layer, config)
    return mask


@click.command()
@click.option("--layer", help="Layer of the generator; that of forget if not given.")
@boxes_option
@click.option("--object", "label", help="One label of the boxes; all of them if not given.")
@click.option("--n", default=200, type=click.IntRange(1), help="New samples to measure effects on.")
@click.option(
    "--judge",
    shell_complete=completion.installed("detector", "boxes"),
    metavar="NAME|FILE.pt2",
    help="Detector of the object; that which ships for it if not given.",
)
@click.option("--top", default=8, type=click.IntRange(1), help="How many filters to draw.")
@pass_session
def dissect(
    session: dp.Session,
    layer: str | None,
    path: Path | None,
    label: str | None,
    n: int,
    judge: str | None,
    top: int,
) -> None:
    """Find which filters of a layer look like an object, and which cause it.

    Every filter against every labelled object: how well its map matches the boxes, and what is
    left of the object without it. Under torchrun, all its processes share the filters (its -- keeps
    it from taking --n for an option of its own):

        torchrun --nproc-per-node 2 -m -- dcgan_probe dissect --n 500
    """
    from dcgan_probe import distributed

    boxes = read_boxes(session, path)
    with distributed.joined(session.device.type) as own:
        # The session opened on the first GPU: each process goes on with its own.
        session.generator.to(own.device)
        result = run(session, boxes, layer, label, n, judge, top, own)
        # All have reserved the folder by now, which is why one of them may fill it.
        if own.first:
            session.save(result)
