"""Differentiable augmentation of everything a discriminator sees (Zhao et al. 2020)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

SHIFT = 1 / 8  # most that an image is shifted by, as a share of its side
HOLE = 1 / 2  # the side of the square that is cut out, as a share of the image's


def augment(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Change the colours of each image, shift it and cut a square out, by draws of its own.

        >>> augment(torch.zeros(8, 3, 64, 64), np.random.default_rng(0)).shape
        torch.Size([8, 3, 64, 64])

    images: N x channels x S x S in [-1, 1]. Returns the same shape; colours may leave the range.
    Gradients pass through. In order: brightness (+ -0.5 to 0.5), saturation (x 0 to 2), contrast
    (x 0.5 to 1.5), a shift by up to an eighth of S to each side, filled with 0, and a square of
    half of S set to 0, cut off where it leaves the image. Source: Zhao et al. 2020, "Differentiable
    Augmentation for Data-Efficient GAN Training", policy colour + translation + cutout.
    """
    n, size = len(images), images.shape[-1]
    brightness, saturation, contrast = (
        torch.from_numpy(values).to(images).view(n, 1, 1, 1)
        for values in rng.uniform((-0.5, 0, 0.5), (0.5, 2, 1.5), (n, 3)).T.copy()
    )
    images = images + brightness
    images = torch.lerp(images.mean(1, keepdim=True), images, saturation)
    images = torch.lerp(images.mean((1, 2, 3), keepdim=True), images, contrast)

    reach = int(size * SHIFT + 0.5)
    place = torch.arange(size, device=images.device)
    tops, lefts = torch.from_numpy(rng.integers(0, 2 * reach + 1, (2, n))).to(images.device)
    padded = F.pad(images, (reach,) * 4).permute(0, 2, 3, 1)
    which = torch.arange(n, device=images.device).view(n, 1, 1)
    images = padded[which, (place + tops[:, None])[:, :, None], (place + lefts[:, None])[:, None]]
    images = images.permute(0, 3, 1, 2)

    side = int(size * HOLE + 0.5)
    centres = torch.from_numpy(rng.integers(0, size + 1 - side % 2, (2, n))).to(images.device)
    down, across = (
        (place >= middle[:, None] - side // 2) & (place < middle[:, None] - side // 2 + side)
        for middle in centres
    )
    return images * ~(down[:, None, :, None] & across[:, None, None, :])
