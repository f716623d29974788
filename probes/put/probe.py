"""Copy a boxed object into other samples, and measure whether it is there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from dcgan_probe import hooks, terminal
from dcgan_probe.boxes.boxes import Box, Boxes
from dcgan_probe.edits.filters import Selection
from dcgan_probe.edits.regions import region_edges, region_of
from dcgan_probe.errors import InputError, at_least, unknown
from dcgan_probe.probes.put.baselines import donor_image, insertion
from dcgan_probe.probes.put.bench import Bench
from dcgan_probe.probes.put.choice import (
    FEWEST,
    TriedWay,
    choose_donor,
    choose_way,
    find_fitting,
    find_layers,
    sharp_way,
)
from dcgan_probe.probes.put.evaluation import draw_rivals, judge_rivals, measure_drift
from dcgan_probe.probes.put.figures import SHOWN, pictures
from dcgan_probe.probes.put.options import Edges
from dcgan_probe.probes.put.result import Put
from dcgan_probe.probes.put.ways import FILLS, Way
from dcgan_probe.recognition.detectors import Detector
from dcgan_probe.recognition.judges import Judges, halves, learn_from_boxes, split
from dcgan_probe.recognition.samples import latents_of
from dcgan_probe.session import Session
from dcgan_probe.storage.json_values import Value


def run(
    session: Session,
    boxes: Boxes | str | os.PathLike[str] | None,
    label: str | None,
    at: Edges,
    donor: tuple[int, int] | None = None,
    layer: str | Sequence[str] | None = None,
    fill: str | None = None,
    judges: Judges | None = None,
    n: int = 160,
) -> Put:
    """Put a boxed object into all samples at a place, and measure whether it is there.

        >>> session = Session.open("rooms")
        >>> result = run(session, "windows.json", "window", at=(32, 8, 52, 26))
        >>> with session.editing(*result.edits):
        ...     images = session.sample(16)

    boxes: boxes on samples of this checkpoint, or the path of a file of them; None takes those that
    ship. label: the object; None if the boxes have one label. at: x0, y0, x1, y1 in pixels of the
    image. donor: seed and index of the boxed sample to copy the object from. layer: one or several
    layers of the generator. fill: "mix" copies the donor's maps, "clone" adapts them to their
    surroundings. Donor, layer and fill are chosen on held-out boxed objects by default.

    The maps under the object's box are moved by whole locations of the layers, so the object lands
    slightly off target; the result reports the offset. Objects that would leave the image are
    excluded, and so are objects that are cut by a side of their own image and would move away from
    it. The donor is drawn without the active edits; the samples that it is put into follow them.

    judges: detectors, by name or path or as objects, that mark the object on n new samples. By
    default the one that ships for the object, or "boxes", which learns from every second boxed
    image; all choices are then made on the others.

    Raises InputError for boxes of another checkpoint or on a file of latents, an unknown label or
    layer, a place outside the image or smaller than a location, a donor without a box, and if no
    object fits. Source: Perez, Gangnet and Blake (2003) for cloning, applied to feature maps.
    """
    at_least(1, n=n)
    if fill is not None and fill not in FILLS:
        raise unknown("fill", fill, FILLS)
    at = region_edges(Value(at, "at"))
    region_of(at, session.config, "")
    boxes = session.read_boxes(boxes)
    label = boxes.one_label(label)
    boxes = boxes.only(label)
    boxes.check(session.checkpoint.sha256)
    objects = _objects(boxes, label, donor)
    layers = (layer,) if isinstance(layer, str) else layer
    chains = find_fitting(session, label, find_layers(session, at, layers), objects, at)

    taught = _teach(session, boxes, label, judges)
    names = sorted({name for chain in chains for name in chain})
    bench = Bench(session, boxes, taught.guide, taught.boxed, names)
    fills = FILLS if fill is None else (fill,)
    way, tried, notes = _choose(bench, label, chains, fills, taught.held)
    if donor is None:  # the judge's own half of the boxes is not chosen from
        objects = [box for box in objects if box.image in taught.choosing.images]
    edit, chosen, donors, placements = choose_donor(bench, label, way, objects, at)
    named = {"source": Path(boxes.source).name, "seed": boxes.seed, "n": len(boxes.boxes)}
    about = {"at": list(at), "object": chosen.placed.values(), "boxes": named, "seed": session.seed}
    edit = replace(edit, about=about)

    # New samples: none of those that the boxes were drawn on.
    start = boxes.n if session.seed == boxes.seed else 0
    source = donor_image(taught.boxed, boxes, chosen.placed)
    z = session.latents(n, start=start)
    turned_up, note = _turn_up(session, taught.choosing, label, at)
    rivals = draw_rivals(session, edit, chosen.placed, source, turned_up, at, z)
    judged = {
        judge.name: judge_rivals(session, judge, rivals, boxes, taught.boxed, bench.usual, at)
        for judge in session.progress(taught.judges, "judging fresh samples")
    }
    shown = [each.free for each in judged.values() if len(each.free)]
    rows = (shown[0] if shown else torch.arange(n))[:SHOWN]
    cut = bench.tails[edit.layers[0]].cut
    if not cut:
        terminal.note(
            f"{session.checkpoint.name}: cannot be cut behind layer {edit.layers[0]}: every edit "
            "runs the whole generator, which works and takes longer"
        )
    options = {
        "label": label,
        "at": list(at),
        "from": None if donor is None else list(donor),
        "layers": None if layers is None else list(layers),
        "fill": fill,
        "judges": [judge.name for judge in taught.judges],
        "n": n,
        "boxes": named,
        "boxes_chosen_with": len(taught.choosing.boxes),
    }
    return Put(
        made_with=session.made_with(**options),
        label=label,
        at=at,
        edit=edit,
        way=way,
        tried=tried,
        donor=chosen,
        donors=donors,
        placements=placements,
        judged=judged,
        drift=measure_drift(session, rivals, start + n),
        cut=cut,
        notes=(*notes, *note),
        pictures=pictures(
            session, rivals, rows, start, source, chosen.placed, at, free=bool(shown)
        ),
    )


@dataclass(frozen=True, eq=False)
class _Taught:
    """The boxes to choose with, and the judges.

    choosing: boxes that are left to choose with. held: those of them that the guide has not seen;
    None where too few samples have boxes. boxed: N x C x S x S, the samples that were looked at.
    """

    guide: Detector
    judges: list[Detector]
    choosing: Boxes
    held: Boxes | None
    boxed: Tensor


def _teach(session: Session, boxes: Boxes, label: str, judges: Judges | None) -> _Taught:
    with hooks.unedited(session.generator):  # as they were when somebody drew the boxes
        boxed = session.generate(latents_of(session, boxes))
        if not boxed.isfinite().all():
            raise InputError("generator: found NaN or infinity in images of boxed samples")
        choosing, detectors = split(session, boxes, label, judges)
        held = None
        learning = choosing
        if len({box.image for box in choosing.boxes}) >= FEWEST:
            learning, held = halves(choosing)
        guide = learn_from_boxes(session, learning)
    return _Taught(guide, detectors, choosing, held, boxed)


def _choose(
    bench: Bench,
    label: str,
    chains: Sequence[tuple[str, ...]],
    fills: Sequence[str],
    held: Boxes | None,
) -> tuple[Way, tuple[TriedWay, ...], list[str]]:
    """The way to put it, all that was tried, and why not to believe the choice."""
    if held is not None:
        return *choose_way(bench, label, chains, fills, held), []
    way = sharp_way(bench.session, chains[0], fills[0])
    doubt = (
        f"NOTHING WAS TRIED: found too few samples with boxes to hold some out, expected {FEWEST} "
        f"or more to choose with; taken is {way}"
    )
    return way, (), [doubt]


def _turn_up(
    session: Session, boxes: Boxes, label: str, at: Edges
) -> tuple[Selection | None, list[str]]:
    """The filters to turn up, and why there are none: a transplant does not need them."""
    try:
        return insertion(session, boxes, label, at), []
    except InputError as error:
        return None, [f"no filters were turned up to compare with: {error}"]


def _objects(boxes: Boxes, label: str, donor: tuple[int, int] | None) -> list[Box]:
    """The boxed objects that may be taken."""
    where = boxes.source or "boxes"
    if boxes.seed is None:
        raise InputError(
            f"{where}: found boxes on samples of the file {boxes.latents}, expected samples of a "
            "seed: an edit names its donor by seed and index"
        )
    if donor is None:
        return list(boxes.boxes)
    seed, index = donor
    if seed != boxes.seed:
        raise InputError(
            f"--from {seed}:{index}: found seed {seed}, expected {boxes.seed}, on whose samples "
            f"the boxes of {where} were drawn"
        )
    found = [box for box in boxes.boxes if box.image == index]
    if not found:
        known = sorted({box.image for box in boxes.boxes})
        listed = ", ".join(f"{seed}:{image}" for image in known[:8])
        more = f" and {len(known) - 8} more" if len(known) > 8 else ""
        raise InputError(
            f"--from {seed}:{index}: found no {label} boxed on this sample, expected one of: "
            f"{listed}{more}"
        )
    return found
