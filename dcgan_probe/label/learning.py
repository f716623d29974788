"""Propose boxes, and preview forgetting an object."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from threading import Lock

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dcgan_probe.boxes.boxes import Boxes
from dcgan_probe.boxes.masks import extents
from dcgan_probe.edits.places import PlaceEdit
from dcgan_probe.errors import InputError
from dcgan_probe.figures.rasters import pixels
from dcgan_probe.recognition.erasing import erase_unjudged
from dcgan_probe.recognition.regression import fit
from dcgan_probe.recognition.samples import maps_of
from dcgan_probe.session import Session

HANDFUL = 5  # boxes of a label from which others are proposed
LEAST_SIDE = 3
LEAST_AREA = 0.4  # of the smallest box that was drawn
SHOWN = 8


@dataclass(frozen=True, eq=False)
class Preview:
    """Samples before and after an edit, n x H x W x 3 uint8, and which samples they are."""

    samples: tuple[int, ...]
    before: np.ndarray
    after: np.ndarray
    edit: PlaceEdit
    seconds: float


class Learner:
    """Learns from the boxes on some of the samples 0 to n-1 of a session's seed.

        >>> Learner(session, 150).propose(boxes, "window")[17]
        [(10, 8, 30, 25)]

    One question at a time: the generator is edited for a preview.
    """

    def __init__(self, session: Session, n: int):
        self.session = session
        self.n = n
        self._lock = Lock()

    @cached_property
    def _maps(self) -> Tensor:
        # The last hidden layer: its cells are the smallest, and so are the errors of an edge.
        layer = list(self.session.config.hidden("generator"))[-1]
        return maps_of(self.session, self.session.latents(self.n), layer)

    def propose(
        self, boxes: Boxes | None, label: str
    ) -> dict[int, list[tuple[int, int, int, int]]]:
        """Boxes that look like those of a label, on the samples that nobody looked at yet.

        A logistic regression on the filters of the generator's last hidden layer, over all places
        of the samples looked at, inside of boxes or not; connected places that it takes for inside
        are a box. Returns edges x0, y0, x1, y1 in pixels, by sample. InputError for fewer than
        `HANDFUL` boxes to learn from.
        """
        drawn = [box for box in boxes.boxes if box.label == label] if boxes else []
        if boxes is None or len(drawn) < HANDFUL:
            raise InputError(f"found {len(drawn)} boxes of {label!r}, expected {HANDFUL} or more")
        with self._lock:
            maps = self._maps
        looked = maps[list(boxes.images)]
        inside = boxes.only(label).mask((maps.shape[2], maps.shape[3]))
        if inside.all() or not inside.any():
            raise InputError(f"boxes of {label!r}: found no place inside, or none outside")
        fitted = fit(looked.transpose(1, 3).flatten(0, 2).numpy(), inside.swapaxes(1, 2).ravel())
        rest = sorted(set(range(self.n)) - set(boxes.images))
        weights = torch.from_numpy(fitted.weights).float()
        logits = torch.einsum("nchw,c->nhw", maps[rest], weights) + fitted.bias
        width, height = boxes.image_size
        marked = F.interpolate(logits[:, None], (height, width), mode="bilinear") > 0
        least = LEAST_AREA * min((box.x1 - box.x0) * (box.y1 - box.y0) for box in drawn)
        found = {
            image: extents(marked[i, 0].numpy(), least, LEAST_SIDE) for i, image in enumerate(rest)
        }
        return {image: edges for image, edges in found.items() if edges}

    def preview(self, boxes: Boxes | None, label: str) -> Preview:
        """The object erased by place, on samples with boxes; the edit is not judged.

        Raises InputError where there is no box of the label, or as `forget` does.
        """
        began = time.perf_counter()
        if boxes is None:
            raise InputError(f"found no boxes of {label!r}, expected one or more")
        boxes = boxes.only(label)
        boxed = sorted({box.image for box in boxes.boxes})
        session = self.session
        with self._lock:
            z = session.latents(self.n)
            edit = erase_unjudged(session, boxes, label)
            count = min(SHOWN, len(boxed))
            shown = [boxed[i * len(boxed) // count] for i in range(count)]
            before = pixels(session.generate(z[shown]))
            with session.editing(edit):
                after = pixels(session.generate(z[shown]))
        return Preview(tuple(shown), before, after, edit, time.perf_counter() - began)
