"""Run many edits of one layer, computing only what each of them changes.

    base = Tail(generator, "16x16").start(z)
    for f in range(128):
        images = base.without([f])                 # equals generator(z) in ablate(..., [f])

Two savings. What comes before the layer runs once, in `Tail.start`. And where the layer's
maps enter a convolution or a linear layer, that is linear in the edit: its output is computed
once, and each edit adds what the changed maps contribute. In the 64-pixel `torch` network an image
costs 104 million multiply-adds from z; without one map of 8x8 it costs 37, of 16x16 it costs 3.

Where a network cannot be cut behind a layer, since values lead around it (inside a residual block,
or where z enters every block) or its forward cannot be traced, every edit runs the whole: the
same images, without the savings.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.utils import _pair
from torch.overrides import TorchFunctionMode

from dcgan_probe import hooks
from dcgan_probe.errors import InputError

# Functions that are linear in their first argument, and along which dimension of their weights
# the filters of that argument lie.
_LINEAR: dict[Callable[..., Any], int] = {F.conv2d: 1, F.conv_transpose2d: 0, F.linear: 1}


class Tail:
    """What comes after a layer of a module, ready for many edits of the layer's output.

        >>> base = Tail(generator, "8x8").start(z)
        >>> base.without([3, 17]).shape
        torch.Size([1, 3, 64, 64])

    It shares the module's layers and weights and leaves nothing on them; hooks on layers after the
    cut act in it, as in `hooks.tail`, and what that raises is raised here, except `hooks.Uncut`.
    Which convolutions and linear layers take the maps is seen while it runs, in any module. Where
    something comes between, such as the norm after a cut at "8x8.conv", or where their weights are
    recomputed in each forward (spectral norm), the whole tail is computed: the same images, without
    the second saving.
    """

    def __init__(self, generator: nn.Module, layer: str):
        self.layer = layer
        self._generator = generator
        self._rest: nn.Module | None
        try:
            self._rest = hooks.tail(generator, layer)
        except hooks.Uncut:
            self._rest = None

    @property
    def cut(self) -> bool:
        """Whether the module is cut behind the layer; if not, every edit runs all of it."""
        return self._rest is not None

    def run(self, maps: Tensor, z: Tensor) -> Tensor:
        """The images of z with maps in place of the layer's output; gradients flow.

            >>> maps = hooks.activations(generator, "8x8", z)
            >>> torch.allclose(Tail(generator, "8x8").run(maps, z), generator(z), atol=1e-5)
            True

        maps: as the layer puts them out; an activation in place may write to them.
        """
        if self._rest is not None:
            try:
                images: Tensor = self._rest(maps)
                return images
            except hooks.Uncut:  # an active edit by place looks ahead from the start
                pass
        with hooks.patch(self._generator, self.layer, maps):
            images = self._generator(z)
        return images

    def collect(self, maps: Tensor, z: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """The outputs of layers after the cut for maps of the cut's layer; as `hooks.collect`.

        >>> Tail(generator, "8x8").collect(maps, z, ("16x16",))["16x16"].shape
        torch.Size([1, 256, 16, 16])
        """
        if self._rest is not None:
            try:
                return hooks.collect(self._rest, names, maps)
            except hooks.Uncut:
                pass
        with hooks.patch(self._generator, self.layer, maps):
            return hooks.collect(self._generator, names, z)

    def edit(self, name: str, function: Callable[[Tensor], Tensor]) -> AbstractContextManager[None]:
        """`hooks.edit` of a layer after the cut."""
        return hooks.edit(self._generator, name, function)

    def start(
        self, z: Tensor, maps: Tensor | None = None, seen: Mapping[str, Tensor] | None = None
    ) -> Base:
        """Take latents whose maps are to be edited.

        maps: samples x filters x height x width, to edit in place of the layer's output.
        seen: the outputs of later layers for them, if it is known, for `Base.planned`.
        Gradients do not flow back into them. Memory is that of one forward of the tail. On a CPU
        8 to 32 samples at once are fastest: what passes between two layers stays in the cache.
        """
        if maps is None:
            with torch.no_grad():
                maps = hooks.activations(self._generator, self.layer, z)
        return Base(self, z, maps, seen or {})


class Base:
    """Feature maps of a layer, and images of them with some replaced; `Tail.start` makes it.

    Images are samples x channels x height x width, as the module puts them out. Every edit is of
    the maps that were taken, not of the edit before. Weights must not change while it is in
    use. Raises InputError for a filter that the layer does not have, or that is given twice.
    """

    def __init__(self, tail: Tail, z: Tensor, maps: Tensor, seen: Mapping[str, Tensor]):
        # oneDNN convolves few maps, or into few, up to twice as fast with the channels last.
        last = maps.dim() == 4 and maps.device.type == "cpu"
        self.order = torch.channels_last if last else torch.contiguous_format
        self.maps = maps.detach().contiguous(memory_format=self.order)
        self.outputs: dict[object, Tensor] = {}  # of linear functions of these maps
        self.seen = dict(seen)  # the outputs of later layers for these maps
        self._tail = tail
        self._z = z

    def images(self) -> Tensor:
        """The images without an edit.

        >>> torch.allclose(base.images(), generator(z), atol=1e-5)
        True
        """
        return self.without([])

    @torch.inference_mode(False)  # in which tensors do not know that they were written to
    @torch.no_grad()
    def without(self, filters: Sequence[int]) -> Tensor:
        """The images with the maps of some filters at zero. Source: section 6.3.1.

        >>> with hooks.ablate(generator, "8x8", [3, 17]):
        ...     torch.allclose(base.without([3, 17]), generator(z), atol=1e-5)
        True
        """
        dropped = self._checked(filters)
        kept = sorted(set(range(self.maps.shape[1])) - set(dropped))
        edited = self.maps.index_fill(1, self.index(dropped), 0)
        # Where few stay it is less to add those up than to take away all that go.
        if 0 < len(kept) < len(dropped):
            return self._run(_Edit(self, edited, kept, self.maps[:, kept], alone=True))
        return self._run(_Edit(self, edited, dropped, -self.maps[:, dropped]))

    def replaced(self, filters: Sequence[int], new: Tensor) -> Tensor:
        """The images with other values in place of the maps of some filters.

        >>> base.replaced([3, 17], base.maps[:, [3, 17]] * 0.5).shape     # at half their strength
        torch.Size([1, 3, 64, 64])
        >>> base.replaced([3, 17], torch.tensor([0.1, 0.7]).view(1, 2, 1, 1)).shape
        torch.Size([1, 3, 64, 64])

        new: samples x len(filters) x height x width, or what broadcasts to that, in the order of
        `filters`. Gradients flow from the images into it where it asks for them; else none are
        recorded. Raises InputError for values that do not fit.
        """
        filters = self._checked(filters)
        recording = torch.is_grad_enabled() and new.requires_grad
        with torch.inference_mode(False), torch.set_grad_enabled(recording):
            old = self.maps[:, filters]
            try:
                new = new.expand_as(old)
            except RuntimeError as error:
                shape, expected = (" x ".join(map(str, part.shape)) for part in (new, old))
                raise InputError(
                    f"layer {self._tail.layer!r}: found new maps {shape}, expected {expected}"
                ) from error
            edited = self.maps.index_copy(1, self.index(filters), new)
            return self._run(_Edit(self, edited, filters, new - old))

    def planned(self, names: Sequence[str], plan: hooks.Plan) -> Tensor:
        """The images with layers edited as `plan` says; see `hooks.lookahead`. Gradients flow.

            >>> plan = edit.planner(generator, config)
            >>> base = Tail(generator, edit.seen[0]).start(z)
            >>> base.planned(edit.seen, plan).shape
            torch.Size([1, 3, 64, 64])

        names: the layers that `plan` takes, this one or later ones. They run once, however many
        plans there are.
        """
        layer = self._tail.layer
        missing = [name for name in names if name != layer and name not in self.seen]
        if missing:
            self.seen |= self._tail.collect(self.maps, self._z, missing)
        seen = {layer: self.maps} | self.seen
        functions = plan({name: seen[name] for name in names})
        maps = functions.pop(layer, lambda maps: maps)(self.maps)
        with ExitStack() as stack:
            for name, function in functions.items():
                stack.enter_context(self._tail.edit(name, function))
            return self._tail.run(maps, self._z).contiguous()

    def index(self, filters: Sequence[int]) -> Tensor:
        return torch.as_tensor(filters, dtype=torch.long, device=self.maps.device)

    def _run(self, edit: _Edit) -> Tensor:
        with edit:
            images = self._tail.run(edit.edited, self._z)
        return images.contiguous()

    def _checked(self, filters: Sequence[int]) -> list[int]:
        filters = [int(f) for f in filters]
        hooks.check_filters(self._tail.layer, filters, self.maps.shape[1])
        return filters


class _Edit(TorchFunctionMode):
    """Inside the ``with``, linear functions of the edited maps go on from those of the base.

    It sees the functions that layers call and not the layers, so nothing is put on the module and
    hooks act on whole outputs. The edited maps are whole too: whatever else takes them, such as a
    skip connection, needs no care.

    change: what to put through the weights of `filters`; that is added to the output of the base,
    or, if it is `alone`, is the output.
    """

    def __init__(
        self, base: Base, edited: Tensor, filters: list[int], change: Tensor, alone: bool = False
    ):
        super().__init__()
        self.base = base
        self.edited = edited
        self.filters = base.index(filters)
        self.change = change.contiguous(memory_format=base.order)
        self.alone = alone
        self.version = edited._version  # another one after something has written to them

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if kwargs:
            return func(*args, **kwargs)
        if not self._can_shorten(func, args):
            return _call(func, *args)
        _, weight, bias, *options = args
        part = weight.index_select(_LINEAR[func], self.filters)
        part = part.contiguous(memory_format=self.base.order)
        if self.alone:
            return _call(func, self.change, part, bias, *options)
        # An output must never be passed on itself: an activation in place would write to it.
        whole = self._of_the_base(func, weight, bias, *options)
        if not len(self.filters):
            return whole.clone()
        return _call(func, self.change, part, None, *options).add_(whole)

    def _can_shorten(self, func: Any, args: tuple[Any, ...]) -> bool:
        if func not in _LINEAR or args[0] is not self.edited or self.version != args[0]._version:
            return False
        if func is F.linear and self.edited.dim() != 2:
            return False  # it acts along the width, not across filters
        if func is not F.linear and args[6:7] not in ((), (1,)):
            return False  # groups: a filter's weights are not a slice
        # What is not a parameter, such as a weight with a norm, may be another in the next forward.
        return all(each is None or isinstance(each, nn.Parameter) for each in args[1:3])

    def _of_the_base(self, func: Any, weight: Any, bias: Any, *options: Any) -> Tensor:
        key = (func, id(weight), id(bias), repr(options))
        if key not in self.base.outputs:
            with torch.no_grad():
                self.base.outputs[key] = _call(func, self.base.maps, weight, bias, *options)
        return self.base.outputs[key]


def _call(func: Any, *args: Any) -> Any:
    """func(*args), by a matrix product where that is what makes images: into a few channels.

    oneDNN's transposed convolution takes as long for 1 as for 8 channels.
    """
    if func is not F.conv_transpose2d or len(args) != 8:
        return func(*args)
    x, weight, bias, *pairs, groups, _ = args
    stride, padding, more, dilation = (_pair(each) for each in (*pairs, args[-1]))
    plain = groups == 1 and x.dim() == 4 and all(map(operator.lt, more, stride))
    if not plain or weight.shape[1] > 4 or x.device.type != "cpu":
        return func(*args)
    kernel = weight.shape[2:]
    sides = zip(x.shape[2:], stride, padding, more, dilation, kernel, strict=True)
    size = tuple((n - 1) * s - 2 * p + m + d * (k - 1) + 1 for n, s, p, m, d, k in sides)
    columns = weight.flatten(1).T @ x.flatten(2)
    images = F.fold(columns, size, kernel, dilation, padding, stride)
    return images if bias is None else images + bias.view(-1, 1, 1)
