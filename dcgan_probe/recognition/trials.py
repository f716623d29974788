"""Try ways to erase an object by place on held-out samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dcgan_probe.edits.donors import PART, Donors, Match, Part, Pool
from dcgan_probe.edits.extent import reach
from dcgan_probe.edits.places import PlaceEdit, find_donors, replacing
from dcgan_probe.edits.tails import Tail
from dcgan_probe.errors import InputError
from dcgan_probe.metrics import features
from dcgan_probe.metrics.intervals import UNKNOWN, Interval, resampled_mean, resampled_ratio
from dcgan_probe.recognition.logistic import LogisticProblem, cross_fit
from dcgan_probe.recognition.masks import grown, shares
from dcgan_probe.recognition.patches import Patches
from dcgan_probe.recognition.places import FittedPlaces
from dcgan_probe.recognition.retrained import beyond_position, places_differ, see
from dcgan_probe.recognition.samples import collect_maps
from dcgan_probe.session import Session

# Of held-out samples: as many as tell candidates apart, and few enough to be quick.
SAMPLES, FEWEST, PRELIMINARY = 40, 24, 24
FINEST = 2  # layers of the discriminator that the guide and the probe trained again look at
GRID, PLACES, RESAMPLES = 16, 1500, 200  # of the probe trained again, for the same reason
NEGLIGIBLE = 0.03  # of the mean difference between two samples
USUAL = 100  # donors that say what is usual where the object was
UNFIT = 0.5  # of p, mean over a place: a donor with more does not fit
BATCH = 32  # samples that are edited together
GUIDE_FOLDS, GUIDE_ROWS, GUIDE_RIDGES = 3, 4000, (30.0, 300.0)
FRESH = 200_000  # samples from here on stand in where too few are boxed


@dataclass(frozen=True)
class Tried:
    """One candidate, and what it did to held-out samples.

    left: share of the object's evidence that a guide still sees, which learnt from boxes on other
    samples; NaN where it saw none. outside: mean absolute change of pixels outside of the boxes.
    beyond: how well a probe trained again finds the place beyond what position tells (AUC, chance
    0.5). patch: how often the place's hue is further from what is around it than at the same place
    of a sample without the object, 0.5 where nothing is to be seen; a patch of another wall's
    colour is higher. unreal: how often the checkpoint's discriminator takes the edited sample for
    less real than it was, 0.5 for an edit that it does not mind, or without a discriminator.
    samples: how many; unfit: of how many the best donor shows the object itself.
    """

    layers: tuple[str, ...]
    fill: str
    widen: float
    left: Interval
    outside: float
    beyond: Interval
    patch: Interval
    unreal: Interval
    samples: int
    unfit: int

    def values(self) -> dict[str, Any]:
        """As JSON values; None for what could not be measured."""
        named = {
            "left": self.left,
            "beyond": self.beyond,
            "patch": self.patch,
            "unreal": self.unreal,
        }
        intervals = {name: each.values() for name, each in named.items()}
        return {**vars(self), "layers": list(self.layers), **intervals}

    @property
    def found(self) -> Interval:
        """How well the edit is found, by what finds it best of the three; not below 0.5.

        NaN where the probe could not be trained.
        """
        worst = self.beyond
        if np.isfinite(worst.value):
            worst = max(
                self.beyond,
                self.patch,
                self.unreal,
                key=lambda each: float(np.nan_to_num(each.value)),
            )
        value = float(np.maximum(worst.value, 0.5))
        # Of three that are all below 0.5 the interval may end below it, too.
        return Interval(value, worst.low, float(np.maximum(worst.high, value)))

    def __str__(self) -> str:
        return (
            f"{' and '.join(self.layers)}, {self.fill}, widened by {self.widen:g}: "
            f"{self.left} left, {self.outside:.4f} outside, found beyond position "
            f"{self.beyond}, by a patch {self.patch}, less real {self.unreal}"
        )


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Samples with the object, and where a regression that has not seen them says it is.

    z: N x z_size. maps: N x filters x h x w, logits: N x h x w, by layer. mask: N x S x S bool,
    where the object is.
    """

    z: Tensor
    maps: dict[str, Tensor]
    logits: dict[str, Tensor]
    mask: Tensor

    @classmethod
    def draw(
        cls,
        session: Session,
        places: FittedPlaces,
        z: Tensor,
        maps: Mapping[str, Tensor],
        mask: Tensor,
    ) -> HeldOut:
        """Boxed samples, or fresh ones with the regression's own marks where too few are boxed.

        z, maps, mask: of all samples that were looked at.
        """
        rows = torch.where(mask.flatten(1).any(1))[0]
        if len(rows) >= FEWEST and places.parts:
            if len(rows) > SAMPLES:
                rows = rows[torch.linspace(0, len(rows) - 1, SAMPLES).long()]
            chosen = {name: each[rows] for name, each in maps.items()}
            logits = {
                name: each.new_empty(len(rows), *each.shape[2:]) for name, each in maps.items()
            }
            for i, part in enumerate(places.parts):
                at = places.fold_of[rows] == i
                if at.any():
                    found = part.logits({name: each[at] for name, each in chosen.items()})
                    for name, each in found.items():
                        logits[name][at] = each
            return cls(z[rows], chosen, logits, mask[rows])
        fresh = session.latents(2 * SAMPLES, start=FRESH)
        seen = collect_maps(session, fresh, tuple(maps))
        found = places.regression.logits(seen)
        finest = found[list(maps)[-1]]
        size = (session.config.size, session.config.size)
        marks = F.interpolate(finest[:, None], size, mode="bilinear")[:, 0] > 0
        # As large as the smallest box at least, or it is a false alarm.
        areas = mask.flatten(1).sum(1)
        least = int(areas[areas > 0].min()) / 2
        rows = torch.where(marks.flatten(1).sum(1) >= least)[0][:SAMPLES]
        if not len(rows):
            raise InputError(
                f"boxes: found too few to recognise the object by: of {len(fresh)} fresh samples "
                f"none shows one, expected boxes on {FEWEST} samples or more"
            )
        chosen, logits = ({name: each[rows] for name, each in of.items()} for of in (seen, found))
        return cls(fresh[rows], chosen, logits, marks[rows])


