"""Effect: what changes in the image if one filter is dropped, for every filter of a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dcgan_probe import hooks
from dcgan_probe.boxes.boxes import Boxes
from dcgan_probe.distributed import Ranks
from dcgan_probe.edits.tails import Tail
from dcgan_probe.errors import InputError
from dcgan_probe.metrics.intervals import (
    RESAMPLES,
    bootstrap_weights,
    divide,
    percentile_interval,
)
from dcgan_probe.recognition.detectors import Detector, soft
from dcgan_probe.session import Session

BATCH = 32
SHOWN = 6


@dataclass(frozen=True, eq=False)
class ObjectJudge:
    """Who says where an object is: a detector on any images, or boxes on their own samples."""

    boxes: Boxes
    detector: Detector | None = None

    @property
    def name(self) -> str:
        return "boxes" if self.detector is None else self.detector.name

    @property
    def label(self) -> str:
        (label,) = self.boxes.labels
        return label

    def marks(self, images: Tensor, start: int) -> Tensor:
        """Which pixels are of the object: N x H x W bool on the CPU. start: number of the first."""
        if self.detector is not None:
            return soft(self.detector, images) > 0.5
        mask = self.boxes.mask((images.shape[2], images.shape[3]))
        return torch.from_numpy(mask[start : start + len(images)])


@dataclass(frozen=True, eq=False)
class Effect:
    """What dropping each filter alone does to one object; arrays of filters float64.

    area_left: of the object, relative to no edit, all samples taken together; None if boxes judge,
    which stay where they are. inside, outside: mean absolute change of pixels on images in [-1, 1]
    where the object was before, and elsewhere. size: how much of the object the filter causes,
    1 - area_left, or inside - outside if boxes judge. interval: filters x 2, the 95% interval of
    size over samples. pixels: of the object, without an edit.
    """

    area_left: np.ndarray | None
    inside: np.ndarray
    outside: np.ndarray
    size: np.ndarray
    interval: np.ndarray
    pixels: int


def measure(
    session: Session, layer: str, z: Tensor, judges: Sequence[ObjectJudge], ranks: Ranks
) -> tuple[list[Effect], Tensor]:
    """Drop every filter of a layer, one at a time, and see what becomes of each judge's object.

        >>> effects, strongest = measure(session, "16x16", session.latents(200), judges, Ranks())
        >>> effects[0].area_left.shape, strongest.shape
        ((128,), torch.Size([128, 6]))

    Also returns the rows of z on which each filter is highest at some place, the highest first.
    The processes of `ranks` share the filters and all return the whole. Where
    the generator can be cut, its head runs once a sample; memory holds a batch of 32 and some sums.

    The interval is of a Poisson bootstrap: each sample counts a Poisson(1) number of times in each
    of 1000 resamples, which needs no more than sums (Chamandy et al. 2012, section 2). Raises
    InputError for what a detector outputs wrongly, and for one that finds nothing or everything.
    """
    rest = Tail(session.generator, layer)
    filters = hooks.activations(session.generator, layer, z[:1].to(session.device)).shape[1]
    mine = range(filters)[ranks.share(filters)]
    # Object left, change inside, change outside. The first of the resamples is all samples, once.
    sums = torch.zeros(len(judges), 1 + RESAMPLES, filters, 3, dtype=torch.float64)
    pixels = torch.zeros(len(judges), 1 + RESAMPLES, 2, dtype=torch.float64)
    high = torch.empty(filters, 0)
    strongest = torch.empty(filters, 0, dtype=torch.long)
    starts = range(0, len(z), BATCH)
    for start in session.progress(starts, f"filters of {layer}") if ranks.first else starts:
        batch = z[start : start + BATCH].to(session.device)
        base = rest.start(batch)
        before = base.images()
        times = _times(session.seed, start, len(batch))
        peaks = base.maps.amax(dim=(2, 3)).T.cpu()
        rows = torch.arange(start, start + len(batch)).expand(filters, -1)
        high, strongest = torch.cat([high, peaks], 1), torch.cat([strongest, rows], 1)
        high, kept = high.topk(min(SHOWN, high.shape[1]), dim=1)
        strongest = strongest.gather(1, kept)
        insides = [judge.marks(before, start) for judge in judges]
        for own, inside in zip(pixels, insides, strict=True):
            own += times @ torch.stack([_area(inside), _area(~inside)], 1)
        for f in mine:
            after = base.without([f])
            change = (after - before).abs().mean(dim=1).cpu()
            for own, judge, inside in zip(sums, judges, insides, strict=True):
                left = inside if judge.detector is None else judge.marks(after, start)
                parts = [left, change * inside, change * ~inside]
                own[:, f] += times @ torch.stack([_area(part) for part in parts], 1)
    sums = ranks.sum(sums)
    effects = [_effect(*each, len(z)) for each in zip(judges, sums, pixels, strict=True)]
    return effects, strongest


def _times(seed: int, start: int, count: int) -> Tensor:
    """How often each sample of a batch is in each resample: 1 + RESAMPLES x count float64."""
    rng = np.random.default_rng([seed, start])
    return torch.from_numpy(bootstrap_weights(count, rng, poisson=True))


def _area(marked: Tensor) -> Tensor:
    return marked.double().sum(dim=(1, 2))


def _effect(judge: ObjectJudge, sums: Tensor, pixels: Tensor, samples: int) -> Effect:
    inside, outside = pixels[0].tolist()
    for count, which, expected in ((inside, "no", "some"), (outside, "every", "some outside")):
        if not count:
            raise InputError(
                f"detector {judge.name}: found {which} pixel of {judge.label!r} on {samples} "
                f"samples, expected {expected}"
            )
    # A resample may miss the only samples that hold the object: no number comes of it.
    left, change_in = (divide(sums[:, :, i].numpy(), pixels[:, :1].numpy()) for i in (0, 1))
    change_out = divide(sums[:, :, 2].numpy(), pixels[:, 1:].numpy())
    by_boxes = judge.detector is None
    size = change_in - change_out if by_boxes else 1 - left
    interval = np.stack(percentile_interval(size), axis=1)
    area_left = None if by_boxes else left[0]
    return Effect(area_left, change_in[0], change_out[0], size[0], interval, int(inside))
