"""Find a layer of a module by its name, and hook it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from dcgan_probe.errors import InputError, unknown


def layer(module: nn.Module, name: str) -> nn.Module:
    """Find a submodule by name; raises InputError that lists the names if it is unknown.

        >>> layer(Generator(PRESETS["paper"]), "8x8.conv").stride
        (2, 2)

    Also for a layer inside TorchScript, which ignores hooks.
    """
    parts = dict(module.named_modules())
    if not name or name not in parts:
        raise unknown("layer", name, _top(module), where=type(module).__name__)
    steps = name.split(".")
    for around in (".".join(steps[:count]) for count in range(len(steps))):
        if isinstance(parts[around], torch.jit.ScriptModule):
            raise InputError(
                f"{type(module).__name__}: layer {name!r} is inside TorchScript, which ignores "
                "hooks, expected Python code"
            )
    return parts[name]


def hook_layer(
    module: nn.Module, name: str, hook: Callable[[nn.Module, Any, Any], Any]
) -> tuple[RemovableHandle, RemovableHandle]:
    """Register a forward hook on a layer, and one on the module that tells if it never acts.

    The second raises InputError at the end of a forward if none has called the layer so far: a
    ModuleList, a part that the forward does not use, or uses the weights of only.
    """
    reached = False

    def act(part: nn.Module, inputs: object, output: object) -> Any:
        nonlocal reached
        reached = True
        return hook(part, inputs, output)

    def check(*_: object) -> None:
        if not reached:
            raise not_reached(module, name)

    return layer(module, name).register_forward_hook(act), module.register_forward_hook(check)


def not_reached(module: nn.Module, name: str) -> InputError:
    """The error of a layer that a forward does not call."""
    return InputError(f"{type(module).__name__}: layer {name!r} is not reached by the forward")


def _top(module: nn.Module, prefix: str = "") -> list[str]:
    """Names of the first parts of which there are several, none of them a mere list."""
    children = dict(module.named_children())
    names = []
    for name, part in children.items():
        through = len(children) == 1 or isinstance(part, nn.ModuleList | nn.ModuleDict)
        names += (_top(part, f"{prefix}{name}.") if through else []) or [prefix + name]
    return names


def single_tensor(name: str, output: object) -> Tensor:
    """Return a layer's output if it is one tensor; otherwise raise InputError naming the layer."""
    if not isinstance(output, Tensor):
        kind = type(output).__name__
        raise InputError(f"layer {name!r}: outputs a {kind}, expected one tensor")
    return output
