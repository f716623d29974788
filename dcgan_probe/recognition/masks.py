"""Masks of pixels: wider, and as the share of each location of a layer."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def grown(mask: Tensor, by: int) -> Tensor:
    """N x S x S bool, wider by `by` pixels."""
    return F.max_pool2d(mask[:, None].float(), 2 * by + 1, 1, by)[:, 0] > 0


def shares(mask: Tensor, grid: tuple[int, int]) -> Tensor:
    """The share of every location of a grid that lies inside, N x h x w float32."""
    return F.adaptive_avg_pool2d(mask[:, None].float(), grid)[:, 0]
