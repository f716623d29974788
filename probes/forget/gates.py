"""Learn one gain per filter by gradient descent: remove the object, keep the rest."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor

from dcgan_probe import hooks
from dcgan_probe.edits.tails import Tail
from dcgan_probe.probes.forget.guidance import Guidance

STEPS, BATCH = 100, 12
RATE, VALUE_RATE = 0.2, 0.04
TOUCHED = 0.02  # what it costs to close all gates, in units of the change outside


@dataclass(frozen=True, eq=False)
class Gates:
    """What was learnt of one layer: a gain from 0 to 1 for each filter, and what replaces it."""

    layer: str
    gains: Tensor
    values: Tensor


def learn(guidance: Guidance, values: dict[str, Tensor], left: float, seed: int = 0) -> list[Gates]:
    """Learn gains of all filters of some layers at once, the first of which is `guidance.layer`.

    The change outside of the object and the number of closed gates are kept low, under the
    constraint that no more than `left` of the evidence for it stays: its weight grows while more is
    left, and shrinks when less is (a Lagrange multiplier). values: by layer, in the order of the
    data, what replaces each filter, where the learning of it starts.
    Source: the causal effect of GAN Dissection (Bau et al. 2019), equation 6, with boxes in place
    of a segmentation network.
    """
    session, device = guidance.session, guidance.session.device
    tail = Tail(session.generator, guidance.layer)
    layers = list(values)
    closed = [torch.full_like(values[name], 2.0, requires_grad=True) for name in layers]
    put = [values[name].clone().requires_grad_(True) for name in layers]
    adam = torch.optim.Adam([{"params": closed, "lr": RATE}, {"params": put, "lr": VALUE_RATE}])
    random = torch.Generator().manual_seed(seed)
    weight = 0.3
    for _ in session.progress(range(STEPS), "learning gates"):
        with torch.enable_grad():  # whatever the caller's mode is
            rows = torch.randint(0, len(guidance.maps), (BATCH,), generator=random)
            gains = [logit.sigmoid() for logit in closed]
            z, maps = guidance.z[rows].to(device), guidance.maps[rows].to(device)
            with ExitStack() as stack:
                for name, gain, value in zip(layers[1:], gains[1:], put[1:], strict=True):
                    every = range(len(gain))
                    hook = hooks.ablate(session.generator, name, every, gain, value)
                    stack.enter_context(hook)
                gain, value = (each.to(device).view(1, -1, 1, 1) for each in (gains[0], put[0]))
                images = tail.run(gain * maps + (1 - gain) * value, z)
            still, apart = guidance.measure(images, rows)
            touched = torch.stack([(1 - gain).mean() for gain in gains]).mean()
            loss = weight * still + apart + TOUCHED * touched
        adam.zero_grad()
        loss.backward()
        adam.step()
        over = (still.item() - left) / left
        weight *= float(torch.tensor(0.05 * min(max(over, -1.0), 3.0)).exp())
    return [
        Gates(name, logit.detach().sigmoid(), value.detach())
        for name, logit, value in zip(layers, closed, put, strict=True)
    ]
