"""Detect failures of GAN training from losses and samples."""

from __future__ import annotations

from collections import deque
from typing import Any

import torch
from torch import Tensor

from dcgan_probe.errors import InputError

WINDOW = 100
WON_LOSS = 0.02
COLLAPSED_SPREAD = 0.1


class Health:
    """Watches losses and samples, and says once what begins to go wrong.

        >>> health = Health()
        >>> health.losses(100, torch.full((100, 2), 0.001))
        ['step 100: the discriminator has won: its mean loss over 100 steps is 0.0010 nats, ...']

    The discriminator has won when the mean of its loss over `WINDOW` steps is below `WON_LOSS`:
    it is then right about every image by a wide margin, and the generator's gradient is next to
    nothing. The generator has collapsed when its samples differ from each other by less than
    `COLLAPSED_SPREAD` of what real images do. Each is reported again only after it had ended.
    """

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=WINDOW)
        self._won = False
        self._collapsed = False

    def state(self) -> dict[str, Any]:
        """What it remembers, to resume without repeating a warning."""
        return {"recent": list(self._recent), "won": self._won, "collapsed": self._collapsed}

    def load_state(self, state: dict[str, Any]) -> None:
        """Remember what `state` gave."""
        self._recent.extend(state["recent"])
        self._won, self._collapsed = state["won"], state["collapsed"]

    def losses(self, last: int, losses: Tensor) -> list[str]:
        """Take the losses (discriminator, generator) of the steps up to `last`, n x 2.

        Raises InputError, with the step, for NaN or infinity.
        """
        broken = (~torch.isfinite(losses)).any(dim=1).nonzero()
        if len(broken):
            row = int(broken[0])
            d, g = losses[row].tolist()
            raise InputError(
                f"training: step {last - len(losses) + 1 + row}: found losses {d} "
                f"(discriminator) and {g} (generator), expected finite"
            )
        self._recent.extend(losses[:, 0].tolist())
        mean = sum(self._recent) / len(self._recent)
        before, self._won = self._won, len(self._recent) == WINDOW and mean < WON_LOSS
        if self._won and not before:
            return [
                f"step {last}: the discriminator has won: its mean loss over {WINDOW} steps is "
                f"{mean:.4f} nats, so the generator learns next to nothing"
            ]
        return []

    def samples(self, step: int, fake: Tensor, real: Tensor) -> list[str]:
        """Compare samples with as many real images, each n x C x S x S."""
        share = spread(fake) / max(spread(real), 1e-12)
        before, self._collapsed = self._collapsed, share < COLLAPSED_SPREAD
        if self._collapsed and not before:
            return [
                f"step {step}: the generator has collapsed: its samples differ from each other by "
                f"{share:.3f} of what real images do"
            ]
        return []


def spread(images: Tensor) -> float:
    """How much images differ from each other: the root mean square distance from their mean."""
    return images.sub(images.mean(dim=0)).square().mean().sqrt().item()
