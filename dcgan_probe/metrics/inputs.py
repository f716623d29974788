"""Take numbers as scripts have them: tensors, arrays of NumPy, lists."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dcgan_probe.errors import InputError

Numbers = Tensor | np.ndarray | Sequence[Any]


def tensor(values: Numbers, name: str) -> Tensor:
    """Numbers as a tensor, which shares their memory where it can.

        >>> tensor([[1, 2], [3, 4]], "features").shape
        torch.Size([2, 2])

    name: of the argument, for the message. Raises InputError for what is not numbers.
    """
    if isinstance(values, Tensor):
        return values
    try:
        array = np.asarray(values)
        if any(stride < 0 for stride in array.strides):  # torch has no such views
            array = array.copy()
        with warnings.catch_warnings():
            # It is only read: a read-only map is fine.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            return torch.from_numpy(array)
    except (TypeError, ValueError) as error:
        kind = type(values).__name__
        raise InputError(f"{name}: found a {kind} of other things, expected numbers") from error


def features(values: Numbers, name: str, least: int = 2) -> Tensor:
    """Features of a set of images, N x D float64 on the CPU.

    Raises InputError for fewer than `least` rows, another shape and numbers that are not finite.
    """
    rows = tensor(values, f"features {name}")
    if rows.ndim != 2 or len(rows) < least or rows.shape[1] < 1:
        raise InputError(
            f"features {name}: found {shape(rows)}, expected N x D with N at least {least}"
        )
    if not rows.isfinite().all():
        raise InputError(f"features {name}: found NaN or infinity, expected finite numbers")
    return rows.detach().cpu().double()


def images(values: Numbers, name: str, smallest: int = 1) -> Tensor:
    """Images, N x C x S x S floats, S at least `smallest`; InputError for others."""
    pictures = tensor(values, f"images {name}")
    sides = tuple(pictures.shape)
    if len(sides) != 4 or 0 in sides or sides[2] != sides[3] or sides[2] < smallest:
        raise InputError(
            f"images {name}: found {shape(pictures)}, expected N x C x S x S, S at least {smallest}"
        )
    if not pictures.is_floating_point():
        kind = str(pictures.dtype).removeprefix("torch.")
        raise InputError(f"images {name}: found {kind}, expected floats in [-1, 1]")
    return pictures


def shape(values: Tensor) -> str:
    """The shape of a tensor in words, such as "4 x 100"."""
    return " x ".join(map(str, values.shape)) or "a single value"
