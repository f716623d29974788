"""Name a direction by the label that changes most along it, or by the nearest concept."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dcgan_probe.latents.concepts import Concepts
from dcgan_probe.metrics.intervals import Interval, mean_interval
from dcgan_probe.probes.directions.result import LEAST, MEASURED, by_chance
from dcgan_probe.recognition import keeping
from dcgan_probe.recognition.classifiers import Classifier, classify
from dcgan_probe.session import Session


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a classifier sees change along one direction, from end to end, on `MEASURED` samples.

    changes: by label, the mean change of its probability. median: by label, the index of the sample
    in which it changes by the median: half of the samples change at least as much.
    """

    changes: dict[str, Interval]
    median: dict[str, int]

    @property
    def most(self) -> str:
        """The label that changes most on average."""
        return max(self.changes, key=lambda label: abs(self.changes[label].value))


def measure(session: Session, z: Tensor, reach: float, classifier: Classifier) -> list[Measured]:
    """By direction, how much the probability of each label changes from end to end.

    z: k x z_size. On `MEASURED` samples of the next seed.
    """
    samples = session.latents(MEASURED, session.seed + 1)
    found = []
    for direction in session.progress(z, "directions", len(z)):
        low, high = (
            classify(classifier, session.generate(samples + place * direction))
            for place in (-reach, reach)
        )
        each = dict(zip(classifier.labels, (high - low).T, strict=True))
        found.append(
            Measured(
                changes={
                    label: Interval(float(row.mean()), *mean_interval(row.tolist()))
                    for label, row in each.items()
                },
                median={
                    label: int(row.argsort(stable=True)[len(row) // 2])
                    for label, row in each.items()
                },
            )
        )
    return found


def cosines(session: Session, z: Tensor, concepts: Concepts) -> list[dict[str, float]]:
    """By direction, its cosine with each concept: the mean of its exemplars less that of z."""
    towards = keeping.towards_concepts(session, concepts, list(concepts.named))
    table = torch.nn.functional.normalize(z) @ torch.nn.functional.normalize(towards).T
    return [dict(zip(concepts.named, row, strict=True)) for row in table.tolist()]


def named_by_change(moved: dict[str, Interval]) -> str | None:
    """The label that changes most, if surely and by `LEAST` or more; else None."""
    label = max(moved, key=lambda name: abs(moved[name].value))
    change = moved[label]
    sure = change.low * change.high > 0
    return label if sure and abs(change.value) >= LEAST else None


def named_by_cosine(near: dict[str, float], size: int) -> str | None:
    """The nearest concept, if it is nearer than random directions are; else None."""
    if not near:
        return None
    name = max(near, key=lambda each: abs(near[each]))
    return name if abs(near[name]) >= by_chance(size) else None


def times(sign: float, change: Interval) -> Interval:
    """A change the other way round, if the sign is -1."""
    low, high = sorted((sign * change.low, sign * change.high))
    return Interval(sign * change.value, low, high)
