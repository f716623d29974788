"""Forget an object by place: erase it where a regression finds it, and measure what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from dcgan_probe.boxes.boxes import Boxes
from dcgan_probe.edits.places import PlaceEdit
from dcgan_probe.probes.forget.damage import measure_damage
from dcgan_probe.probes.forget.elsewhere import erase_elsewhere
from dcgan_probe.probes.forget.erased import Erased, ErasureOutcome, pictures
from dcgan_probe.probes.forget.figures import name_samples, rows_to_show
from dcgan_probe.probes.forget.judgement import BATCH, Tally, measure_outcome
from dcgan_probe.probes.forget.settings import CONTROLS, LEFT
from dcgan_probe.probes.forget.traces import trace
from dcgan_probe.recognition.detectors import Detector, soft
from dcgan_probe.recognition.erasing import choose_erasing
from dcgan_probe.recognition.judges import Judges, away_from, split
from dcgan_probe.session import Session


def erase(
    session: Session,
    boxes: Boxes,
    label: str | None = None,
    layers: Sequence[str] | None = None,
    fill: str | None = None,
    left: float = LEFT,
    judges: Judges | None = None,
    n: int = 160,
    where: tuple[float, float, float, float] | None = None,
    controls: int = CONTROLS["places"],
) -> Erased:
    """Choose how to erase an object by place, and measure what is left of it on fresh samples.

        >>> result = erase(session, session.read_boxes("windows.json"), "window")
        >>> with session.editing(*result.edits):
        ...     without = session.sample(16)

    boxes, label, judges, n: as `run` takes them. where: a region x0, y0, x1, y1 of the image, in
    its pixels, that the edit is kept to. controls: how often to do the same edit at the places of
    other samples. layers, fill, left: as `choose_erasing` does.
    Raises InputError as they do.
    """
    label = boxes.one_label(label)
    boxes = boxes.only(label)
    boxes.check(session.checkpoint.sha256)
    choosing, detectors = split(session, boxes, label, judges)
    erasing = choose_erasing(session, choosing, label, layers, fill, left)
    if erasing.edit is not None and where is not None:
        erasing = replace(erasing, edit=replace(erasing.edit, where=where))
    start = boxes.n if session.seed == boxes.seed else 0
    z = session.latents(n, start=start)
    before = session.generate(z)
    after = before if erasing.edit is None else _edited(session, erasing.edit, z)
    random = () if erasing.edit is None else erase_elsewhere(session, erasing.edit, z, controls)
    outcomes = {judge.name: _measure(session, judge, before, after, random) for judge in detectors}
    edited = dict(zip(("erased", "at other places"), (after, *random[:1]), strict=False))
    traced = detectors[:1] if erasing.edit is not None else []
    traces = tuple(trace(session, judge, before, edited) for judge in traced)
    away = away_from(soft(detectors[0], before) > 0.5) if detectors else None
    named = {"source": Path(boxes.source).name, "seed": boxes.seed, "n": len(boxes.boxes)}
    options = {
        "by": "places",
        "label": label,
        "layers": None if layers is None else list(layers),
        "fill": fill,
        "left": left,
        "where": None if where is None else list(where),
        "judges": [judge.name for judge in detectors],
        "n": n,
        "controls": controls,
        "boxes": named,
        "boxes_chosen_with": len(choosing.boxes),
    }
    rows = rows_to_show(before, after, detectors)
    words = name_samples(rows, start, session.seed)
    return Erased(
        made_with=session.made_with(**options),
        label=label,
        erasing=erasing,
        outcomes=outcomes,
        traces=traces,
        damage=measure_damage(before, after, away),
        target=left if where is None else None,
        samples=n,
        pictures=pictures(session, before[rows], after[rows], words),
    )


def _edited(session: Session, edit: PlaceEdit, z: Tensor) -> Tensor:
    with session.editing(edit):
        return session.generate(z)


def _measure(
    session: Session, judge: Detector, before: Tensor, after: Tensor, random: Sequence[Tensor]
) -> ErasureOutcome:
    edits = [after, *random]
    tally = Tally(judge, len(edits))
    for at in range(0, len(before), BATCH):
        part = slice(at, at + BATCH)
        tally.begin(before[part])
        for i, images in enumerate(edits):
            tally.add(i, before[part], images[part])
    sums_before, sums = tally.collect(len(before))
    pixels = before[0, 0].numel()
    erased, at_random = (
        measure_outcome(session.seed, rows, sums_before, 0, pixels) if len(rows) else None
        for rows in (sums[:1], sums[1:])
    )
    assert erased is not None
    return ErasureOutcome(judge.about, erased, at_random)


def as_layers(layer: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """One layer, several, or none, as a tuple.

    >>> as_layers("8x8")
    ('8x8',)
    """
    if layer is None or isinstance(layer, str):
        return None if layer is None else (layer,)
    return tuple(layer)
