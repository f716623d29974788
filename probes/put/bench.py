"""Samples to try transplants on, and a guide that scores them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from dcgan_probe.boxes.boxes import Boxes
from dcgan_probe.edits.donors import Donors
from dcgan_probe.edits.places import PlaceEdit
from dcgan_probe.edits.tails import Tail
from dcgan_probe.errors import InputError
from dcgan_probe.probes.put.effect import Effects, measure, pixels_of
from dcgan_probe.probes.put.options import Edges
from dcgan_probe.probes.put.placing import Placement, grown
from dcgan_probe.probes.put.rim import usual_steps
from dcgan_probe.probes.put.ways import Way
from dcgan_probe.recognition.detectors import Detector, soft
from dcgan_probe.recognition.samples import collect_maps
from dcgan_probe.session import Session

FRESH = 200_000  # samples from here on are chosen with, those before are judged and shown
POOL = 48
AROUND = 4  # pixels beyond a box in which marks are of its object


class Bench:
    """Samples without edits of this probe, the layers' maps for them, and where a guide sees
    objects; whatever is tried shares their head.

    guide: learnt from boxes; it chooses and does not judge. boxed: N x C x S x S, the samples that
    `boxes` are on, as the checkpoint draws them.
    """

    def __init__(
        self,
        session: Session,
        boxes: Boxes,
        guide: Detector,
        boxed: Tensor,
        layers: Sequence[str],
    ):
        self.session, self.boxes, self.guide, self.boxed = session, boxes, guide, boxed
        self.z = session.latents(POOL, start=FRESH)
        self.maps = collect_maps(session, self.z, layers)
        for name, maps in self.maps.items():
            if not maps.isfinite().all():
                raise InputError(f"layer {name!r}: found NaN or infinity, expected finite maps")
        self.images = session.generate(self.z)
        self.marks = soft(guide, self.images) > 0.5
        row = {image: i for i, image in enumerate(boxes.images)}
        rows = [row[box.image] for box in boxes.boxes]
        self.usual = usual_steps(boxed[rows], [box.edges for box in boxes.boxes])
        self.tails = {name: Tail(session.generator, name) for name in layers}

    def edit(self, label: str, way: Way, placed: Placement) -> PlaceEdit:
        """The edit that puts an object where it was placed."""
        session, seed = self.session, self.boxes.seed
        assert seed is not None
        return PlaceEdit(
            way.layers,
            session.checkpoint.sha256,
            label,
            where=grown(placed.landed, way.margin, session.config.size),
            fill=way.fill,
            donors=Donors(seed, (placed.box.image,), unedited=True),
            moved=placed.moved,
            feather=way.margin if way.soft else 0.0,
            nonnegative=bool(self.maps[way.layers[0]].min() >= 0),
        )

    def free(self, at: Edges, count: int) -> Tensor:
        """The numbers of the samples that show least of the object at a place."""
        box = pixels_of(grown(at, AROUND, self.session.config.size), self.images.shape[3])
        return (self.marks & box).flatten(1).sum(1).argsort(stable=True)[:count]

    def effects(self, edit: PlaceEdit, rows: Tensor, at: Edges, landed: Edges) -> Effects:
        """What an edit does to some of the samples, as the guide sees it."""
        device = self.session.device
        first, *later = edit.layers
        maps = {name: self.maps[name][rows].to(device) for name in edit.layers}
        base = self.tails[first].start(
            self.z[rows].to(device), maps[first], {name: maps[name] for name in later}
        )
        plan = edit.planner(self.session.generator, self.session.config)
        with torch.no_grad():
            after = base.planned(edit.seen, plan).cpu()
        return measure(self.guide, self.images[rows], after, at, landed, self.usual)


class Shapes:
    """What a detector marks of boxed objects in their own samples."""

    def __init__(self, detector: Detector, boxed: Tensor, boxes: Boxes):
        self.size = boxed.shape[3]
        self.marks = soft(detector, boxed) > 0.5
        self.row = {image: i for i, image in enumerate(boxes.images)}

    def moved(self, placed: Placement) -> Tensor:
        """The marks in and beside the box of an object, moved along with it: S x S bool."""
        box = placed.box
        around = grown(box.edges, AROUND, self.size)
        own = self.marks[self.row[box.image]] & pixels_of(around, self.size)
        right, down = (round(by) for by in placed.moved)
        whole = F.pad(own, (max(right, 0), max(-right, 0), max(down, 0), max(-down, 0)))
        return whole[max(-down, 0) :, max(-right, 0) :][: self.size, : self.size]
