"""Find ReLUs and LeakyReLUs as they are computed, whatever they are written as, and guide them.

`Guiding` sees every function of torch that a forward calls, in modules or out of them. What is
max(x, s x) with 0 <= s < 1 by its values (``F.leaky_relu``, ``torch.where(x > 0, x, .2 * x)``,
``x.clamp(min=0)``, ``x * (x > 0)``) is computed by a function whose gradient has the rule of guided
backpropagation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from dcgan_probe.errors import InputError

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

# In autograd's graph: activations that guided backpropagation says nothing about, and ReLUs that no
# function of torch showed, such as those of compiled code.
_OTHERS = (
    "Abs", "Celu", "Clamp", "Elu", "Gelu", "Glu", "Hardshrink", "Hardsigmoid", "Hardswish",
    "Hardtanh", "LeakyRelu", "LogSigmoid", "Maximum", "Minimum", "Mish", "Prelu", "Relu", "Rrelu",
    "Sgn", "Sign", "Silu", "Softplus", "Softshrink", "Threshold", "Where",
)  # fmt: skip
_SQUASHING = ("Sigmoid", "Tanh")  # the score's may end in them
_WEIGHTS = ("Addmm", "Bmm", "Convolution", "Mm", "Mv")


class _Guided(torch.autograd.Function):
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

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        activation = _activation(func, args, kwargs)
        if activation is None:
            output = func(*args, **kwargs)
            self._follow_masks(func, [*args, *kwargs.values()], output)
            return output
        x, slope = activation
        output = _Guided.apply(x, slope, 0.0 if self.strict else slope)
        # Who calls it in place may read what it was called on.
        return x.copy_(output) if _in_place(func, args, kwargs) else output

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


def check_path(
    output: Tensor, starts: Iterable[Any], masked: Mapping[Any, str], where: str
) -> None:
    """Make sure that what led to an output are guided activations, and at least one.

    starts: the nodes of the inputs in autograd's graph. What is computed beside does not count.
    masked: see `Guiding`. Raises InputError that names the others.
    """
    path, users = _path(output, list(starts))
    names = [node.name() for node in path]
    others = {each for each in _OTHERS for name in names if name.startswith(each)}
    own = f"{_Guided.__name__}Backward"
    others |= {
        name.removesuffix("Backward")
        for name in names
        if not name[-1].isdigit() and name.endswith("Backward") and name != own
    } - {"CopyBackwards"}
    others |= {f"{masked[node]} with a mask" for node in path if node in masked}
    hidden = [node for node in path if _leads_to_weights(node, users)]
    others |= {each for each in _SQUASHING for node in hidden if node.name().startswith(each)}
    if others:
        raise InputError(
            f"{where}: found {', '.join(sorted(others))}, expected ReLU and LeakyReLU as the only "
            "activations: guided backpropagation"
        )
    if own not in names:
        raise InputError(
            f"{where}: found no ReLU or LeakyReLU on the way, expected one: without it guided "
            "backpropagation is the plain gradient"
        )


Users = Mapping[Any, list[Any]]


def _leads_to_weights(node: Any, users: Users) -> bool:
    """Whether a squashing function is followed by a layer with weights."""
    if not node.name().startswith(_SQUASHING):
        return False
    seen: set[Any] = set()
    nodes = list(users.get(node, ()))
    while nodes:
        node = nodes.pop()
        if node.name().startswith(_WEIGHTS):
            return True
        if node not in seen:
            seen.add(node)
            nodes.extend(users.get(node, ()))
    return False


def _path(output: Tensor, starts: list[Any]) -> tuple[set[Any], Users]:
    """The operations through which any of the starts reaches an output, and who uses which."""
    users: dict[Any, list[Any]] = {}
    seen: set[Any] = set()
    nodes = [output.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        for source, _ in node.next_functions:
            users.setdefault(source, []).append(node)
            nodes.append(source)
    path: set[Any] = set()
    nodes = [start for start in starts if start in seen]
    while nodes:
        node = nodes.pop()
        if node not in path:
            path.add(node)
            nodes.extend(users.get(node, ()))
    return path, users
