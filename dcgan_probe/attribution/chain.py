"""Guided gradients of single neurons in a plain chain of layers, with less arithmetic.

Autograd gives every neuron a forward pass of its own and a dense backward pass. A chain of
convolutions, batch norms and ReLUs needs neither: neurons of one image share its forward, and the
gradient of one neuron starts in one window of its convolution's input.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.grad import conv2d_input

from dcgan_probe import hooks

# Activations that are increasing, so that their gradient keeps the sign that is clamped.
ACTIVATIONS = (nn.ReLU, nn.LeakyReLU)


@dataclass(frozen=True)
class Link:
    """A layer of a chain, and what came into it."""

    module: nn.Module
    input: Tensor


def follow(network: nn.Module, layer: str, images: Tensor) -> list[Link] | None:
    """Run images up to a layer and return the chain that led there, in order.

    None if what led there is no chain of convolutions, batch norms in eval mode and ReLUs or
    LeakyReLUs, each taking the output of the one before, with one of each kind at least.
    """
    links: list[Link] = []
    expected, version = images, images._version
    plain = True

    def step(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal expected, version, plain
        if not inputs:  # all by name
            plain = False
            return
        # A hook of somebody else's may change what passes; the last layer has one that stops.
        ours = 2 if module is last else 1
        alone = len(module._forward_hooks) == ours and not module._forward_pre_hooks
        # The same tensor with another version was written to: by a function no hook can see.
        same = inputs[0] is expected and inputs[0]._version == version
        plain = plain and alone and _known(module) and same
        links.append(Link(module, inputs[0]))
        expected, version = output, output._version

    last = hooks.layer(network, layer)
    leaves = [part for part in network.modules() if not list(part.children())]
    handles = [part.register_forward_hook(step) for part in leaves]
    try:
        with torch.no_grad():
            reached = hooks.activations(network, layer, images)
    finally:
        for handle in handles:
            handle.remove()
    whole = plain and reached is expected and reached._version == version
    for kind in (nn.Conv2d, ACTIVATIONS):
        whole = whole and any(isinstance(link.module, kind) for link in links)
    return links if whole else None


def guided(
    links: list[Link], strict: bool, which: Tensor, filters: Tensor, rows: Tensor, columns: Tensor
) -> Tensor:
    """Guided gradients of neurons of the last link's output on the images of the first.

    which: N int64, the image of every neuron. filters, rows, columns: N int64, its place. Returns
    N x C x H x W. The rules are those of `attribution.GuidedBackprop`.
    """
    links = list(links)
    each = links[0].input.new_ones(len(which))
    # Up to the last convolution the gradient is one number for each neuron.
    while not isinstance(links[-1].module, nn.Conv2d):
        link = links.pop()
        if isinstance(link.module, nn.BatchNorm2d):
            each = each * _gain(link.module)[filters]
        else:
            x = link.input[which, filters, rows, columns]
            each = each.clamp_min(0) * _slope(link.module, x, strict)
    signal = _window(links.pop(), each, filters, rows, columns)
    for link in reversed(links):
        if isinstance(link.module, nn.Conv2d):
            shape = torch.Size((len(which), *link.input.shape[1:]))
            conv = link.module
            signal = conv2d_input(
                shape, conv.weight, signal, conv.stride, conv.padding, conv.dilation, conv.groups
            )
        elif isinstance(link.module, nn.BatchNorm2d):
            signal = signal * _gain(link.module).view(1, -1, 1, 1)
        else:
            slope = _slope(link.module, link.input, strict)
            signal = signal.clamp_min_(0).mul_(slope[which])
    return signal


def _known(module: nn.Module) -> bool:
    # The function itself, not its kind: a subclass, or a module whose forward was replaced,
    # computes something else with the same weights.
    if type(module) not in (nn.Conv2d, nn.BatchNorm2d, *ACTIVATIONS) or "forward" in vars(module):
        return False
    if isinstance(module, nn.Conv2d):
        plain = module.groups == 1 and module.dilation == (1, 1)
        return plain and module.padding_mode == "zeros" and not isinstance(module.padding, str)
    if isinstance(module, nn.BatchNorm2d):
        return not module.training and module.running_var is not None and module.affine
    return isinstance(module, ACTIVATIONS)


def _gain(norm: nn.BatchNorm2d) -> Tensor:
    assert norm.running_var is not None
    return (norm.weight / (norm.running_var + norm.eps).sqrt()).detach()


def _slope(activation: nn.Module, x: Tensor, strict: bool) -> Tensor:
    below = 0.0 if strict else getattr(activation, "negative_slope", 0.0)
    return torch.where(x > 0, 1.0, below)


def _window(link: Link, each: Tensor, filters: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Gradient of single outputs of a convolution: its kernel, at its place in the input."""
    conv = link.module
    assert isinstance(conv, nn.Conv2d)
    assert not isinstance(conv.padding, str)
    height, width = link.input.shape[2:]
    (top, left), (high, wide) = conv.padding, conv.kernel_size
    shape = (len(each), link.input.shape[1], height + 2 * top, width + 2 * left)
    padded = each.new_zeros(shape)
    kernels = conv.weight.detach()[filters] * each.view(-1, 1, 1, 1)
    ys, xs = (rows * conv.stride[0]).tolist(), (columns * conv.stride[1]).tolist()
    for canvas, kernel, y, x in zip(padded, kernels, ys, xs, strict=True):
        canvas[:, y : y + high, x : x + wide] = kernel
    return padded[:, :, top : top + height, left : left + width].contiguous()
