"""Drop, scale or replace single filters of a layer (section 6.3.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dcgan_probe.errors import InputError
from dcgan_probe.hooks.editing import counted_as_edit
from dcgan_probe.hooks.layers import hook_layer, layer, single_tensor


def ablate(
    module: nn.Module,
    name: str,
    filters: int | Sequence[int],
    gain: float | Sequence[float] | Tensor = 0.0,
    value: float | Sequence[float] | Tensor = 0.0,
    where: Tensor | None = None,
) -> Ablation:
    """Replace feature maps of a layer by gain * map + (1 - gain) * value inside the ``with``.

        >>> with ablate(generator, "8x8", filters=[3, 17]):                     # dropped
        ...     without = generator(z)
        >>> with ablate(generator, "8x8", [3, 17], gain=2.0):                   # amplified
        ...     stronger = generator(z)
        >>> with ablate(generator, "8x8", [3, 17], value=[0.4, 1.1], where=mask):  # put in
        ...     inserted = generator(z)

    filters: one index along dimension 1 of the layer's output, or several. gain, value: one for
    all, or a sequence or 1-d tensor with one for each filter; gradients flow to tensors. where: the
    locations to change, bool, h x w or N x h x w like the layer's maps; None is all. The layer's
    own output is not modified. Raises InputError when called for an unknown layer or filter, and
    for gains or values that are not finite or not one for each filter. If the number of filters is
    only known in the forward, an unknown filter raises there, like a wrong shape and a layer that
    is never reached. Source: section 6.3.1.
    """
    return Ablation(module, name, filters, gain, value, where)


def check_filters(name: str, filters: Sequence[int], count: int | None = None) -> None:
    """Make sure that filters are each named once and, if `count` is known, are in the layer.

    >>> check_filters("8x8", [3, 17], count=512)
    """
    if len(set(filters)) < len(filters):
        raise InputError(f"layer {name!r}: found a filter twice, expected each once")
    wrong = [f for f in filters if count is not None and not 0 <= f < count]
    if wrong:
        assert count is not None
        raise InputError(f"layer {name!r}: found filter {wrong[0]}, expected 0 to {count - 1}")


# Layers that output as many filters as they take, one by one.
_ELEMENTWISE = (nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.Identity, nn.Dropout, nn.Dropout2d)
_COUNTS = {
    nn.Conv2d: "out_channels",
    nn.ConvTranspose2d: "out_channels",
    nn.Linear: "out_features",
    nn.BatchNorm1d: "num_features",
    nn.BatchNorm2d: "num_features",
}


def _count_filters(part: nn.Module) -> int | None:
    """How many filters a layer outputs, or None where only a forward can tell."""
    while type(part) is nn.Sequential:
        following = [each for each in part if type(each) not in _ELEMENTWISE]
        if not following:
            return None
        part = following[-1]
    name = _COUNTS.get(type(part))
    if name is None or part._forward_hooks:  # a hook may output anything
        return None
    return int(getattr(part, name))


def as_filters(name: str, filters: int | Sequence[int]) -> list[int]:
    """One filter or several as numbers, from a list, an array or a tensor.

        >>> as_filters("8x8", torch.tensor([3, 17])), as_filters("8x8", 3)
        ([3, 17], [3])

    Raises InputError for anything but whole numbers: a mask or a fraction would name others.
    """
    where, expected = f"layer {name!r}", "as filters, expected a list of whole numbers"
    numbers: Any = filters
    if isinstance(filters, Iterable) and not isinstance(filters, Tensor | np.ndarray):
        numbers = list(filters)  # of a range or a set, too
    try:
        given = torch.as_tensor(numbers)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{where}: found {filters!r} {expected}") from error
    whole = not (given.dtype == torch.bool or given.is_floating_point() or given.is_complex())
    if given.numel() and not (whole and given.dim() <= 1):
        kind = "a mask" if given.dtype == torch.bool else f"{given.dim()}-d {given.dtype}"
        raise InputError(f"{where}: found {kind.replace('torch.', '')} {expected}")
    return [int(number) for number in given.reshape(-1)]


class Ablation:
    """A hook that is on the module from entering to leaving; can be entered again after."""

    def __init__(
        self,
        module: nn.Module,
        name: str,
        filters: int | Sequence[int],
        gain: float | Sequence[float] | Tensor,
        value: float | Sequence[float] | Tensor,
        where: Tensor | None,
    ):
        self.module = module
        self.name = name
        self.filters = torch.tensor(as_filters(name, filters), dtype=torch.long)
        check_filters(name, self.filters.tolist(), _count_filters(layer(module, name)))
        self.gain = self._for_each("gain", gain)
        self.shift = (1 - self.gain) * self._for_each("value", value)
        where = None if where is None else torch.as_tensor(where)  # NumPy's too
        if where is not None and where.dtype != torch.bool:
            raise InputError(f"layer {name!r}: found where of {where.dtype}, expected bool")
        self.where = where

    def __enter__(self) -> None:
        def replace(_module: nn.Module, _inputs: object, output: object) -> Tensor:
            return self.edit(single_tensor(self.name, output))

        with ExitStack() as stack:
            for handle in hook_layer(self.module, self.name, replace):
                stack.enter_context(counted_as_edit(handle))
            self.handle = stack.pop_all()

    def __exit__(self, *_: object) -> None:
        self.handle.close()

    def _for_each(self, noun: str, values: float | Sequence[float] | Tensor) -> Tensor:
        numbers = torch.as_tensor(values, dtype=torch.float32)
        count = len(self.filters)
        if numbers.dim() and numbers.shape != (count,):
            shape = "x".join(map(str, numbers.shape))
            raise InputError(f"layer {self.name!r}: found {shape} {noun}s, expected 1 or {count}")
        if not numbers.isfinite().all():
            raise InputError(f"layer {self.name!r}: found a {noun} that is not a finite number")
        return numbers

    def edit(self, maps: Tensor) -> Tensor:
        """The maps that replace the output of the layer."""
        count = maps.shape[1]
        check_filters(self.name, self.filters.tolist(), count)
        gains, shifts = maps.new_ones(count), maps.new_zeros(count)
        at = self.filters.to(maps.device)
        gains[at], shifts[at] = self.gain.to(maps), self.shift.to(maps)
        each = (1, count, *[1] * (maps.dim() - 2))
        edited = torch.addcmul(shifts.view(each), maps, gains.view(each))
        return edited if self.where is None else torch.where(self._places(maps), edited, maps)

    def _places(self, maps: Tensor) -> Tensor:
        assert self.where is not None
        grid, shape = tuple(maps.shape[2:]), tuple(self.where.shape)
        if not grid:
            raise InputError(f"layer {self.name!r}: found values without places, expected maps")
        if shape not in (grid, (len(maps), *grid)):
            raise InputError(
                f"layer {self.name!r}: found where of shape {shape}, expected {grid} "
                f"or {(len(maps), *grid)}"
            )
        return self.where.to(maps.device).unsqueeze(-len(grid) - 1)
