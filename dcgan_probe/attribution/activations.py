"""Detect ReLU and LeakyReLU as they are computed, however they are written, and guide them.

`Guiding` sees every function of torch that a forward calls, in modules or out of them. What is
max(x, s x) with 0 <= s < 1 by its values (``F.leaky_relu``, ``torch.where(x > 0, x, .2 * x)``,
``x.clamp(min=0)``, ``x * (x > 0)``) is computed by a function whose gradient has the rule of guided
backpropagation. So is a sum of several functions of one tensor, by its slopes on both sides of 0:
``relu(x) - .2 * relu(-x)`` is one LeakyReLU, and not two ReLUs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_RELU = {F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_}
_LEAKY = {F.leaky_relu, torch._C._nn.leaky_relu, torch._C._nn.leaky_relu_}
_CLAMP = {torch.clamp, torch.clamp_, torch.clip, torch.clip_, Tensor.clamp, Tensor.clamp_}
_CLAMP |= {Tensor.clip, Tensor.clip_}
_CLAMP_MIN = {torch.clamp_min, torch.clamp_min_, Tensor.clamp_min, Tensor.clamp_min_}
_THRESHOLD = {F.threshold, torch.threshold, torch.threshold_}
_LARGER = {torch.max, torch.maximum, torch.fmax, Tensor.max, Tensor.maximum, Tensor.fmax}
_WHERE = {torch.where, Tensor.where}
_PRODUCT = {torch.mul, torch.multiply, Tensor.mul, Tensor.multiply, Tensor.__mul__, Tensor.__rmul__}
_PRODUCT |= {Tensor.mul_, Tensor.multiply_, Tensor.__imul__}
_MASKED = {torch.masked_fill, Tensor.masked_fill, Tensor.masked_fill_}

# By their names, functions of each number on its own: those that bend, that add, that scale.
_BENT = {
    "abs", "absolute", "__abs__", "clamp", "clamp_max", "clamp_min", "clip", "fmax", "fmin",
    "leaky_relu", "max", "maximum", "min", "minimum", "relu", "threshold",
}  # fmt: skip
_ADDING = {
    "add", "rsub", "sub", "subtract", "__add__", "__radd__", "__rsub__", "__sub__",
}  # fmt: skip
_SCALING = {
    "div", "divide", "mul", "multiply", "neg", "negative", "true_divide", "__mul__", "__neg__",
    "__rmul__", "__truediv__",
}  # fmt: skip


class Guided(torch.autograd.Function):
    """max(x, slope x), whose gradient is clamped before it passes."""

    @staticmethod
    def forward(context: Any, x: Tensor, slope: float, below: float) -> Tensor:
        context.save_for_backward(x > 0)
        context.below = below
        return torch.where(x > 0, x, slope * x) if slope else x.clamp_min(0)

    @staticmethod
    def backward(context: Any, *gradients: Any) -> Any:
        (on,) = context.saved_tensors
        gradient = gradients[0].clamp_min(0)
        return torch.where(on, gradient, context.below * gradient), None, None


class Guiding(TorchFunctionMode):
    """Let every ReLU and LeakyReLU that is computed inside the ``with`` pass guided gradients.

    strict: what a LeakyReLU gets below zero passes nothing, as if it were a ReLU. masked: functions
    that let a mask, computed from their input, decide what passes, by their node in autograd's
    graph; as an activation these are not known.
    """

    def __init__(self, strict: bool):
        super().__init__()
        self.strict = strict
        self.masked: dict[Any, str] = {}
        # Tensors without gradients that were computed from ones that have some, kept alive: then
        # no other tensor gets their id.
        self._masks: dict[int, Tensor] = {}
        self._functions: dict[int, _Function] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        activation = _activation(func, args, kwargs)
        if activation is None:
            output = func(*args, **kwargs)
            self._follow_masks(func, [*args, *kwargs.values()], output)
            return self._as_one(func, [*args, *kwargs.values()], output)
        x, slope = activation
        output = self._guided(x, slope)
        # Who calls it in place may read what it was called on.
        if _in_place(func, args, kwargs):
            return x.copy_(output)
        self._remember(output, self._root(x), bent=True)
        return output

    def _guided(self, x: Tensor, slope: float) -> Tensor:
        output: Tensor = Guided.apply(x, slope, 0.0 if self.strict else slope)
        return output

    def _as_one(self, func: Any, arguments: list[Any], output: Any) -> Any:
        """The output; guided, if it is a sum of functions of one tensor that is an activation."""
        name = getattr(func, "__name__", "")
        tensors = [each for each in arguments if isinstance(each, Tensor) and each.requires_grad]
        rest = [each for each in arguments if isinstance(each, Tensor) and not each.requires_grad]
        known = name in _BENT | _ADDING | _SCALING and all(
            each.numel() == 1 or _is_zero(each) for each in rest
        )
        if not known or not tensors or not isinstance(output, Tensor):
            return output
        roots = [self._root(each) for each in tensors]
        x = roots[0]
        if any(each is not x for each in roots) or output.shape != x.shape:
            return output
        bent = name in _BENT or any(self._is_bent(each) for each in tensors)
        if bent and name in _ADDING and len(tensors) > 1 and (sides := _slopes(x, output)):
            below, above = sides
            if below == above:
                output, bent = above * x, False
            elif 0 <= below < above:
                output = above * self._guided(x, below / above)
        self._remember(output, x, bent)
        return output

    def _remember(self, output: Tensor, root: Tensor, bent: bool) -> None:
        versions = output._version, root._version
        self._functions[id(output)] = _Function(output, root, bent, versions)

    def _root(self, x: Tensor) -> Tensor:
        """The tensor that another is a function of, number by number; itself if none is known."""
        found = self._functions.get(id(x))
        return found.root if found and found.is_current() else x

    def _is_bent(self, x: Tensor) -> bool:
        found = self._functions.get(id(x))
        return bool(found and found.is_current() and found.bent)

    def _follow_masks(self, func: Any, arguments: list[Any], output: Any) -> None:
        tensors = [each for each in _flat(arguments) if isinstance(each, Tensor)]
        differentiable = any(each.requires_grad for each in tensors)
        mask = any(id(each) in self._masks for each in tensors)
        if not (differentiable or mask):
            return
        # What writes into its first argument may return nothing.
        for each in _flat([tensors[0] if output is None else output]):
            if not isinstance(each, Tensor):
                continue
            if not each.requires_grad:
                self._masks[id(each)] = each
            elif mask and differentiable:
                self.masked[each.grad_fn] = getattr(func, "__name__", str(func)).strip("_")


@dataclass(frozen=True)
class _Function:
    """A tensor, kept alive, and the one that it is a function of, number by number."""

    output: Tensor
    root: Tensor
    bent: bool
    versions: tuple[int, int]

    def is_current(self) -> bool:
        """Whether neither was written to since."""
        return self.versions == (self.output._version, self.root._version)


def _slopes(x: Tensor, y: Tensor) -> tuple[float, float] | None:
    """The slopes of y as a function of x below and above zero; None if it is not straight there.

    Where x has one sign only, the slope of a LeakyReLU on the other side is put in.
    """
    x, y = x.detach(), y.detach()
    slopes: list[float | None] = []
    for side in (x < 0, x > 0):
        at, of = x[side], y[side]
        if not at.numel():
            slopes.append(None)
            continue
        most = at.abs().argmax()
        slope = float(of[most] / at[most])
        # What is near 1 in sum is rounded by the precision, also where it nearly cancels out.
        near = 8 * torch.finfo(x.dtype).eps * max(1.0, abs(slope))
        if not bool(((of - slope * at).abs() <= near * at.abs()).all()):
            return None
        slopes.append(slope if abs(slope) > near else 0.0)
    if bool(y[x == 0].any()):
        return None
    below, above = slopes
    if below is None:
        return None if above is None else (0.0, above)
    if above is None:
        return below, 1.0
    near = 8 * torch.finfo(x.dtype).eps * max(1.0, abs(above))
    return (above, above) if abs(above - below) <= near else (below, above)


def _flat(values: Any) -> list[Any]:
    """Values, those in lists and tuples one by one."""
    result: list[Any] = []
    for value in values:
        result += _flat(value) if isinstance(value, list | tuple) else [value]
    return result


def _in_place(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    name = getattr(func, "__name__", "")
    written = name.endswith("_") and not name.endswith("__")
    return (
        written
        or name == "__imul__"
        or bool(kwargs.get("inplace"))
        or (func in (F.relu, *_LEAKY, *_THRESHOLD) and _positional_inplace(func, args))
    )


def _positional_inplace(func: Any, args: tuple[Any, ...]) -> bool:
    place = {F.relu: 1, F.leaky_relu: 2, F.threshold: 3}.get(func)
    return place is not None and len(args) > place and bool(args[place])


def _activation(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Tensor, float] | None:
    """The x and s of a function that computes max(x, s x); None if it computes something else."""
    x = args[0] if args else kwargs.get("input")
    if func in _WHERE and isinstance(x, Tensor):
        return _of_where(func, args, kwargs)
    if not isinstance(x, Tensor) or not x.is_floating_point():
        if func in _PRODUCT and len(args) == 2 and isinstance(args[1], Tensor):
            return _of_product(args[1], x)
        return None
    if func in _RELU:
        return x, 0.0
    if func in _LEAKY:
        return x, float(args[1] if len(args) > 1 else kwargs.get("negative_slope", 0.01))
    if func in _CLAMP:
        low = args[1] if len(args) > 1 else kwargs.get("min")
        high = args[2] if len(args) > 2 else kwargs.get("max")
        return (x, 0.0) if high is None and _is_zero(low) else None
    if func in _CLAMP_MIN:
        return (x, 0.0) if _is_zero(args[1] if len(args) > 1 else kwargs.get("min")) else None
    if func in _THRESHOLD:
        rest = [*args[1:3], *(kwargs[k] for k in ("threshold", "value") if k in kwargs)]
        return (x, 0.0) if all(map(_is_zero, rest)) else None
    if func in _LARGER:
        other = args[1] if len(args) > 1 else kwargs.get("other")
        if isinstance(other, Tensor) and other.is_floating_point():
            return (x, 0.0) if _is_zero(other) else (other, 0.0) if _is_zero(x) else _pair(x, other)
    if func in _MASKED and len(args) == 3:
        below = isinstance(args[1], Tensor) and args[1].shape == x.shape
        known = below and any(torch.equal(args[1], each) for each in (x < 0, x <= 0))
        return (x, 0.0) if known and _is_zero(args[2]) else None
    if func in _PRODUCT and len(args) == 2:
        return _of_product(x, args[1]) or (
            _of_product(args[1], x) if isinstance(args[1], Tensor) else None
        )
    return None


def _is_zero(value: Any) -> bool:
    if isinstance(value, Tensor):
        return not value.requires_grad and bool((value == 0).all())
    return isinstance(value, int | float) and value == 0


def _pair(a: Tensor, b: Tensor) -> tuple[Tensor, float] | None:
    """The x and s of two tensors x and s x with 0 <= s < 1, in either order."""
    if a.shape != b.shape or a.numel() == 0:
        return None
    x, scaled = (a, b) if a.detach().abs().max() > b.detach().abs().max() else (b, a)
    at = x.detach().abs().flatten().argmax()
    whole = x.detach().flatten()[at]
    if whole == 0:
        return None
    slope = float(scaled.detach().flatten()[at] / whole)
    # By its own rounding: .2 * x in float32 is not x / 5 to the last digit.
    near = torch.allclose(scaled.detach(), slope * x.detach(), rtol=1e-5, atol=1e-12)
    return (x, slope) if near and 0 <= slope < 1 else None


def _of_where(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Tensor, float] | None:
    """``where(x > 0, x, s x)``, and the same the other way round."""
    if func is Tensor.where:
        a, condition, b = (
            (*args, *kwargs.values())[:3] if len(args) + len(kwargs) > 2 else (0, 0, 0)
        )
    elif len(args) + len(kwargs) > 2:
        condition, a, b = (*args, *kwargs.values())[:3]
    else:
        return None
    if not isinstance(condition, Tensor):
        return None
    if isinstance(a, Tensor) and _is_zero(b):
        activation: tuple[Tensor, float] | None = (a, 0.0)
    elif isinstance(b, Tensor) and _is_zero(a):
        activation, condition = (b, 0.0), ~condition
    elif isinstance(a, Tensor) and isinstance(b, Tensor):
        activation = _pair(a, b)
        if activation is not None and activation[0] is b:
            condition = ~condition
    else:
        return None
    if activation is None:
        return None
    x = activation[0].detach()
    above, not_below = torch.equal(condition, x > 0), torch.equal(condition, x >= 0)
    return activation if condition.shape == x.shape and (above or not_below) else None


def _of_product(x: Tensor, mask: Any) -> tuple[Tensor, float] | None:
    """``x * (x > 0)``, the mask as truth values, or as numbers: 1 above zero, s below."""
    if not isinstance(mask, Tensor) or mask.requires_grad or not x.requires_grad:
        return None
    if mask.shape != x.shape or x.numel() < 2:
        return None
    on, mask = x.detach() > 0, mask.to(x.dtype)
    if bool(on.all()) or not bool((mask[on] == 1).all()):
        return None  # above zero alone it is as likely a product with ones
    below = mask[x.detach() < 0]
    slope = float(below[0]) if len(below) else 0.0
    return (x, slope) if 0 <= slope < 1 and bool((below == slope).all()) else None
