"""Train a new probe on edited images: can it still find where the object was?

Amnesic probing (Elazar, Ravfogel, Jacovi and Goldberg, 2021). A detector of unedited images calls
a red pane "no window"; a probe that is trained on edited images learns the red pane.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dcgan_probe import hooks
from dcgan_probe.metrics import features
from dcgan_probe.metrics.intervals import UNKNOWN, Interval, resampled_ratio
from dcgan_probe.metrics.ranking import auc_by_image, matched_auc
from dcgan_probe.recognition.logistic import LogisticProblem, draw_rows, minimise
from dcgan_probe.recognition.masks import grown, shares

GRID = 32  # the finest grid of places, a side
FOLDS = 4
PLACES = 4000  # of either kind that each fold learns from
RIDGES = (30.0, 300.0, 3000.0)
USUAL = 0.9  # of the images, or of the places
ROUGHLY = 1e-4  # how well a fit that only chooses the ridge is minimised
BATCH = 50
RADII = (1, 2, 5)  # places around one that its colour is compared with


@dataclass(frozen=True)
class Retrained:
    """What a probe finds that is trained on edited images to say where the object had been.

    All is held out by image. auc: over places, chance 0.5; position: of the place alone. beyond:
    AUC of pairs of two images at the same place, of which one had the object there: 0.5 is nothing
    beyond position. bits: by how much the probe's log-loss, in bits a place, is below that of
    position alone; alone: that loss. images: with the object, that it learns from and is tested on.
    """

    auc: Interval
    position: Interval
    beyond: Interval
    bits: Interval
    alone: float
    images: int

    @property
    def finds_it(self) -> bool:
        """Whether the object's place can be found, beyond what position tells."""
        return self.beyond.low > 0.5

    def values(self) -> dict[str, Any]:
        """As JSON values; None for what could not be measured."""
        named = {name: getattr(self, name) for name in ("auc", "position", "beyond", "bits")}
        values: dict[str, Any] = {name: each.values() for name, each in named.items()}
        alone = None if math.isnan(self.alone) else self.alone
        return values | {"bits_of_position_alone": alone, "images": self.images}

    def __str__(self) -> str:
        if math.isnan(self.beyond.value):
            return f"a probe trained again: nothing to tell from {self.images} images"
        return (
            f"a probe trained again: AUC {self.auc} (position alone {self.position.value:.3f}), "
            f"beyond position {self.beyond}"
        )


def see(
    discriminator: nn.Module | None, images: Tensor, grid: int = GRID, finest: int | None = None
) -> Tensor:
    """What the probe sees at each place: N x values x grid x grid float32, on the CPU.

        >>> see(session.discriminator, session.sample(16)).shape
        torch.Size([16, 460, 32, 32])

    Maps of the discriminator's convolutions but the coarsest, or only the `finest` of them, mean
    colours, and how far these are from what is around at several distances: a patch of another
    wall's colour is seen by that alone. Without a discriminator colours of the eight neighbours,
    and squares of them, in place of the maps. images: N x C x S x S in [-1, 1].
    """
    device = images.device if discriminator is None else next(discriminator.parameters()).device
    parts = images.split(BATCH)
    return torch.cat([_see(discriminator, part.to(device), grid, finest).cpu() for part in parts])


@torch.no_grad()
def _see(discriminator: nn.Module | None, images: Tensor, grid: int, finest: int | None) -> Tensor:
    colours = F.adaptive_avg_pool2d(images, grid)
    contrasts = [(colours - _around(colours, radius)).abs() for radius in RADII]
    if discriminator is None:
        near = F.unfold(F.pad(colours, [1] * 4, mode="replicate"), 3).unflatten(2, (grid, grid))
        return torch.cat([near, near.square(), *contrasts], 1)
    layers = features.layers(discriminator)
    seen = hooks.collect(discriminator, (layers[:-1] or layers)[:finest], images)
    return torch.cat([*(_at(maps, grid) for maps in seen.values()), colours, *contrasts], 1)


