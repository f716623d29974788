"""Precision and recall of samples: how many look real, and how much of the real set they cover."""

from __future__ import annotations

import torch
from torch import Tensor

from dcgan_probe.errors import InputError
from dcgan_probe.metrics.inputs import Numbers, features

NEIGHBOURS = 3
ROWS = 1000  # of the distances that are in memory at a time


def precision_recall(
    generated: Numbers, real: Numbers, neighbours: int = NEIGHBOURS
) -> tuple[float, float]:
    """The shares of generated and of real images that lie within what the others cover.

        >>> points = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
        >>> precision_recall(points * 0.1, points)  # most look real, few kinds of them
        (0.93, 0.09)

    generated, real: N x D and M x D features, each more than `neighbours`. A set covers balls
    around its points, each as far as to that point's third neighbour in the set. Precision: the
    share of generated points in a ball of the real ones; recall: the other way round. Distances
    are computed in float64, `ROWS` rows at a time. Both change with the number of images.
    Raises InputError for features that are not finite or of another shape, or too few.
    Source: Kynkäänniemi et al. 2019, section 3.
    """
    sets = [features(each, name, neighbours + 1) for each, name in ((generated, "a"), (real, "b"))]
    if sets[0].shape[1] != sets[1].shape[1]:
        raise InputError(
            f"features: found {sets[0].shape[1]} and {sets[1].shape[1]} an image, "
            "expected as many in both sets"
        )
    return _covered(sets[0], sets[1], neighbours), _covered(sets[1], sets[0], neighbours)


def _covered(points: Tensor, by: Tensor, neighbours: int) -> float:
    """The share of points in a ball of others."""
    # The nearest of all is the point itself.
    reach = torch.cat(
        [_squares(part, by).kthvalue(neighbours + 1).values for part in by.split(ROWS)]
    )
    inside = [(_squares(part, by) <= reach).any(1) for part in points.split(ROWS)]
    return float(torch.cat(inside).double().mean())


def _squares(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances, N x M, without the N x M x D differences."""
    squares = a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T
    return squares.clamp_min(0)
