"""Stream images through a network and keep the strongest responses of each filter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dcgan_probe import hooks
from dcgan_probe.errors import InputError


@dataclass(frozen=True)
class TopResponses:
    """The strongest responses of every filter of a layer, each in another image.

    values: filters x k float32, falling along k. images, rows, columns: filters x k int64, where
    each response is: the number of the image and the place in the feature map.
    """

    values: Tensor
    images: Tensor
    rows: Tensor
    columns: Tensor

    def only(self, filters: Sequence[int]) -> TopResponses:
        """The responses of some filters, in the order given."""
        return TopResponses(*(getattr(self, field)[list(filters)] for field in _FIELDS))


def top_responses(
    network: nn.Module, layer: str, batches: Iterable[Tensor], k: int
) -> TopResponses:
    """Find the k images that every filter of a layer responds to most, and where, in one pass.

        >>> top = top_responses(discriminator, "4x4", batches(images, 64), k=5)
        >>> top.values.shape
        torch.Size([1024, 5])

    An image counts once for a filter, at its strongest place. Memory is that of one batch and of
    the result. Raises InputError if there are fewer than k images, for a layer without feature
    maps, and for a network in training mode.
    """
    if network.training:
        raise InputError("top responses: found a network in training mode, expected eval()")
    best: TopResponses | None = None
    seen = 0
    for batch in batches:
        with torch.no_grad():
            maps = hooks.activations(network, layer, batch)
        if maps.dim() != 4:
            raise InputError(
                f"layer {layer!r}: outputs {maps.dim() - 1}-d values, expected feature maps"
            )
        values, places = maps.flatten(2).max(dim=2)
        width = maps.shape[3]
        number = torch.arange(seen, seen + len(batch), device=maps.device)
        new = TopResponses(
            values.T,
            number.expand(maps.shape[1], -1),
            (places // width).T,
            (places % width).T,
        )
        best = _strongest(new if best is None else _join(best, new), k)
        seen += len(batch)
    if best is None or seen < k:
        raise InputError(f"top responses: found {seen} images, expected at least {k}")
    return TopResponses(*(getattr(best, field).cpu() for field in _FIELDS))


_FIELDS = ("values", "images", "rows", "columns")


def _join(a: TopResponses, b: TopResponses) -> TopResponses:
    return TopResponses(*(torch.cat([getattr(a, f), getattr(b, f)], dim=1) for f in _FIELDS))


def _strongest(all_of: TopResponses, k: int) -> TopResponses:
    # Stable, so that equal responses stay in the order of the images whatever the batch size.
    order = all_of.values.sort(dim=1, descending=True, stable=True).indices[:, :k]
    return TopResponses(*(getattr(all_of, field).gather(1, order) for field in _FIELDS))


def receptive_fields(
    network: nn.Module, layer: str, image_shape: tuple[int, int, int], places: Tensor
) -> Tensor:
    """The part of the image that neurons at places of a layer can see, as boxes.

        >>> receptive_fields(discriminator, "4x4", (3, 64, 64), torch.tensor([[0, 0], [2, 2]]))
        tensor([[ 0,  0, 30, 30],
                [ 2,  2, 62, 62]])

    image_shape: channels, height, width. places: N x 2 int64, row and column in the feature map.
    Returns N x 4 int64: x0, y0, x1, y1 in pixels, x1 and y1 exclusive, cut at the image's edge.

    Measured rather than derived, so that it holds for any network: the extent of the gradient of
    all filters at the place, on noise, and on several draws of it, since a ReLU may hide a pixel.
    """
    boxes = torch.empty(len(places), 4, dtype=torch.long)
    device = next(network.parameters()).device
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(4, *image_shape, generator=generator).to(device)
    for i, (row, column) in enumerate(places.tolist()):
        x = noise.clone().requires_grad_(True)
        with torch.enable_grad():  # whatever the caller's mode is
            maps = hooks.activations(network, layer, x)
            (gradient,) = torch.autograd.grad(maps[:, :, row, column].sum(), x)
        touched = gradient.abs().amax(dim=(0, 1)) > 0
        ys = touched.any(dim=1).nonzero().flatten()
        xs = touched.any(dim=0).nonzero().flatten()
        if len(ys) == 0:
            raise InputError(f"layer {layer!r}: does not depend on the image at {row}, {column}")
        boxes[i] = torch.stack([xs[0], ys[0], xs[-1] + 1, ys[-1] + 1])
    return boxes
