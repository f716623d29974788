"""Keep what layers output."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from dcgan_probe.hooks.layers import hook_layer, layer, not_reached, single_tensor


@contextmanager
def record(module: nn.Module, *names: str) -> Iterator[dict[str, Tensor]]:
    """Record the outputs of layers inside the ``with``, by name.

        >>> with record(generator, "8x8", "16x16") as seen:
        ...     images = generator(z)
        >>> seen["16x16"].shape
        torch.Size([1, 256, 16, 16])

    Yields a dict that every forward refills; gradients flow through it if they are on. The
    tensors are copies, made when the layer returns: an in-place activation that comes after
    changes the layer's own output, not what was recorded. Raises InputError for an unknown name
    and, in the forward, for a layer whose output is not one tensor, or that is never reached.
    """
    seen: dict[str, Tensor] = {}

    def keep(name: str, output: object) -> None:
        seen[name] = single_tensor(name, output).clone()

    with ExitStack() as stack:
        for name in dict.fromkeys(names):
            # `name` is bound now: a closure over the loop's variable would see its last value.
            hook = partial(lambda name, _m, _i, output: keep(name, output), name)
            for handle in hook_layer(module, name, hook):
                stack.callback(handle.remove)
        yield seen


class _Stop(Exception):
    pass


def activations(module: nn.Module, name: str, inputs: Tensor) -> Tensor:
    """Return the output of a layer; later layers are not computed.

        >>> activations(generator, "8x8", z).shape
        torch.Size([1, 512, 8, 8])

    Raises InputError for an unknown name, and for a layer that the forward never reaches.
    """
    return collect(module, (name,), inputs)[name]


def collect(
    module: nn.Module, names: Sequence[str], *args: Any, **kwargs: Any
) -> dict[str, Tensor]:
    """Return the outputs of several layers; layers after the last of them are not computed.

        >>> collect(generator, ("8x8", "16x16"), z)["16x16"].shape
        torch.Size([1, 256, 16, 16])

    args, kwargs: of the module's forward. Gradients flow. Raises InputError as `activations` does.
    """
    wanted = dict.fromkeys(names)
    seen: dict[str, Tensor] = {}

    def take(name: str, _module: nn.Module, _inputs: object, output: object) -> None:
        tensor = single_tensor(name, output)
        last = len(seen.keys() | {name}) == len(wanted)
        # A later layer may work in place. After the last one none runs.
        seen[name] = tensor if last else tensor.clone()
        if last:
            raise _Stop

    with ExitStack() as stack:
        for name in wanted:
            handle = layer(module, name).register_forward_hook(partial(take, name))
            stack.callback(handle.remove)
        try:
            module(*args, **kwargs)
        except _Stop:
            return seen
    raise not_reached(module, min(wanted.keys() - seen))


def run_with_cache(module: nn.Module, *args: Any, **kwargs: Any) -> tuple[Any, dict[str, Tensor]]:
    """Run a module once and keep the outputs of all its layers, in the order they return.

        >>> images, cache = run_with_cache(generator, z)
        >>> cache["8x8.conv"].shape
        torch.Size([1, 512, 8, 8])

    args, kwargs: of the module's forward. The cache holds copies of every output that is one
    tensor; of a layer that is called several times, the last. Gradients flow through them. For a
    few layers only, `record` takes less memory.
    """
    cache: dict[str, Tensor] = {}

    def keep(name: str, _module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            cache[name] = output.clone()

    with ExitStack() as stack:
        for name, part in module.named_modules():
            if name:
                stack.callback(part.register_forward_hook(partial(keep, name)).remove)
        return module(*args, **kwargs), cache
