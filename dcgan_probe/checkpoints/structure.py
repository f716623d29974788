"""Recognise networks in tensors by shape: chains of (transposed) convolutions and norms.

Names only say which tensors are of one layer, and which layers of one network; what is called what
does not matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from dcgan_probe.errors import InputError

IMAGES = (1, 3)  # channels of images
DEPTH = 6  # of dictionaries in dictionaries

_STATISTICS = ("running_mean", "running_var")
# What may be one number: weight norm has one gain for the whole weight with dim=None.
_NUMBERS = ("num_batches_tracked", "weight_g", "parametrizations.weight.original0")
_LEAVES = re.compile(
    r"(?:(?P<path>.*?)\.)?(?P<leaf>parametrizations\.weight\.(?:original[01]?|0\._[uv])"
    r"|weight_orig|weight_bar|weight_[uvg]|[^.]+)"
)


@dataclass(frozen=True)
class Norm:
    """Tensors of a norm by their plain names: weight, bias, running_mean, running_var."""

    path: str
    tensors: Mapping[str, Tensor]
    width: int


@dataclass(frozen=True)
class StoredLayer:
    """A layer of a chain. weight: the one that is used, spectral or weight norm applied."""

    path: str
    kind: str
    weight: Tensor
    bias: Tensor | None
    norm: Norm | None = None
    notes: tuple[str, ...] = ()

    @property
    def inputs(self) -> int:
        return int(self.weight.shape[0 if self.kind == "deconv" else 1])

    @property
    def outputs(self) -> int:
        return int(self.weight.shape[1 if self.kind == "deconv" else 0])


@dataclass(frozen=True)
class StoredNetwork:
    """A chain that was found. part: "generator" or "discriminator". place: where, for messages.

    ignored, broken: what lay beside it: single numbers, and why other layers are not such a
    network.
    """

    part: str
    place: str
    layers: tuple[StoredLayer, ...]
    ignored: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()


@dataclass
class _Module:
    """The tensors of one module, by their last names."""

    path: str
    tensors: dict[str, Tensor] = field(default_factory=dict)


def states(content: Any, place: str) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every dict with weights in what a file holds, however deep, each with its place."""
    yield from _states(content, place, DEPTH)


