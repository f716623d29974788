"""Read colours off the maps of a layer, and shift maps so that they paint other colours."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

# Of the regression of colours on filters, as a share of its rows.
RIDGE = 0.01
# A direction of colour of which the regression explains less, as a share of the best, stays.
EXPLAINED = 0.1
# One that no image has, such as hues of grey ones: its deviation, as a share of the largest.
FLAT = 1e-3


@dataclass(frozen=True, eq=False)
class Colours:
    """What a layer's maps say about the colours that they become, by linear regression.

        >>> colours = Colours.of(maps, images)
        >>> colours.read(maps).shape, colours.shift(colours.read(maps)).shape == maps.shape
        (torch.Size([50, 3, 8, 8]), True)

    reading: filters x channels, and shifting: channels x filters, both float64. The unit of a
    colour is its deviation over images. Of all changes of maps that read as a change of colour,
    `shift` has the one that samples have: the mean change of filters, given that of colours.
    """

    reading: Tensor
    shifting: Tensor

    @classmethod
    def of(cls, maps: Tensor, images: Tensor) -> Colours:
        """Learn both from maps, N x filters x h x w, and the images, N x C x S x S, of samples."""
        rows = maps.detach().double().transpose(0, 1).flatten(1).T
        size = (maps.shape[2], maps.shape[3])
        seen = F.adaptive_avg_pool2d(images.detach().double().to(maps.device), size)
        seen = seen.transpose(0, 1).flatten(1).T
        seen = (seen - seen.mean(0)) / (seen.std(0, correction=0) + 1e-4)
        deviation = rows.std(0, correction=0) + 1e-4
        rows = rows - rows.mean(0)
        x = rows / deviation
        penalty = RIDGE * len(x) * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        reading = torch.linalg.solve(x.T @ x + penalty, x.T @ seen) / deviation[:, None]
        slopes = torch.linalg.pinv(seen, rtol=FLAT) @ rows
        # Scaled so that a shift reads as the change of colour that was asked for.
        return cls(reading, torch.linalg.pinv(slopes @ reading, rtol=EXPLAINED) @ slopes)

    def read(self, maps: Tensor) -> Tensor:
        """N x filters x h x w to N x channels x h x w float64."""
        return torch.einsum("nfhw,fc->nchw", maps.double(), self.reading)

    def shift(self, by: Tensor) -> Tensor:
        """The change of maps for a change of colours: N x channels x h x w to filters, float64."""
        return torch.einsum("nchw,cf->nfhw", by, self.shifting)
