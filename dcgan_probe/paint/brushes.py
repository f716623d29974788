"""Turn brush strokes and stamped objects into edits by place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from dcgan_probe import hooks
from dcgan_probe.boxes.boxes import Box, Boxes
from dcgan_probe.edits.donors import PART, Donors, Part, Pool, match
from dcgan_probe.edits.extent import WHOLE, cut, window_of
from dcgan_probe.edits.places import PlaceEdit
from dcgan_probe.edits.strokes import Stroke, weights
from dcgan_probe.errors import InputError, unknown
from dcgan_probe.figures.rasters import pixels
from dcgan_probe.recognition.erasing import DONORS, FIRST_DONOR, erase_unjudged
from dcgan_probe.recognition.samples import latents_of
from dcgan_probe.session import BATCH, Session

WIDEN = 2.0  # of erased objects: how far the edit reaches, as log-odds
GRID = 16  # locations on a side of the layer that brushes act on, by default
POOL_BYTES = 1 << 28  # of the maps of one layer, for all donors together
OBJECTS = 48  # on the palette
STRONGEST = 8  # filters that are named for a place


@dataclass(frozen=True, eq=False)
class Item:
    """An object on the palette: a box on a sample, and its pixels, h x w x 3 uint8."""

    box: Box
    donors: Donors
    thumbnail: np.ndarray


def describe(edit: PlaceEdit) -> str:
    """What a brush did, in the words of the page.

    >>> describe(brushes.stamp(0, 30, 30, "16x16"))
    'stamp window'
    """
    if edit.regression is not None:
        return f"erase {edit.label}"
    return "erase here" if edit.where is None else f"stamp {edit.label}"


class Brushes:
    """Turns strokes on a session's samples into edits by place.

        >>> brushes = Brushes(session, session.read_boxes())
        >>> edit = brushes.erase_here((Stroke(((20, 20), (30, 20)), 5),), "16x16", donor=17)

    boxes: those that ship or were drawn; None leaves only what needs no object.
    """

    def __init__(self, session: Session, boxes: Boxes | None):
        self.session, self.boxes = session, boxes
        grids = session.config.hidden("generator")
        self.layers = {name: grid for name, grid in grids.items() if min(grid) > 1}
        self._learnt: dict[str, PlaceEdit] = {}
        self._levels: dict[str, _Levels] = {}

    @property
    def default(self) -> str:
        """The coarsest layer of 16 locations on a side or more; "" where no layer has any."""
        fine = [name for name, (height, _) in self.layers.items() if height >= GRID]
        return fine[0] if fine else next(reversed(self.layers), "")

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.boxes.labels) if self.boxes is not None else ()

    def layer(self, name: str) -> str:
        """A layer that brushes can act on; InputError for another."""
        if name not in self.layers:
            raise unknown("layer", name, self.layers)
        return name

    def donor(self, maps: Tensor, strokes: tuple[Stroke, ...], layer: str) -> int:
        """The index of the donor that fits on the rim of what strokes took in.

        maps: 1 x filters x h x w, of the layer.
        """
        levels = self.levels(layer)
        shares = weights(strokes, self.layers[layer], self.session.config.size)
        p = torch.from_numpy(shares).float()[None].to(maps.device)
        window = window_of(torch.from_numpy(shares)) or WHOLE
        found = match(
            levels.pool.within({layer: window}),
            {layer: cut(maps, window)},
            {layer: cut(p, window)},
        )
        return FIRST_DONOR + int(found.number[0])

    def erase_here(self, strokes: tuple[Stroke, ...], layer: str, donor: int) -> PlaceEdit:
        """Whatever is where a brush was, replaced by what a donor has there."""
        return PlaceEdit(
            (layer,),
            self.session.checkpoint.sha256,
            fill="clone",
            donors=Donors(self.session.seed, (donor,)),
            nonnegative=self.levels(layer).nonnegative,
            strokes=strokes,
        )

    def learn(self, label: str) -> PlaceEdit:
        """The edit that erases an object everywhere; a second or two the first time.

        Raises InputError for a label without boxes, and as `erase_unjudged` does.
        """
        if self.boxes is None or label not in self.boxes.labels:
            raise unknown("object", label, self.labels)
        if label not in self._learnt:
            self._learnt[label] = erase_unjudged(self.session, self.boxes.only(label), label)
        return self._learnt[label]

    def erase_object(self, strokes: tuple[Stroke, ...], label: str, layer: str) -> PlaceEdit:
        """An object erased where a brush was and the regression sees it.

        At the layer, if the regression looks at it, else at the nearest that it looks at.
        """
        learnt = self.learn(label)
        assert learnt.regression is not None
        seen = learnt.regression.layers
        order = list(self.layers)
        own = min(seen, key=lambda name: abs(order.index(name) - order.index(layer)))
        return replace(learnt, layers=(own,), fill="clone", widen=WIDEN, strokes=strokes)

    @cached_property
    def palette(self) -> tuple[Item, ...]:
        """The largest objects that were boxed, at most 48, as many of each label."""
        boxes = self.boxes
        if boxes is None or not self.layers:
            return ()
        each = max(1, OBJECTS // len(boxes.labels))
        chosen = [
            box
            for label in boxes.labels
            for box in sorted((b for b in boxes.boxes if b.label == label), key=_area)[-each:][::-1]
        ]
        z = latents_of(self.session, boxes)
        rows = {image: row for row, image in enumerate(boxes.images)}
        images = sorted({box.image for box in chosen})
        drawn = pixels(self.session.generate(z[[rows[image] for image in images]]))
        items = []
        for box in chosen:
            x0, y0, x1, y1 = (round(edge) for edge in box.edges)
            thumbnail = drawn[images.index(box.image)][y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
            if boxes.seed is not None and thumbnail.size:
                items.append(Item(box, Donors(boxes.seed, (box.image,), unedited=True), thumbnail))
        return tuple(items)

    def stamp(self, number: int, x: float, y: float, layer: str) -> PlaceEdit:
        """An object of the palette put where its middle is as near to a place as the layer allows.

        Raises InputError for a place where the object would be outside the image.
        """
        if not 0 <= number < len(self.palette):
            raise InputError(f"stamp: found object {number}, expected 0 to {len(self.palette) - 1}")
        item, size = self.palette[number], self.session.config.size
        box, (height, width) = item.box, self.layers[layer]
        step = size / width, size / height
        right = round((x - (box.x0 + box.x1) / 2) / step[0]) * step[0]
        down = round((y - (box.y0 + box.y1) / 2) / step[1]) * step[1]
        edges = [min(max(e + right, 0.0), float(size)) for e in (box.x0, box.x1)]
        rows = [min(max(e + down, 0.0), float(size)) for e in (box.y0, box.y1)]
        if edges[1] <= edges[0] or rows[1] <= rows[0]:
            raise InputError(f"stamp: found {x:g}, {y:g}, expected a place on the image")
        return PlaceEdit(
            (layer,),
            self.session.checkpoint.sha256,
            box.label,
            where=(edges[0], rows[0], edges[1], rows[1]),
            fill="mix",
            donors=item.donors,
            moved=(right, down),
            nonnegative=self.levels(layer).nonnegative,
        )

    def strongest(self, maps: Tensor, layer: str, x: float, y: float) -> list[tuple[int, float]]:
        """The filters that stand out most at a place, and by how many standard deviations.

        maps: 1 x filters x h x w, of the layer. Beside the mean of each filter over all locations
        of 150 samples.
        """
        height, width = self.layers[layer]
        side = self.session.config.size
        column = min(max(int(x * width / side), 0), width - 1)
        row = min(max(int(y * height / side), 0), height - 1)
        levels = self.levels(layer)
        score = (maps[0, :, row, column].double() - levels.mean) / levels.deviation
        best = score.topk(min(STRONGEST, len(score)))
        return [(int(f), float(s)) for s, f in zip(best.values, best.indices, strict=True)]

    def levels(self, layer: str) -> _Levels:
        """Donors' maps of a layer, drawn from the generator as it is without the painting."""
        if layer not in self._levels:
            self._levels[layer] = _Levels(self.session, layer, self.layers[layer])
        return self._levels[layer]


class _Levels:
    """Maps of donors, and how high each filter goes in them."""

    def __init__(self, session: Session, layer: str, grid: tuple[int, int]):
        with torch.no_grad():
            one = hooks.activations(session.generator, layer, session.latents(1).to(session.device))
        size = one.numel() * one.element_size()
        self.count = max(1, min(DONORS, POOL_BYTES // size))
        z = session.latents(self.count, start=FIRST_DONOR)
        parts = []
        for part in z.split(BATCH):
            with torch.no_grad():
                parts.append(hooks.activations(session.generator, layer, part.to(session.device)))
        maps = torch.cat(parts)
        nobody = torch.zeros(self.count, *grid, device=maps.device)
        with torch.no_grad():
            images = session.generator(z[:PART].to(session.device))
        draw = lambda part: Part({layer: maps[part]}, {layer: nobody[part]})  # noqa: E731
        self.pool = Pool(draw, self.count, images)
        self.nonnegative = bool(maps.min() >= 0)
        self.mean = maps.double().mean((0, 2, 3))
        self.deviation = maps.double().std((0, 2, 3), correction=0).clamp_min(1e-6)


def _area(box: Box) -> float:
    return (box.x1 - box.x0) * (box.y1 - box.y0)
