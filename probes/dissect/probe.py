"""Compare every filter of a layer with every boxed object, by its map and by its effect."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr  # type: ignore[import-untyped]

from dcgan_probe.boxes.boxes import Boxes
from dcgan_probe.distributed import Ranks
from dcgan_probe.edits.regions import cells_in_and_out
from dcgan_probe.errors import InputError, at_least
from dcgan_probe.probes.dissect.agreement import Agreement, agreement
from dcgan_probe.probes.dissect.effects import Effect, ObjectJudge, measure
from dcgan_probe.probes.dissect.figures import DissectionPictures, pictures
from dcgan_probe.probes.dissect.result import Dissected, Object
from dcgan_probe.recognition import detectors, exported
from dcgan_probe.recognition.detectors import Detector
from dcgan_probe.recognition.samples import BoxedSamples, default_layer
from dcgan_probe.session import Session


def run(
    session: Session,
    boxes: Boxes | str | os.PathLike[str] | None = None,
    label: str | None = None,
    layer: str | None = None,
    n: int = 200,
    judge: str | Detector | None = None,
    top: int = 8,
    ranks: Ranks | None = None,
) -> Dissected:
    """Compare every filter of a layer with every boxed object: does it match, does it cause it?

        >>> session = Session.open("rooms")
        >>> found = run(session, Boxes.read("windows.json"), layer="16x16", n=50)
        >>> found.objects[0].effect.area_left.shape
        (128,)

    boxes: boxes on samples of this checkpoint, or the path of a file of them; by default those
    that ship. label: one label of the boxes; all by default. layer: of the generator; by default
    its second-highest convolution.

    Agreement is the IoU of the boxes with map > threshold, on the boxed samples, at the layer's
    resolution. Half of the images choose the threshold, the others score it. Effect is measured on
    n samples without boxes: each filter alone is dropped, and a detector marks the object before
    and after. The change is the mean absolute difference of pixels on images in [-1, 1], inside
    and outside of where the object was before.

    judge: a detector, or what `detectors.find` takes; by default the one that ships for the label.
    Without a detector, the change is measured on the boxed samples, inside and outside the boxes.
    top: number of filters to draw, those with the largest effect. ranks: processes that share the
    filters; all return the same result. Memory holds the layer's maps of the boxed samples, and
    one batch.

    Raises InputError for boxes of another checkpoint, an unknown label, a layer without feature
    maps, boxes that contain no location of the layer or all of them, and invalid output of a
    detector. Source: Bau et al. 2019, GAN Dissection, with boxes instead of segmentations; section
    6.3.1 for dropping.
    """
    at_least(1, n=n, top=top)
    boxes = session.read_boxes(boxes)
    boxes.check(session.checkpoint.sha256)
    if not boxes.boxes:
        raise InputError(f"{boxes.source or 'boxes'}: found no boxes, expected at least one")
    layer = layer or default_layer(session.config)
    labels = boxes.labels if label is None else (label,)
    judges = _judges(session, [boxes.only(each) for each in labels], judge)
    samples = BoxedSamples.draw(session, boxes, layer)
    agreements = [_agreement(samples, each) for each in judges]
    start = boxes.n if session.seed == boxes.seed else 0
    fresh = session.latents(n, start=start)
    ranks = ranks or Ranks(device=session.device)
    objects: dict[str, Object] = {}
    numbers = {True: range(start, start + n), False: boxes.images}
    for z, by_detector in ((fresh, True), (samples.z, False)):
        seed = session.seed if by_detector else boxes.seed
        of = "" if seed is None else f"{seed}:"  # a file of latents has no seed
        names = [f"{of}{number}" for number in numbers[by_detector]]
        own = {
            each: match
            for each, match in zip(judges, agreements, strict=True)
            if (each.detector is not None) == by_detector
        }
        if own:
            effects, strongest = measure(session, layer, z, list(own), ranks)
            for (each, match), effect in zip(own.items(), effects, strict=True):
                shown = pictures(
                    session, layer, each.label, match, effect, z, strongest, top, names
                )
                objects[each.label] = _object(each, match, effect, len(z), shown)
    options = {"layer": layer, "labels": list(labels), "n": n, "top": top}
    options["boxes"] = {"source": Path(boxes.source).name, "seed": boxes.seed, "n": boxes.n}
    return Dissected(
        made_with=session.made_with(**options),
        layer=layer,
        objects=tuple(objects[each] for each in labels),
    )


def _agreement(samples: BoxedSamples, judge: ObjectJudge) -> Agreement:
    """How well each filter matches the boxes of one judge, on samples of several labels."""
    boxes, maps = judge.boxes, samples.maps.numpy()
    inside = cells_in_and_out(boxes, samples.layer, maps.shape, samples.session.config)
    where = f"{boxes.source or 'boxes'}: layer {samples.layer!r}: {judge.label!r}"
    return agreement(maps, inside, where)


def _object(
    judge: ObjectJudge, match: Agreement, effect: Effect, samples: int, pictures: DissectionPictures
) -> Object:
    return Object(
        label=judge.label,
        judge=judge.name,
        about={} if judge.detector is None else judge.detector.about,
        samples=samples,
        agreement=match,
        effect=effect,
        tells_effect=_rank_correlation(match.held_out_iou, effect.size),
        tells_place=_rank_correlation(match.held_out_iou, effect.inside - effect.outside),
        pictures=pictures,
    )


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    if len(set(a)) == 1 or len(set(b)) == 1:
        return None
    return float(spearmanr(a, b).statistic)


def _judges(
    session: Session, objects: Sequence[Boxes], judge: str | Detector | None
) -> list[ObjectJudge]:
    """Who judges each object: the named detector, that which ships, or the boxes.

    objects: for each label its boxes.
    """
    judges = []
    for boxes in objects:
        (label,) = boxes.labels
        detector = judge or detectors.shipped(session.checkpoint.name, label)
        if isinstance(detector, str):
            detector = detectors.find(detector, label, session.device)
        elif detector is not None:
            detectors.check(detector)
        # Only an installed detector was asked for this label.
        one_object = detector is judge or isinstance(detector, exported.Network)
        if len(objects) > 1 and detector and one_object:
            labels = ", ".join(each.labels[0] for each in objects)
            raise InputError(
                f"detector {detector.name}: found {len(objects)} labels for its one object, "
                f"expected --object with one of: {labels}"
            )
        judges.append(ObjectJudge(boxes, detector))
    return judges
