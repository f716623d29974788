"""Edit a layer by what later layers would output without the edit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor, nn

from dcgan_probe.hooks.cutting import Uncut
from dcgan_probe.hooks.editing import counted_as_edit, only
from dcgan_probe.hooks.layers import layer, single_tensor
from dcgan_probe.hooks.recording import collect

# Functions of the outputs of layers, by layer, made of what the layers would output without them.
Plan = Callable[[dict[str, Tensor]], dict[str, Callable[[Tensor], Tensor]]]


def lookahead(module: nn.Module, names: Sequence[str], plan: Plan) -> Lookahead:
    """Edit layers by a plan that sees what these and later layers output without the edit.

        >>> def mirror(maps):     # at 8x8, where something is bright at 32x32
        ...     bright = maps["32x32"].amax((1, 2, 3)) > 1
        ...     return {"8x8": lambda h: torch.where(bright.view(-1, 1, 1, 1), h.flip(3), h)}
        >>> with lookahead(generator, ("8x8", "32x32"), mirror):
        ...     images = generator(z)

    At each forward, the module first runs up to the last of `names`, with only those hooks that are
    older than the ``with``. `plan` takes the outputs by name, and returns functions of maps for
    some layers. The forward then runs with these. Several nest: the inner one sees the edits of the
    outer one. Gradients flow through both runs. Raises InputError for an unknown name, and `Uncut`
    where a layer is called outside of a forward of the module, as in its `tail`.
    """
    return Lookahead(module, names, plan)


class Lookahead:
    """Hooks on a module and its layers, from entering to leaving."""

    def __init__(self, module: nn.Module, names: Sequence[str], plan: Plan):
        self.module, self.plan = module, plan
        self.parts = {name: layer(module, name) for name in dict.fromkeys(names)}
        # What is planned for the forwards that are under way, the innermost last.
        self.plans: list[_Planned] = []

    def __enter__(self) -> None:
        self.plans = []
        with ExitStack() as stack:
            first = self.module.register_forward_pre_hook(self._begin, with_kwargs=True)
            stack.enter_context(counted_as_edit(first))
            self.number = first.id  # of hooks, which are numbered in the order in which they come
            for name, part in self.parts.items():
                hook = part.register_forward_hook(partial(self._act, name))
                stack.enter_context(counted_as_edit(hook))
            # After an exception too, such as that of `collect` when it has seen enough.
            end = self.module.register_forward_hook(self._end, always_call=True)
            stack.enter_context(counted_as_edit(end))
            self.handles = stack.pop_all()

    def __exit__(self, *_: object) -> None:
        self.handles.close()

    def _begin(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        inputs = tuple((id(each), _version(each)) for each in (*args, *kwargs.values()))
        known = [planned for planned in self.plans if planned.inputs == inputs]
        planned = _Planned()
        self.plans.append(planned)  # at once: `_end` takes one away, after an exception too
        if known:  # a lookahead inside this one runs the module on the same inputs
            planned.functions = known[0].functions
            return
        with only(self.module, lambda number: number < self.number):
            seen = collect(self.module, tuple(self.parts), *args, **kwargs)
            planned.functions = self.plan(seen)
        planned.inputs = inputs

    def _act(self, name: str, _module: nn.Module, _inputs: object, output: object) -> Any:
        if not self.plans:
            kind = type(self.module).__name__
            raise Uncut(f"{kind}: cannot edit layer {name!r} outside of a forward of the whole")
        function = self.plans[-1].functions.get(name)
        return None if function is None else function(single_tensor(name, output))

    def _end(self, *_: object) -> None:
        if self.plans:
            self.plans.pop()


@dataclass
class _Planned:
    inputs: tuple[Any, ...] | None = None
    functions: dict[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)


def _version(value: object) -> int:
    if isinstance(value, Tensor) and not value.is_inference():
        return value._version
    return 0
