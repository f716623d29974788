"""Follow autograd's graph from an input to a neuron; refuse operations that cannot be guided.

A node is a function of torch that a forward called; the edges are the tensors between. Here ReLUs
and LeakyReLUs that `activations` knew are nodes of `activations.Guided`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from dcgan_probe.attribution.activations import Guided
from dcgan_probe.attribution.maxout import mixes_feature_maps
from dcgan_probe.errors import InputError

# Nodes that pass a gradient as the weights, the places or the statistics of their input say, by how
# their names begin. Whatever is not known is refused by its name: most functions of torch that bend
# a number, such as ELU, and what sorts, such as maxout.
_KNOWN = (
    "Adaptive", "AffineGrid", "AsStrided", "AvgPool", "Baddbmm", "Addbmm", "Cat", "Chunk", "Col2Im",
    "Conj", "ConstantPad", "Contiguous", "Convolution", "Cudnn", "Cumsum", "Diag", "Dot", "Fft",
    "Flip", "FusedRms", "Gather", "GridSampler", "Guided", "Im2Col", "Imag", "Index", "MaskedFill",
    "MaskedScatter", "MaskedSelect", "MaxPool1D", "MaxPool2D", "MaxUnpool2D", "Miopen", "Mkldnn",
    "Nan", "Narrow", "Native", "PixelShuffle", "PixelUnshuffle", "Put", "Real", "ReflectionPad",
    "Repeat", "ReplicationPad", "Roll", "Rot90", "ScaledDotProduct", "Scatter", "Select", "Slice",
    "SlowConv", "Split", "Take", "Thnn", "Trace", "Tril", "Triu", "Unbind", "Unfold", "UnsafeSplit",
    "Upsample", "Values", "ViewAs", "WeightNorm",
)  # fmt: skip
# A score may end in them.
_SQUASHING = ("LogSigmoid", "LogSoftmax", "Logsumexp", "Sigmoid", "Softmax", "Tanh")
_LARGEST = (
    "AdaptiveMaxPool",
    "Amax",
    "Amin",
    "MaxBackward",
    "MaxPool",
    "MinBackward",
    "MkldnnMaxPool",
)
_WEIGHTS = ("Addmm", "Addmv", "Bmm", "Convolution", "Linear", "Mm", "Mv")
# Nodes of functions of each number on its own, or that only arrange numbers.
_CURVED = {
    "Acosh", "Asinh", "Atan", "Cos", "Erf", "Exp", "Expm1", "Log", "Log1P", "Pow", "Reciprocal",
    "Rsqrt", "Sin", "Sinh", "Sqrt",
}  # fmt: skip
_SUMS = {"Add", "Addcdiv", "Addcmul", "Lerp", "Rsub", "Stack", "Sub"}
_PRODUCTS = {"Div", "Mul"}
_ARRANGING = {
    "Abs", "Alias", "Clone", "Copy", "Expand", "Neg", "Permute", "ReshapeAlias", "Squeeze",
    "ToCopy", "Transpose", "UnsafeView", "Unsqueeze", "View", "Guided",
}  # fmt: skip
_REDUCING = {
    "AdaptiveAvgPool2D", "Amax", "Amin", "AvgPool2D", "LinalgVectorNorm", "Logsumexp", "Max",
    "Mean", "Min", "Norm", "Std", "StdMean", "Sum", "Var", "VarMean",
}  # fmt: skip
_EACH = _CURVED | _SUMS | _PRODUCTS | _ARRANGING | {"Softmax"}
_PASSED = {*_EACH, *_REDUCING, *_SQUASHING, *_WEIGHTS, "CopySlice", "T"} - {"Abs"}


def check_path(
    output: Tensor, starts: Iterable[Any], masked: Mapping[Any, str], where: str
) -> None:
    """Make sure that what led to an output are guided activations, and at least one.

    starts: the nodes of the inputs in autograd's graph. What is computed beside does not count.
    masked: see `Guiding`. Raises InputError that names the others.
    """
    path, users = _path(output, list(starts))
    names = [node.name() for node in path]
    kinds = {_kind(node) for node in path}
    others = {kind for kind in kinds - _PASSED if not kind.startswith(_KNOWN)}
    own = f"{Guided.__name__}Backward"
    others |= {
        name.removesuffix("Backward")
        for name in names
        if not name[-1].isdigit() and name.endswith("Backward") and name != own
    } - {"CopyBackwards"}
    others |= {f"{masked[node]} with a mask" for node in path if node in masked}
    others |= {
        _kind(node)
        for node in path
        if node.name().startswith(_SQUASHING) and _leads_to_weights(node, path, users)
    }
    others |= {_kind(node) for node in path if _is_curved(node, path, users)}
    others |= {
        f"{_kind(node)} of several feature maps" for node in path if _is_maxout(node, path, users)
    }
    others |= {words for node in path if (words := _combined(node, path, users))}
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


def _leads_to_weights(node: Any, path: set[Any], users: Users) -> bool:
    """Whether a layer with weights follows; for a softmax, not behind a product: attention."""
    softmax = _kind(node) == "Softmax"
    seen: set[Any] = set()
    nodes = list(users.get(node, ()))
    while nodes:
        node = nodes.pop()
        product = softmax and sum(source in path for source, _ in node.next_functions) > 1
        if node.name().startswith(_WEIGHTS) and not product:
            return True
        if node not in seen and not (product and _kind(node) in {"Bmm", "Mm", *_PRODUCTS}):
            seen.add(node)
            nodes.extend(users.get(node, ()))
    return False


def _kind(node: Any) -> str:
    """The function of a node, such as "Add" of AddBackward0."""
    name: str = node.name().rpartition("::")[2].rstrip("0123456789")
    return name.removesuffix("s").removesuffix("Backward")


def _is_curved(node: Any, path: set[Any], users: Users) -> bool:
    """Whether a node is an activation, such as the square root of x^2 + 1.

    Norms have such nodes too: those come from a mean, or lead to one.
    """
    if _kind(node) not in _CURVED or not _meets_weights(node, users):
        return False
    kinds = {_kind(each) for each in _same_place(node, path)}
    return bool(kinds - _EACH - _REDUCING)


def _is_maxout(node: Any, path: set[Any], users: Users) -> bool:
    """Whether a node is the largest of several feature maps, as opposed to several locations."""
    if not node.name().startswith(_LARGEST):
        return False
    mixed = mixes_feature_maps(node, path)
    several = _takes_several(node) if mixed is None else mixed
    # A score may be the largest of the numbers of a flat layer.
    return several and (_takes_several(node) or _leads_to_weights(node, path, users))


def _takes_several(node: Any) -> bool:
    """Whether the axes say that a node takes the largest of several feature maps."""
    dims = getattr(node, "_saved_dim", ())
    saved = getattr(node, "_saved_self_sym_sizes", None)
    shape = node._saved_self.shape if saved is None and hasattr(node, "_saved_self") else saved
    if shape is None or len(shape) < 4:
        return False
    over = dims if isinstance(dims, tuple) else (dims,)
    # Negative ones come back as unsigned numbers.
    numbers = [(dim - 2**64 if dim >= 2**63 else dim) % len(shape) for dim in over]
    batch = len(shape) == 4  # whether the first of the dimensions must be that of the images
    return any(batch <= number < len(shape) - 2 for number in numbers)


def _combined(node: Any, path: set[Any], users: Users) -> str:
    """Words for a sum of activations of one tensor, or a product of functions of one; else ""."""
    kind = _kind(node)
    sources = [source for source, _ in node.next_functions if source in path]
    if kind not in _SUMS | _PRODUCTS or len(sources) < 2:
        return ""
    regions = [_same_place(source, path) for source in sources]
    counts = Counter(each for region in regions for each in region)
    shared = {each for each, count in counts.items() if count > 1}
    if kind in _PRODUCTS:
        found = shared and _meets_weights(node, users)
        return f"{kind} of two functions of one tensor" if found else ""
    for each in counts.keys() - shared:
        words = {"Abs": "Abs", "Guided": "ReLU"}.get(_kind(each))
        if words and _same_place(each, path) & shared:
            return f"{kind} of {words} and another function of one tensor"
    return ""


def _same_place(node: Any, path: set[Any]) -> set[Any]:
    """A node and those that it is a function of, number by number, back to layers and means."""
    region: set[Any] = set()
    nodes = [node]
    while nodes:
        node = nodes.pop()
        if node in region:
            continue
        region.add(node)
        if _kind(node) in _EACH:
            nodes += [source for source, _ in node.next_functions if source in path]
    return region


def _meets_weights(node: Any, users: Users) -> bool:
    """Whether a layer with weights follows, without a mean between."""
    seen: set[Any] = set()
    nodes = list(users.get(node, ()))
    while nodes:
        node = nodes.pop()
        if node.name().startswith(_WEIGHTS):
            return True
        if node not in seen and _kind(node) not in _REDUCING:
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
