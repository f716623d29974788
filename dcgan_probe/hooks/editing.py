"""Change what passes through a layer, by any function, and suspend such changes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from dcgan_probe.errors import InputError
from dcgan_probe.hooks.layers import hook_layer, single_tensor


@contextmanager
def edit(module: nn.Module, name: str, function: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Replace a layer's output by a function of it inside the ``with``.

        >>> with edit(generator, "8x8", lambda maps: maps.flip(3)):
        ...     mirrored = generator(z)

    function: takes the maps, must not modify them, and returns maps of the same shape and dtype.
    Gradients flow. Raises InputError for an unknown name and, in the forward, for anything else
    than such maps and for a layer that is never reached.
    """

    def replace(_module: nn.Module, _inputs: object, output: object) -> Tensor:
        maps = single_tensor(name, output)
        edited: object = function(maps)
        if not isinstance(edited, Tensor):
            kind = type(edited).__name__
            raise InputError(f"layer {name!r}: found a {kind} as edited maps, expected a tensor")
        if (edited.shape, edited.dtype) != (maps.shape, maps.dtype):
            found, expected = map(_described, (edited, maps))
            raise InputError(f"layer {name!r}: found edited maps of {found}, expected {expected}")
        return edited

    with ExitStack() as stack:
        for handle in hook_layer(module, name, replace):
            stack.enter_context(counted_as_edit(handle))
        yield


def _described(maps: Tensor) -> str:
    return " x ".join(map(str, maps.shape)) + f" {maps.dtype}".replace("torch.", "")


# Numbers of the hooks that edit: torch numbers hooks in the order in which they are registered.
_EDITS: set[int] = set()


@contextmanager
def counted_as_edit(handle: RemovableHandle) -> Iterator[None]:
    """Count a hook among those that edit; remove it at the end."""
    _EDITS.add(handle.id)
    try:
        yield
    finally:
        _EDITS.discard(handle.id)
        handle.remove()


@contextmanager
def unedited(module: nn.Module) -> Iterator[None]:
    """Suspend what `edit`, `edit_input`, `lookahead` and `ablate` do inside the ``with``.

        >>> with edit(generator, "8x8", lambda maps: maps.flip(3)), unedited(generator):
        ...     images = generator(z)                     # not mirrored

    Other hooks still act. It has no effect on a forward that is already running.
    """
    with only(module, lambda number: number not in _EDITS):
        yield


@contextmanager
def edit_input(module: nn.Module, function: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Replace the first input of a module by a function of it inside the ``with``.

        >>> with edit_input(generator, lambda z: z + axis):
        ...     turned = generator(z)

    Once for every forward: a `lookahead` that runs the module before does not move its input twice.
    The first input may be passed by the name that the forward gives it. Raises InputError in a
    forward without it.
    """
    first = next(iter(inspect.signature(module.forward).parameters), "")
    ours: list[Tensor] = []

    def replace(
        _module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if not inputs and first not in named:
            kind = type(module).__name__
            raise InputError(f"{kind}: found a forward without its first input, expected {first!r}")
        value = inputs[0] if inputs else named[first]
        if any(value is each for each in ours):
            return None
        ours[:] = [function(value)]
        if inputs:
            return (ours[0], *inputs[1:]), named
        return inputs, {**named, first: ours[0]}

    with counted_as_edit(module.register_forward_pre_hook(replace, with_kwargs=True)):
        yield


@contextmanager
def only(module: nn.Module, acts: Callable[[int], bool]) -> Iterator[None]:
    """Let only those hooks act whose number `acts` is true of."""
    whole = []
    for part in module.modules():
        for hooks in (part._forward_pre_hooks, part._forward_hooks):
            if not all(map(acts, hooks)):
                whole.append((hooks, list(hooks.items())))
    try:
        for hooks, items in whole:
            hooks.clear()
            hooks.update((each, hook) for each, hook in items if acts(each))
        yield
    finally:
        for hooks, items in whole:
            hooks.clear()
            hooks.update(items)


@contextmanager
def patch(module: nn.Module, name: str, maps: Tensor) -> Iterator[None]:
    """Replace a layer's output by given maps inside the ``with`` (activation patching).

        >>> maps = activations(generator, "8x8", z)
        >>> with patch(generator, "8x8", maps.flip(0)):       # each sample with another one's maps
        ...     swapped = generator(z)

    maps: of the shape of the layer's output; gradients flow into them. Later layers get a copy.
    Raises InputError for an unknown name and, in the forward, for maps of another shape and for a
    layer that one forward calls more than once, or never.
    """
    calls = 0

    def begin(_module: nn.Module, _inputs: object) -> None:
        nonlocal calls
        calls = 0

    def put(_module: nn.Module, _inputs: object, output: object) -> Tensor:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise InputError(f"layer {name!r}: the forward calls it again, expected once")
        own_shape = single_tensor(name, output).shape
        if own_shape != maps.shape:
            size, wanted = (" x ".join(map(str, shape)) for shape in (maps.shape, own_shape))
            raise InputError(f"layer {name!r}: found maps of {size}, expected {wanted}")
        return maps.clone()

    with ExitStack() as stack:
        for handle in hook_layer(module, name, put):
            stack.callback(handle.remove)
        stack.callback(module.register_forward_pre_hook(begin).remove)
        yield
