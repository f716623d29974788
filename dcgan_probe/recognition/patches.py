"""Does a place have another colour than what is around it, more than is usual there?

A person sees a patch of another wall's colour at once; a probe that is trained again may not, since
each patch has a colour of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dcgan_probe.metrics.intervals import UNKNOWN, Interval, resampled_mean
from dcgan_probe.recognition.masks import grown, shares

INNER, OUTER = 2, 4  # 1/32 of the side: how far what is around a place begins, and ends
DARK = 1 / 8  # is added to pixels from 0 to 2: black has no colour
SHOWS = 0.1  # of p, mean over a place: a sample with more is not usual


class Patches:
    """Is the colour of a place further from what is around than is usual there?"""

    def __init__(self, mask: Tensor, images: Tensor, p: Tensor, seed: int):
        """mask: N x S x S bool, the places. images, p: samples that say what is usual there, and
        the object's probability on them."""
        self.seed = seed
        step = max(1, mask.shape[2] // 32)
        self.inside = mask.flatten(1)
        self.around = (grown(mask, OUTER * step) & ~grown(mask, INNER * step)).flatten(1)
        # Samples that do not show the object at the place.
        place = shares(mask, (p.shape[1], p.shape[2])).flatten(1)
        shown = place @ p.flatten(1).T / place.sum(1, keepdim=True).clamp(min=1e-6)
        colours = _colours(images)
        self.usual = torch.stack([self._apart(colours, row) for row in range(len(mask))])
        self.usual[shown > SHOWS] = torch.nan

    def measure(self, images: Tensor, rows: Tensor, resamples: int) -> Interval:
        """The mean share of usual samples whose place stands out less, ties half; 0.5 is usual.

        images: of the places that `rows` says.
        """
        colours = _colours(images).split(1)
        own = [self._apart(each, row) for each, row in zip(colours, rows.tolist(), strict=True)]
        usual = self.usual[rows]
        known = usual.isfinite()
        gap = torch.stack(own) - usual
        less = (gap > 0).double() + (gap == 0).double() / 2  # NaN is neither
        share = less.sum(1) / known.sum(1)
        measured = known.any(1) & self.around[rows].any(1)
        values = share[measured].double().numpy()
        if not len(values):
            return UNKNOWN
        return resampled_mean(values, self.seed, resamples)

    def _apart(self, colours: Tensor, row: int) -> Tensor:
        """How far the median colour of a place is from that around it, on N images.

        A picture on a wall, in the place or beside it, moves a mean, and a median much less.
        """
        inside, around = self.inside[row], self.around[row]
        if not (inside.any() and around.any()):
            return colours.new_full((len(colours),), torch.nan)
        flat = colours.flatten(2)
        apart = flat[..., inside].median(-1).values - flat[..., around].median(-1).values
        return apart.abs().mean(1)


def _colours(images: Tensor) -> Tensor:
    """The share of each channel in a pixel, which light and shade change little; grey as it is."""
    if images.shape[1] == 1:
        return images
    light = (images + 1).clamp(min=0) + DARK
    return light / light.sum(1, keepdim=True)
