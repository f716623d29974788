"""Explain responses: guided gradients of many neurons, one batch of images at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from dcgan_probe.attribution import responses
from dcgan_probe.attribution.guided import GuidedBackprop
from dcgan_probe.images import sources

# Images of one forward, responses of one backward.
CHUNK = 128


def explain(
    network: nn.Module,
    layer: str,
    source: sources.Images,
    top: responses.TopResponses,
    filters: Sequence[int],
    rule: str = "leak",
    progress: Callable[[range], Iterable[int]] = iter,
) -> Tensor:
    """Guided gradients of responses, F x k x C x H x W float32, in batches over all of them.

        >>> top = responses.top_responses(discriminator, "4x4", batches, k=5)
        >>> explain(discriminator, "4x4", source, top, filters=range(1024)).shape
        torch.Size([1024, 5, 3, 64, 64])

    filters: which filter each row of `top` is of. One backward serves `CHUNK` responses of whatever
    filters, since each image of a batch has a neuron of its own. What is in memory is one batch
    and the result.
    """
    guided = GuidedBackprop(network, rule)
    device = next(network.parameters()).device
    number = torch.tensor(list(filters)).unsqueeze(1).expand_as(top.values).flatten()
    images, rows, columns = (t.flatten() for t in (top.images, top.rows, top.columns))
    # Filters often respond to the same images: in their order, a batch needs only a few of them.
    order = images.argsort(stable=True)
    gradients: Tensor | None = None
    for start in progress(range(0, len(order), CHUNK)):
        part = order[start : start + CHUNK]
        distinct, which = images[part].unique(return_inverse=True)
        batch = source.read(distinct.tolist()).to(device)
        signal = guided.attribute_neurons(
            batch, layer, which, number[part], rows[part], columns[part]
        )
        if gradients is None:
            gradients = torch.empty(len(order), *signal.shape[1:])
        gradients[part] = signal.cpu()
    assert gradients is not None, "top responses hold at least one filter and one image"
    return gradients.unflatten(0, tuple(top.values.shape))
