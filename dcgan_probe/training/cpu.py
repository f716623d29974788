"""Faster training on CPUs; results change only by rounding."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_input

COLUMNS_BYTES = 32 << 20
# mallopt's names for these, from glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_memory() -> None:
    """Have glibc keep the memory of freed tensors for the next ones, until the process ends.

        >>> keep_memory()

    By itself it hands blocks of some megabytes back to the kernel at every free, and each new one
    is then mapped and cleared page by page, which costs as much as the arithmetic of batch norm
    does. Does nothing where the C library has no mallopt.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def by_columns(network: nn.Module) -> nn.Module:
    """Have convolutions compute the gradients of their weights as matrix products, in place.

        >>> generator = by_columns(Generator(PRESETS["torch"]))

    For layers of many channels on few places, oneDNN's own kernel runs at a third to a half of the
    speed of a matrix product. Convolutions of images, with few channels, are unchanged. Takes
    convolutions without bias, dilation or groups; others are unchanged too.
    """
    for module in network.modules():
        faster = _FASTER.get(type(module))
        if faster is not None and _fits(module):
            module.__class__ = faster
    return network


def weight_gradient(large: Tensor, small: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """The gradient of a convolution's weights, from its larger and its smaller maps.

        >>> x, g = torch.randn(8, 32, 16, 16), torch.randn(8, 64, 8, 8)
        >>> weight_gradient(x, g, kernel=4, stride=2, padding=1).shape
        torch.Size([64, 32, 4, 4])

    For a convolution, large is its input and small the gradient of its output; for a transposed
    one, large is the gradient of its output and small its input. Returns small's channels x
    large's channels x kernel x kernel. Memory: columns of `COLUMNS_BYTES`, or of one image.
    """
    n, channels, height, width = small.shape
    inputs = large.shape[1]
    padded = F.pad(large, (padding,) * 4).contiguous(memory_format=torch.channels_last)
    per_image = height * width * kernel * kernel * inputs * large.element_size()
    chunk = max(1, COLUMNS_BYTES // per_image)
    total = large.new_zeros(channels, kernel * kernel * inputs)
    for part, grads in zip(padded.split(chunk), small.split(chunk), strict=True):
        b, _, y, x = part.stride()
        # A row of the kernel's window is contiguous in channels_last, so a window is `kernel` runs.
        windows = part.as_strided(
            (len(part), height, width, kernel, kernel * inputs),
            (b, stride * y, stride * x, y, 1),
            part.storage_offset(),
        )
        columns = windows.reshape(-1, kernel * kernel * inputs)
        total.addmm_(grads.permute(0, 2, 3, 1).reshape(-1, channels).T, columns)
    return total.view(channels, kernel, kernel, inputs).permute(0, 3, 1, 2)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.form = stride, padding
        return F.conv2d(x, weight, None, stride, padding)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        stride, padding = ctx.form
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x = conv2d_input(x.shape, weight, grad, stride, padding)
        if ctx.needs_input_grad[1]:
            of_weight = weight_gradient(x, grad, weight.shape[2], stride, padding)
        return of_x, of_weight, None, None


class _Transposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int, out: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.form = stride, padding
        return F.conv_transpose2d(x, weight, None, stride, padding, out)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        stride, padding = ctx.form
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x = F.conv2d(grad, weight, None, stride, padding)
        if ctx.needs_input_grad[1]:
            of_weight = weight_gradient(grad, x, weight.shape[2], stride, padding)
        return of_x, of_weight, None, None, None


class _Conv2d(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return _Convolution.apply(x, self.weight, self.stride[0], int(self.padding[0]))


class _ConvTranspose2d(nn.ConvTranspose2d):
    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        form = self.stride[0], int(self.padding[0]), self.output_padding[0]
        return _Transposed.apply(x, self.weight, *form)


_FASTER: dict[type, type] = {nn.Conv2d: _Conv2d, nn.ConvTranspose2d: _ConvTranspose2d}


def _fits(conv: Any) -> bool:
    plain = conv.bias is None and conv.groups == 1 and set(conv.dilation) == {1}
    square = all(len(set(form)) == 1 for form in (conv.kernel_size, conv.stride, conv.padding))
    return plain and square and min(conv.in_channels, conv.out_channels) >= 16
