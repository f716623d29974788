"""The ATen operations that an exported network may call, with checks of their arguments.

A kernel of ATen may trust its arguments: an index tensor of `max_pool2d_with_indices_backward` is
where it writes. So an operation is called only if it is in the list here, which holds what
inference needs and nothing that trusts; those that take indices, or sizes that they do not compare
with the tensors, are compared here.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

# Elements of all tensors that one call makes, and multiplications: far above what a large network
# needs for a batch, and minutes of work at the most.
MAX_ELEMENTS = 1 << 32
MAX_ONE = 1 << 27  # elements of one tensor
MAX_WORK = 1 << 44
_MAX_NUMBER = 2**63

_POINTWISE = """
abs add addcdiv addcmul bitwise_and bitwise_not bitwise_or bitwise_xor ceil celu clamp clamp_max
clamp_min clip clone contiguous copysign cos cosh deg2rad detach detach_ div dropout elu eq erf
exp exp2 expm1 feature_dropout fill floor floor_divide fmod full_like ge gelu glu gt hardshrink
hardsigmoid hardswish hardtanh isfinite isinf isnan le leaky_relu lerp lift_fresh_copy log log10
log1p log2 log_sigmoid logical_and logical_not logical_or logical_xor logit lt masked_fill maximum
minimum mish mul nan_to_num ne neg ones_like pow prelu rad2deg reciprocal relu relu6 remainder
round rrelu rsqrt rsub selu sgn sigmoid sign silu sin sinh softplus softshrink sqrt square sub tan
tanh threshold to true_divide trunc type_as where zeros_like _to_copy alias
"""
_IN_PLACE = """
add_ clamp_ clamp_max_ clamp_min_ div_ elu_ hardsigmoid_ hardswish_ hardtanh_ leaky_relu_ mul_
relu_ relu6_ selu_ sigmoid_ silu_ sub_ tanh_ dropout_ mish_ celu_ copy
"""
_REDUCING = """
all amax amin any argmax argmin cumprod cumsum log_softmax logsumexp max mean median min norm prod
softmax std std_mean sum topk var var_mean _log_softmax _softmax linalg_vector_norm
cosine_similarity sort argsort
"""
_SHAPING = """
broadcast_to cat channel_shuffle chunk concat concatenate constant_pad_nd expand expand_as flatten
flip hstack movedim moveaxis narrow numpy_T pad permute pixel_shuffle pixel_unshuffle
reflection_pad1d reflection_pad2d repeat repeat_interleave replication_pad1d replication_pad2d
reshape roll rot90 select size slice split split_with_sizes squeeze stack swapaxes swapdims
sym_size sym_numel t tile transpose tril triu unbind unflatten unsafe_chunk unsafe_split unsqueeze
view vstack _unsafe_view _reshape_copy view_as adaptive_avg_pool1d
"""
_LAYERS = """
_adaptive_avg_pool2d adaptive_avg_pool2d adaptive_max_pool2d addbmm addmm addmv avg_pool1d
avg_pool2d baddbmm batch_norm bmm conv1d conv2d conv_transpose1d conv_transpose2d convolution dot
einsum group_norm instance_norm layer_norm linear matmul max_pool1d max_pool2d
max_pool2d_with_indices mm mv native_layer_norm outer rms_norm scaled_dot_product_attention
upsample_bicubic2d upsample_bilinear2d upsample_linear1d upsample_nearest1d upsample_nearest2d
_upsample_bilinear2d_aa _upsample_bicubic2d_aa bilinear grid_sampler grid_sampler_2d
_native_batch_norm_legit_no_training
"""
_MAKING = "arange full linspace ones scalar_tensor zeros eye new_zeros new_ones new_full"
_INDEXING = "embedding gather index index_select take_along_dim"
ALLOWED = frozenset(
    " ".join([_POINTWISE, _IN_PLACE, _REDUCING, _SHAPING, _LAYERS, _MAKING, _INDEXING]).split()
)
# Operations whose work is that of a product: each element made costs a sum.
_SUMS = """
addbmm addmm addmv baddbmm bilinear bmm conv1d conv2d conv_transpose1d conv_transpose2d
convolution dot einsum linear matmul mm mv outer scaled_dot_product_attention
"""
_PRODUCTS = frozenset(_SUMS.split())


def _bounded(name: str) -> Callable[..., Any]:
    """An operation of Python on numbers; text, lists and infinite numbers are refused."""
    call = getattr(operator, name)

    def bounded(*numbers: Any) -> Any:
        if not all(isinstance(number, int | float) for number in numbers):
            raise ValueError(f"{name} of something else than numbers")
        result = call(*numbers)
        if isinstance(result, int) and abs(result) > _MAX_NUMBER:
            raise ValueError(f"{name} to a number of more than 63 bits")
        return result

    return bounded


ARITHMETIC = {
    f"_operator.{name}": _bounded(name) for name in ("add", "sub", "mul", "floordiv", "neg")
}


@dataclass
class Budget:
    """What is left of the elements and the work that one call may take."""

    elements: int = MAX_ELEMENTS
    work: int = MAX_WORK

    def spend(self, name: str, arguments: list[Any], result: Any) -> None:
        """Count what an operation makes; ValueError if there is not so much left."""
        made = sum(tensor.numel() for tensor in _tensors(result))
        taken = [tensor.numel() for tensor in _tensors(arguments)]
        if any(tensor.numel() > MAX_ONE for tensor in _tensors(result)):
            raise ValueError(f"{name} makes {made} elements, more than {MAX_ONE} in one tensor")
        self.elements -= made
        self.work -= made + (_products(arguments, made) if name in _PRODUCTS else sum(taken))
        if self.elements < 0 or self.work < 0:
            raise ValueError(f"{name}: the network takes more memory or work than any needs")


def _products(arguments: list[Any], made: int) -> int:
    """The multiplications of a product, at most: each element made, times a row of a factor."""
    factors = [tensor for tensor in _tensors(arguments) if tensor.dim() >= 1]
    rows = [prod(tensor.shape[1:]) if tensor.dim() > 2 else tensor.shape[-1] for tensor in factors]
    return made * max(rows[1:2] or [1])


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, list | tuple):
        return [tensor for part in value for tensor in _tensors(part)]
    return []


def find(name: str, overload: str) -> torch._ops.OpOverload | None:
    """The operation of a name, if it is one of those allowed."""
    packet = getattr(torch.ops.aten, name, None) if name in ALLOWED else None
    if not isinstance(packet, torch._ops.OpOverloadPacket) or overload not in packet.overloads():
        return None
    operation = getattr(packet, overload)
    # An output given by the caller, and names of dimensions, are nothing that a file needs.
    return None if "out" in overload or "name" in overload.lower() else operation


def check(name: str, arguments: list[Any]) -> None:
    """Compare indices and sizes with the tensors that they are of; ValueError if they lie outside.

    >>> check("index_select", [torch.zeros(3), 0, torch.tensor([3])])
    Traceback (most recent call last):
    ValueError: index_select: an index outside of 0 to 2
    """
    if name in ("gather", "index_select", "take_along_dim"):
        tensor, dim, index = arguments[0], arguments[1], arguments[2]
        if name == "take_along_dim":
            dim, index = arguments[2], arguments[1]
        _check_index(name, index, tensor.shape[dim] if tensor.dim() else 1, 0)
    elif name == "embedding":
        _check_index(name, arguments[1], arguments[0].shape[0], 0)
    elif name == "index":
        for dim, index in enumerate(arguments[1]):
            if index is not None and index.dtype not in (torch.bool, torch.uint8):
                size = arguments[0].shape[dim]
                _check_index(name, index, size, -size)
    elif "batch_norm" in name:
        channels = arguments[0].shape[1]
        for tensor in arguments[1:5]:
            if isinstance(tensor, Tensor) and tuple(tensor.shape) != (channels,):
                raise ValueError(f"{name}: {tuple(tensor.shape)} for {channels} channels")


def _check_index(name: str, index: Tensor, size: int, low: int) -> None:
    if index.device.type != "meta" and index.numel():
        least, most = int(index.min()), int(index.max())
        if least < low or most >= size:
            raise ValueError(f"{name}: an index outside of {low} to {size - 1}")
