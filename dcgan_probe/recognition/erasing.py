"""Choose how to erase an object by place: layers, fill and width, tried on held-out samples."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dcgan_probe import hooks
from dcgan_probe.boxes.boxes import Boxes
from dcgan_probe.edits.donors import Donors, Part, Pool
from dcgan_probe.edits.filling import FILLS
from dcgan_probe.edits.places import PlaceEdit, find_donors, reach, replacing
from dcgan_probe.edits.regression import PlaceRegression
from dcgan_probe.edits.tails import Tail
from dcgan_probe.errors import InputError, unknown
from dcgan_probe.metrics.intervals import Interval, bootstrap_weights, percentile_interval
from dcgan_probe.metrics.ranking import UNKNOWN
from dcgan_probe.recognition.logistic import LogisticProblem, cross_fit
from dcgan_probe.recognition.places import FittedPlaces, fit_places
from dcgan_probe.recognition.retrained import beyond_position, see
from dcgan_probe.recognition.samples import latents_of
from dcgan_probe.session import BATCH, Session

RESOLVED = 2.0  # locations that the shorter side of the median box has, at the least
REGRESSED = 3  # layers that the regression looks at: the coarsest that resolve the boxes
WIDTHS = (0.0, 2.0, 3.0, 4.0)
FIRST_DONOR, DONORS = 20_000, 150
LEFT = 0.05
MIDDLE = 2.0
# Of held-out samples: as many as tell candidates apart, and few enough to be quick.
SAMPLES, FEWEST, PRELIMINARY = 40, 24, 24
KEPT = 3  # candidates of the preliminary round that are tried on all samples
FINEST = 2  # layers of the discriminator that the guide and the probe trained again look at
GRID, PLACES, RESAMPLES = 16, 1500, 200  # of the probe trained again, for the same reason
NEGLIGIBLE = 0.03  # of the mean difference between two samples
SHOWS = 0.1  # of p, mean over a place: a donor with more shows the object there
GUIDE_FOLDS, GUIDE_ROWS, GUIDE_RIDGES = 3, 4000, (30.0, 300.0)
FRESH = 200_000  # samples from here on stand in where too few are boxed


@dataclass(frozen=True)
class Tried:
    """One candidate, and what it did to held-out samples.

    left: share of the object's evidence that a guide still sees, which learnt from boxes on other
    samples. outside: mean absolute change of pixels outside of the boxes. beyond: how well a probe
    trained again finds the place beyond what position tells (AUC, chance 0.5). patch: how often the
    place's colour is further from what is around it than at the same place of a sample without the
    object, 0.5 where nothing is to be seen; a patch of another wall's colour is higher. samples:
    how many; unfit: of how many the best donor shows the object itself.
    """

    layers: tuple[str, ...]
    fill: str
    widen: float
    left: float
    outside: float
    beyond: Interval
    patch: Interval
    samples: int
    unfit: int

    def values(self) -> dict[str, Any]:
        """As JSON values."""
        intervals = {"beyond": vars(self.beyond), "patch": vars(self.patch)}
        return {**vars(self), "layers": list(self.layers), **intervals}

    @property
    def found(self) -> Interval:
        """How well the place is found again, by a probe or by its colour; not below 0.5."""
        worst = max((self.beyond, self.patch), key=lambda each: each.value)
        return Interval(max(worst.value, 0.5), worst.low, worst.high)

    def __str__(self) -> str:
        return (
            f"{' and '.join(self.layers)}, {self.fill}, widened by {self.widen:g}: "
            f"{self.left:.3f} left, {self.outside:.4f} outside, found beyond position "
            f"{self.beyond}, by a patch {self.patch}"
        )


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
    rest. donors: 150 samples of the session's seed if not given. Every layer that resolves the
    boxes, every two of them that follow each other, and every fill are tried, on samples that the
    regression used there has not seen. Of those that leave at most `left` for a guide the one is
    best that is hardest to find again, by a probe that is trained again (beyond position) or by a
    patch of another colour, whichever finds it better; among those whose 95% interval reaches that
    one's value, the one that changes least outside. Changes below 3% of the mean difference between
    two samples count as none.

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
    samples = _samples(session, places, z, maps, mask)
    chains = [tuple(layers)] if layers is not None else _chains(names)
    fills = (fill,) if fill is not None else FILLS
    ways = list(itertools.product(chains, fills))
    trial = Trial(session, samples, begin, donors)
    tried = _rounds(trial, ways, left)
    chosen = best(tried, left, trial.negligible)
    if 2 * chosen.unfit > chosen.samples:
        doubts += (
            f"NO DONOR FITS {chosen.unfit} of {chosen.samples} samples: the best one shows the "
            "object at the place itself",
        )
    fields = _fields(chosen.layers, chosen.fill, chosen.widen, donors)
    edit = replace(begin, **fields, about=_about(session, boxes, chosen, places))
    return Erasing(edit, chosen, tuple(tried), places, doubts)


def erase_unjudged(session: Session, boxes: Boxes, label: str) -> PlaceEdit:
    """The edit that `choose_erasing` begins with: nothing is tried, and it takes a second or two.

        >>> with session.editing(erase_unjudged(session, boxes.only("window"), "window")):
        ...     session.sample(16)

    The two coarsest layers that resolve the boxes, donors mixed in, widened by 2. Raises InputError
    as `choose_erasing` does.
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
        donors=donors,
        nonnegative=all(bool(each.min() >= 0) for each in maps.values()),
    )


