"""Measure whether the rim of a place stands out like the edge of pasted pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dcgan_probe.probes.put.options import Edges

# The rim is looked for around a box, at these distances in pixels from its edges.
AROUND = range(-1, 6)


def rim_steps(images: Tensor, edges: Edges) -> Tensor:
    """By how much pixels jump across the rim of a box, more than beside it: N float32.

    At each side, the mean absolute difference of the two rows of pixels that the side parts, less
    the mean of the differences one row further in and out. What a network draws goes from one
    colour to another over several pixels and has little of it; what is pasted jumps at once. The
    rim is the one of those beside the box, by `AROUND` pixels, that has most. Sides less than two
    pixels from the side of the image do not count; NaN where none is left.

    images: N x C x S x S in [-1, 1]. edges: x0, y0, x1, y1 in pixels.
    """
    size = images.shape[3]
    across, down = images.diff(dim=3).abs().mean(1), images.diff(dim=2).abs().mean(1)
    found = []
    for by in AROUND:
        x0, y0, x1, y1 = (round(edge) for edge in edges)
        x0, y0, x1, y1 = x0 - by, y0 - by, x1 + by, y1 + by
        rows, columns = slice(max(y0, 0), max(y1, 0)), slice(max(x0, 0), max(x1, 0))
        jumps = []
        for at in (x0, x1):
            if 2 <= at <= size - 2:
                beside = (across[:, rows, at - 2] + across[:, rows, at]) / 2
                jumps.append(across[:, rows, at - 1] - beside)
        for at in (y0, y1):
            if 2 <= at <= size - 2:
                beside = (down[:, at - 2, columns] + down[:, at, columns]) / 2
                jumps.append(down[:, at - 1, columns] - beside)
        jumps = [jump for jump in jumps if jump.shape[1]]
        if jumps:
            found.append(torch.cat(jumps, 1).mean(1))
    if not found:
        return torch.full((len(images),), torch.nan)
    return torch.stack(found).amax(0)


def stands_out(steps: Tensor, usual: Tensor) -> Tensor:
    """The share of usual rims that jump less, N float64: 0.5 is usual, at 1 all do. Equal: half.

    steps: of N samples. usual: of objects that the generator drew itself.
    """
    known = usual[usual.isfinite()]
    if not len(known):
        return torch.full((len(steps),), torch.nan, dtype=torch.float64)
    gap = steps[:, None] - known[None]
    share = ((gap > 0).double() + (gap == 0).double() / 2).mean(1)
    return torch.where(steps.isfinite(), share, torch.nan)


def usual_steps(images: Tensor, edges: Sequence[Edges]) -> Tensor:
    """`rim_steps` of objects that were drawn by the generator, each on an image of its own: M."""
    steps = [rim_steps(image[None], box) for image, box in zip(images, edges, strict=True)]
    return torch.cat(steps) if steps else torch.empty(0)
