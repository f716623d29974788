"""Choose how to erase an object by place: try layers, fills and widths on held-out samples."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from dcgan_probe.boxes.boxes import Boxes
from dcgan_probe.edits.donors import Donors
from dcgan_probe.edits.places import PlaceEdit
from dcgan_probe.errors import InputError, unknown
from dcgan_probe.recognition.places import FittedPlaces, fit_places
from dcgan_probe.recognition.samples import collect_maps, latents_of
from dcgan_probe.recognition.trials import (
    PRELIMINARY,
    SAMPLES,
    HeldOut,
    Trial,
    Tried,
    way_fields,
)
from dcgan_probe.session import Session

FILLS = ("mix", "recolour", "smooth")
RESOLVED = 2.0  # locations that the shorter side of the median box has, at the least
REGRESSED = 3  # layers that the regression looks at: the coarsest that resolve the boxes
WIDTHS, FIRST_WIDTHS = (0.0, 2.0, 3.0, 4.0), (2.0, 4.0)
FIRST_DONOR, DONORS = 20_000, 300
LEFT = 0.1
MIDDLE = 3.0
KEPT = 3  # candidates of the preliminary round that are tried on all samples


@dataclass(frozen=True, eq=False)
class Erasing:
    """How an object is erased, all that was tried, and why not to believe it.

    edit: None where the regression is no better than chance, and nothing is erased. chosen: of
    `tried`, None likewise. doubts: sentences; empty if nothing is known against it.
    """

    edit: PlaceEdit | None
    chosen: Tried | None
    tried: tuple[Tried, ...]
    places: FittedPlaces
    doubts: tuple[str, ...]


def choose_erasing(
    session: Session,
    boxes: Boxes,
    label: str,
    layers: Sequence[str] | None = None,
    fill: str | None = None,
    left: float = LEFT,
    donors: Donors | None = None,
    anyway: bool = False,
) -> Erasing:
    """Choose layers, fill and width of the edit that is hardest to find again.

        >>> erasing = choose_erasing(session, boxes, "window")
        >>> with session.editing(erasing.edit):
        ...     session.sample(16)

    boxes: of one label, on samples of this checkpoint. layers, fill: take these and choose only the
    rest. donors: 300 samples of the session's seed if not given. Every layer that resolves the
    boxes, every two of them that follow each other, and every fill are tried, on samples that the
    regression used there has not seen. Of those that leave at most `left` for a guide, or what it
    sees on samples without the object, by the lower end of a 95% interval, the one is best that is
    hardest to find, by a probe that is trained again (beyond position), by a patch of another hue,
    or by the discriminator, to which edited samples look less real than they were; among those
    whose 95% interval reaches that one's value, the one that changes least outside. Changes below
    3% of the mean difference between two samples count as none.

    Where fewer than 24 samples have boxes, fresh samples stand in, with the regression's own marks.
    anyway: erase even if the regression is no better than chance.
    Raises InputError for boxes that no layer resolves, an unknown layer or fill, and NaN.
    """
    names = resolving(session, boxes) if layers is None else _known(session, boxes, layers)
    if fill is not None and fill not in FILLS:
        raise unknown("fill", fill, FILLS)
    source = boxes.source or "boxes"
    z = latents_of(session, boxes)
    maps = collect_maps(session, z, names)
    side = session.config.size
    mask = boxes.mask((side, side))
    places = fit_places(maps, mask, session.seed, source)
    doubts = _doubts(places, mask)
    if not places.better_than_chance and places.parts and not anyway:
        return Erasing(None, None, (), places, doubts)
    donors = donors or Donors(session.seed, tuple(range(FIRST_DONOR, FIRST_DONOR + DONORS)))
    begin = PlaceEdit(
        names[:1],
        session.checkpoint.sha256,
        label,
        places.regression,
        fill="mix",
        donors=donors,
        nonnegative=all(bool(each.min() >= 0) for each in maps.values()),
    )
    samples = HeldOut.draw(session, places, z, maps, torch.from_numpy(mask))
    chains = [tuple(layers)] if layers is not None else _chains(names)
    fills = (fill,) if fill is not None else FILLS
    ways = list(itertools.product(chains, fills))
    edited = [name for name in names if any(name in chain for chain in chains)]
    trial = Trial(session, samples, begin, donors, edited)
    enough = max(left, trial.usual_left)
    tried = _rounds(trial, ways, enough)
    chosen = best(tried, enough, trial.negligible)
    if not np.isfinite(chosen.left.value):
        doubts += (
            f"NOTHING LEARNS FROM THE BOXES: a guide marks the {label} on none of "
            f"{chosen.samples} unedited samples, so what is left of it is unknown",
        )
    elif chosen.left.low > enough:
        doubts += (
            f"NO CHOICE LEAVES {enough:.2f} OR LESS of what a guide sees of the {label}; the one "
            f"that leaves least leaves {chosen.left.value:.2f}",
        )
    if 2 * chosen.unfit > chosen.samples:
        doubts += (
            f"NO DONOR FITS {chosen.unfit} of {chosen.samples} samples: the best one shows the "
            "object at the place itself",
        )
    fields = way_fields(chosen.layers, chosen.fill, chosen.widen, donors)
    edit = replace(begin, **fields, about=_about(session, boxes, chosen, places))
    return Erasing(edit, chosen, tuple(tried), places, doubts)


def erase_unjudged(session: Session, boxes: Boxes, label: str) -> PlaceEdit:
    """The edit that `choose_erasing` begins with: nothing is tried, and it takes a second or two.

        >>> with session.editing(erase_unjudged(session, boxes.only("window"), "window")):
        ...     session.sample(16)

    The two coarsest layers that resolve the boxes, donors recoloured, widened by 3. Raises
    InputError as `choose_erasing` does.
    """
    names = resolving(session, boxes)
    maps = collect_maps(session, latents_of(session, boxes), names)
    side = session.config.size
    places = fit_places(maps, boxes.mask((side, side)), session.seed, boxes.source or "boxes")
    donors = Donors(session.seed, tuple(range(FIRST_DONOR, FIRST_DONOR + DONORS)))
    return PlaceEdit(
        names[:2],
        session.checkpoint.sha256,
        label,
        places.regression,
        MIDDLE,
        fill="recolour",
        donors=donors,
        nonnegative=all(bool(each.min() >= 0) for each in maps.values()),
    )


def best(tried: Sequence[Tried], left: float, negligible: float = 0.0) -> Tried:
    """The one to take (see `choose_erasing`); where none erases enough, what leaves least.

    negligible: change outside below which none is better than another.
    """
    most = max(each.samples for each in tried)
    final = [each for each in tried if each.samples == most]
    enough = [each for each in final if each.left.low <= left]
    if not enough:
        return min(final, key=lambda each: float(np.nan_to_num(each.left.value, nan=np.inf)))
    measured = [each for each in enough if np.isfinite(each.found.value)]
    if not measured:
        return min(enough, key=lambda each: each.outside)
    hardest = min(measured, key=lambda each: each.found.value)
    # Those that the measurement cannot tell from it.
    near = [each for each in measured if each.found.low <= hardest.found.value]
    return min(near, key=lambda each: (max(each.outside, negligible), each.found.value))


def resolving(session: Session, boxes: Boxes) -> tuple[str, ...]:
    """The coarsest layers whose grids resolve the boxes, at most three, in the order of the data.

    A layer resolves them if the shorter side of the median box has two locations or more. Raises
    InputError if there is none.
    """
    sides = [min(box.x1 - box.x0, box.y1 - box.y0) for box in boxes.boxes]
    short = float(np.median(sides))
    grids = session.config.hidden("generator")
    names = [
        name
        for name, (height, _) in grids.items()
        if height > 1 and short * height / session.config.size >= RESOLVED
    ]
    if not names:
        raise InputError(
            f"{boxes.source or 'boxes'}: found boxes of {short:g} pixels, expected some that have "
            f"two locations or more of a layer of {', '.join(grids)}"
        )
    return tuple(names[:REGRESSED])


def _known(session: Session, boxes: Boxes, layers: Sequence[str]) -> tuple[str, ...]:
    """The layers that were asked for, and others that the regression may look at."""
    order = session.config.layers("generator")
    for name in layers:
        if name not in order:
            raise unknown("layer", name, order, where="generator")
    grids = session.config.hidden("generator")
    try:
        others = resolving(session, boxes)
    except InputError:
        others = ()
    names = {*layers, *(name for name in others if name in grids)}
    return tuple(name for name in order if name in names)


def _chains(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Each layer, and each two that follow one another, but the finest of three.

    What is replaced there alone is found again: see `benchmarks/forgetting/places.md`.
    """
    names = names[: max(1, REGRESSED - 1)]
    return [*((name,) for name in names), *zip(names, names[1:], strict=False)]