def best(tried: Sequence[Tried], left: float, negligible: float = 0.0) -> Tried:
    """The one to take (see `choose_erasing`); where none erases enough, what leaves least.

    negligible: change outside below which none is better than another.
    """
    most = max(each.samples for each in tried)
    final = [each for each in tried if each.samples == most]
    enough = [each for each in final if each.left <= left]
    if not enough:
        return min(final, key=lambda each: each.left)
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


def collect_maps(session: Session, z: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Maps of layers of the generator for latents, with the edits in force; on the CPU."""
    parts = []
    for part in z.split(BATCH):
        with torch.no_grad():
            parts.append(hooks.collect(session.generator, names, part.to(session.device)))
    return {name: torch.cat([part[name].float().cpu() for part in parts]) for name in names}


def _fields(
    layers: tuple[str, ...], fill: str, widen: float, donors: Donors | None
) -> dict[str, Any]:
    kept = None if fill == "smooth" else donors
    return {"layers": layers, "fill": fill, "widen": widen, "donors": kept}


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
    if places.parts and not places.better_than_chance:
        doubts.append(
            f"THE REGRESSION IS NO BETTER THAN CHANCE on held-out images: AUC {places.auc}"
        )
    boxed = mask[mask.any(axis=(1, 2))]
    filled = int((boxed.mean(axis=(1, 2)) > 0.9).sum())
    if 2 * filled > len(boxed):
        doubts.append(
            f"THE OBJECT FILLS THE IMAGE on {filled} of {len(boxed)} samples: nothing around it "
            "says what should take its place"
        )
    return tuple(doubts)


def _about(session: Session, boxes: Boxes, chosen: Tried, places: FittedPlaces) -> dict[str, Any]:
    auc = None if places.auc is None else vars(places.auc)
    return {
        "boxes": {"seed": boxes.seed, "n": len(boxes.boxes), "images": len(boxes.images)},
        "seed": session.seed,
        "chosen_on": chosen.values() if np.isfinite(chosen.beyond.value) else chosen.samples,
        "held_out_auc": auc,
    }


@dataclass(frozen=True, eq=False)
class _Samples:
    """Held-out samples with the object. groups: rows, each with a regression that has not seen
    them. mask: N x S x S bool, where the object is."""

    z: Tensor
    maps: dict[str, Tensor]
    mask: Tensor
    groups: list[tuple[PlaceRegression, Tensor]]


def _samples(
    session: Session,
    places: FittedPlaces,
    z: Tensor,
    maps: Mapping[str, Tensor],
    mask: np.ndarray,
) -> _Samples:
    rows = torch.where(torch.from_numpy(mask).flatten(1).any(1))[0]
    if len(rows) >= FEWEST and places.parts:
        if len(rows) > SAMPLES:
            rows = rows[torch.linspace(0, len(rows) - 1, SAMPLES).long()]
        fold = places.fold_of[rows]
        groups = [(part, torch.where(fold == i)[0]) for i, part in enumerate(places.parts)]
        groups = [group for group in groups if len(group[1])]
        chosen = {name: each[rows] for name, each in maps.items()}
        return _Samples(z[rows], chosen, torch.from_numpy(mask)[rows], groups)
    fresh = session.latents(2 * SAMPLES, start=FRESH)
    seen = collect_maps(session, fresh, tuple(maps))
    finest = list(maps)[-1]
    logits = places.regression.logits(seen, (finest,))[finest]
    size = (session.config.size, session.config.size)
    marks = F.interpolate(logits[:, None], size, mode="bilinear")[:, 0] > 0
    # As large as the smallest box at least, or it is a false alarm.
    areas = torch.from_numpy(mask).flatten(1).sum(1)
    least = int(areas[areas > 0].min()) / 2
    rows = torch.where(marks.flatten(1).sum(1) >= least)[0][:SAMPLES]
    chosen = {name: each[rows] for name, each in seen.items()}
    groups = [(places.regression, torch.arange(len(rows)))] if len(rows) else []
    return _Samples(fresh[rows], chosen, marks[rows], groups)


class Trial:
    """Candidates tried on the same samples; what they share is computed once."""

    def __init__(self, session: Session, samples: _Samples, begin: PlaceEdit, donors: Donors):
        self.session, self.samples, self.begin = session, samples, begin
        z = donors.latents(session.config)
        drawn = collect_maps(session, z, tuple(samples.maps))
        self.groups = [_Group(session, samples, each, drawn) for each in samples.groups]
        n = len(samples.z)
        self.before = _in_order([(g.rows, g.images()) for g in self.groups], n)
        seen = see(session.checkpoint.discriminator, self.before, GRID, FINEST)
        self.guide = _Guide(seen, samples.mask, session.seed)
        self.outside = ~_grown(samples.mask, 2)
        apart = (self.before - self.before.roll(1, 0)).abs().mean()
        self.negligible = NEGLIGIBLE * float(apart)
        self.patches = _Patches(session, samples.mask, begin, z, drawn)

    def run(self, layers: tuple[str, ...], fill: str, widen: float, count: int) -> Tried:
        """Try one candidate on `count` of the samples."""
        edit = replace(self.begin, **_fields(layers, fill, widen, self.begin.donors))
        n = len(self.samples.z)
        wanted = torch.linspace(0, n - 1, min(count, n)).long()
        parts, unfit = [], 0
        for group in self.groups:
            at = torch.isin(group.rows, wanted)
            if at.any():
                images, shown = group.edited(edit, at)
                parts.append((group.rows[at], images))
                unfit += int((shown > 0.5).sum())
        images = _in_order(parts, n)[wanted]
        seen = see(self.session.checkpoint.discriminator, images, GRID, FINEST)
        change = (images - self.before[wanted]).abs().mean(1)
        outside = self.outside[wanted]
        mask = self.samples.mask[wanted]
        beyond = beyond_position(seen, mask, self.session.seed, PLACES, RESAMPLES)
        return Tried(
            layers,
            fill,
            widen,
            self.guide.left(seen, wanted),
            float((change * outside).sum() / outside.sum().clamp(min=1)),
            beyond,
            self.patches.measure(images, wanted),
            len(wanted),
            unfit,
        )


class _Group:
    """Samples of one regression that has not seen them, and the donors as it sees them."""

    def __init__(
        self,
        session: Session,
        samples: _Samples,
        group: tuple[PlaceRegression, Tensor],
        drawn: Mapping[str, Tensor],
    ):
        regression, self.rows = group
        device = session.device
        self.session = session
        self.z = samples.z[self.rows].to(device)
        self.maps = {name: each[self.rows].to(device) for name, each in samples.maps.items()}
        self.logits = regression.logits(self.maps)
        self.drawn = drawn
        # The finest layer's is dear, and needed only where it is edited.
        self.regression = regression
        self.p: dict[str, Tensor] = {}
        self.pools: dict[tuple[str, ...], Pool] = {}

    def images(self) -> Tensor:
        """Unedited."""
        name = next(iter(self.maps))
        return Tail(self.session.generator, name).run(self.maps[name].clone(), self.z).cpu()

    def edited(self, edit: PlaceEdit, at: Tensor) -> tuple[Tensor, Tensor]:
        """Images of some of the samples, and whether their donors show the object themselves."""
        maps = {name: each[at] for name, each in self.maps.items()}
        logits = {name: reach(self.logits[name][at], edit.widen) for name in edit.layers}
        donor, shown = None, torch.zeros(int(at.sum()))
        if edit.donors is not None:
            if edit.layers not in self.pools:
                self.pools[edit.layers] = self._pool(edit.layers)
            donors = find_donors(edit, self.pools[edit.layers], maps, logits)
            donor, shown = donors.maps, donors.shown
        functions = replacing(edit, maps, logits, donor)
        first = edit.layers[0]
        base = Tail(self.session.generator, first).start(self.z[at], maps[first], maps)
        return base.planned(edit.layers, lambda _maps: functions).cpu(), shown

    def _pool(self, layers: tuple[str, ...]) -> Pool:
        missing = [name for name in layers if name not in self.p]
        if missing:
            logits = self.regression.logits(self.drawn, missing)
            self.p |= {name: torch.sigmoid(each) for name, each in logits.items()}

        def draw(part: slice) -> Part:
            device = self.z.device
            return Part(
                {name: self.drawn[name][part].to(device) for name in layers},
                {name: self.p[name][part].to(device) for name in layers},
            )

        return Pool(draw, len(next(iter(self.drawn.values()))))


class _Patches:
    """Is the colour of a place further from what is around than is usual there?"""

    def __init__(
        self,
        session: Session,
        mask: Tensor,
        begin: PlaceEdit,
        z: Tensor,
        drawn: Mapping[str, Tensor],
    ):
        self.seed = session.seed
        step = max(1, session.config.size // 32)
        self.inside = _shares(mask)
        self.around = _shares(_grown(mask, 2 * step) & ~_grown(mask, step))
        # What is usual: donors that do not show the object at the place.
        finest = list(drawn)[-1]
        assert begin.regression is not None
        p = torch.sigmoid(begin.regression.logits(drawn, (finest,))[finest])
        grid = (p.shape[1], p.shape[2])
        place = F.adaptive_avg_pool2d(mask[:, None].float(), grid).flatten(1)
        shown = place @ p.flatten(1).T / place.sum(1, keepdim=True).clamp(min=1e-6)
        usual = session.generate(z).flatten(2)
        apart = (self.inside - self.around) @ usual.flatten(0, 1).T  # masks x donors' channels
        self.usual = apart.view(len(mask), len(usual), -1).abs().mean(2)
        self.usual[shown > SHOWS] = torch.nan

    def measure(self, images: Tensor, rows: Tensor) -> Interval:
        """The mean share of usual samples whose place stands out less; 0.5 is usual."""
        apart = (self.inside - self.around)[rows]
        own = torch.einsum("nx,ncx->nc", apart, images.flatten(2)).abs().mean(1, keepdim=True)
        usual = self.usual[rows]
        known = usual.isfinite()
        share = ((own > usual) & known).sum(1) / known.sum(1)
        measured = known.any(1) & (self.around[rows].sum(1) > 0)
        values = share[measured].double().numpy()
        if not len(values):
            return UNKNOWN
        weights = bootstrap_weights(len(values), np.random.default_rng(self.seed), RESAMPLES)
        means = (weights @ values) / weights.sum(1)
        return Interval(float(means[0]), *map(float, percentile_interval(means)))


def _grown(mask: Tensor, by: int) -> Tensor:
    """N x S x S bool, wider by so many pixels."""
    return F.max_pool2d(mask[:, None].float(), 2 * by + 1, 1, by)[:, 0] > 0


def _shares(mask: Tensor) -> Tensor:
    """Weights of pixels that make a mean over a mask: N x S*S."""
    flat = mask.flatten(1).float()
    return flat / flat.sum(1, keepdim=True).clamp(min=1)


class _Guide:
    """Says what is left of the object: learnt from unedited samples, each judged by one that has
    not seen it."""

    def __init__(self, seen: Tensor, mask: Tensor, seed: int):
        n, count, height, width = seen.shape
        share = F.adaptive_avg_pool2d(mask[:, None].float(), (height, width))[:, 0]
        self.inside = share > 0.5
        self.fold_of = torch.arange(n) % min(GUIDE_FOLDS, n)
        group = torch.arange(n).repeat_interleave(height * width)
        x = seen.permute(0, 2, 3, 1).reshape(-1, count)
        picked = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:GUIDE_ROWS]
        self.mean, self.deviation = x[picked].mean(0), x[picked].std(0) + 1e-4
        rows = (x[picked] - self.mean) / self.deviation
        one = torch.ones(len(rows), dtype=torch.float64)
        y = share.double().flatten()[picked]
        problem = LogisticProblem(rows, y, one, group[picked], torch.zeros_like(one))
        self.parts = cross_fit(problem, self.fold_of, GUIDE_RIDGES).parts
        self.base = self._marks(seen, torch.arange(n))

    def left(self, seen: Tensor, rows: Tensor) -> float:
        """The share of the places it marks where the object was that it still marks."""
        was = (self.base[rows] & self.inside[rows]).sum()
        still = (self._marks(seen, rows) & self.inside[rows]).sum()
        return float(still / was) if was else float("nan")

    def _marks(self, seen: Tensor, rows: Tensor) -> Tensor:
        marks = torch.empty(len(rows), *seen.shape[2:], dtype=torch.bool)
        for i, part in enumerate(self.parts):
            at = self.fold_of[rows] == i
            u = part[:-1].float() / self.deviation
            bias = float(part[-1]) - float(u @ self.mean)
            marks[at] = torch.einsum("nchw,c->nhw", seen[at], u) + bias > 0
        return marks


def _rounds(trial: Trial, ways: list[tuple[tuple[str, ...], str]], left: float) -> list[Tried]:
    """All ways on few samples, the best few on all, and the best at other widths."""
    progress = trial.session.progress
    first: list[Tried] = []
    if len(ways) > KEPT:
        first = [trial.run(*way, MIDDLE, PRELIMINARY) for way in progress(ways, "ways to erase")]
        ranked = sorted(first, key=lambda each: (each.left > left, each.found.value))
        ways = [(each.layers, each.fill) for each in ranked[:KEPT]]
    middle = [trial.run(*way, MIDDLE, SAMPLES) for way in progress(ways, "the best of them")]
    kept = best(middle, left, trial.negligible)
    others = [width for width in WIDTHS if width != MIDDLE]
    wider = [trial.run(kept.layers, kept.fill, width, SAMPLES) for width in others]
    return [*first, *middle, *wider]


def _in_order(parts: Iterable[tuple[Tensor, Tensor]], n: int) -> Tensor:
    """Images at their rows of n; those of other rows stay 0."""
    whole = None
    for rows, images in parts:
        if whole is None:
            whole = torch.zeros(n, *images.shape[1:])
        whole[rows] = images
    assert whole is not None
    return whole
