"""Show what a discriminator's filters respond to, by guided backpropagation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from dcgan_probe import hooks
from dcgan_probe.attribution import responses
from dcgan_probe.errors import InputError, at_least
from dcgan_probe.figures.rasters import pixels
from dcgan_probe.images import sources
from dcgan_probe.images.sources import ImageSource
from dcgan_probe.metrics import features
from dcgan_probe.networks import dcgan
from dcgan_probe.probes.visualize_d.explanation import CHUNK, explain
from dcgan_probe.probes.visualize_d.result import FilterPictures, Responses
from dcgan_probe.session import Session

# Of the random network's batch norm. Its pictures depend on them, so they are not CHUNK, which is
# a matter of speed.
STATISTICS_BATCH, STATISTICS_BATCHES = 128, 8


def run(
    session: Session,
    images: str | Path | None = None,
    n: int = 2000,
    layer: str | None = None,
    filters: int | Sequence[int] | str | None = None,
    k: int = 5,
    rule: str = "leak",
) -> FilterPictures:
    """Show what the filters of a discriminator's layer respond to, next to random weights.

        >>> result = run(Session.open("svhn"), n=200, filters=range(6))
        >>> result.trained.guided.shape
        torch.Size([6, 5, 3, 32, 32])

    images: what `sources.ImageSource` opens; by default samples of the session's generator. n:
    number of images. layer: by default the last convolution layer. filters: by default the first 6;
    or "all". k: number of responses of each filter, each in another image. rule: see
    `attribution.GuidedBackprop`.

    Raises InputError for an unknown layer or filter, and for fewer than k images.
    Source: section 6.2, figure 5.
    """
    at_least(1, n=n, k=k)
    trained = session.discriminator
    layer = features.layers(trained)[-1] if layer is None else layer
    source = session.images(images, n)

    # Same architecture, the paper's initial weights, statistics of the same images.
    untrained = dcgan.untrained(trained, session.seed)
    first = islice(sources.batches(source, STATISTICS_BATCH), STATISTICS_BATCHES)
    dcgan.estimate_statistics(untrained, (batch.to(session.device) for batch in first))

    pictures = {}
    for name, network in (("trained", trained), ("random", untrained)):
        top = _scan(session, network, name, layer, source, k)
        chosen = _choose(filters, len(top.values), layer)
        top = top.only(chosen)
        progress = partial(session.progress, what=f"explaining, {name}")
        guided = explain(network, layer, source, top, chosen, rule, progress)
        pictures[name] = _gather(network, layer, source, top, guided)

    words = str(source) if isinstance(source, ImageSource) else f"{n} samples of the generator"
    return FilterPictures(
        made_with=session.made_with(layer=layer, filters=chosen, k=k, rule=rule, images=words),
        layer=layer,
        filters=tuple(chosen),
        rule=rule,
        images=words,
        trained=pictures["trained"],
        untrained=pictures["random"],
        caption=session.caption(),
    )


def _scan(
    session: Session, network: nn.Module, name: str, layer: str, source: sources.Images, k: int
) -> responses.TopResponses:
    """The strongest responses of all filters of a layer, each in another image."""
    batches = session.progress(
        sources.batches(source, CHUNK), f"scanning, {name}", -(-len(source) // CHUNK)
    )
    on_device = (batch.to(session.device) for batch in batches)
    return responses.top_responses(network, layer, on_device, k)


def _choose(filters: int | Sequence[int] | str | None, count: int, layer: str) -> list[int]:
    if filters is None:
        return list(range(min(6, count)))
    if isinstance(filters, str):
        if filters != "all":
            raise InputError(f"filters: found {filters!r}, expected numbers or 'all'")
        return list(range(count))
    chosen = hooks.as_filters(layer, filters)
    hooks.check_filters(layer, sorted(set(chosen)), count)
    if not chosen:
        raise InputError(f"layer {layer!r}: found no filters, expected at least one")
    return chosen


def _gather(
    network: nn.Module,
    layer: str,
    source: sources.Images,
    top: responses.TopResponses,
    guided: Tensor,
) -> Responses:
    """Responses with their photographs and receptive fields."""
    shape = tuple(top.values.shape)
    numbers = top.images.flatten().tolist()
    chunks = [numbers[i : i + CHUNK] for i in range(0, len(numbers), CHUNK)]
    photographs = np.concatenate([pixels(source.read(chunk)) for chunk in chunks])
    places = torch.stack([top.rows.flatten(), top.columns.flatten()], dim=1)
    distinct, which = places.unique(dim=0, return_inverse=True)
    image_shape = (guided.shape[2], guided.shape[3], guided.shape[4])
    fields = responses.receptive_fields(network, layer, image_shape, distinct)[which]
    return Responses(
        values=top.values,
        images=top.images,
        rows=top.rows,
        columns=top.columns,
        guided=guided,
        photographs=photographs.reshape(*shape, *photographs.shape[1:]),
        fields=fields.unflatten(0, shape),
    )