def _doubts(places: FittedPlaces, mask: np.ndarray) -> tuple[str, ...]:
    doubts = []
    boxed = mask[mask.any(axis=(1, 2))]
    filled = int((boxed.mean(axis=(1, 2)) > 0.9).sum())
    if 2 * filled > len(boxed):
        doubts.append(
            f"THE OBJECT FILLS THE IMAGE on {filled} of {len(boxed)} samples: nothing around it "
            "says what should take its place"
        )
    if places.auc is not None and not np.isfinite(places.auc.value):
        doubts.append(
            "THE REGRESSION CANNOT BE TESTED: held-out images have no location that is clearly "
            "outside of the boxes, or none inside"
        )
    elif places.parts and not places.better_than_chance:
        doubts.append(
            f"THE REGRESSION IS NO BETTER THAN CHANCE on held-out images: AUC {places.auc}"
        )
    return tuple(doubts)


def _about(session: Session, boxes: Boxes, chosen: Tried, places: FittedPlaces) -> dict[str, Any]:
    auc = None if places.auc is None else places.auc.values()
    return {
        "boxes": {"seed": boxes.seed, "n": len(boxes.boxes), "images": len(boxes.images)},
        "seed": session.seed,
        "chosen_on": chosen.values() if np.isfinite(chosen.beyond.value) else chosen.samples,
        "held_out_auc": auc,
    }


def _rounds(trial: Trial, ways: list[tuple[tuple[str, ...], str]], left: float) -> list[Tried]:
    """All ways at two widths on few samples, the best few on all, and the best at other widths."""
    progress = trial.session.progress
    wide = [(*way, width) for way in ways for width in FIRST_WIDTHS]
    first = [trial.run(*way, PRELIMINARY) for way in progress(wide, "ways to erase")]
    ranked = sorted(first, key=lambda each: (not each.left.low <= left, each.found.value))
    kept = [(each.layers, each.fill, each.widen) for each in ranked[:KEPT]]
    middle = [trial.run(*way, SAMPLES) for way in progress(kept, "the best of them")]
    chosen = best(middle, left, trial.negligible)
    others = [(chosen.layers, chosen.fill, width) for width in WIDTHS]
    wider = [trial.run(*way, SAMPLES) for way in others if way not in kept]
    return [*first, *middle, *wider]
