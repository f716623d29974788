"""Show what an edit of filters changes, and where."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from dcgan_probe import hooks
from dcgan_probe.boxes.boxes import Boxes
from dcgan_probe.edits.filters import Selection
from dcgan_probe.edits.regions import cells, listed
from dcgan_probe.errors import InputError, at_least
from dcgan_probe.probes.ablate.edit import SAMPLES
from dcgan_probe.probes.ablate.figures import SHOWN, pictures
from dcgan_probe.probes.ablate.result import Ablated
from dcgan_probe.recognition.samples import latents_of
from dcgan_probe.session import BATCH, Session


def run(
    session: Session,
    selection: Selection,
    boxes: Boxes | None = None,
    n: int = SAMPLES,
) -> Ablated:
    """Show what an edit of the generator changes, and where.

        >>> session = Session.open("rooms")
        >>> edit = Selection("16x16", (3, 17, 40), session.checkpoint.sha256)
        >>> list(run(session, edit).change)
        ['everywhere']

    The change is measured on the first n samples of the session's seed; with boxes, on the boxed
    samples, each edited inside its own boxes. The active edits apply before and after. This edit is
    removed at the end: use `session.edit(selection)` to keep it active.

    Raises InputError for an edit that does not fit the generator, for boxes of another checkpoint,
    and for a region or boxes without any location of the layer.
    """
    at_least(1, n=n)
    options: dict[str, Any] = {"edit": selection.change()}
    inside: np.ndarray | None = None
    if boxes is None:
        options["n"] = n
        z = session.latents(n)
        before = session.generate(z)
        with session.editing(selection):
            after = session.generate(z)
        region = selection.region(session.config)
        if region is not None:
            inside = region.mask((before.shape[2], before.shape[3])).repeat(n, axis=0)
        frames = [() if region is None else region.boxes] * n
        shown = f"samples 0 to {min(n, SHOWN) - 1} of seed {session.seed}"
        if selection.where is not None:
            shown += f". The frame is {listed(selection.where)} (x0, y0, x1, y1 in pixels)"
        unresolved = 0
    else:
        boxes.check(session.checkpoint.sha256)
        if not boxes.boxes:
            raise InputError(f"{boxes.source or 'boxes'}: found no boxes, expected at least one")
        boxed = boxes.only_images({box.image for box in boxes.boxes})
        z = latents_of(session, boxed)
        before = session.generate(z)
        after, unresolved = _edit_inside(session, selection, boxed, z)
        inside = boxed.mask((before.shape[2], before.shape[3]))
        frames = [tuple(box for box in boxed.boxes if box.image == image) for image in boxed.images]
        shown = "the first samples with boxes"
    label = selection.about.get("label")
    if isinstance(label, str):
        shown += f". The filters were chosen for “{label}”"
    difference = (after - before).abs().mean(dim=1)
    return Ablated(
        made_with=session.made_with(**options),
        selection=selection,
        boxes=boxes,
        unresolved=unresolved,
        change=_change(difference, inside),
        samples=len(before),
        pictures=pictures(session, before, after, difference, frames, shown),
    )


def _edit_inside(
    session: Session, selection: Selection, boxes: Boxes, z: Tensor
) -> tuple[Tensor, int]:
    """Images of latents, each edited inside of its own boxes; how many boxes hold no cell."""
    if selection.where is not None:
        raise InputError("ablate: found a region and boxes, expected one of them")
    # The edit is made and lifted: it is refused here if it does not fit.
    with session.editing(selection):
        pass
    one = session.latents(1).to(session.device)
    shape = tuple(hooks.activations(session.generator, selection.layer, one).shape)
    where = torch.from_numpy(cells(boxes, selection.layer, shape, session.config))
    parts = []
    for some, inside in zip(z.split(BATCH), where.split(BATCH), strict=True):
        with selection.hook(session.generator, inside):
            parts.append(session.generate(some))
    return torch.cat(parts), boxes.count_between((shape[2], shape[3]))


def _change(difference: Tensor, inside: np.ndarray | None) -> dict[str, float]:
    if inside is None:
        return {"everywhere": float(difference.mean())}
    values = difference.numpy()
    places = {"inside": inside, "outside": ~inside}
    return {name: float(values[place].mean()) for name, place in places.items() if place.any()}
