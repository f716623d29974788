"""The images of each step: a shuffled order for each epoch, gathered without a Python loop."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dcgan_probe.errors import InputError
from dcgan_probe.images.sources import to_range

# Second words of the seeds, so that no two uses share their draws.
_ORDER, _FLIPS = 1, 3


class Minibatches:
    """Minibatches of uint8 images, each epoch in an order of its own.

        >>> minibatches = Minibatches(images, batch=64, seed=0, device=torch.device("cpu"))
        >>> minibatches.read(minibatches.rows(7)).shape
        torch.Size([64, 3, 64, 64])

    images: N x C x S x S uint8, in memory or mapped from a file. On CUDA they are moved to the GPU
    as they are, if they take at most half of what is free there; otherwise each minibatch is
    gathered on the CPU. leftover: the last minibatch of an epoch holds the images that are left
    over, if they are two or more for each of `world` processes, and as many for each.
    Raises InputError for fewer images than a minibatch.
    """

    def __init__(
        self,
        images: Tensor,
        batch: int,
        seed: int,
        device: torch.device,
        leftover: bool = False,
        world: int = 1,
    ):
        if len(images) < batch:
            raise InputError(
                f"training images: found {len(images)}, expected at least a batch of {batch}"
            )
        self.batch = batch
        self.seed = seed
        self.device = device
        self.per_epoch, rest = divmod(len(images), batch)
        # Of one image, batch norm has no deviation.
        self.leftover = rest - rest % world if leftover and rest >= 2 * world else 0
        self.per_epoch += bool(self.leftover)
        fits = device.type == "cuda" and images.nbytes <= torch.cuda.mem_get_info(device)[0] // 2
        self.images = images.to(device) if fits else images
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0))

    def rows(self, number: int) -> np.ndarray:
        """Numbers of the images of minibatch `number`, counted from the start of training.

        Images that are left over are not shown in an epoch, unless `leftover`.
        """
        epoch, place = divmod(number, self.per_epoch)
        if epoch != self._order[0]:
            rng = np.random.default_rng([self.seed, _ORDER, epoch])
            self._order = epoch, rng.permutation(len(self.images))
        return self._order[1][place * self.batch :][: self.size(number)]

    def size(self, number: int) -> int:
        """How many images minibatch `number` has: the batch, or those left over."""
        last = number % self.per_epoch == self.per_epoch - 1
        return self.leftover if last and self.leftover else self.batch

    def flips(self, number: int) -> np.ndarray:
        """Which images of minibatch `number` are mirrored, if any are: one bool an image."""
        drawn = np.random.default_rng([self.seed, _FLIPS, number]).random(self.batch)
        return drawn[: self.size(number)] < 0.5

    def read(self, rows: np.ndarray, flips: np.ndarray | None = None) -> Tensor:
        """Images as n x C x S x S float32 in [-1, 1] on the device, mirrored where `flips` says."""
        chosen = self.images[torch.from_numpy(rows).to(self.images.device)]
        if self.device.type == "cuda" and not chosen.is_cuda:
            chosen = chosen.pin_memory().to(self.device, non_blocking=True)
        images = to_range(chosen.to(self.device))
        if flips is not None:
            mirrored = torch.from_numpy(flips).to(self.device).view(-1, 1, 1, 1)
            images = torch.where(mirrored, images.flip(3), images)
        return images.contiguous(memory_format=torch.channels_last)
