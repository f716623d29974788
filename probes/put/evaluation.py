"""Judge a transplant and its baselines on new samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dcgan_probe.boxes.boxes import Boxes
from dcgan_probe.edits.edit import Edit
from dcgan_probe.edits.filters import Selection
from dcgan_probe.edits.places import PlaceEdit
from dcgan_probe.metrics.distances import sliced_wasserstein
from dcgan_probe.probes.put.baselines import paste
from dcgan_probe.probes.put.bench import AROUND, Shapes
from dcgan_probe.probes.put.effect import FREE, Effects, Outcome, measure, overlap, pixels_of
from dcgan_probe.probes.put.options import Edges
from dcgan_probe.probes.put.placing import Placement, grown
from dcgan_probe.recognition.detectors import Detector, soft
from dcgan_probe.session import Session

PROJECTIONS = 128
PUT, PASTED, TURNED_UP = "put", "pixels pasted", "filters turned up"


@dataclass(frozen=True, eq=False)
class Rivals:
    """Images of the same latents without an edit, and with each by name, N x C x S x S; where the
    object's box lies in each, None where there is no object to move."""

    before: Tensor
    after: Mapping[str, Tensor]
    placed: Mapping[str, Placement | None]


@dataclass(frozen=True, eq=False)
class Judged:
    """What one judge says of fresh samples.

    about: what is known of it. free: rows of the samples that show no object at the place before;
    only those count. outcomes: by name of the edit. known: mean overlap of its marks on unedited
    boxed samples with the boxes that were drawn there: what an object that was not put gets.
    """

    about: dict[str, Any]
    free: Tensor
    samples: int
    effects: Mapping[str, Effects]
    outcomes: Mapping[str, Outcome]
    known: float

    def values(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "about": self.about,
            "samples": self.samples,
            "without_object_there": len(self.free),
            "overlap_of_unedited_objects_with_their_boxes": self.known,
            "edits": {name: each.values() for name, each in self.outcomes.items()},
        }


def draw_rivals(
    session: Session,
    edit: PlaceEdit,
    placed: Placement,
    source: Tensor,
    turned_up: Selection | None,
    at: Edges,
    z: Tensor,
) -> Rivals:
    """Draw the images of the edit and of the baselines.

    source: C x S x S, the image of the donor. turned_up: see `baselines.insertion`; None is left
    out.
    """
    before = session.generate(z)
    pasted, by_pixels = paste(before, source, placed, at)
    after = {PUT: draw_edited(session, edit, z), PASTED: pasted}
    where: dict[str, Placement | None] = {PUT: placed, PASTED: by_pixels}
    if turned_up is not None:
        after[TURNED_UP] = draw_edited(session, turned_up, z)
        where[TURNED_UP] = None
    return Rivals(before, after, where)


def judge_rivals(
    session: Session,
    judge: Detector,
    rivals: Rivals,
    boxes: Boxes,
    boxed: Tensor,
    usual: Tensor,
    at: Edges,
) -> Judged:
    """Let a judge say whether the object is there, on the samples that show none there before."""
    shapes = Shapes(judge, boxed, boxes)
    box = pixels_of(at, rivals.before.shape[3])
    was = ((soft(judge, rivals.before) > 0.5) & box).sum((1, 2))
    free = torch.where(was < FREE * box.sum())[0]
    effects = {
        name: measure(
            judge,
            rivals.before[free],
            after[free],
            at,
            at if placed is None else placed.landed,
            usual,
            None if placed is None else shapes.moved(placed),
        )
        for (name, after), placed in zip(rivals.after.items(), rivals.placed.values(), strict=True)
        if len(free)
    }
    outcomes = {name: Outcome.of(each, session.seed) for name, each in effects.items()}
    about, samples = judge.about, len(rivals.before)
    return Judged(about, free, samples, effects, outcomes, known_overlap(shapes, boxes))


def known_overlap(shapes: Shapes, boxes: Boxes) -> float:
    """Mean overlap of the marks of unedited objects with the boxes that were drawn around them."""
    size, found = shapes.size, []
    for box in boxes.boxes:
        marks = shapes.marks[shapes.row[box.image]]
        near = marks & pixels_of(grown(box.edges, AROUND, size), size)
        found.append(overlap(near, pixels_of(box.edges, size)))
    return float(torch.stack(found).mean())


def measure_drift(session: Session, rivals: Rivals, start: int) -> dict[str, float]:
    """Sliced Wasserstein distance x 1000 from as many other samples, by name of the edit.

    start: number of the first of the others.
    """
    other = session.generate(session.latents(len(rivals.before), start=start))
    images = {"as they are": rivals.before, **rivals.after}
    return {
        name: sliced_wasserstein(each, other, session.seed, projections=PROJECTIONS)["mean"]
        for name, each in images.items()
    }


def draw_edited(session: Session, edit: Edit, z: Tensor) -> Tensor:
    """Images of latents with an edit, N x C x S x S."""
    with session.editing(edit):
        return session.generate(z)
