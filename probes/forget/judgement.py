"""Judge an edit on new samples: what is left of the object, and what else changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dcgan_probe.edits.comparison import edited
from dcgan_probe.edits.tails import Tail
from dcgan_probe.errors import InputError
from dcgan_probe.metrics.intervals import Interval, bootstrap_weights, divide
from dcgan_probe.probes.forget.rivals import Edits, Rivals, count
from dcgan_probe.recognition.detectors import Detector, soft
from dcgan_probe.recognition.judges import away_from
from dcgan_probe.session import Session

BATCH = 32
PRESENT = 0.01  # a sample holds an object if so much of it is marked


@dataclass(frozen=True)
class Change:
    """Mean absolute change of pixels, on images in [-1, 1], inside and outside the boxes."""

    inside: float
    outside: float

    def __str__(self) -> str:
        return f"inside boxes {self.inside:.3f}, outside {self.outside:.3f}"


@dataclass(frozen=True)
class Drift:
    """Sliced Wasserstein distance x 1000 from reference images, mean over scales.

    before, after, random: of samples without the edit, with it, and with one random set.
    reference: what the images are compared with.
    """

    before: float
    after: float
    random: float
    reference: str


@dataclass(frozen=True)
class EditOutcome:
    """What an edit did, by one judge.

    filters: how many it changed. area_left, objects_left: marked pixels, and samples that hold an
    object, as shares of those without an edit. inside, outside: mean absolute change of pixels on
    images in [-1, 1], where the object was, and away from it. without_object: the same on the
    samples that held none, None if all did. Of several edits, means over them.
    """

    filters: int
    area_left: Interval
    objects_left: Interval
    inside: float
    outside: Interval
    without_object: float | None

    def __str__(self) -> str:
        without = "none" if self.without_object is None else f"{self.without_object:.3f}"
        return (
            f"area left {self.area_left}, objects left {self.objects_left}; change inside "
            f"{self.inside:.3f}, outside {self.outside}, without object {without}"
        )

    def doubts(self, judge: str, label: str, target: float | None) -> list[str]:
        """Say that more is left than `target`, what the choice was to leave, if that is certain."""
        if target is None or not self.area_left.low > target:
            return []
        return [
            f"MORE IS LEFT THAN ASKED FOR, says judge {judge}: the {label}'s area left is "
            f"{self.area_left}, expected at most {target:g}; the guide, a detector that the "
            "choice was made with, finds less"
        ]

    def values(self) -> dict[str, Any]:
        return {
            name: value.values() if isinstance(value, Interval) else value
            for name, value in vars(self).items()
        }


@dataclass(frozen=True, eq=False)
class Proof:
    """What one judge says: of the chosen filters, random ones, and those that are ranked lowest.

    about: what is known of the judge. objects: samples that hold one before, of `samples`.
    each_random: area left and change outside, of each random set. curve, random_curve: filters,
    area left and change outside, for the first of the chosen filters and for random ones.
    """

    judge: str
    about: dict[str, Any]
    samples: int
    objects: int
    chosen: EditOutcome
    random: EditOutcome
    chosen_last: EditOutcome
    each_random: tuple[tuple[float, float], ...]
    curve: tuple[tuple[int, float, float], ...]
    random_curve: tuple[tuple[int, float, float], ...]

    @property
    def better_than_random(self) -> bool:
        """Whether the interval of what is left lies below that of the random sets."""
        return self.chosen.area_left.high < self.random.area_left.low

    @property
    def as_good(self) -> int:
        """How many of the random sets leave no more."""
        return sum(left <= self.chosen.area_left.value for left, _ in self.each_random)

    def values(self) -> dict[str, Any]:
        named = ("chosen", "random", "chosen_last")
        outcomes = {name: getattr(self, name).values() for name in named}
        points = ("filters", "area_left", "outside")
        return {
            "judge": self.judge,
            "about": self.about,
            "samples": self.samples,
            "samples_with_object": self.objects,
            "better_than_random": self.better_than_random,
            "random_sets_as_good": self.as_good,
            **outcomes,
            "each_random": [dict(zip(points[1:], row, strict=True)) for row in self.each_random],
            "curve": [dict(zip(points, row, strict=True)) for row in self.curve],
            "random_curve": [dict(zip(points, row, strict=True)) for row in self.random_curve],
        }


def prove(session: Session, rivals: Rivals, judges: Sequence[Detector], z: Tensor) -> list[Proof]:
    """Let judges say what edits leave of the object on latents that the choice has not seen.

    Raises InputError where a judge finds no object.
    """
    edits = [
        rivals.chosen,
        rivals.last,
        *rivals.random,
        *rivals.parts,
        *rivals.random_parts,
    ]
    tallies = [Tally(judge, len(edits)) for judge in judges]
    tail = Tail(session.generator, rivals.layer)
    for batch in session.progress(z.split(BATCH), "judging fresh samples"):
        base = tail.start(batch.to(session.device))
        before = edited(session.generator, base, []).cpu()
        for tally in tallies:
            tally.begin(before)
        for i, edit in enumerate(edits):
            after = edited(session.generator, base, edit).cpu()
            for tally in tallies:
                tally.add(i, before, after)
    sets, points = slice(2, 2 + len(rivals.random)), len(rivals.parts)
    return [_proof(session.seed, tally, edits, sets, points, len(z)) for tally in tallies]


class Tally:
    """Sums of every sample for every edit, by one judge; rows of edits, columns of samples."""

    def __init__(self, judge: Detector, edits: int):
        self.judge = judge
        self.before: list[np.ndarray] = []
        self.sums: list[list[np.ndarray]] = [[] for _ in range(edits)]

    def begin(self, before: Tensor) -> None:
        self.inside = soft(self.judge, before) > 0.5
        self.outside = away_from(self.inside)
        areas = [self.inside, self.outside]
        self.before.append(torch.stack([area.double().sum((1, 2)) for area in areas]).numpy())

    def add(self, edit: int, before: Tensor, after: Tensor) -> None:
        marked = soft(self.judge, after) > 0.5
        change = (after - before).abs().mean(1).double()
        parts = [marked.double(), change * self.inside, change * self.outside, change]
        self.sums[edit].append(torch.stack([part.sum((1, 2)) for part in parts]).numpy())

    def collect(self, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """Sums before, 2 x samples, and after, edits x 4 x samples.

        Raises InputError where the judge finds no object on any sample, or nothing else.
        """
        before = np.concatenate(self.before, axis=1)
        pixels = self.inside[0].numel()
        if not (before[0] > PRESENT * pixels).any():
            raise InputError(
                f"detector {self.judge.name}: found no object on {samples} fresh samples, expected "
                "some: what an edit leaves cannot be measured"
            )
        if not before[1].any():
            raise InputError(
                f"detector {self.judge.name}: found the object all over {samples} fresh samples, "
                "expected a part of them"
            )
        return before, np.stack([np.concatenate(parts, axis=1) for parts in self.sums])


def _proof(
    seed: int, tally: Tally, edits: Sequence[Edits], sets: slice, points: int, samples: int
) -> Proof:
    before, sums = tally.collect(samples)
    pixels = tally.inside[0].numel()
    numbers = [count(edit) for edit in edits]

    def outcome(rows: np.ndarray, filters: int) -> EditOutcome:
        return measure_outcome(seed, rows, before, filters, pixels)

    def point(i: int) -> tuple[float, float]:
        return (
            float(sums[i, 0].sum() / before[0].sum()),
            float(sums[i, 2].sum() / before[1].sum()),
        )

    first = sets.stop
    curve = [(numbers[i], *point(i)) for i in range(first, first + points)]
    pairs = range(first + points, first + 3 * points, 2)
    at_random = [
        (numbers[i], *(float(np.mean(pair)) for pair in zip(point(i), point(i + 1), strict=True)))
        for i in pairs
    ]
    return Proof(
        tally.judge.name,
        tally.judge.about,
        samples,
        int((before[0] > PRESENT * pixels).sum()),
        outcome(sums[:1], numbers[0]),
        outcome(sums[sets], numbers[sets.start]),
        outcome(sums[1:2], numbers[1]),
        tuple(point(i) for i in range(sets.start, sets.stop)),
        (*curve, (numbers[0], *point(0))),
        tuple(at_random),
    )


def measure_outcome(
    seed: int, rows: np.ndarray, before: np.ndarray, filters: int, pixels: int
) -> EditOutcome:
    """Means over edits, and intervals over samples and edits, drawn again together."""
    rng = np.random.default_rng([seed, 2])
    edits, _, samples = rows.shape
    # How often each sample, and each edit, is in each resample.
    times = bootstrap_weights(samples, rng)
    sets = bootstrap_weights(edits, rng) / edits
    held = (before[0] > PRESENT * pixels).astype(float)
    holds = (rows[:, 0] > PRESENT * pixels).astype(float)

    def share(after: np.ndarray, unedited: np.ndarray) -> Interval:
        # A resample may miss the only samples that hold the object: it gives no share.
        return Interval.of(divide(((sets @ after) * times).sum(1), times @ unedited))

    none = held == 0
    whole = rows[:, 3].mean(0)
    return EditOutcome(
        filters,
        share(rows[:, 0], before[0]),
        share(holds, held),
        share(rows[:, 1], before[0]).value,
        share(rows[:, 2], before[1]),
        float(whole[none].mean() / pixels) if none.any() else None,
    )
