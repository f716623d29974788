"""Record and change the outputs of layers in any ``nn.Module``, by layer name.

    with record(network, "8x8") as seen:           # the output of 8x8, at each forward
        network(x)
    with ablate(network, "8x8", [3, 17]):          # filters 3 and 17 output zero
        network(x)
    with patch(network, "8x8", maps):              # these maps in place of its own
        network(x)
    with edit(network, "8x8", torch.relu):         # a function of its maps in their place
        network(x)
    maps = activations(network, "8x8", x)          # and nothing after 8x8 is computed
    images, maps = run_with_cache(network, x)      # the output, and every layer's output
    images = tail(network, "8x8")(maps)            # nothing before 8x8 is

A layer is named as ``named_modules`` names it. Nothing stays on the module when the ``with`` ends,
by an exception either.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils.hooks import RemovableHandle

from dcgan_probe.errors import InputError, unknown


def layer(module: nn.Module, name: str) -> nn.Module:
    """The part of a module that has a name; InputError lists the names if it has none such.

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


@contextmanager
def record(module: nn.Module, *names: str) -> Iterator[dict[str, Tensor]]:
    """Keep the outputs of layers during the forwards inside the ``with``, by name.

        >>> with record(generator, "8x8", "16x16") as seen:
        ...     images = generator(z)
        >>> seen["16x16"].shape
        torch.Size([1, 256, 16, 16])

    Yields a dict that every forward fills anew; gradients flow through it if they are on. The
    tensors are copies, made when the layer returns: an in-place activation that comes after
    changes the layer's own output, not what was recorded. Raises InputError for an unknown name
    and, in the forward, for a layer that outputs something else than one tensor.
    """
    seen: dict[str, Tensor] = {}

    def keep(name: str, output: object) -> None:
        seen[name] = _tensor(name, output).clone()

    with ExitStack() as stack:
        for name, part in [(name, layer(module, name)) for name in dict.fromkeys(names)]:
            # `name` is bound now: a closure over the loop's variable would see its last value.
            handle = part.register_forward_hook(lambda _m, _i, out, name=name: keep(name, out))
            stack.callback(handle.remove)
        yield seen


class _Stop(Exception):
    pass


def activations(module: nn.Module, name: str, inputs: Tensor) -> Tensor:
    """The output of a layer for inputs; what comes after the layer is not computed.

        >>> activations(generator, "8x8", z).shape
        torch.Size([1, 512, 8, 8])

    Raises InputError for an unknown name, and for a layer that the forward never reaches.
    """
    return collect(module, (name,), inputs)[name]


def collect(
    module: nn.Module, names: Sequence[str], *args: Any, **kwargs: Any
) -> dict[str, Tensor]:
    """The outputs of several layers for inputs; what comes after the last of them is not computed.

        >>> collect(generator, ("8x8", "16x16"), z)["16x16"].shape
        torch.Size([1, 256, 16, 16])

    args, kwargs: of the module's forward. Gradients flow. Raises InputError as `activations` does.
    """
    wanted = dict.fromkeys(names)
    seen: dict[str, Tensor] = {}

    def take(name: str, _module: nn.Module, _inputs: object, output: object) -> None:
        seen[name] = _tensor(name, output)
        if len(seen) == len(wanted):
            raise _Stop

    with ExitStack() as stack:
        for name in wanted:
            handle = layer(module, name).register_forward_hook(partial(take, name))
            stack.callback(handle.remove)
        try:
            module(*args, **kwargs)
        except _Stop:
            return seen
    kind = type(module).__name__
    raise InputError(f"{kind}: layer {min(wanted.keys() - seen)!r} is not reached by the forward")


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


