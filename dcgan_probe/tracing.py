"""The layers of a network that is not ours, found by running it once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dcgan_probe.errors import InputError


@dataclass(frozen=True)
class Layer:
    """A part of a network that puts out feature maps, one N x filters x height x width tensor.

    alone: all of the input that reaches the output passes through it; no skip connection leads
    around it.
    """

    name: str
    filters: int
    height: int
    width: int
    alone: bool


def trace(network: nn.Module, inputs: Tensor) -> tuple[Tensor, tuple[Layer, ...]]:
    """What a network puts out for inputs, and its layers in the order in which they are done.

        >>> images, layers = trace(Generator(PRESETS["torch"]).eval(), torch.zeros(2, 100))
        >>> layers[-1]
        Layer(name='64x64', filters=3, height=64, width=64, alone=True)

    inputs: at least 2, on the network's device. A part is a layer if the forward calls it once and
    it puts out one tensor of maps for each input. Names are those of ``named_modules``. Raises
    InputError for an output that is not one tensor, or in which no gradient leads to the inputs.
    """
    calls: Counter[str] = Counter()
    seen: list[tuple[str, torch.Size, Any]] = []

    def look(name: str, output: object) -> None:
        calls[name] += 1
        if isinstance(output, Tensor) and output.dim() == 4 and len(output) == len(inputs):
            # The node of this very moment: an activation in place gives the tensor another.
            seen.append((name, output.shape, output.grad_fn))

    inputs = inputs.detach().clone().requires_grad_(True)
    handles = [
        part.register_forward_hook(lambda _m, _i, output, name=name: look(name, output))
        for name, part in network.named_modules()
        if name
    ]
    try:
        with torch.enable_grad():
            output = network(inputs)
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(output, Tensor):
        raise InputError(f"puts out a {type(output).__name__}, expected one tensor")
    end = output.grad_fn
    if not reaches(end, inputs):
        raise InputError(
            "found an output to which no gradient leads from the input, expected one (no_grad or "
            "detach in its forward?)"
        )
    layers = []
    for name, (_, filters, height, width), node in seen:
        if calls[name] == 1:
            alone = node is not None and not reaches(end, inputs, without=node)
            layers.append(Layer(name, filters, height, width, alone))
    return output.detach(), tuple(layers)


def reaches(end: Any, inputs: Tensor, without: Any = None) -> bool:
    """Whether a way through autograd's graph leads from a node to the inputs, not over `without`.

    >>> x = torch.zeros(1, requires_grad=True)
    >>> reaches((2 * x + 1).grad_fn, x)
    True
    """
    seen = {without, None}
    nodes = [end]
    while nodes:
        node = nodes.pop()
        if node not in seen:
            seen.add(node)
            if getattr(node, "variable", None) is inputs:
                return True
            nodes.extend(parent for parent, _ in node.next_functions)
    return False


def passing(layers: tuple[Layer, ...], *ends: tuple[int, ...]) -> dict[str, tuple[int, int]]:
    """What a network passes on at each resolution: its last layer there that nothing leads around.

        >>> images, layers = trace(Generator(PRESETS["torch"]).eval(), torch.zeros(2, 100))
        >>> passing(layers, (3, 64, 64))
        {'4x4': (4, 4), '8x8': (8, 8), '16x16': (16, 16), '32x32': (32, 32)}

    ends: shapes of what goes in and comes out, C x H x W, which are no hidden maps; nor is what has
    no places. Returns height and width by name, in the order of the data.
    """
    last: dict[tuple[int, int], str] = {}
    for layer in layers:
        grid = (layer.height, layer.width)
        if layer.alone and grid != (1, 1) and (layer.filters, *grid) not in ends:
            last.pop(grid, None)  # so that the order is that of the layers that stay
            last[grid] = layer.name
    return {name: grid for grid, name in last.items()}
