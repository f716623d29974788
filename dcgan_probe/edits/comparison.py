"""Generate images of many edits of the same latents, sharing the common work; random edits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from dcgan_probe.edits.tails import Base, Tail


class LayerEdit(Protocol):
    """An edit of one layer of a generator, such as a `Selection`."""

    @property
    def layer(self) -> str:
        """The layer whose output is changed."""
        ...

    def hook(self, generator: nn.Module) -> AbstractContextManager[None]:
        """Make the edit inside the ``with``, in every forward of the generator."""
        ...

    def apply(self, base: Base) -> Tensor:
        """The images of a base's maps, which are those of the layer, with the edit."""
        ...


def edited(generator: nn.Module, base: Base, edits: Sequence[LayerEdit]) -> Tensor:
    """Images of a base's maps with several edits at once, without gradients.

        >>> base = Tail(session.generator, "8x8").start(z)
        >>> edited(session.generator, base, [dropped_in_8x8, dropped_in_16x16]).shape
        torch.Size([32, 3, 64, 64])

    edits: each of one layer, in the order of the data; the first is of the base's layer. None of
    them gives the images as they are.
    """
    with ExitStack() as stack, torch.no_grad():
        for edit in edits[1:]:
            stack.enter_context(edit.hook(generator))
        return edits[0].apply(base) if edits else base.images()


def images(
    generator: nn.Module,
    layer: str,
    batches: Iterable[Tensor],
    rivals: Sequence[Sequence[LayerEdit]],
) -> list[Tensor]:
    """Images for each of some rivals, on the CPU; a rival is what `edited` takes.

    batches: of latents, on the generator's device. layer: the first that the rivals edit.
    """
    tail = Tail(generator, layer)
    parts: list[list[Tensor]] = [[] for _ in rivals]
    for z in batches:
        base = tail.start(z)
        for part, edits in zip(parts, rivals, strict=True):
            part.append(edited(generator, base, edits).cpu())
    return [torch.cat(part) for part in parts]


def changes(
    generator: nn.Module,
    layer: str,
    batches: Iterable[Tensor],
    rivals: Sequence[Sequence[LayerEdit]],
    inside: np.ndarray,
) -> list[tuple[float, float]]:
    """The mean absolute change of pixels by each of some rivals, inside and outside of a mask.

    batches, layer, rivals: as `images` takes them. inside: N x H x W bool, for all latents.
    """
    mask = torch.from_numpy(inside)
    tail = Tail(generator, layer)
    sums = torch.zeros(len(rivals), 2, dtype=torch.float64)
    start = 0
    for z in batches:
        within = mask[start : start + len(z)]
        start += len(z)
        base = tail.start(z)
        before = base.images().cpu()
        for i, edits in enumerate(rivals):
            change = (edited(generator, base, edits).cpu() - before).abs().mean(dim=1).double()
            sums[i] += torch.stack([change[within].sum(), change[~within].sum()])
    pixels, others = int(mask.sum()), int((~mask).sum())
    return [(a / pixels, b / others) for a, b in sums.tolist()]
