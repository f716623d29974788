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
# and these only move numbers, one tensor to one.
_MOVING = (
    "Alias", "AsStrided", "Clone", "Contiguous", "Expand", "Flip", "Permute", "ReshapeAlias",
    "Roll", "Select", "Slice", "Squeeze", "T", "ToCopy", "Transpose", "Unfold", "UnsafeView",
    "Unsqueeze", "View",
)  # fmt: skip


def mixes_feature_maps(node: Any, path: Container[Any]) -> bool | None:
    """Whether a node of autograd's graph takes the largest of numbers of several feature maps.

    path: the nodes between the inputs and the output. None if the layer that put the maps out
    cannot be found, as behind a sum or a stack of several tensors.
    """
    source = _source(node, path)
    shape = _shape(source)
    if shape is None or not (axes := _axes(node, shape)):
        return None
    # From 1 on, a number for each place on the axes that are reduced; 0 stays for what is left out.
    sizes = [size if axis in axes else 1 for axis, size in enumerate(shape)]
    places = torch.arange(1.0, math.prod(sizes) + 1, dtype=torch.float64).view(sizes).expand(shape)
    found = _at_layer(source, places, path)
    if found is None:
        return None
    places, axis = found
    there = places > 0
    most = places.amax(axis)
    least = torch.where(there, places, math.inf).amin(axis)
    return bool(((most > least) & there.any(axis)).any())


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
    pooled = _shape(node)
    if pooled is None or len(pooled) != len(shape):
        return set()
    return {
        axis for axis, (size, left) in enumerate(zip(shape, pooled, strict=True)) if size > left
    }


def _at_layer(source: Any, places: Tensor, path: Container[Any]) -> tuple[Tensor, int] | None:
    """Numbers of a node's output moved back to the layer they come from, and its axis of maps."""
    while source in path:
        name = source.name().rpartition("::")[2]
        if name.startswith(_FEATURES):
            return places, places.ndim - 1
        if name.startswith(_MAPS):
            return (places, 1) if places.ndim > 2 else None
        following = _source(source, path)
        if name.rstrip("0123456789").removesuffix("Backward") in _MOVING:
            places = source(places)
        elif _shape(following) != _shape(source):
            return None
        source = following
        if tuple(places.shape) != _shape(source):
            return None
    return None


def _source(node: Any, path: Container[Any]) -> Any:
    """The first node on the path whose first output another takes."""
    for source, number in node.next_functions:
        if source in path:
            return source if number == 0 else None
    return None


def _shape(node: Any) -> tuple[int, ...] | None:
    """The shape of a node's first output."""
    return tuple(node._input_metadata[0].shape) if node is not None else None
