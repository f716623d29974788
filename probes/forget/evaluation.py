"""Evaluate a choice of filters on the boxed samples and on new ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from dcgan_probe.boxes import Boxes
from dcgan_probe.edits import comparison
from dcgan_probe.edits.filters import Selection
from dcgan_probe.metrics.distances import sliced_wasserstein
from dcgan_probe.probes.forget.choice import RULES
from dcgan_probe.probes.forget.damage import Damage, measure_damage
from dcgan_probe.probes.forget.judgement import BATCH, Change, Drift, Proof, prove
from dcgan_probe.probes.forget.rivals import Rivals
from dcgan_probe.probes.forget.settings import RuleSettings
from dcgan_probe.probes.forget.traces import Traces, trace
from dcgan_probe.recognition.detectors import Detector, soft
from dcgan_probe.recognition.judges import away_from
from dcgan_probe.recognition.samples import BoxedSamples
from dcgan_probe.session import Session

PROJECTIONS = 128


@dataclass(frozen=True, eq=False)
class Measurements:
    """What an edit does, and the images that it was measured on, N x C x S x S.

    change, random: on the boxed samples, by the choice and by each random set. boxed: those samples
    before and after. proofs: what every judge says of fresh samples. fresh: those samples before,
    after, and with one random set. traces: what probes trained again find on those, for the first
    judge; none without judges. damage: what is left of the image away from what the first judge
    marks, or of all of it without judges.
    """

    change: Change
    random: tuple[Change, ...]
    boxed: tuple[Tensor, Tensor]
    proofs: tuple[Proof, ...]
    drift: Drift
    fresh: tuple[Tensor, Tensor, Tensor]
    traces: tuple[Traces, ...]
    damage: Damage


def evaluate(
    samples: BoxedSamples,
    rivals: Rivals,
    judges: Sequence[Detector],
    start: int,
    n: int,
    real: Tensor | None = None,
) -> Measurements:
    """Measure a choice on the boxed samples, and on n fresh ones of the session's seed.

    start: number of the first of the fresh samples. real: images to measure drift from; the n
    samples after the fresh ones if None. Raises InputError where a judge finds no object.
    """
    session = samples.session
    z = session.latents(n, start=start)
    before, after = _images(session, rivals, samples.z, [[], rivals.chosen])
    as_is, edited, at_random = _images(session, rivals, z, [[], rivals.chosen, rivals.random[0]])
    inside = samples.boxes.mask((before.shape[2], before.shape[3]))
    changes = comparison.changes(
        session.generator,
        rivals.layer,
        _batches(session, samples.z, "edits"),
        [rivals.chosen, *rivals.random],
        inside,
    )
    change, *random = (Change(*means) for means in changes)
    proofs = tuple(prove(session, rivals, judges, z)) if judges else ()
    other = session.generate(session.latents(n, start=start + n)) if real is None else real
    drift = Drift(
        before=_distance(as_is, other, session.seed),
        after=_distance(edited, other, session.seed),
        random=_distance(at_random, other, session.seed),
        reference="other samples" if real is None else "the real images",
    )
    fresh = (as_is, edited, at_random)
    traces = tuple(
        trace(session, judge, as_is, {"chosen": edited, "random": at_random})
        for judge in judges[:1]
    )
    away = away_from(soft(judges[0], as_is) > 0.5) if judges else None
    damage = measure_damage(as_is, edited, away)
    return Measurements(
        change, tuple(random), (before, after), proofs, drift, fresh, traces, damage
    )


def measure_stability(
    samples: BoxedSamples, settings: RuleSettings, chosen: Sequence[Selection], resamples: int
) -> float | None:
    """Mean Jaccard overlap of the chosen filters with those from random halves of the images.

    samples: those that were chosen with; half of those with boxes and half of those without are
    drawn. None without resamples. Source: Meinshausen and Buehlmann (2010), for the halves.
    """
    if not resamples:
        return None
    session = samples.session
    kept = {(edit.layer, f) for edit in chosen for f in edit.filters}
    overlaps = []
    for i in session.progress(range(resamples), "choosing again"):
        rng = np.random.default_rng([session.seed, 3, i])
        drawn = samples.only(_half(samples.boxes, rng))
        rankings = RULES[settings.select](drawn, settings)
        again = {(rank.chosen.layer, f) for rank in rankings for f in rank.chosen.filters}
        overlaps.append(len(kept & again) / len(kept | again))
    return float(np.mean(overlaps))


def _half(boxes: Boxes, rng: np.random.Generator) -> list[int]:
    """Half of the images with boxes, and half of those without, rounded up."""
    boxed = {box.image for box in boxes.boxes}
    bare = [image for image in boxes.images if image not in boxed]
    return [
        int(image)
        for group in (sorted(boxed), bare)
        for image in rng.permutation(group)[: (len(group) + 1) // 2]
    ]


def _images(
    session: Session, rivals: Rivals, z: Tensor, edits: Sequence[Sequence[Selection]]
) -> list[Tensor]:
    batches = _batches(session, z, "images of edits")
    return comparison.images(session.generator, rivals.layer, batches, edits)


def _batches(session: Session, z: Tensor, title: str) -> Iterable[Tensor]:
    return session.progress(z.to(session.device).split(BATCH), title)


def _distance(images: Tensor, reference: Tensor, seed: int) -> float:
    return sliced_wasserstein(images, reference, seed, projections=PROJECTIONS)["mean"]
