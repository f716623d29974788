"""Values to replace feature maps with: each filter's mean, or its 99th percentile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor, nn

from dcgan_probe import hooks
from dcgan_probe.errors import InputError

PERCENT = 99
BATCH = 64


def means(generator: nn.Module, layer: str, filters: Sequence[int], z: Tensor) -> tuple[float, ...]:
    """Measure the mean of each filter's map, over all locations of some samples.

        >>> values = means(session.generator, "16x16", (3, 17), session.latents(256))
        >>> edit = dp.Selection("16x16", (3, 17), sha, values=values)

    z: N x z_size, on any device. Hooks on the generator act, so active edits count. Raises
    InputError for a layer or a filter that the generator does not have, and for no sample.
    """
    total = torch.zeros(len(filters), dtype=torch.float64)
    for maps in _maps(generator, layer, filters, z):
        total += maps.double().mean(dim=2).sum(dim=0)
    return tuple((total / len(z)).tolist())


def levels(
    generator: nn.Module, layer: str, filters: Sequence[int], z: Tensor
) -> tuple[float, ...]:
    """Measure how high each filter goes: the 99th percentile of its map, over what `means` is over.

        >>> values = levels(session.generator, "8x8", (3,), session.latents(256))
        >>> edit = dp.Selection("8x8", (3,), sha, values=values, where=(40, 8, 56, 24))

    The smallest activation that is at least as large as 99 in 100. The maximum would be that of
    one location of one sample, and grow with N. Raises InputError as `means` does.
    """
    top = torch.empty(len(filters), 0)
    for maps in _maps(generator, layer, filters, z):
        count = len(z) * maps.shape[2]
        above = count - -(-PERCENT * (count - 1) // 100)
        # Only what can still be among the highest is kept, so that memory does not grow with N.
        top = torch.cat([top, maps.transpose(0, 1).flatten(1)], dim=1)
        top = top.topk(min(above, top.shape[1]), dim=1).values
    return tuple(top.amin(dim=1).tolist())


def _maps(generator: nn.Module, layer: str, filters: Sequence[int], z: Tensor) -> Iterator[Tensor]:
    """Batches of the outputs of filters, samples x filters x locations, on the CPU."""
    if not len(z):
        raise InputError(f"layer {layer!r}: found 0 samples to measure on, expected at least 1")
    device = next(chain(generator.parameters(), generator.buffers()), z).device
    for batch in z.split(BATCH):
        with torch.no_grad():
            maps = hooks.activations(generator, layer, batch.to(device))
        hooks.check_filters(layer, filters, maps.shape[1])
        yield maps[:, list(filters)].unsqueeze(-1).flatten(2).cpu()
