"""Weights of the logistic regressions that locate an object on feature maps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from dcgan_probe.edits.filling import LIMIT
from dcgan_probe.errors import InputError
from dcgan_probe.storage.json_values import Value


@dataclass(frozen=True)
class Linear:
    """logit = weights . values + bias, with one weight for every value."""

    weights: tuple[float, ...]
    bias: float

    def __call__(self, values: Tensor) -> Tensor:
        """N x values x h x w to N x h x w."""
        weights = torch.tensor(self.weights, dtype=values.dtype, device=values.device)
        if len(weights) != values.shape[1]:
            raise InputError(
                f"regression: found {len(weights)} weights for {values.shape[1]} values, expected "
                "as many"
            )
        return torch.einsum("nchw,c->nhw", values, weights) + self.bias


@dataclass(frozen=True)
class PlaceRegression:
    """Says at which locations of layers an object is, from the maps of all these layers.

        >>> regression.logits(maps)["16x16"].shape                    # N x h x w
        torch.Size([16, 16, 16])

    layers: in the order of the data. own: for each, a regression on its own maps. joint: for each,
    one on the `evidence` of all layers, brought to its grid. Both are calibrated: sigmoid(logit) is
    the share of such locations that lie inside of boxes.
    Raises InputError for numbers that are not finite, or not one regression a layer.
    """

    layers: tuple[str, ...]
    own: tuple[Linear, ...]
    joint: tuple[Linear, ...]

    def __post_init__(self) -> None:
        if not self.layers or not len(self.layers) == len(self.own) == len(self.joint):
            raise InputError(
                f"regression: found {len(self.layers)} layers, {len(self.own)} and "
                f"{len(self.joint)} regressions, expected one of each for every layer"
            )

    def logits(
        self, maps: Mapping[str, Tensor], names: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """N x h x w float32 for every layer, or those of `names`, in [-12, 12].

        maps: by layer, of any float dtype, always of all layers. Differentiable. Raises InputError
        for NaN, for maps of another number of filters, and for a layer without locations.
        """
        own = {}
        for name, linear in zip(self.layers, self.own, strict=True):
            if maps[name].dim() != 4:
                raise InputError(f"layer {name!r}: found values without places, expected maps")
            own[name] = linear(maps[name].float())
            if not own[name].isfinite().all():
                raise InputError(f"layer {name!r}: found NaN or infinity, expected finite maps")
        return {
            name: _join(linear, own, (maps[name].shape[2], maps[name].shape[3])).clamp(
                -LIMIT, LIMIT
            )
            for name, linear in zip(self.layers, self.joint, strict=True)
            if names is None or name in names
        }

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            name: {"own": vars(own), "joint": vars(joint)}
            for name, own, joint in zip(self.layers, self.own, self.joint, strict=True)
        }

    @classmethod
    def from_dict(cls, value: Value) -> PlaceRegression:
        """What `to_dict` wrote; InputError, with the place in the file, for anything else."""
        parts = value.members()
        own = tuple(_linear(part["own"]) for part in parts)
        joint = tuple(_linear(part["joint"]) for part in parts)
        return cls(tuple(value.found), own, joint)

    @property
    def sha256(self) -> str:
        """Of its numbers."""
        return hashlib.sha256(json.dumps(self.to_dict()).encode()).hexdigest()


def evidence(logits: Mapping[str, Tensor], grid: tuple[int, int]) -> Tensor:
    """What the second regression sees at each location: N x (9 layers) and products x h x w.

        >>> evidence({"8x8": a, "16x16": b}, (8, 8)).shape     # 6 values, and 21 products of two
        torch.Size([16, 27, 8, 8])

    Of every layer's logit, softened by asinh so that none is loud: here, its mean over 3 x 3
    locations, and its largest value in the image (is the object there at all?).
    """
    single = _single(logits, grid)
    i, j = torch.triu_indices(single.shape[1], single.shape[1])
    return torch.cat([single, single[:, i] * single[:, j]], 1)


def _join(linear: Linear, logits: Mapping[str, Tensor], grid: tuple[int, int]) -> Tensor:
    """`linear` of the evidence, N x h x w, without the products being written down."""
    single = _single(logits, grid)
    count = single.shape[1]
    weights = torch.tensor(linear.weights, dtype=single.dtype, device=single.device)
    i, j = torch.triu_indices(count, count, device=single.device)
    if len(weights) != count + len(i):
        return linear(evidence(logits, grid))  # which says what is wrong
    products = single.new_zeros(count, count).index_put((i, j), weights[count:])
    of_each = torch.einsum("ij,njhw->nihw", products, single) + weights[:count].view(-1, 1, 1)
    return (of_each * single).sum(1) + linear.bias


def _single(logits: Mapping[str, Tensor], grid: tuple[int, int]) -> Tensor:
    values = []
    for logit in logits.values():
        soft = torch.asinh(logit)[:, None]
        here = _resized(soft, grid)
        around = F.avg_pool2d(F.pad(here, [1] * 4, mode="replicate"), 3, 1)
        values += [here, around, soft.amax((2, 3), keepdim=True).expand_as(here)]
    return torch.cat(values, 1)


def _resized(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    if maps.shape[2] < grid[0]:
        return F.interpolate(maps, grid, mode="bilinear", align_corners=False)
    return F.adaptive_avg_pool2d(maps, grid)


def _linear(value: Value) -> Linear:
    weights = tuple(weight.number() for weight in value["weights"].items())
    return Linear(weights, value["bias"].number())
