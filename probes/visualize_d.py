"""What the filters of a discriminator look for: guided backpropagation of their top responses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import dcgan_probe as dp
from dcgan_probe.attribution import responses
from dcgan_probe.errors import InputError, at_least
from dcgan_probe.images import sources
from dcgan_probe.metrics import features
from dcgan_probe.plugins.contract import pass_session
from dcgan_probe.results.result import Result

from ._filters import EXAMPLE, numbers

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

CHUNK = 128
# Of the random network's batch norm. Its pictures depend on them, so they are not CHUNK, which is
# a matter of speed.
STATISTICS_BATCH, STATISTICS_BATCHES = 128, 8
# Rows of a figure; more filters go into further figures.
FIGURE_ROWS = 16


@dataclass(frozen=True, eq=False)
class Responses:
    """The strongest responses of filters of one network, and what caused them.

    values: F x k float32. images, rows, columns: F x k int64. guided: F x k x C x H x W float32,
    the guided gradient of each response. photographs: the images, F x k x H x W x 3 uint8.
    fields: F x k x 4 int64, receptive fields as x0, y0, x1, y1.
    """

    values: Tensor
    images: Tensor
    rows: Tensor
    columns: Tensor
    guided: Tensor
    photographs: np.ndarray
    fields: Tensor


@dataclass(frozen=True)
class FilterPictures(Result):
    """What `run` returns: the trained network's filters beside those of a random one."""

    layer: str
    filters: tuple[int, ...]
    rule: str
    images: str
    trained: Responses
    untrained: Responses
    caption: str

    def values(self) -> dict[str, Any]:
        def table(of: Responses) -> list[dict[str, Any]]:
            return [
                {
                    "filter": number,
                    "responses": [
                        {
                            "value": float(of.values[i, j]),
                            "image": int(of.images[i, j]),
                            "row": int(of.rows[i, j]),
                            "column": int(of.columns[i, j]),
                            "receptive_field": of.fields[i, j].tolist(),
                        }
                        for j in range(of.values.shape[1])
                    ],
                }
                for i, number in enumerate(self.filters)
            ]

        return {
            "layer": self.layer,
            "rule": self.rule,
            "images": self.images,
            "trained": table(self.trained),
            "random": table(self.untrained),
            "share_of_signal_in_top_tenth": {
                "trained": concentration(self.trained.guided),
                "random": concentration(self.untrained.guided),
            },
        }

    def draw(self, folder: Path) -> None:
        pages = range(0, len(self.filters), FIGURE_ROWS)
        for page, start in enumerate(pages, start=1):
            suffix = f"_{page:02d}" if len(pages) > 1 else ""
            part = slice(start, start + FIGURE_ROWS)
            self._draw_filters(folder / f"filters{suffix}.png", part)
            self._draw_fields(folder / f"receptive_fields{suffix}.png", part)

    def _draw_filters(self, path: Path, part: slice) -> None:
        k = self.trained.values.shape[1]
        blocks = []
        for heading, of in (("trained", self.trained), ("random weights", self.untrained)):
            signal = dp.figures.signed(of.guided[part].flatten(0, 1))
            signal = signal.reshape(of.photographs[part].shape)
            blocks.append(dp.figures.Block(f"{heading}: images", of.photographs[part]))
            blocks.append(dp.figures.Block("guided backpropagation", signal))
        dp.figures.draw(
            path,
            f"What filters of layer {self.layer} respond to",
            blocks,
            [f"filter {number}" for number in self.filters[part]],
            f"The {k} strongest responses of each filter over {self.images}, and what in the image "
            f"raised them (grey: nothing; rule: {self.rule}; each scaled to itself). A filter that "
            f"learned something shows edges of one thing where a random one shows haze. "
            f"{self.caption}.",
            zoom=dp.figures.zoom_for(self.trained.photographs.shape[2]),
        )

    def _draw_fields(self, path: Path, part: slice) -> None:
        blocks = []
        for heading, of in (("trained", self.trained), ("random weights", self.untrained)):
            drawn = _over_photographs(of, part, dp.figures.zoom_for(of.photographs.shape[2]))
            blocks.append(dp.figures.Block(heading, drawn))
        dp.figures.draw(
            path,
            f"Where filters of layer {self.layer} look",
            blocks,
            [f"filter {number}" for number in self.filters[part]],
            "The guided gradient over the photograph: the frame is the receptive field of the "
            "response, all that the neuron can see; in it the image is darkened where it did not "
            f"matter. {self.caption}.",
            zoom=1,
        )

    def __str__(self) -> str:
        trained, untrained = (concentration(r.guided) for r in (self.trained, self.untrained))
        return (
            f"layer {self.layer}, {len(self.filters)} filters, {self.images}\n"
            f"share of the guided signal in its strongest tenth of pixels: trained {trained:.2f}, "
            f"random weights {untrained:.2f}"
        )