class Trial:
    """Candidates tried on the same samples; what they share is computed once.

    layers: those that candidates edit.
    """

    def __init__(
        self,
        session: Session,
        samples: HeldOut,
        begin: PlaceEdit,
        donors: Donors,
        layers: Sequence[str],
    ):
        self.session, self.samples, self.begin = session, samples, begin
        self.z = samples.z.to(session.device)
        self.maps = {name: each.to(session.device) for name, each in samples.maps.items()}
        self.logits = {name: each.to(session.device) for name, each in samples.logits.items()}
        self.tails = {name: Tail(session.generator, name) for name in layers}
        z = donors.latents(session.config)
        drawn = collect_maps(session, z, tuple(samples.maps))
        images = session.generate(z[:USUAL])
        assert begin.regression is not None
        p = {name: torch.sigmoid(each) for name, each in begin.regression.logits(drawn).items()}

        def draw(part: slice) -> Part:
            moved = (
                {name: of[name][part].to(session.device) for name in layers} for of in (drawn, p)
            )
            return Part(*moved)

        self.pool = Pool(draw, len(z), images[:PART].to(session.device))
        # Known already: donors by layers, width and samples; by candidate images, whether their
        # donor shows the object, and which of them were drawn.
        self.matches: dict[tuple[object, ...], Match] = {}
        self.drawn: dict[tuple[object, ...], tuple[Tensor, Tensor, Tensor]] = {}
        first = layers[0]
        self.before = self.tails[first].run(self.maps[first].clone(), self.z).cpu()
        finest = p[list(p)[-1]][: len(images)]
        discriminator = session.checkpoint.discriminator
        self.seeing = features.seeing(discriminator)
        # Where the object is always at one place, position tells all among samples that hold it:
        # then some that do not are there to tell it from.
        bare = images[finest.flatten(1).amax(1) < UNFIT]
        seen = see(self.seeing, torch.cat([self.before, bare]), GRID, FINEST)
        mask = torch.cat([samples.mask, samples.mask.new_zeros(len(bare), *bare.shape[2:])])
        n = len(self.before)
        learnt = n if places_differ(samples.mask) else len(seen)
        self.bare = seen[n:learnt]
        self.guide = _Guide(seen[:learnt], mask[:learnt], session.seed)
        # What it marks on samples without the object is not the edit's fault.
        self.usual_left = self.guide.usual(n, seen[n:])
        self.outside = ~grown(samples.mask, 2)
        apart = (self.before - self.before.roll(1, 0)).abs().mean()
        self.negligible = NEGLIGIBLE * float(apart)
        self.patches = Patches(samples.mask, images, finest, session.seed)
        self.real = realness(discriminator, self.before)

    def run(self, layers: tuple[str, ...], fill: str, widen: float, count: int) -> Tried:
        """Try one candidate on `count` of the samples."""
        n = len(self.samples.z)
        wanted = torch.linspace(0, n - 1, min(count, n)).long()
        images, unfit = self._edited(layers, fill, widen, wanted)
        discriminator = self.session.checkpoint.discriminator
        seen = see(self.seeing, images, GRID, FINEST)
        after = realness(discriminator, images)
        change = (images - self.before[wanted]).abs().mean(1)
        outside = self.outside[wanted]
        mask = self.samples.mask[wanted]
        none = mask.new_zeros(len(self.bare), *mask.shape[1:])
        among = torch.cat([seen, self.bare]), torch.cat([mask, none])
        beyond = beyond_position(*among, self.session.seed, PLACES, RESAMPLES)
        return Tried(
            layers,
            fill,
            widen,
            self.guide.left(seen, wanted, RESAMPLES),
            float((change * outside).sum() / outside.sum().clamp(min=1)),
            beyond,
            self.patches.measure(images, wanted, RESAMPLES),
            less_real(self.real[wanted], after, self.session.seed, RESAMPLES),
            len(wanted),
            int(unfit.sum()),
        )

    def _edited(
        self, layers: tuple[str, ...], fill: str, widen: float, wanted: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Images of some of the samples, and whether their donors show the object themselves.

        What an earlier round has drawn is not drawn again.
        """
        way = (layers, fill, widen)
        if way not in self.drawn:
            nothing = torch.zeros(len(self.z), dtype=torch.bool)
            self.drawn[way] = (torch.empty_like(self.before), nothing, nothing.clone())
        images, unfit, done = self.drawn[way]
        missing = wanted[~done[wanted]]
        for rows in missing.split(BATCH):
            images[rows], unfit[rows] = self._draw(layers, fill, widen, rows)
        done[missing] = True
        return images[wanted], unfit[wanted]

    def _draw(
        self, layers: tuple[str, ...], fill: str, widen: float, rows: Tensor
    ) -> tuple[Tensor, Tensor]:
        edit = replace(self.begin, **way_fields(layers, fill, widen, self.begin.donors))
        at = rows.to(self.z.device)
        maps = {name: each[at] for name, each in self.maps.items()}
        logits = {name: reach(self.logits[name][at], widen) for name in layers}
        donor, unfit = None, torch.zeros(len(rows), dtype=torch.bool)
        if edit.donors is not None:
            # They are the same for every fill.
            key = (layers, widen, *rows.tolist())
            if key not in self.matches:
                self.matches[key] = find_donors(edit, self.pool, maps, logits)
            donor, unfit = self.matches[key].maps, self.matches[key].shown.cpu() > UNFIT
        colours = self.pool.views[layers[0]].colours
        functions = replacing(edit, maps, logits, donor, colours)
        base = self.tails[layers[0]].start(self.z[at], maps[layers[0]], maps)
        return base.planned(layers, lambda _maps: functions).cpu(), unfit


@torch.no_grad()
def realness(discriminator: nn.Module | None, images: Tensor) -> Tensor:
    """How real the discriminator takes images for, N float32 on the CPU; 0 without one."""
    if discriminator is None:
        return torch.zeros(len(images))
    device = next(discriminator.parameters()).device
    parts = [discriminator(part.to(device)).reshape(len(part), -1) for part in images.split(BATCH)]
    return torch.cat(parts).mean(1).float().cpu()


def less_real(before: Tensor, after: Tensor, seed: int, resamples: int) -> Interval:
    """The share of samples that are less real than before; a tie counts half."""
    less = 0.5 * (1 + torch.sign(before - after))
    return resampled_mean(less.double().numpy(), seed, resamples)


class _Guide:
    """Says what is left of the object: learnt from unedited samples, each judged by one that has
    not seen it."""

    def __init__(self, seen: Tensor, mask: Tensor, seed: int):
        self.seed = seed
        n, count, height, width = seen.shape
        share = shares(mask, (height, width))
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

    def usual(self, n: int, bare: Tensor) -> float:
        """What it marks of images that do not show the object, at its places on the first n.

        As a share, which is that of `left` for an edit that no one could tell from such images.
        """
        if not len(bare):
            return 0.0
        was = (self.base[:n] & self.inside[:n]).double().sum(0)
        # Those that it learnt from come last, in their order.
        known = len(self.base) - n
        rows = n + torch.arange(len(bare)) if known else torch.arange(len(bare)) % n
        rate = self._marks(bare, rows).double().mean(0)
        return float((rate * was).sum() / was.sum().clamp(min=1))

    def left(self, seen: Tensor, rows: Tensor, resamples: int) -> Interval:
        """The share of the places it marks where the object was that it still marks.

        NaN where it marked none on these samples.
        """
        was = (self.base[rows] & self.inside[rows]).flatten(1).sum(1).double().numpy()
        still = (self._marks(seen, rows) & self.inside[rows]).flatten(1).sum(1).double().numpy()
        if not was.any():
            return UNKNOWN
        return resampled_ratio(still, was, self.seed, resamples)

    def _marks(self, seen: Tensor, rows: Tensor) -> Tensor:
        # Nothing is marked where there is one sample, which no part has not seen.
        marks = torch.zeros(len(rows), *seen.shape[2:], dtype=torch.bool)
        for i, part in enumerate(self.parts):
            at = self.fold_of[rows] == i
            u = part[:-1].float() / self.deviation
            bias = float(part[-1]) - float(u @ self.mean)
            marks[at] = torch.einsum("nchw,c->nhw", seen[at], u) + bias > 0
        return marks


def way_fields(
    layers: tuple[str, ...], fill: str, widen: float, donors: Donors | None
) -> dict[str, Any]:
    kept = None if fill == "smooth" else donors
    return {"layers": layers, "fill": fill, "widen": widen, "donors": kept}
