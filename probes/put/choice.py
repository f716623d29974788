"""Choose layers, fill and margin on held-out boxed objects, then the donor."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dcgan_probe.boxes.boxes import Box, Boxes
from dcgan_probe.edits.places import PlaceEdit
from dcgan_probe.edits.regions import listed
from dcgan_probe.errors import InputError, unknown
from dcgan_probe.probes.put.bench import Bench
from dcgan_probe.probes.put.effect import Effects, Outcome, best, join
from dcgan_probe.probes.put.options import Edges
from dcgan_probe.probes.put.placing import Placement, Placements, place, step_of
from dcgan_probe.probes.put.ways import Way
from dcgan_probe.recognition.samples import maps_of
from dcgan_probe.session import Session

LAYERS = 3  # the coarsest that resolve the box
RESOLVED = 2.0  # locations that its shorter side has, at the least
# With a little less than half a location beyond the box all locations are taken that it reaches
# into, and none that it touches.
SHARP = 0.45
SOFT = (1 / 16, 1 / 10)  # of the image's side beyond the box, over which the edit fades out
PLACES, RECIPIENTS = 12, 4  # places of held-out objects, and samples that each is put into
NEAR = 0.02  # of overlap that moving by whole locations may cost
SHORTLIST, SAMPLES = 6, 24  # donors, and samples to try each in
FEWEST = 4  # boxed samples, half of which are held out


@dataclass(frozen=True, eq=False)
class TriedWay:
    """A way, and what it did to held-out objects; rows of `effects` are means of a place."""

    way: Way
    effects: Effects
    outcome: Outcome

    def values(self) -> dict[str, Any]:
        """As JSON values."""
        return {**self.way.values(), **self.outcome.values()}


@dataclass(frozen=True, eq=False)
class TriedDonor:
    """A boxed object that was put where it is asked for, into samples that show none there."""

    placed: Placement
    effects: Effects
    outcome: Outcome

    def values(self) -> dict[str, Any]:
        """As JSON values."""
        return {**self.placed.values(), **self.outcome.values()}


def find_layers(session: Session, at: Edges, layers: Sequence[str] | None) -> list[tuple[str, ...]]:
    """The chains of layers to try: those that are asked for, or each of the coarsest three that
    resolve the box, and every two of these that follow each other.

    Raises InputError for an unknown layer, one of a single location, and a box that is smaller
    than a location.
    """
    size, order = session.config.size, session.config.layers("generator")
    short = min(at[2] - at[0], at[3] - at[1])
    grids = session.config.hidden("generator")
    if layers is not None:
        for name in layers:
            if name not in order:
                raise unknown("layer", name, order, where="generator")
        chain = tuple(sorted(dict.fromkeys(layers), key=order.index))
        for name in chain:
            _check_fits(at, short, name, grid_of(session, name), size)
        return [chain]
    several = {name: grid for name, grid in grids.items() if min(grid) > 1}
    for least in (RESOLVED, 1.0):
        names = [name for name, grid in several.items() if short * min(grid) / size >= least]
        if names:
            names = names[:LAYERS]
            return [*((name,) for name in names), *zip(names, names[1:], strict=False)]
    if not several:
        raise InputError("generator: found no layer of several locations, expected one")
    finest = list(several)[-1]
    _check_fits(at, short, finest, several[finest], size)
    raise AssertionError("the finest layer has no location in the box")


def find_fitting(
    session: Session,
    label: str,
    chains: Sequence[tuple[str, ...]],
    objects: Sequence[Box],
    at: Edges,
) -> list[tuple[str, ...]]:
    """The chains by which an object lands as near to a place as by others, up to `NEAR`.

    Raises InputError where no object fits by any of them.
    """
    overlaps: dict[tuple[str, ...], float] = {}
    reason = None
    for chain in chains:
        try:
            found = place_all(session, label, chain, objects, at)
        except InputError as error:
            reason = error
        else:
            overlaps[chain] = found.fitting[0].overlap
    if not overlaps:
        assert reason is not None
        raise reason
    most = max(overlaps.values())
    return [chain for chain, overlap in overlaps.items() if overlap >= most - NEAR]


def place_all(
    session: Session, label: str, chain: tuple[str, ...], objects: Sequence[Box], at: Edges
) -> Placements:
    """Move boxed objects to a place by whole locations of some layers; InputError if none fits."""
    size = session.config.size
    step = step_of([grid_of(session, name) for name in chain], size)
    placements = place(objects, at, step, size)
    if not placements.fitting:
        raise InputError(
            f"--at {listed(at)}: found no boxed {label} that fits there: of {len(objects)}, "
            f"{placements.leaving} would leave the image and {placements.cut} are cut by its side; "
            f"moved by multiples of {step[0]:g} x {step[1]:g} pixels"
        )
    return placements


def grid_of(session: Session, name: str) -> tuple[int, int]:
    """Height and width of a layer's maps; InputError for one without several locations."""
    grids = session.config.hidden("generator")
    grid = grids.get(name)
    if grid is None:
        maps = maps_of(session, session.latents(1), name)
        grid = (maps.shape[2], maps.shape[3])
    if min(grid) < 2:
        raise InputError(
            f"layer {name!r}: found {grid[0]} x {grid[1]} locations, expected maps of several: "
            "nothing can be moved"
        )
    return grid