def run(
    session: dp.Session,
    images: str | Path | None = None,
    n: int = 2000,
    layer: str | None = None,
    filters: list[int] | range | str | None = None,
    k: int = 5,
    rule: str = "leak",
) -> FilterPictures:
    """Show what filters of a discriminator's layer respond to, beside a network of random weights.

        >>> result = run(dp.Session.open("svhn"), n=200, filters=range(6))
        >>> result.trained.guided.shape
        torch.Size([6, 5, 3, 32, 32])

    images: what `sources.ImageSource` opens; samples of the session's generator if None. n: how
    many of them. layer: the last convolution layer if None. filters: the first 6 if None, or "all".
    k: responses a filter, each in another image. rule: see `attribution.GuidedBackprop`.

    Raises InputError for what is not there: a layer, a filter, k images.
    Source: section 6.2, figure 5.
    """
    at_least(1, n=n, k=k)
    trained = session.discriminator
    if layer is None:
        layer = features.layers(trained)[-1]
    source = session.images(images, n)
    words = "samples of the generator" if images is None else f"images of {Path(images).name}"
    words = f"{len(source)} {words}"

    # Same architecture, the paper's initial weights, statistics of the very images it is shown.
    untrained = dp.networks.untrained(trained, session.seed)
    first = islice(sources.batches(source, STATISTICS_BATCH), STATISTICS_BATCHES)
    dp.networks.estimate_statistics(untrained, (batch.to(session.device) for batch in first))

    found = {}
    for name, network in (("trained", trained), ("random", untrained)):
        batches = session.progress(
            sources.batches(source, CHUNK), f"scanning, {name}", -(-len(source) // CHUNK)
        )
        on_device = (batch.to(session.device) for batch in batches)
        top = responses.top_responses(network, layer, on_device, k)
        chosen = _chosen(filters, len(top.values), layer)
        top = top.only(chosen)

        def progress(starts: range, what: str = f"explaining, {name}") -> Any:
            return session.progress(starts, what)

        guided = explain(network, layer, source, top, chosen, rule, progress)
        found[name] = _responses(network, layer, source, top, guided)

    options = {"layer": layer, "filters": chosen, "k": k, "rule": rule, "images": words}
    return FilterPictures(
        session.made_with(**options),
        layer,
        tuple(chosen),
        rule,
        words,
        found["trained"],
        found["random"],
        session.caption(),
    )


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

        >>> top = dp.scan.top_responses(discriminator, "4x4", batches, k=5)
        >>> explain(discriminator, "4x4", source, top, filters=range(1024)).shape
        torch.Size([1024, 5, 3, 64, 64])

    filters: which filter each row of `top` is of. One backward serves `CHUNK` responses of whatever
    filters, since each image of a batch has a neuron of its own. What is in memory is one batch
    and the result.
    """
    import torch

    guided = dp.attribution.GuidedBackprop(network, rule)
    device = next(network.parameters()).device
    number = torch.tensor(list(filters)).unsqueeze(1).expand_as(top.values).flatten()
    images, rows, columns = (t.flatten() for t in (top.images, top.rows, top.columns))
    # Filters often respond to the same images: in their order, a batch needs only a few of them.
    order = images.argsort(stable=True)
    found: Tensor | None = None
    for start in progress(range(0, len(order), CHUNK)):
        part = order[start : start + CHUNK]
        distinct, which = images[part].unique(return_inverse=True)
        batch = source.read(distinct.tolist()).to(device)
        signal = guided.attribute_neurons(
            batch, layer, which, number[part], rows[part], columns[part]
        )
        if found is None:
            found = torch.empty(len(order), *signal.shape[1:])
        found[part] = signal.cpu()
    assert found is not None, "top responses hold at least one filter and one image"
    return found.unflatten(0, tuple(top.values.shape))


def concentration(guided: Tensor) -> float:
    """Share of the signal's magnitude in the strongest tenth of the pixels, mean over images.

    guided: ... x C x H x W. 0.1 is an even haze, 1 a few strokes.
    """
    magnitude = guided.flatten(0, -4).abs().sum(dim=1).flatten(1)
    strongest = magnitude.topk(max(1, magnitude.shape[1] // 10), dim=1).values.sum(dim=1)
    return float((strongest / magnitude.sum(dim=1).clamp_min(1e-30)).mean())


def _chosen(filters: Sequence[int] | str | None, count: int, layer: str) -> list[int]:
    if filters is None:
        return list(range(min(6, count)))
    if isinstance(filters, str):
        if filters != "all":
            raise InputError(f"filters: found {filters!r}, expected numbers or 'all'")
        return list(range(count))
    for number in filters:
        if type(number) is not int or not 0 <= number < count:
            raise InputError(f"layer {layer!r}: found filter {number!r}, expected 0 to {count - 1}")
    if not filters:
        raise InputError(f"layer {layer!r}: found no filters, expected at least one")
    return list(filters)


def _responses(
    network: nn.Module,
    layer: str,
    source: sources.Images,
    top: responses.TopResponses,
    guided: Tensor,
) -> Responses:
    import numpy as np
    import torch

    shape = tuple(top.values.shape)
    numbers = top.images.flatten().tolist()
    chunks = [numbers[i : i + CHUNK] for i in range(0, len(numbers), CHUNK)]
    photographs = np.concatenate([dp.figures.pixels(source.read(chunk)) for chunk in chunks])
    places = torch.stack([top.rows.flatten(), top.columns.flatten()], dim=1)
    distinct, which = places.unique(dim=0, return_inverse=True)
    image_shape = (guided.shape[2], guided.shape[3], guided.shape[4])
    fields = responses.receptive_fields(network, layer, image_shape, distinct)[which]
    return Responses(
        top.values,
        top.images,
        top.rows,
        top.columns,
        guided,
        photographs.reshape(*shape, *photographs.shape[1:]),
        fields.unflatten(0, shape),
    )


def _over_photographs(of: Responses, part: slice, zoom: int) -> np.ndarray:
    """Photographs with the guided signal as light, and the receptive field as a frame."""
    import numpy as np

    images, signals = of.photographs[part], of.guided[part].abs().amax(dim=2).numpy()
    drawn = []
    for index in np.ndindex(images.shape[:2]):
        signal = signals[index] / max(float(np.quantile(signals[index], 0.99)), 1e-30)
        light = 0.25 + 0.75 * np.clip(signal, 0, 1)[..., None]
        picture = (images[index] * light).round().astype(np.uint8)
        drawn.append(dp.figures.outlined(picture, [of.fields[part][index].tolist()], zoom))
    return np.stack(drawn).reshape(*images.shape[:2], *drawn[0].shape)


def _filters(_context: click.Context, _option: click.Parameter, text: str | None) -> Any:
    return text if text is None or text == "all" else numbers(text, also="all, or ")


@click.command()
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Folder, zip, tar, LMDB, .npz or .mat; samples of the generator if not given.",
)
@click.option("--n", default=2000, type=click.IntRange(1), help="How many images to scan.")
@click.option("--layer", help="Layer of the discriminator; its last convolution if not given.")
@click.option(
    "--filters",
    callback=_filters,
    help=f"all, or numbers and ranges, such as {EXAMPLE}; the first 6 if not given.",
)
@click.option("--k", default=5, type=click.IntRange(1), help="Responses to show of each filter.")
@click.option(
    "--rule",
    default="leak",
    type=click.Choice(["leak", "strict"]),
    help="What LeakyReLU passes back where its input is negative: its slope, or nothing.",
)
@pass_session
def visualize_d(session: dp.Session, **options: Any) -> None:
    """Show what the discriminator's filters respond to, by guided backpropagation.

    For each filter the strongest responses over a set of images, what in the image raised them,
    and the same for a network of random weights (section 6.2, figure 5).
    """
    session.save(run(session, **options))
