"""Find a layer of a module by its name."""

from __future__ import annotations

from torch import Tensor, nn

from dcgan_probe.errors import InputError, unknown


def layer(module: nn.Module, name: str) -> nn.Module:
    """Find a submodule by name; raises InputError that lists the names if it is unknown.

    >>> layer(Generator(PRESETS["paper"]), "8x8.conv").stride
    (2, 2)
    """
    parts = dict(module.named_modules())
    if not name or name not in parts:
        raise unknown("layer", name, _top(module), where=type(module).__name__)
    return parts[name]


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