def _check_fits(at: Edges, short: float, name: str, grid: tuple[int, int], size: int) -> None:
    if short * min(grid) / size < 1:
        raise InputError(
            f"--at: found a box of {at[2] - at[0]:g} x {at[3] - at[1]:g} pixels, expected at least "
            f"{size / grid[1]:g} x {size / grid[0]:g}, one location of layer {name}"
        )


def sharp_way(session: Session, layers: tuple[str, ...], fill: str) -> Way:
    """The way that takes all locations of the first layer that the box reaches into."""
    return Way(layers, fill, SHARP * session.config.size / grid_of(session, layers[0])[1])


def choose_way(
    bench: Bench, label: str, chains: Sequence[tuple[str, ...]], fills: Sequence[str], held: Boxes
) -> tuple[Way, tuple[TriedWay, ...]]:
    """Choose layers, fill and margin by putting held-out objects where other held-out ones are.

    What is asked for are boxes of held-out objects; put there are objects of other held-out
    samples, of those that fit the one whose box overlaps most. See `best` for what is taken.
    """
    session = bench.session
    size = session.config.size
    whole = [b for b in held.boxes if min(b.x0, b.y0) >= 1 and max(b.x1, b.y1) <= size - 1]
    picked = torch.linspace(0, len(whole) - 1, min(PLACES, len(whole))).long().tolist()
    places: dict[Edges, list[Box]] = {}  # where to put one, and which there are
    for box in (whole[i] for i in picked):
        others = [other for other in held.boxes if other.image != box.image]
        places[box.edges] = others
    placed: dict[tuple[str, ...], list[Placement]] = {}
    for chain in chains:
        step = step_of([grid_of(session, name) for name in chain], size)
        fitting = [place(others, at, step, size).fitting for at, others in places.items()]
        if all(fitting):  # else it cannot be compared with those that are put at the same places
            placed[chain] = [each[0] for each in fitting]
    if not places or not placed:
        raise InputError(
            f"{held.source or 'boxes'}: found no held-out {label} that can be moved to the place "
            "of another, expected some that the image's sides do not cut; name --layer and --fill"
        )

    def trial(way: Way) -> TriedWay:
        parts = []
        for at, donor in zip(places, placed[way.layers], strict=True):
            edit = bench.edit(label, way, donor)
            rows = bench.free(at, RECIPIENTS)
            parts.append(bench.effects(edit, rows, at, donor.landed).mean())
        effects = join(parts)
        outcome = Outcome.of(effects, session.seed, len(places) * RECIPIENTS)
        return TriedWay(way, effects, outcome)

    ways = []
    for chain, fill in itertools.product(placed, fills):
        ways.append(sharp_way(session, chain, fill))
        ways += [Way(chain, fill, share * size, soft=True) for share in SOFT]
    found = tuple(trial(way) for way in session.progress(ways, "ways to put it"))
    return found[best([each.effects for each in found], session.seed)].way, found


def choose_donor(
    bench: Bench, label: str, way: Way, objects: Sequence[Box], at: Edges
) -> tuple[PlaceEdit, TriedDonor, tuple[TriedDonor, ...], Placements]:
    """Choose the object to put at a place, among boxed ones.

    Of all that fit, the six are tried whose boxes, moved along, overlap most with the one that is
    asked for; `best` says which is taken. Raises InputError where none fits.
    """
    session = bench.session
    placements = place_all(session, label, way.layers, objects, at)
    rows = bench.free(at, SAMPLES)
    tried = []
    for placed in session.progress(placements.fitting[:SHORTLIST], "objects to put"):
        edit = bench.edit(label, way, placed)
        effects = bench.effects(edit, rows, at, placed.landed)
        tried.append(TriedDonor(placed, effects, Outcome.of(effects, session.seed)))
    chosen = tried[best([each.effects for each in tried], session.seed)]
    edit = bench.edit(label, way, chosen.placed)
    return edit, chosen, tuple(tried), placements
