"""Latents: the z that a generator turns into images, each named by a seed and an index."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dcgan_probe.errors import InputError
from dcgan_probe.networks import Config

BLOCK = 1024


def sample(config: Config, n: int, seed: int, start: int = 0) -> Tensor:
    """Latents `start` to `start + n` of a seed.

        >>> from dcgan_probe.networks import PRESETS
        >>> sample(PRESETS["paper"], n=4, seed=3).shape
        torch.Size([4, 100])

    Returns n x z_size float32, uniform on [-1, 1] or standard normal as the config says. Latent
    number i of a seed is the same whatever n and start are, so a sample is named by seed and
    index. Raises InputError if n or start is negative. Source: section 4.
    """
    if n < 0 or start < 0 or seed < 0:
        raise InputError(f"latents: found n={n}, start={start}, seed={seed}, expected none below 0")
    parts = []
    # Blocks with their own generator make any latent reachable without drawing all before it.
    for block in range(start // BLOCK, -(-(start + n) // BLOCK)):
        rng = np.random.default_rng([seed, block])
        shape = (BLOCK, config.z_size)
        if config.z_distribution == "uniform":
            z = rng.random(shape, dtype=np.float32) * 2 - 1
        else:
            z = rng.standard_normal(shape, dtype=np.float32)
        first = block * BLOCK
        parts.append(z[max(start - first, 0) : start + n - first])
    if not parts:
        return torch.empty(0, config.z_size)
    return torch.from_numpy(np.concatenate(parts))
