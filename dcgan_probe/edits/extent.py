"""Where an edit by place acts: its part of a layer's grid, and how much at each location."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dcgan_probe.edits.donors import RIM
from dcgan_probe.edits.filling import LIMIT

# p from which on a location is a sign of the object, and not a false alarm.
SIGN = 0.1

Window = tuple[slice, slice]  # rows and columns of a layer's grid
WHOLE: Window = (slice(None), slice(None))


def window_of(shares: Tensor | None) -> Window | None:
    """The part of a grid that an edit has to do with; None where that is nothing."""
    if shares is None:
        return WHOLE
    sides = []
    for axis in (1, 0):
        at = torch.where((shares > 0).any(axis))[0].tolist()
        if not at:
            return None
        sides.append(slice(max(at[0] - RIM, 0), at[-1] + 1 + RIM))
    return sides[0], sides[1]


def cut(maps: Tensor, window: Window) -> Tensor:
    return maps[..., window[0], window[1]]


def inside_of(function: Callable[[Tensor], Tensor], window: Window) -> Callable[[Tensor], Tensor]:
    """A function of the part of maps that lies in a window; the rest is unchanged."""

    def edit(maps: Tensor) -> Tensor:
        edited = maps.clone()
        edited[..., window[0], window[1]] = function(cut(maps, window))
        return edited

    return function if window == WHOLE else edit


def feathered(
    where: tuple[float, float, float, float], feather: float, grid: tuple[int, int], size: int
) -> np.ndarray:
    """How far inside the region the layer's locations are, from 0 to 1 over `feather` pixels."""
    inside = []
    for low, high, count in zip(where[:2], where[2:], reversed(grid), strict=True):
        at = (np.arange(count) + 0.5) * size / count
        from_low = at - low if low > 0 else np.inf
        from_high = high - at if high < size else np.inf
        inside.append(np.minimum(from_low, from_high) * np.ones(count))
    across, down = inside
    return (np.minimum(down[:, None], across) / feather).clip(0, 1)


def weighted(logits: Tensor, shares: Tensor | None) -> Tensor:
    """Logits of p times a share: the same where it is 1, -inf where it is 0."""
    if shares is None:
        return logits
    shares = shares.to(logits.device)
    part = torch.logit(torch.sigmoid(logits.double()) * shares).clamp(-LIMIT, LIMIT).to(logits)
    weighted = torch.where(shares == 1, logits, part)
    return torch.where((shares > 0) & ~torch.isneginf(logits), weighted, -torch.inf)


def reach(logit: Tensor, widen: float) -> Tensor:
    """Where an edit acts: logits moved by log-odds `widen`, N x h x w, in [-12, 12].

    Locations that are not connected to one that shows the object with p of `SIGN` or more, by
    others of which that holds once they are widened, are left exactly as they are: in a sample
    without the object nothing changes.
    """
    wide = (logit + widen).clamp(-LIMIT, LIMIT)
    sign = math.log(SIGN / (1 - SIGN))
    candidate = (wide > sign).float()[:, None]
    reached = (logit > sign).float()[:, None] * candidate
    for _ in range(logit.shape[1] + logit.shape[2]):
        grown = F.max_pool2d(reached, 3, 1, 1) * candidate
        if torch.equal(grown, reached):
            break
        reached = grown
    return torch.where(reached[:, 0] > 0, wide, -torch.inf)