def _states(content: Any, place: str, depth: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
    if isinstance(content, list | tuple):
        content = dict(enumerate(content))
    if not isinstance(content, Mapping) or depth == 0:
        return
    if {"state", "param_groups"} <= content.keys():
        return  # an optimiser's
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if sum(value.dim() >= 2 for value in tensors.values()) >= 2:
        yield place, tensors
    for name, value in content.items():
        yield from _states(value, f"{place}: {name}", depth - 1)


def find_networks(
    tensors: Mapping[str, Tensor], place: str, ordered: bool = True
) -> list[StoredNetwork]:
    """The networks in a dict of tensors.

        >>> [network.part for network in find_networks(netG.state_dict(), "netG.pth")]
        ['generator']

    ordered: the dict has the order in which the layers were made; else they are sorted by name,
    numbers as numbers. Raises InputError that says why the tensors are not such a network.
    """
    modules, ignored = _modules(tensors)
    if not ordered:
        modules.sort(key=lambda module: _natural(module.path))
    networks, broken = _split(modules, place)
    return [replace(each, ignored=ignored, broken=broken) for each in networks]


def _natural(path: str) -> list[tuple[int, int, str]]:
    return [
        (0, int(each), "") if each.isdecimal() else (1, 0, each)
        for each in re.findall(r"\d+|\D+", path)
    ]


def _modules(tensors: Mapping[str, Tensor]) -> tuple[list[_Module], tuple[str, ...]]:
    modules: dict[str, _Module] = {}
    ignored = []
    for name, tensor in tensors.items():
        match = _LEAVES.fullmatch(name)
        if match is None or (tensor.dim() == 0 and match["leaf"] not in _NUMBERS):
            ignored.append(name)
            continue
        path = match["path"] or ""
        modules.setdefault(path, _Module(path)).tensors[match["leaf"]] = tensor
    return list(modules.values()), tuple(ignored)


def _split(modules: list[_Module], place: str) -> tuple[list[StoredNetwork], tuple[str, ...]]:
    """One chain, or one for each prefix."""
    paths = [module.path.split(".") for module in modules]
    shared = 0
    while (
        len(paths) > 1
        and all(len(path) > shared + 1 for path in paths)
        and len({path[shared] for path in paths}) == 1
    ):
        shared += 1
    groups: dict[str, list[_Module]] = {}
    for module, path in zip(modules, paths, strict=True):
        groups.setdefault(path[shared] if len(path) > shared else "", []).append(module)
    networks: list[StoredNetwork] = []
    broken: list[str] = []
    several = {name: group for name, group in groups.items() if len(group) > 2}
    if len(groups) > 1:
        for name, group in several.items():
            try:
                inside, beside = _split(group, f"{place}: {name}")
            except InputError as error:
                broken.append(str(error))
            else:
                networks += inside
                broken += beside
    if networks:
        # The error about a broken group covers its own.
        lone = [module for group in groups.values() if len(group) <= 2 for module in group]
        layers = [module for module in lone if _has_weight(module)]
        if layers and len(networks) == 1:
            # It may well be part of the one network, such as the embedding of a class.
            raise InputError(
                f"{place}: tensor {_in_words(layers[0])} beside the chain of "
                f"{networks[0].layers[0].path}, expected one chain of layers"
            )
        broken += [f"{place}: tensor {_in_words(module)}" for module in lone]
        return networks, tuple(broken)
    return [_chain(modules, place)], ()


def _has_weight(module: _Module) -> bool:
    return any(tensor.dim() > 1 for tensor in module.tensors.values())


def _in_words(module: _Module) -> str:
    """The first tensor of a module, in words."""
    name, tensor = next(iter(module.tensors.items()))
    path = f"{module.path}.{name}" if module.path else name
    return f"{path}: found {_shape(tensor)}"


def _chain(modules: Sequence[_Module], place: str) -> StoredNetwork:
    """The one network of modules, in their order."""
    kernels: list[tuple[int, StoredLayer]] = []
    norms: list[tuple[int, Norm]] = []
    for i, module in enumerate(modules):
        layer = _kernel(module, place)
        if layer is not None:
            kernels.append((i, layer))
        elif (norm := _norm(module, place)) is not None:
            norms.append((i, norm))
    if not any(layer.weight.dim() == 4 for _, layer in kernels) or len(kernels) < 2:
        raise InputError(
            f"{place}: found {len(kernels)} layers, expected those of a convolutional "
            "generator or discriminator"
        )
    networks, reasons = [], []
    for part in ("generator", "discriminator"):
        try:
            networks.append(StoredNetwork(part, place, _linked(part, kernels, norms, place)))
        except _Broken as error:
            reasons.append(error)
    if not networks:
        raise max(reasons, key=lambda error: error.depth)
    # Narrow networks may be read both ways; a generator begins with a norm, as a rule.
    return networks[0] if networks[0].layers[0].norm is not None else networks[-1]


class _Broken(InputError):
    """Layers that do not form a chain. depth: how many of them are."""

    depth = 0


def _broken(depth: int, message: str) -> _Broken:
    error = _Broken(message)
    error.depth = depth
    return error


def _kernel(module: _Module, place: str) -> StoredLayer | None:
    """A linear layer or convolution; its kind is that of a conv until the chain is known."""
    tensors, notes = dict(module.tensors), []
    weight = tensors.pop("weight", None)
    original = "parametrizations.weight.original"
    pairs = {
        "spectral norm": (
            ("weight_orig", "weight_u", "weight_v"),
            ("weight_bar", "weight_u", "weight_v"),
            (original, "parametrizations.weight.0._u", "parametrizations.weight.0._v"),
        ),
        "weight norm": (("weight_g", "weight_v"), (f"{original}0", f"{original}1")),
    }
    for note, ways in pairs.items():
        for names in ways:
            if names[0] in tensors:
                parts = [tensors.pop(name, None) for name in names]
                weight = _spectral(parts) if note == "spectral norm" else _weighted(parts)
                if weight is None:
                    raise InputError(
                        f"{place}: {module.path}: found {note} without {', '.join(names[1:])}"
                    )
                notes.append(f"{note} applied")
    if weight is None or weight.dim() not in (2, 4):
        return None
    if weight.dim() == 2 and not tensors and re.search("emb", module.path.lower()):
        raise InputError(
            f"{place}: tensor {module.path}.weight: found {_shape(weight)}, an embedding as of a "
            "class, expected a chain of convolutions, linear layers and norms"
        )
    bias = tensors.pop("bias", None)
    if tensors:
        raise InputError(
            f"{place}: tensor {module.path}.{next(iter(tensors))}: found one that a "
            "convolution or linear layer does not have, expected weight and bias"
        )
    if weight.dim() == 4 and weight.shape[2] != weight.shape[3]:
        raise InputError(
            f"{place}: tensor {module.path}.weight: found a kernel of "
            f"{weight.shape[2]}x{weight.shape[3]}, expected a square one"
        )
    kind = "linear" if weight.dim() == 2 else "conv"
    return StoredLayer(module.path, kind, weight, bias, notes=tuple(notes))


def _spectral(parts: list[Tensor | None]) -> Tensor | None:
    """The weight over its spectral norm, as torch computes it in eval mode."""
    weight, u, v = parts
    if weight is None or u is None or v is None:
        return None
    matrices = (rows.reshape(len(rows), -1).float() for rows in (weight, weight.transpose(0, 1)))
    ways = [matrix @ v.float() for matrix in matrices if matrix.shape == (len(u), len(v))]
    if not ways:
        return None
    # torch takes dimension 1 for transposed convolutions. Where both are as long, u tells which it
    # was: a power iteration leaves it in the direction of this product.
    product = max(ways, key=lambda way: float(F.cosine_similarity(u.float(), way, dim=0)))
    return weight / torch.dot(u.float(), product)


def _weighted(parts: list[Tensor | None]) -> Tensor | None:
    gain, direction = parts
    if gain is None or direction is None or gain.dim() not in (0, direction.dim()):
        return None
    axes = [i for i in range(direction.dim()) if not gain.dim() or gain.shape[i] == 1]
    lengths = torch.linalg.vector_norm(direction.float(), dim=axes, keepdim=True)
    return direction * (gain / lengths)


def _shape(tensor: Tensor) -> str:
    return f"shape {'x'.join(map(str, tensor.shape)) or '()'}"


def _norm(module: _Module, place: str) -> Norm | None:
    tensors = {n: t for n, t in module.tensors.items() if n != "num_batches_tracked"}
    if not tensors:
        return None
    known = {"weight", "bias", *_STATISTICS}
    widths = {tensor.numel() for tensor in tensors.values() if tensor.dim() == 1}
    flat = all(tensor.dim() == 1 for tensor in tensors.values())
    if not tensors.keys() <= known or not flat or len(widths) != 1:
        odd = [name for name in tensors if name not in known or tensors[name].dim() != 1]
        if odd:
            raise InputError(
                f"{place}: tensor {module.path}.{odd[0]}: found {_shape(tensors[odd[0]])}, "
                "expected tensors of convolutions, linear layers and norms only"
            )
        first, *rest = tensors
        other = next(n for n in rest if tensors[n].numel() != tensors[first].numel())
        raise InputError(
            f"{place}: tensor {module.path}.{first}: found {_shape(tensors[first])}, expected "
            f"{_shape(tensors[other])}, as {module.path}.{other} has"
        )
    for each in _STATISTICS:
        if (each in tensors) != (_STATISTICS[0] in tensors):
            raise InputError(
                f"{place}: tensor {module.path}.{each}: found none beside the other "
                "statistic, expected both"
            )
    if ("weight" in tensors) != ("bias" in tensors):
        missing = "bias" if "weight" in tensors else "weight"
        raise InputError(
            f"{place}: tensor {module.path}.{missing}: found none, expected "
            f"shape {widths.pop()}, as the norm's other tensors have"
        )
    return Norm(module.path, tensors, widths.pop())


def _linked(
    part: str, kernels: list[tuple[int, StoredLayer]], norms: list[tuple[int, Norm]], place: str
) -> tuple[StoredLayer, ...]:
    """Layers of a generator or discriminator: each takes the output of the one before."""
    layers = [layer for _, layer in kernels]
    kinds = _kinds(part, layers, place)
    layers = [replace(layer, kind=kind) for layer, kind in zip(layers, kinds, strict=True)]
    taken: dict[int, Norm] = {}
    for position, norm in norms:
        before = [i for i, (at, _) in enumerate(kernels) if at < position]
        if before and before[-1] not in taken and _fits(norm, layers, before[-1]):
            taken[before[-1]] = norm
            continue
        taken = _in_order(layers, [each for _, each in norms], place)
        break
    return tuple(replace(layer, norm=taken.get(i)) for i, layer in enumerate(layers))


def check_chain(part: str, layers: Sequence[StoredLayer], place: str) -> tuple[StoredLayer, ...]:
    """Layers of known kinds, if each takes the output of the one before; InputError if not."""
    for i, layer in enumerate(layers):
        norm = layer.norm
        if i and not _joins(layers[i - 1], layer):
            raise _broken(i, _why(part, layers, i, place))
        if norm is not None and not _fits(norm, layers, i):
            raise _broken(
                i,
                f"{place}: tensor {norm.path}: found shape {norm.width}, expected a "
                f"norm of {layer.outputs}",
            )
    return tuple(layers)


def _fits(norm: Norm, layers: Sequence[StoredLayer], i: int) -> bool:
    layer = layers[i]
    maps = layers[i + 1].inputs if layer.kind == "linear" and i + 1 < len(layers) else layer.outputs
    return norm.width in (layer.outputs, maps)


def _in_order(layers: Sequence[StoredLayer], norms: Sequence[Norm], place: str) -> dict[int, Norm]:
    """Norms that do not follow their layers, each given to the next that has its width."""
    taken: dict[int, Norm] = {}
    i = -1
    for norm in norms:
        i = next((j for j in range(i + 1, len(layers)) if _fits(norm, layers, j)), len(layers))
        if i == len(layers):
            raise _broken(
                len(layers) + len(taken),
                f"{place}: tensor {norm.path}.weight: found shape "
                f"{norm.width}, expected a norm as wide as a layer before it",
            )
        taken[i] = norm
    return taken


def _kinds(part: str, layers: Sequence[StoredLayer], place: str) -> list[str]:
    """The kind of each layer, so that channels agree from the first to the last."""
    options: list[list[tuple[str, ...]]] = [[()]]
    for i, layer in enumerate(layers):
        grown = []
        for way in options[-1]:
            for kind in _possible(part, layer, first=i == 0):
                this = replace(layer, kind=kind)
                if i and not _joins(replace(layers[i - 1], kind=way[-1]), this):
                    continue
                if this.bias is not None and this.bias.numel() != this.outputs:
                    continue
                if i == 0 and part == "discriminator" and this.inputs not in IMAGES:
                    continue
                if i == len(layers) - 1 and part == "generator" and this.outputs not in IMAGES:
                    continue
                grown.append((*way, kind))
        if not grown:
            raise _broken(i, _why(part, layers, i, place))
        options.append(grown)
    likeliest: tuple[str, ...] = min(options[-1], key=lambda way: _unlikely(layers, way))
    return list(likeliest)


def _possible(part: str, layer: StoredLayer, first: bool) -> tuple[str, ...]:
    if layer.kind == "linear":
        return () if first and part == "discriminator" else ("linear",)
    if part == "discriminator":
        return ("conv",)
    return ("deconv",) if first else ("deconv", "conv")


def _joins(before: StoredLayer, after: StoredLayer) -> bool:
    """Whether a layer takes another's output, as maps or flattened."""
    if after.kind == "linear" and before.kind != "linear":
        return after.inputs % before.outputs == 0 and _square(after.inputs // before.outputs)
    if before.kind == "linear" and after.kind != "linear":
        return before.outputs % after.inputs == 0 and _square(before.outputs // after.inputs)
    return before.outputs == after.inputs


def _square(number: int) -> bool:
    return number > 0 and round(number**0.5) ** 2 == number


def _unlikely(layers: Sequence[StoredLayer], way: Sequence[str]) -> int:
    """How many square weights are of another kind than their name, or their neighbour, suggests."""
    count = 0
    for i, (layer, kind) in enumerate(zip(layers, way, strict=True)):
        if layer.kind == "conv" and layer.weight.shape[0] == layer.weight.shape[1]:
            name = layer.path.lower()
            if re.search("convt|deconv|tconv|trans", name):
                likely = "deconv"
            elif "conv" in name and layer.weight.shape[2] % 2 == 1:
                likely = "conv"
            else:
                likely = _kind_of_neighbour(layers, way, i)
            count += kind != likely
    return count


def _kind_of_neighbour(layers: Sequence[StoredLayer], way: Sequence[str], i: int) -> str:
    """The kind of the nearest layer with such a kernel whose shape leaves no choice."""
    sure = [
        j
        for j, layer in enumerate(layers)
        if layer.kind == "conv"
        and layer.weight.shape[0] != layer.weight.shape[1]
        and layer.weight.shape[2] == layers[i].weight.shape[2]
    ]
    return way[min(sure, key=lambda j: abs(j - i))] if sure else "deconv"


def _why(part: str, layers: Sequence[StoredLayer], i: int, place: str) -> str:
    layer = layers[i]
    shape = "x".join(map(str, layer.weight.shape))
    where = f"{place}: tensor {layer.path}.weight: found {shape}"
    if i == 0:
        return f"{where}, expected the first layer of a {part}" + (
            ", of 1 or 3 channels" if part == "discriminator" else ""
        )
    before = layers[i - 1]
    shape = "x".join(map(str, before.weight.shape))
    if i == len(layers) - 1 and part == "generator":
        return (
            f"{where} behind {shape} of {before.path}, expected a last layer of 1 or 3 channels "
            "that takes the output of that one"
        )
    return f"{where} behind {shape} of {before.path}, expected as many inputs as that has outputs"