def _around(maps: Tensor, radius: int) -> Tensor:
    padded = F.pad(maps, [radius] * 4, mode="replicate")
    return F.avg_pool2d(padded, 2 * radius + 1, 1)


def _at(maps: Tensor, grid: int) -> Tensor:
    if maps.shape[2] > grid:
        return F.adaptive_avg_pool2d(maps, grid)
    return F.interpolate(maps, (grid, grid))


def retrain(
    seen: Tensor, before: Tensor, seed: int = 0, places: int = PLACES, resamples: int = 1000
) -> Retrained:
    """Train a probe on what is seen of edited images to say where the object was before.

        >>> retrain(see(session.discriminator, edited, 32), mask).beyond.value
        0.52

    seen: N x values x h x w. before: N x S x S bool, the object on the unedited images, each with
    some of it. A place counts as the object if more than half of it was, and not at all if less.
    A ridge logistic regression whose offset is the log-odds of the object at the place, learnt
    from the same images: with nothing to see it is position alone. The ridge is chosen on a part of
    the images that each fold learns from. NaN for fewer than 2 images a fold.
    """
    n = len(seen)
    held_out = _held_out(seen, before, seed, places)
    if held_out is None:
        return Retrained(UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, float("nan"), n)
    loss = [
        ((F.softplus(z) - held_out.inside * z) * held_out.clear).flatten(1).sum(1).numpy()
        / np.log(2)
        for z in (held_out.alone, held_out.scores)
    ]
    counts = held_out.clear.flatten(1).sum(1).double().numpy()
    return Retrained(
        auc_by_image(held_out.scores, held_out.inside, held_out.clear, seed, resamples),
        auc_by_image(held_out.alone, held_out.inside, held_out.clear, seed, resamples),
        held_out.beyond(seed, resamples),
        resampled_ratio(loss[0] - loss[1], counts, seed, resamples),
        float(loss[0].sum() / counts.sum()),
        n,
    )


def beyond_position(
    seen: Tensor, before: Tensor, seed: int = 0, places: int = PLACES, resamples: int = 1000
) -> Interval:
    """`retrain(...).beyond` alone, which is quicker."""
    held_out = _held_out(seen, before, seed, places)
    if held_out is None:
        return UNKNOWN
    return held_out.beyond(seed, resamples)


@dataclass(frozen=True, eq=False)
class _HeldOut:
    """Log-odds of the object at every place, N x h x w float64, of the probe and of position alone.

    inside, clear: of the places, bool. fold_of: N.
    """

    scores: Tensor
    alone: Tensor
    inside: Tensor
    clear: Tensor
    fold_of: Tensor

    def beyond(self, seed: int, resamples: int) -> Interval:
        return matched_auc(self.scores, self.inside, self.clear, self.fold_of, seed, resamples)


def _held_out(seen: Tensor, before: Tensor, seed: int, places: int) -> _HeldOut | None:
    n, grid = len(seen), (seen.shape[2], seen.shape[3])
    share = shares(before, grid)
    inside, clear = share > 0.5, (share > 0.5) | (share == 0)
    if n < 2 * FOLDS or not (inside & clear).any() or not (~inside & clear).any():
        return None
    fold_of = torch.arange(n) % FOLDS
    scores = torch.empty(inside.shape, dtype=torch.float64)
    alone = torch.empty_like(scores)
    for fold in range(FOLDS):
        train, test = torch.where(fold_of != fold)[0], torch.where(fold_of == fold)[0]
        log_odds = _fold(seen, inside, clear, train, test, seed, places)
        scores[test], alone[test] = log_odds
    return _HeldOut(scores, alone, inside, clear, fold_of)


