"""Measure what a transplant does to samples, by one detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dcgan_probe.boxes.boxes import Box, Boxes
from dcgan_probe.metrics.intervals import (
    UNKNOWN,
    Interval,
    bootstrap_weights,
    divide,
    percentile_interval,
)
from dcgan_probe.probes.put.options import Edges
from dcgan_probe.probes.put.rim import rim_steps, stands_out
from dcgan_probe.recognition.detectors import Detector, soft
from dcgan_probe.recognition.judges import away_from

THERE = 0.5  # an object is there if so much of the box is marked
FREE = 0.1  # a sample has none there if less of the box is marked
OUTSIDE = 0.02  # change outside that is little
NEGLIGIBLE = 0.005  # a change outside that does not count
USUAL = 0.6  # a rim that stands out no more than this does not stand out


@dataclass(frozen=True, eq=False)
class Effects:
    """One value a sample, float64.

    iou: intersection over union of the marks with the box that is asked for. object: the same with
    the marks of the donor's object in its own sample, moved along; NaN where that is unknown.
    there: 1 where `THERE` of the box is marked, else 0. outside: mean absolute change of pixels
    more than two pixels from the box, on images in [-1, 1]. rim: see `rim.stands_out`.
    """

    iou: Tensor
    object: Tensor
    there: Tensor
    outside: Tensor
    rim: Tensor

    def mean(self) -> Effects:
        """The means over samples, as the effects of one."""
        return Effects(*(value.mean(0, keepdim=True) for value in vars(self).values()))


def join(parts: Sequence[Effects]) -> Effects:
    """The effects on all samples of some parts."""
    names = Effects.__dataclass_fields__
    return Effects(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def measure(
    detector: Detector,
    before: Tensor,
    after: Tensor,
    at: Edges,
    landed: Edges,
    usual: Tensor,
    meant: Tensor | None = None,
) -> Effects:
    """Measure what an edit does to N x C x S x S images, of which `before` are without it.

    at: the box that is asked for; landed: where the object's own box comes to lie, whose rim is
    looked at. usual: rims of objects that the generator drew. meant: S x S bool, the object's own
    marks, moved. What was marked before away from the box does not count as put there.
    """
    box = pixels_of(at, before.shape[3])
    was = soft(detector, before) > 0.5
    marks = (soft(detector, after) > 0.5) & ~(was & ~box)
    change = (after - before).abs().mean(1).double()
    away = away_from(box[None])[0]
    unknown = torch.full((len(before),), torch.nan, dtype=torch.float64)
    return Effects(
        iou=overlap(marks, box),
        object=unknown if meant is None else overlap(marks, meant),
        there=((marks & box).sum((1, 2)) >= THERE * box.sum()).double(),
        outside=(change * away).sum((1, 2)) / away.sum().clamp(min=1),
        rim=stands_out(rim_steps(after, landed), usual),
    )


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of masks, N x S x S and S x S bool: N float64; 0 of empty ones."""
    both, either = (a & b).sum((-2, -1)), (a | b).sum((-2, -1))
    return both.double() / either.clamp(min=1)


def pixels_of(edges: Edges, size: int) -> Tensor:
    """The pixels whose centre is in a box, S x S bool."""
    box = Boxes((Box(0, "box", *edges),), (0,), (size, size), seed=0)
    return torch.from_numpy(box.mask((size, size))[0])


@dataclass(frozen=True)
class Outcome:
    """Means of effects with 95% intervals, and on how many samples they were measured."""

    there: Interval
    iou: Interval
    object: Interval
    outside: Interval
    rim: Interval
    samples: int

    @classmethod
    def of(cls, effects: Effects, seed: int, samples: int | None = None) -> Outcome:
        """Summarise effects, of which every row is drawn again independently.

        samples: how many there are, where a row is the mean of several.
        """
        rng = np.random.default_rng([seed, 4])
        weights = bootstrap_weights(len(effects.iou), rng)

        def interval(values: Tensor) -> Interval:
            known = values.isfinite().numpy()
            if not known.any():
                return UNKNOWN
            times = weights[:, known]
            return Interval.of(divide(times @ values.numpy()[known], times.sum(1)))

        names = ("there", "iou", "object", "outside", "rim")
        values = {name: interval(getattr(effects, name)) for name in names}
        return cls(**values, samples=samples or len(effects.iou))

    def values(self) -> dict[str, Any]:
        """As JSON values; None where nothing could be measured."""
        found: dict[str, Any] = {"samples": self.samples}
        for name, value in vars(self).items():
            if isinstance(value, Interval):
                found[name] = value.values()
        return found

    def __str__(self) -> str:
        object_ = "" if np.isnan(self.object.value) else f" (with its own shape {self.object})"
        rim = "unknown" if np.isnan(self.rim.value) else str(self.rim)
        return (
            f"there {self.there}, overlap with the box {self.iou}{object_}, change outside "
            f"{self.outside.value:.4f} ({self.outside.low:.4f} to {self.outside.high:.4f}), rim "
            f"stands out {rim}"
        )


def best(effects: Sequence[Effects], seed: int) -> int:
    """The number of the effects to take.

    Of those that change at most `OUTSIDE` outside, the one that overlaps most with the box is
    found, and those that the measurement cannot tell from it: the 95% interval of the difference,
    row by row, reaches 0. Of these the one whose rim stands out least is taken, where up to `USUAL`
    counts as 0; then the one that changes least outside, where up to `NEGLIGIBLE` counts as 0; then
    the one that overlaps most. Where none changes so little outside, the one that changes least.
    """
    outside = [float(each.outside.mean()) for each in effects]
    ious = [float(each.iou.mean()) for each in effects]
    few = [i for i, change in enumerate(outside) if change <= OUTSIDE]
    if not few:
        return min(range(len(effects)), key=lambda i: outside[i])
    top = max(few, key=lambda i: ious[i])
    near = []
    for i in few:
        behind = (effects[top].iou - effects[i].iou).numpy()
        weights = bootstrap_weights(len(behind), np.random.default_rng([seed, 5]))
        low, _ = percentile_interval((weights @ behind) / weights.sum(1))
        if i == top or low <= 0:
            near.append(i)
    return min(
        near, key=lambda i: (_standing_out(effects[i]), max(outside[i], NEGLIGIBLE), -ious[i])
    )


def _standing_out(effects: Effects) -> float:
    known = effects.rim[effects.rim.isfinite()]
    return max(USUAL, float(known.mean())) if len(known) else USUAL
