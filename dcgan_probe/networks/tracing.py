"""Find the layers of a third-party network by running it once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from dcgan_probe.errors import InputError

PADDING = (
    nn.CircularPad2d,
    nn.ConstantPad2d,
    nn.ReflectionPad2d,
    nn.ReplicationPad2d,
    nn.ZeroPad2d,
)
# What a TorchFunctionMode sees of a product; the number may be either factor.
PRODUCTS = {"mul", "multiply", "__mul__", "__rmul__"}
CONVOLUTIONS = {"conv2d", "conv_transpose2d"}


@dataclass(frozen=True)
class Layer:
    """A part of a network that outputs feature maps, one N x filters x height x width tensor.

    passes_on: no other maps lead around it to the output, such as those of a skip connection.
    Values without places may, such as a z that enters every block. convolution: it is what
    becomes of a convolution: the last part, before the next convolution, that outputs maps of the
    same shape, such as the activation behind it.
    """

    name: str
    filters: int
    height: int
    width: int
    passes_on: bool
    convolution: bool = False


def trace(network: nn.Module, inputs: Tensor) -> tuple[Tensor, tuple[Layer, ...]]:
    """The output of a network for inputs, and its layers in the order in which they are done.

        >>> images, layers = trace(Generator(PRESETS["torch"]).eval(), torch.zeros(2, 100))
        >>> layers[-1]
        Layer(name='64x64', filters=3, height=64, width=64, passes_on=True, convolution=True)

    inputs: at least 2, on the network's device. A part is a layer if the forward calls it once and
    it outputs one tensor of maps for each input, which depends on that; padding does not count.
    Names are those of ``named_modules``. Raises InputError for an output that is not one tensor, or
    in which no gradient leads to the inputs, or that is not float32.
    """
    calls: Counter[str] = Counter()
    seen: list[tuple[str, torch.Size, Any, int]] = []

    def look(name: str, output: object) -> None:
        calls[name] += 1
        if isinstance(output, Tensor) and output.dim() == 4 and len(output) == len(inputs):
            # The node of this moment: an activation in place gives the tensor another.
            seen.append((name, output.shape, output.grad_fn, len(watch.convolutions)))

    inputs = inputs.detach().clone().requires_grad_(True)
    handles = [
        part.register_forward_hook(lambda _m, _i, output, name=name: look(name, output))
        for name, part in network.named_modules()
        if name and not isinstance(part, PADDING)
    ]
    watch = _Maps(len(inputs))
    try:
        with torch.enable_grad(), watch:
            start = inputs * 1  # a node of its own, which is among the maps if these are images
            output = network(start)
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(output, Tensor):
        raise InputError(f"outputs a {type(output).__name__}, expected one tensor")
    if output.dtype != torch.float32:
        kind = str(output.dtype).removeprefix("torch.")
        raise InputError(
            f"outputs {kind}, expected float32 (torch.autocast or a cast in its forward? .float())"
        )
    end = output.grad_fn
    if start.grad_fn not in _reached(end, _into):
        raise InputError(
            "found an output to which no gradient leads from the input, expected one (no_grad or "
            "detach in its forward, inference_mode around it?)"
        )
    users: dict[Any, list[Any]] = {}
    for node in _reached(end, _into):
        for source in _into(node):
            users.setdefault(source, []).append(node)
    # Functions of their own kind, in C++ or with a backward of their own, are not seen by the mode.
    maps = watch.nodes | {node for _, shape, node, _ in seen if shape[2:].numel() > 1}
    depends = _reached(start.grad_fn, lambda each: users.get(each, ()))
    found = [each for each in seen if calls[each[0]] == 1 and each[2] in depends]
    # By the number of the convolution: later ones replace those before.
    last: dict[int, str] = {}
    for name, shape, _, done in found:
        if done and shape == watch.convolutions[done - 1]:
            last[done] = name
    layers = []
    for name, (_, filters, height, width), node, done in found:
        around = maps & _reached(end, _into, without={node, *watch.nothing})
        on = bool(around <= _reached(node, lambda each: users.get(each, ())))
        layers.append(Layer(name, filters, height, width, on, last.get(done) == name))
    return output.detach(), tuple(layers)


class _Maps(TorchFunctionMode):
    """Nodes of autograd's graph that stand for maps: N x C x h x w with more than one place.

    Functions see them, within and between the layers; modules would show their outputs only.
    nothing: those of products with the number 0, such as a branch that is faded out. convolutions:
    shapes of their outputs, in the order in which they are done.
    """

    def __init__(self, count: int):
        super().__init__()
        self.count = count
        self.nodes: set[Any] = set()
        self.nothing: set[Any] = set()
        self.convolutions: list[torch.Size] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") in CONVOLUTIONS and isinstance(output, Tensor):
            # A convolution whose weights every input rescales has all inputs in one, as groups.
            whole, *places = output.shape[0] * output.shape[1], *output.shape[2:]
            self.convolutions.append(torch.Size([self.count, whole // self.count, *places]))
        if _has_places(output, self.count) and output.grad_fn is not None:
            self.nodes.add(output.grad_fn)
            if getattr(func, "__name__", "") in PRODUCTS and any(
                a == 0 for a in args if isinstance(a, int | float)
            ):
                self.nothing.add(output.grad_fn)
        return output


def _has_places(output: Any, count: int) -> bool:
    """Whether an output is maps of `count` inputs, with more than one place."""
    return (
        isinstance(output, Tensor)
        and output.dim() == 4
        and len(output) == count
        and output.shape[2:].numel() > 1
    )


def _into(node: Any) -> list[Any]:
    """The nodes whose values a node uses."""
    return [source for source, _ in node.next_functions]


def _reached(
    start: Any, ways: Callable[[Any], Iterable[Any]], without: Container[Any] = ()
) -> set[Any]:
    """Nodes to which ways lead from one, with itself; not over those of `without`."""
    reached: set[Any] = set()
    nodes = [start]
    while nodes:
        node = nodes.pop()
        if node is not None and node not in without and node not in reached:
            reached.add(node)
            nodes.extend(ways(node))
    return reached


def hidden(layers: tuple[Layer, ...], *ends: tuple[int, ...]) -> dict[str, tuple[int, int]]:
    """The last layer at each resolution that passes on all that is known there; see `Layer`.

        >>> images, layers = trace(Generator(PRESETS["torch"]).eval(), torch.zeros(2, 100))
        >>> hidden(layers, (3, 64, 64))
        {'4x4': (4, 4), '8x8': (8, 8), '16x16': (16, 16), '32x32': (32, 32)}

    ends: shapes of inputs and outputs, C x H x W or flattened (such as scores of patches),
    which are not hidden layers; nor are outputs without locations. Where an image is added up from
    resolution to resolution (StyleGAN2) no layer passes on all: with less than two such
    resolutions, the last layer at each is meant, except those that have as many filters as an end.
    Returns height and width by name, in the order of the data.
    """
    maps = _within(layers, ends)
    last = _last([layer for layer in maps if layer.passes_on])
    if len(last) > 1:
        return last
    channels = {shape[0] for shape in ends if len(shape) == 3}
    return _last([layer for layer in maps if layer.filters not in channels]) or last


def convolutions(layers: tuple[Layer, ...], *ends: tuple[int, ...]) -> dict[str, tuple[int, int]]:
    """Every convolution as it is passed on; see `Layer`, and `hidden` for ends and what comes back.

    >>> _, layers = trace(Discriminator(PRESETS["cifar10"]).eval(), torch.zeros(2, 3, 32, 32))
    >>> list(convolutions(layers, (3, 32, 32)))
    ['32x32', '16x16a', '16x16', '8x8a', '8x8', '4x4']
    """
    found = (layer for layer in _within(layers, ends) if layer.convolution)
    return {layer.name: (layer.height, layer.width) for layer in found}


def _within(layers: tuple[Layer, ...], ends: tuple[tuple[int, ...], ...]) -> list[Layer]:
    """Layers with several locations, without inputs and outputs."""
    maps = [layer for layer in layers if layer.height * layer.width > 1]
    maps = [layer for layer in maps if (layer.filters, layer.height, layer.width) not in ends]
    return [
        layer for layer in maps if layer.filters > 1 or (layer.height * layer.width,) not in ends
    ]


def _last(layers: list[Layer]) -> dict[str, tuple[int, int]]:
    last: dict[tuple[int, int], str] = {}
    for layer in layers:
        grid = (layer.height, layer.width)
        last.pop(grid, None)  # so that the order is that of the layers that stay
        last[grid] = layer.name
    return {name: grid for grid, name in last.items()}