def _fold(
    seen: Tensor,
    inside: Tensor,
    clear: Tensor,
    train: Tensor,
    test: Tensor,
    seed: int,
    places: int,
) -> tuple[Tensor, Tensor]:
    """Log-odds of images held out, by the probe and by position alone."""
    prior = _position(inside[train])
    problem, mean, deviation = _problem(seen, inside, clear, train, prior, seed, places)
    # An inner part of the images, by which the ridge is chosen: every third.
    held_out = problem.group % 3 == 0
    inner, rest = problem.rows(~held_out), problem.rows(held_out)
    best, start, losses = (np.inf, RIDGES[-1]), None, []
    for ridge in sorted(RIDGES, reverse=True):
        start = minimise(inner, ridge, start, tolerance=ROUGHLY)
        logit = (rest.x @ start[:-1].float()).double() + start[-1] + rest.offset
        loss = float((rest.weight * (F.softplus(logit) - rest.y * logit)).sum())
        losses.append(loss)
        best = min(best, (loss, ridge))
        if loss > best[0]:
            break  # weaker ridges fit what is of these images only
    w = minimise(problem, best[1], start)
    u = w[:-1].float() / deviation
    evidence = torch.einsum("nchw,c->nhw", seen[test], u).double()
    return prior + evidence + (w[-1] - (u * mean).sum()), prior.expand(len(test), *prior.shape)


def _problem(
    seen: Tensor,
    inside: Tensor,
    clear: Tensor,
    train: Tensor,
    prior: Tensor,
    seed: int,
    places: int,
) -> tuple[LogisticProblem, Tensor, Tensor]:
    size = inside[0].numel()
    y, counted = inside[train].flatten(), clear[train].flatten()
    at, weight = draw_rows((y & counted, ~y & counted), places, seed)
    image, place = at // size, at % size
    x = seen.flatten(2)[train[image], :, place]
    mean, deviation = x.mean(0), x.std(0, correction=0) + 1e-4
    problem = LogisticProblem(
        (x - mean) / deviation,
        y[at].double(),
        weight,
        image,
        prior.flatten()[place],
    )
    return problem, mean, deviation


def _position(inside: Tensor) -> Tensor:
    """Log-odds of the object at every place, h x w float64: a share that neighbours smooth."""
    share = inside.double().mean(0)
    around = F.avg_pool2d(F.pad(share[None, None], [1] * 4, mode="replicate"), 3, 1)[0, 0]
    # As if one more image had the mean share everywhere: no place is impossible.
    share = (around * len(inside) + inside.double().mean()) / (len(inside) + 1)
    return torch.log(share / (1 - share)).clamp(-12, 12)


def places_differ(before: Tensor) -> bool:
    """Whether an object is not at the same place on nearly all images.

        >>> places_differ(torch.ones(8, 16, 16, dtype=torch.bool))
        False

    before: N x S x S bool, where it is. If it is, position tells all among images that hold it, and
    a probe needs images that do not.
    """
    share = before.float().mean(0) if len(before) else before.float().sum(0)
    return bool(((share > 0) & (share < USUAL)).sum() > (1 - USUAL) * (share > 0).sum())


def inpaint(images: Tensor, mask: Tensor, grow: int = 1, radius: float = 3.0) -> Tensor:
    """Images with the pixels of an object inpainted by OpenCV, to compare edits with.

        >>> inpaint(images, mask).shape == images.shape
        True

    images: N x 1 or 3 x S x S float32 in [-1, 1], on the CPU. mask: N x S x S bool. grow: pixels by
    which the mask is widened. Source: Telea (2004).
    """
    out = []
    for image, where in zip(images, grown(mask, grow), strict=True):
        pixels = ((image + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
        filled = cv2.inpaint(
            np.ascontiguousarray(pixels), where.numpy().astype(np.uint8), radius, cv2.INPAINT_TELEA
        )
        back = torch.from_numpy(filled.reshape(pixels.shape)).permute(2, 0, 1).float() / 127.5 - 1
        out.append(torch.where(where, back, image))
    return torch.stack(out)