@contextmanager
def edit(module: nn.Module, name: str, function: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Put a function of a layer's output in its place inside the ``with``.

        >>> with edit(generator, "8x8", lambda maps: maps.flip(3)):
        ...     mirrored = generator(z)

    function: takes the maps and must not write to them; what it returns has their shape and dtype.
    Gradients flow. Raises InputError for an unknown name and, in the forward, for another shape.
    """

    def replace(_module: nn.Module, _inputs: object, output: object) -> Tensor:
        maps = _tensor(name, output)
        edited = function(maps)
        if edited.shape != maps.shape:
            shape, expected = (" x ".join(map(str, each.shape)) for each in (edited, maps))
            raise InputError(f"layer {name!r}: found edited maps of {shape}, expected {expected}")
        return edited

    with _editing(layer(module, name).register_forward_hook(replace)):
        yield


# Numbers of the hooks that edit: torch numbers hooks in the order in which they are registered.
_EDITING: set[int] = set()


@contextmanager
def _editing(handle: RemovableHandle) -> Iterator[None]:
    """Count a hook among those that edit; remove it at the end."""
    _EDITING.add(handle.id)
    try:
        yield
    finally:
        _EDITING.discard(handle.id)
        handle.remove()


@contextmanager
def unedited(module: nn.Module) -> Iterator[None]:
    """Suspend what `edit`, `edit_input`, `lookahead` and `ablate` do inside the ``with``.

        >>> with edit(generator, "8x8", lambda maps: maps.flip(3)), unedited(generator):
        ...     images = generator(z)                     # not mirrored

    Hooks that somebody else registered act. Not for a forward that is under way.
    """
    with _only(module, lambda number: number not in _EDITING):
        yield


@contextmanager
def edit_input(module: nn.Module, function: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Put a function of what a module takes first in its place inside the ``with``.

        >>> with edit_input(generator, lambda z: z + axis):
        ...     turned = generator(z)

    Once for every forward: a `lookahead` that runs the module before does not move its input twice.
    """
    ours: list[Tensor] = []

    def replace(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not inputs or any(inputs[0] is each for each in ours):
            return None
        ours[:] = [function(inputs[0])]
        return (ours[0], *inputs[1:])

    with _editing(module.register_forward_pre_hook(replace)):
        yield


# Functions of the outputs of layers, by layer, made of what the layers would output without them.
Plan = Callable[[dict[str, Tensor]], dict[str, Callable[[Tensor], Tensor]]]


def lookahead(module: nn.Module, names: Sequence[str], plan: Plan) -> _Lookahead:
    """Edit layers by what they, and layers after them, output without the edit.

        >>> def mirror(maps):     # at 8x8, where something is bright at 32x32
        ...     bright = maps["32x32"].amax((1, 2, 3)) > 1
        ...     return {"8x8": lambda h: torch.where(bright.view(-1, 1, 1, 1), h.flip(3), h)}
        >>> with lookahead(generator, ("8x8", "32x32"), mirror):
        ...     images = generator(z)

    At each forward the module first runs as far as the last of `names`, as it was when the
    ``with`` was entered: hooks that are older act, those that are newer do not. `plan` takes what
    the layers output, by name, and returns functions of maps for some of them. With those the
    forward then runs. Several nest: the inner one sees what the outer one edits. Gradients flow
    through both runs. Raises InputError for an unknown name, and `Uncut` where a layer is called
    outside of a forward of the module, as in its `tail`.
    """
    return _Lookahead(module, names, plan)


class _Lookahead:
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
            stack.enter_context(_editing(first))
            self.number = first.id  # of hooks, which are numbered in the order in which they come
            for name, part in self.parts.items():
                hook = part.register_forward_hook(partial(self._act, name))
                stack.enter_context(_editing(hook))
            # After an exception too, such as that of `collect` when it has seen enough.
            end = self.module.register_forward_hook(self._end, always_call=True)
            stack.enter_context(_editing(end))
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
        with _only(self.module, lambda number: number < self.number):
            seen = collect(self.module, tuple(self.parts), *args, **kwargs)
            planned.functions = self.plan(seen)
        planned.inputs = inputs

    def _act(self, name: str, _module: nn.Module, _inputs: object, output: object) -> Any:
        if not self.plans:
            kind = type(self.module).__name__
            raise Uncut(f"{kind}: cannot edit layer {name!r} outside of a forward of the whole")
        function = self.plans[-1].functions.get(name)
        return None if function is None else function(_tensor(name, output))

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


@contextmanager
def _only(module: nn.Module, acts: Callable[[int], bool]) -> Iterator[None]:
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


def ablate(
    module: nn.Module,
    name: str,
    filters: Sequence[int],
    gain: float | Sequence[float] | Tensor = 0.0,
    value: float | Sequence[float] | Tensor = 0.0,
    where: Tensor | None = None,
) -> Ablation:
    """Replace feature maps of a layer by gain * map + (1 - gain) * value inside the ``with``.

        >>> with ablate(generator, "8x8", filters=[3, 17]):                     # dropped
        ...     without = generator(z)
        >>> with ablate(generator, "8x8", [3, 17], gain=2.0):                   # amplified
        ...     stronger = generator(z)
        >>> with ablate(generator, "8x8", [3, 17], value=[0.4, 1.1], where=mask):  # put in
        ...     inserted = generator(z)

    filters: indices along dimension 1 of the layer's output. gain, value: one for all, or a
    sequence or 1-d tensor with one for each filter; gradients flow to tensors. where: the places
    to change, bool, h x w or N x h x w as the layer's maps are; None is all places. The layer's
    own output is not written to.
    Raises InputError at once for an unknown layer, for gains or values that are not finite or not
    one a filter, and for a filter that the layer does not have, where its last convolution, linear
    layer or norm says how many there are; else in the forward, as for a shape.
    Source: section 6.3.1.
    """
    return Ablation(module, name, filters, gain, value, where)


def check_filters(name: str, filters: Sequence[int], count: int | None = None) -> None:
    """Make sure that filters are each named once and, if `count` is known, are in the layer.

    >>> check_filters("8x8", [3, 17], count=512)
    """
    if len(set(filters)) < len(filters):
        raise InputError(f"layer {name!r}: found a filter twice, expected each once")
    wrong = [f for f in filters if count is not None and not 0 <= f < count]
    if wrong:
        assert count is not None
        raise InputError(f"layer {name!r}: found filter {wrong[0]}, expected 0 to {count - 1}")


# Layers that output as many filters as they take, one by one.
_ELEMENTWISE = (nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.Identity, nn.Dropout, nn.Dropout2d)
_COUNTS = {
    nn.Conv2d: "out_channels",
    nn.ConvTranspose2d: "out_channels",
    nn.Linear: "out_features",
    nn.BatchNorm1d: "num_features",
    nn.BatchNorm2d: "num_features",
}


def _count_filters(part: nn.Module) -> int | None:
    """How many filters a layer outputs, or None where only a forward can tell."""
    while type(part) is nn.Sequential:
        following = [each for each in part if type(each) not in _ELEMENTWISE]
        if not following:
            return None
        part = following[-1]
    name = _COUNTS.get(type(part))
    if name is None or part._forward_hooks:  # a hook may output anything
        return None
    return int(getattr(part, name))


class Ablation:
    """A hook that is on the module from entering to leaving; can be entered again after."""

    def __init__(
        self,
        module: nn.Module,
        name: str,
        filters: Sequence[int],
        gain: float | Sequence[float] | Tensor,
        value: float | Sequence[float] | Tensor,
        where: Tensor | None,
    ):
        self.part = layer(module, name)
        self.name = name
        self.filters = torch.as_tensor(list(filters), dtype=torch.long)
        check_filters(name, self.filters.tolist(), _count_filters(self.part))
        self.gain = self._for_each("gain", gain)
        self.shift = (1 - self.gain) * self._for_each("value", value)
        if where is not None and where.dtype != torch.bool:
            raise InputError(f"layer {name!r}: found where of {where.dtype}, expected bool")
        self.where = where

    def __enter__(self) -> None:
        hook = self.part.register_forward_hook(
            lambda _module, _inputs, output: self.edit(_tensor(self.name, output))
        )
        with ExitStack() as stack:
            stack.enter_context(_editing(hook))
            self.handle = stack.pop_all()

    def __exit__(self, *_: object) -> None:
        self.handle.close()

    def _for_each(self, noun: str, values: float | Sequence[float] | Tensor) -> Tensor:
        numbers = torch.as_tensor(values, dtype=torch.float32)
        count = len(self.filters)
        if numbers.dim() and numbers.shape != (count,):
            shape = "x".join(map(str, numbers.shape))
            raise InputError(f"layer {self.name!r}: found {shape} {noun}s, expected 1 or {count}")
        if not numbers.isfinite().all():
            raise InputError(f"layer {self.name!r}: found a {noun} that is not a finite number")
        return numbers

    def edit(self, maps: Tensor) -> Tensor:
        """What takes the place of maps that the layer outputs."""
        count = maps.shape[1]
        check_filters(self.name, self.filters.tolist(), count)
        gains, shifts = maps.new_ones(count), maps.new_zeros(count)
        at = self.filters.to(maps.device)
        gains[at], shifts[at] = self.gain.to(maps), self.shift.to(maps)
        each = (1, count, *[1] * (maps.dim() - 2))
        edited = torch.addcmul(shifts.view(each), maps, gains.view(each))
        return edited if self.where is None else torch.where(self._places(maps), edited, maps)

    def _places(self, maps: Tensor) -> Tensor:
        assert self.where is not None
        grid, shape = tuple(maps.shape[2:]), tuple(self.where.shape)
        if not grid:
            raise InputError(f"layer {self.name!r}: found values without places, expected maps")
        if shape not in (grid, (len(maps), *grid)):
            raise InputError(
                f"layer {self.name!r}: found where of shape {shape}, expected {grid} "
                f"or {(len(maps), *grid)}"
            )
        return self.where.to(maps.device).unsqueeze(-len(grid) - 1)


@contextmanager
def patch(module: nn.Module, name: str, maps: Tensor) -> Iterator[None]:
    """Let a layer output given maps, whatever goes in, inside the ``with``.

        >>> maps = activations(generator, "8x8", z)
        >>> with patch(generator, "8x8", maps.flip(0)):       # each sample with another one's maps
        ...     swapped = generator(z)

    maps: in the shape of the layer's output; gradients flow into them. A copy is handed on.
    Raises InputError for an unknown name and, in the forward, for maps of another shape and for a
    layer that one forward calls more than once. Known as activation patching.
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
        own_shape = _tensor(name, output).shape
        if own_shape != maps.shape:
            size, wanted = (" x ".join(map(str, shape)) for shape in (maps.shape, own_shape))
            raise InputError(f"layer {name!r}: found maps of {size}, expected {wanted}")
        return maps.clone()

    part = layer(module, name)
    with ExitStack() as stack:
        stack.callback(module.register_forward_pre_hook(begin).remove)
        stack.callback(part.register_forward_hook(put).remove)
        yield


class Uncut(InputError):
    """A module that cannot be run on from one of its layers alone; see `tail`."""


def tail(module: nn.Module, name: str) -> nn.Module:
    """The part of a module after a layer: takes the layer's output, returns the output.

        >>> rest = tail(generator, "8x8")
        >>> images = rest(activations(generator, "8x8", z))      # equals generator(z)

    It shares the module's layers and weights, so hooks on layers after the cut act in it too. What
    holds the layer is traced with torch.fx: its forward must not branch on values.
    Raises InputError for an unknown name or one that is called several times, and its subclass
    `Uncut` for a module that cannot be traced and a cut that a value bypasses, such as a skip
    connection over it. The number of inputs may: maps have as many. `tails.Tail` takes any module.
    """
    layer(module, name)
    where = f"{type(module).__name__}: cannot run on from layer {name!r}"

    class Tracer(fx.Tracer):
        def is_leaf_module(self, part: nn.Module, path: str) -> bool:
            # Only what holds the layer is looked into. The rest is called whole, with its hooks.
            return not name.startswith(f"{path}.")

    try:
        rest = fx.GraphModule(module, Tracer().trace(module))
    except Exception as error:  # fx raises whatever the traced forward ran into
        raise Uncut(f"{where}: its forward cannot be traced: {error}") from error
    graph = rest.graph
    calls = [node for node in graph.nodes if node.op == "call_module" and node.target == name]
    if len(calls) != 1:
        raise InputError(f"{where}: the forward calls it {len(calls)} times, expected once")
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    with graph.inserting_before(inputs[0]):
        activation = graph.placeholder("activation")
    calls[0].replace_all_uses_with(activation)
    graph.eliminate_dead_code()
    for node in inputs:
        for user in [user for user in node.users if _is_of_any_batch(user)]:
            user.replace_input_with(node, activation)
    for node in inputs:
        if node.users:
            user = next(iter(node.users))
            raise Uncut(f"{where}: the input also reaches {user.target!r} around it")
        graph.erase_node(node)
    rest.recompile()
    return rest


def _is_of_any_batch(node: fx.Node) -> bool:
    """Whether what is asked of a tensor is its length or where it is: the maps answer the same."""
    if node.op == "call_method" and node.target == "size" and node.args[1:]:
        return bool(node.args[1] == 0)
    sized = node.op == "call_method" and node.target == "size" and not node.kwargs
    if node.op == "call_function" and node.target is getattr:
        if node.args[1] in ("device", "dtype"):
            return True
        sized = node.args[1] == "shape"
    first = [use.target is operator.getitem and use.args[1] == 0 for use in node.users]
    return sized and all(first)


def _tensor(name: str, output: object) -> Tensor:
    if not isinstance(output, Tensor):
        kind = type(output).__name__
        raise InputError(f"layer {name!r}: outputs a {kind}, expected one tensor")
    return output
