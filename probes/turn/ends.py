"""Samples whose two ends differ in a label, along an axis or along random directions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from dcgan_probe.metrics.intervals import Proportion


def count_differing(near: Tensor, far: Tensor) -> list[Proportion]:
    """For each label, the share of samples that have it at one end only.

        >>> near = torch.tensor([[0.1, 0.9], [0.2, 0.2]])
        >>> far = torch.tensor([[0.9, 0.8], [0.3, 0.7]])
        >>> [share.count for share in count_differing(near, far)]
        [1, 1]

    near, far: probabilities at the two ends, N x L float32; a sample has a label above 0.5. A mean
    can stay while half of the samples gain a label and the others lose it.
    """
    differ = (near > 0.5) != (far > 0.5)
    return [Proportion(count, len(differ)) for count in differ.sum(0).tolist()]


def random_ways(z: Tensor, length: float, seed: int) -> Tensor:
    """A random direction of one length for each of N latents, N x z_size float32.

    >>> random_ways(torch.zeros(4, 100), 2.0, seed=0).shape
    torch.Size([4, 100])
    """
    random = torch.Generator().manual_seed(seed)
    return length * F.normalize(torch.randn(z.shape, generator=random))
