"""Tell the largest of several feature maps (maxout) from the largest of several locations.

Both are the same functions of torch; only the axis differs. Which axis holds the feature maps is
known where a layer put them out. From a node that takes the largest, the axis is followed back to
that layer through what rearranges numbers: views, permutations, slices and the like.
"""

from __future__ import annotations

import math
from collections.abc import Container
from typing import Any

import torch
from torch import Tensor

# Nodes by how their names begin. Of these the feature maps are the second axis:
_MAPS = (
    "AdaptiveAvgPool", "AdaptiveMaxPool", "AvgPool", "Convolution", "Cudnn", "MaxPool", "Miopen",
    "Mkldnn", "NativeBatchNorm", "NativeGroupNorm", "PixelShuffle", "PixelUnshuffle",
    "ReflectionPad", "ReplicationPad", "SlowConv", "Thnn", "Upsample",
)  # fmt: skip
# of these the last,
_FEATURES = ("Addmm", "Addmv", "Baddbmm", "Bmm", "Linear", "MkldnnLinear", "Mm", "Mv")
# and these only move numbers.
_MOVING = (
    "Alias", "AsStrided", "Cat", "Clone", "Contiguous", "Expand", "Flip", "Permute",
    "ReshapeAlias", "Roll", "Select", "Slice", "Split", "SplitWithSizes", "Squeeze", "Stack", "T",
    "ToCopy", "Transpose", "Unbind", "Unfold", "UnsafeSplit", "UnsafeView", "Unsqueeze", "View",
)  # fmt: skip


def mixes_feature_maps(node: Any, path: Container[Any]) -> bool | None:
    """Whether a node of autograd's graph takes the largest of numbers of several feature maps.

    path: the nodes between the inputs and the output. None if a layer that put the maps out cannot
    be found, as behind a mean.
    """
    sources = _sources(node, path)
    if not sources:
        return None
    (_, source, number), *_ = sources
    shape = _shape(source, number)
    if not (axes := _axes(node, shape)):
        return None
    # From 1 on, a number for each place on the axes that are reduced; 0 stays for what is left out.
    sizes = [size if axis in axes else 1 for axis, size in enumerate(shape)]
    places = torch.arange(1.0, math.prod(sizes) + 1).view(sizes).expand(shape)
    moved = _at_layers(source, number, places, path)
    if moved is None or len({(least.shape, most.shape) for least, most in moved}) > 1:
        return None
    least = torch.stack([each for each, _ in moved]).amin(0)
    most = torch.stack([each for _, each in moved]).amax(0)
    return bool((most > least).any())


def _axes(node: Any, shape: tuple[int, ...]) -> set[int]:
    """The axes of its input over which a node takes the largest; none if that is not known."""
    if hasattr(node, "_saved_dim"):
        dims = node._saved_dim if isinstance(node._saved_dim, tuple) else (node._saved_dim,)
        # Negative ones come back as unsigned numbers.
        return {(dim - 2**64 if dim >= 2**63 else dim) % len(shape) for dim in dims}
    if hasattr(node, "_saved_kernel_size"):
        kernel = node._saved_kernel_size
        kernel = kernel * 2 if len(kernel) == 1 else kernel
        return {len(shape) - 2 + i for i, size in enumerate(kernel) if size > 1}
    pooled = _shape(node, 0)
    if len(pooled) != len(shape):
        return set()
    return {
        axis for axis, (size, left) in enumerate(zip(shape, pooled, strict=True)) if size > left
    }


def _at_layers(
    source: Any, number: int, places: Tensor, path: Container[Any]
) -> list[tuple[Tensor, Tensor]] | None:
    """Move numbers of a node's output back to the layers that they come from.

    Returns the least and the most over the feature maps of each layer. Where a layer gave nothing,
    the least is infinite and the most 0. None if one of them is not known.
    """
    name = source.name().rpartition("::")[2]
    if name.startswith(_FEATURES):
        return [_range(places, places.ndim - 1)]
    if name.startswith(_MAPS):
        return [_range(places, 1)] if places.ndim > 2 else None
    sources = _sources(source, path)
    if name.rstrip("0123456789").removesuffix("Backward") in _MOVING:
        moved = source(
            *(places if i == number else None for i in range(len(source._input_metadata)))
        )
        parts = moved if isinstance(moved, tuple) else (moved,)
    else:  # a function of each number may be one of several tensors: the first
        sources = sources[:1]
        parts = (places,) * len(source.next_functions)
    found = []
    for i, following, output in sources:
        if tuple(parts[i].shape) != _shape(following, output):
            return None
        each = _at_layers(following, output, parts[i], path)
        if each is None:
            return None
        found += each
    return found or None


def _range(places: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    return torch.where(places > 0, places, math.inf).amin(axis), places.amax(axis)


def _sources(node: Any, path: Container[Any]) -> list[tuple[int, Any, int]]:
    """The nodes on the path that a node takes outputs of: which input, the node, which output."""
    edges = enumerate(node.next_functions)
    return [(i, source, number) for i, (source, number) in edges if source in path]


def _shape(node: Any, number: int) -> tuple[int, ...]:
    return tuple(node._input_metadata[number].shape)
