"""Baselines for a transplant: pasted pixels, and amplified filters."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from dcgan_probe.boxes.boxes import Boxes
from dcgan_probe.edits.filters import Selection
from dcgan_probe.edits.levels import levels
from dcgan_probe.probes.put.options import Edges
from dcgan_probe.probes.put.placing import Placement, place
from dcgan_probe.recognition.rule import choose
from dcgan_probe.session import Session

MEASURED = 256  # samples that the percentile is of, as `ablate --insert` takes


def paste(images: Tensor, source: Tensor, placed: Placement, at: Edges) -> tuple[Tensor, Placement]:
    """Copy the pixels of an object's box into N x C x S x S images.

    source: C x S x S, the donor's image. The box is moved by whole pixels, so nearer to where it
    is asked for than by whole locations; returns that placement too.
    """
    size = images.shape[3]
    fitting = place([placed.box], at, (1.0, 1.0), size).fitting
    placed = fitting[0] if fitting else placed
    box, (right, down) = placed.box, (round(by) for by in placed.moved)
    x0, y0, x1, y1 = (round(edge) for edge in box.edges)
    pasted = images.clone()
    pasted[:, :, y0 + down : y1 + down, x0 + right : x1 + right] = source[:, y0:y1, x0:x1]
    return pasted, placed


def insertion(session: Session, boxes: Boxes, label: str, at: Edges) -> Selection:
    """Filters that the paper's rule chooses, at their 99th percentile in a region.

    That is `forget`, and `ablate --insert` of its selection. Raises InputError where the rule
    chooses no filter or all, and for a region without a location of its layer.
    """
    selection = choose(session, boxes, label)
    z = session.latents(MEASURED)
    values = levels(session.generator, selection.layer, selection.filters, z)
    about = selection.about | {"replaced_by": "their 99th percentile"}
    return replace(selection, values=values, where=at, about=about)


def donor_image(boxed: Tensor, boxes: Boxes, placed: Placement) -> Tensor:
    """The image of the sample that an object is boxed on: C x S x S."""
    rows = torch.tensor([image == placed.box.image for image in boxes.images])
    return boxed[rows][0]
