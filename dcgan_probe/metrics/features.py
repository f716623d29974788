"""Features of images: a discriminator's feature maps, as numbers to classify or compare by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dcgan_probe import hooks
from dcgan_probe.errors import InputError, unknown
from dcgan_probe.images.sources import Images, draw_batches
from dcgan_probe.metrics.inputs import Numbers, tensor
from dcgan_probe.networks.chain_config import ChainConfig
from dcgan_probe.networks.config import Config
from dcgan_probe.networks.dcgan import config_of, copied, estimate_statistics

GRID = 4
BATCHES, BATCH = 100, 128


class Column(NamedTuple):
    """One feature: the largest response of a filter of a layer within one cell of the grid."""

    layer: str
    filter: int
    row: int
    column: int


@dataclass(frozen=True)
class Layout:
    """What the columns of a set of features are, in few words.

        >>> layout = Layout(("8x8", "4x4"), (256, 512), grid=4)
        >>> len(layout), layout.columns()[17]
        (12288, Column(layer='8x8', filter=1, row=0, column=1))

    layers: in order. filters: how many each has. grid: each filter has grid x grid columns, the
    cells of its map row by row.
    """

    layers: tuple[str, ...]
    filters: tuple[int, ...]
    grid: int

    def __len__(self) -> int:
        return sum(self.filters) * self.grid**2

    def slices(self) -> dict[str, slice]:
        """The columns of each layer."""
        ends = np.cumsum([count * self.grid**2 for count in self.filters]).tolist()
        starts = [0, *ends[:-1]]
        return {name: slice(a, b) for name, a, b in zip(self.layers, starts, ends, strict=True)}

    def columns(self) -> list[Column]:
        """Each column."""
        return [
            Column(name, number, row, column)
            for name, count in zip(self.layers, self.filters, strict=True)
            for number in range(count)
            for row in range(self.grid)
            for column in range(self.grid)
        ]


def seeing(discriminator: nn.Module | None) -> nn.Module | None:
    """A discriminator that has feature maps to see with; None for one without, and for none.

    >>> seeing(nn.Sequential(nn.Flatten(), nn.Linear(3072, 1))) is None
    True
    """
    if discriminator is None or not config_of(discriminator).hidden("discriminator"):
        return None
    return discriminator


def layers(
    discriminator: nn.Module,
    only: Sequence[str] | None = None,
    grid: int = 1,
    every: bool = False,
) -> tuple[str, ...]:
    """Names of the convolution layers of a discriminator, in the order of the data.

        >>> layers(Discriminator(PRESETS["paper"]))
        ('32x32', '16x16', '8x8', '4x4')

    Of a third-party network: what it passes on at each resolution, or `every` convolution, as
    it is after its norm and activation. only: take those of them, or other layers of maps; raises
    InputError for a name that is not one, and if there are none. grid: without `only`, take those
    that are pooled to such a grid and have no fewer places.
    """
    config = config_of(discriminator)
    places = (config.convolutions if every else config.hidden)("discriminator")
    known = tuple(name for name in places if min(places[name]) >= grid)
    if only is None:
        if not known:
            at_least = f" of {grid} x {grid} places or more" if places else ""
            raise InputError(
                f"discriminator: found no layer of feature maps{at_least}, expected one"
            )
        return known
    # All layers of a network that was traced are maps; ours have a score as well.
    order = (
        tuple(places)
        if isinstance(config, Config | ChainConfig)
        else config.layers("discriminator")
    )
    for name in only:
        if name not in order:
            raise unknown("layer", name, tuple(places), where="discriminator")
    return tuple(name for name in order if name in only)


def extract(
    discriminator: nn.Module, images: Numbers, names: Sequence[str], grid: int = GRID
) -> Tensor:
    """The responses of layers, max-pooled to a grid and flattened, one row an image.

        >>> d = Discriminator(PRESETS["paper"]).eval()
        >>> extract(d, torch.zeros(2, 3, 64, 64), layers(d)).shape
        torch.Size([2, 30720])

    images: N x C x size x size in [-1, 1]. Returns N x F float32 on the network's device, in the
    order of `layout`; gradients flow if they are on. Raises InputError for a layer of fewer places
    than the grid, and for responses that are not finite.
    Source: section 5.1.
    """
    pooled = []
    for name, maps in responses(discriminator, images, names).items():
        if grid < 1 or min(maps.shape[2:]) < grid:
            height, width = maps.shape[2:]
            raise InputError(f"layer {name}: found {height} x {width} places, expected {grid}")
        pooled.append(F.adaptive_max_pool2d(maps, grid).flatten(1))
    rows = torch.cat(pooled, dim=1)
    if not rows.isfinite().all():
        raise InputError("discriminator: found NaN or infinite features, expected finite ones")
    return rows


def layout(discriminator: nn.Module, names: Sequence[str], grid: int = GRID) -> Layout:
    """What the columns of `extract` are.

    >>> d = Discriminator(PRESETS["cifar10"])
    >>> len(layout(d, layers(d)))
    28672
    """
    config = config_of(discriminator)
    image = torch.zeros(1, config.channels, config.size, config.size)
    device = next(discriminator.parameters()).device
    with torch.no_grad():
        maps = responses(discriminator, image.to(device), names)
    return Layout(tuple(names), tuple(maps[name].shape[1] for name in names), grid)


def averaged(discriminator: nn.Module, images: Images, seed: int = 0) -> nn.Module:
    """A copy of a discriminator with the batch-norm statistics of images, as the authors probed.

        >>> d = averaged(discriminator, ImageSource("photographs.zip", size=32, channels=3))

    images: as the network takes them. The statistics are means over up to 100 batches of 128 of
    them, drawn by the seed; of all of them in one batch if they are fewer. Raises InputError if
    there are none. Source: the authors' code.
    """
    device = next(discriminator.parameters()).device
    batches = draw_batches(len(images), BATCH, BATCHES, seed)
    copy = copied(discriminator)
    estimate_statistics(copy, (images.read(batch).to(device) for batch in batches))
    return copy


def distance(discriminator: nn.Module, a: Numbers, b: Numbers) -> Tensor:
    """How different images look to a discriminator: one number for each pair, 0 to 4.

        >>> d = Discriminator(PRESETS["paper"]).eval()
        >>> distance(d, torch.zeros(2, 3, 64, 64), torch.zeros(2, 3, 64, 64))
        tensor([0., 0.])

    a, b: N x C x size x size in [-1, 1]; b may be one image for all of a. At each place of each
    convolution layer the responses of all filters are brought to length one; the squared distance
    is averaged over places, then over layers. Returns N float32; gradients flow if they are on.
    Source: Zhang et al. (2018), equation 1, with equal weights and this network.
    """
    names = layers(discriminator)
    ours, theirs = (responses(discriminator, images, names) for images in (a, b))
    return torch.stack(
        [
            (F.normalize(ours[name]) - F.normalize(theirs[name])).square().sum(1).mean((1, 2))
            for name in names
        ]
    ).mean(0)


def responses(network: nn.Module, images: Numbers, names: Sequence[str]) -> dict[str, Tensor]:
    """The feature maps of layers, N x filters x h x w each, by name."""
    weights = next(network.parameters())
    given = images if isinstance(images, Tensor) else tensor(images, "images")
    with hooks.record(network, *names) as seen:
        network(given.to(weights))  # arrays have no device, and often float64
    return {name: seen[name] for name in names}
