"""Gains of filters, learnt by gradient: the object goes and the rest of the picture stays."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

import dcgan_probe as dp
from dcgan_probe.edits import tails
from dcgan_probe.errors import InputError
from dcgan_probe.recognition.box_detector import BoxDetector
from dcgan_probe.recognition.regression import maps_of

SAMPLES = 256
STEPS, BATCH = 100, 12
RATE, VALUE_RATE = 0.2, 0.04
TOUCHED = 0.02  # what it costs to close all gates, in units of the change outside
TINY = 1e-6  # samples without the object have no evidence to leave
EDGE = 2  # pixels around an object that count neither as it nor as outside


@dataclass(frozen=True, eq=False)
class Choosing:
    """Samples that an edit is chosen on, and the guide that says where the object is on them.

    z: N x z_size. maps: N x filters x h x w of the layer. before: their images, unedited.
    evidence: N x S x S, how much the guide's logit is above `ground` in the object, and 0
    elsewhere; ground: its mean outside. outside: N x S x S bool. holding: which samples have
    evidence, int64.
    """

    session: dp.Session
    layer: str
    guide: BoxDetector
    z: Tensor
    maps: Tensor
    before: Tensor
    evidence: Tensor
    outside: Tensor
    ground: float
    holding: Tensor

    @classmethod
    def of(
        cls, session: dp.Session, layer: str, guide: BoxDetector, start: int, n: int = SAMPLES
    ) -> Choosing:
        """Samples `start` and on of the session's seed."""
        z = session.latents(n, start=start)
        maps, before = maps_of(session, z, layer), session.generate(z)
        with torch.no_grad():
            batches = before.split(dp.session.BATCH)
            logit = torch.cat([guide.logit(part.to(session.device)).cpu() for part in batches])
        marked, apart = logit > 0, outside(logit > 0)
        if not marked.any() or not apart.any():
            raise InputError(
                f"layer {layer!r}: found no object, or nothing else, on {n} samples by a detector "
                "of the boxes, expected both"
            )
        ground = logit[apart].mean().item()
        evidence = torch.where(marked, logit - ground, 0).clamp_min(0)
        holding = evidence.sum(dim=(1, 2)).nonzero().flatten()
        return cls(session, layer, guide, z, maps, before, evidence, apart, ground, holding)

    def measured(self, images: Tensor, rows: slice | Tensor) -> tuple[Tensor, Tensor]:
        """Of edited images of some samples: the evidence left, and the mean change outside.

        The evidence for the object, where it was, is a share of what there was; 0 is when to the
        guide all of it looks like what is outside of objects, or less like the object than that.
        """
        evidence = self.evidence[rows].to(images.device)
        still = (self.guide.logit(images) - self.ground).clamp_min(0)
        left = torch.minimum(still, evidence).sum() / evidence.sum().clamp_min(TINY)
        apart = (images - self.before[rows].to(images.device)).abs().mean(1)
        where = self.outside[rows].to(images.device)
        return left, (apart * where).sum() / where.sum()


@dataclass(frozen=True, eq=False)
class Gates:
    """What was learnt of one layer: a gain from 0 to 1 for each filter, and what replaces it."""

    layer: str
    gains: Tensor
    values: Tensor


def learn(
    choosing: Choosing,
    layers: Sequence[str],
    values: dict[str, Tensor],
    left: float,
    seed: int = 0,
) -> list[Gates]:
    """Learn gains of all filters of some layers at once, the first of which is `choosing.layer`.

    The change outside of the object and the number of closed gates are kept low, under the
    constraint that no more than `left` of the evidence for it stays: its weight grows while more is
    left, and shrinks when less is (a Lagrange multiplier). values: what replaces each filter, where
    the learning of it starts.
    Source: the causal effect of GAN Dissection (Bau et al. 2019), equation 6, with boxes in place
    of a segmentation network.
    """
    session, device = choosing.session, choosing.session.device
    tail = tails.Tail(session.generator, choosing.layer)
    closed = [torch.full_like(values[name], 2.0, requires_grad=True) for name in layers]
    put = [values[name].clone().requires_grad_(True) for name in layers]
    adam = torch.optim.Adam([{"params": closed, "lr": RATE}, {"params": put, "lr": VALUE_RATE}])
    random = torch.Generator().manual_seed(seed)
    weight = 0.3
    for _ in session.progress(range(STEPS), "learning gates"):
        rows = torch.randint(0, len(choosing.maps), (BATCH,), generator=random)
        gains = [of.sigmoid() for of in closed]
        z, maps = choosing.z[rows].to(device), choosing.maps[rows].to(device)
        with ExitStack() as stack:
            for name, gain, value in zip(layers[1:], gains[1:], put[1:], strict=True):
                every = range(len(gain))
                hook = dp.hooks.ablate(session.generator, name, every, gain, value)
                stack.enter_context(hook)
            gain, value = (of.to(device).view(1, -1, 1, 1) for of in (gains[0], put[0]))
            images = tail.run(gain * maps + (1 - gain) * value, z)
        still, apart = choosing.measured(images, rows)
        touched = torch.stack([(1 - gain).mean() for gain in gains]).mean()
        loss = weight * still + apart + TOUCHED * touched
        adam.zero_grad()
        loss.backward()
        adam.step()
        over = (still.item() - left) / left
        weight *= float(torch.tensor(0.05 * min(max(over, -1.0), 3.0)).exp())
    return [
        Gates(name, of.detach().sigmoid(), value.detach())
        for name, of, value in zip(layers, closed, put, strict=True)
    ]


def outside(marked: Tensor) -> Tensor:
    """Pixels that are neither marked nor within two pixels of one that is; N x S x S bool."""
    grown = F.max_pool2d(marked[:, None].float(), 2 * EDGE + 1, stride=1, padding=EDGE)
    return grown[:, 0] == 0
