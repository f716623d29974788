"""The result of visualize-d: responses of filters, what caused them, and their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from dcgan_probe.figures.panels import Block, draw
from dcgan_probe.probes.visualize_d.figures import COLUMNS, draw_responses
from dcgan_probe.results.result import Result

# Lines of a figure; more filters go into further figures.
LINES = 8


@dataclass(frozen=True, eq=False, kw_only=True)
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

    def table(self, filters: Sequence[int]) -> list[dict[str, Any]]:
        """The responses of each filter as JSON values; filters: the number of each row."""
        return [
            {
                "filter": number,
                "responses": [self._response(i, j) for j in range(self.values.shape[1])],
            }
            for i, number in enumerate(filters)
        ]

    def _response(self, i: int, j: int) -> dict[str, Any]:
        return {
            "value": float(self.values[i, j]),
            "image": int(self.images[i, j]),
            "row": int(self.rows[i, j]),
            "column": int(self.columns[i, j]),
            "receptive_field": self.fields[i, j].tolist(),
        }


@dataclass(frozen=True, kw_only=True)
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
        return {
            "layer": self.layer,
            "rule": self.rule,
            "images": self.images,
            "trained": self.trained.table(self.filters),
            "random": self.untrained.table(self.filters),
            "share_of_signal_in_top_tenth": {
                "trained": concentration(self.trained.guided),
                "random": concentration(self.untrained.guided),
            },
        }

    def draw(self, folder: Path) -> None:
        k = self.trained.values.shape[1]
        count = max(1, LINES // -(-k // COLUMNS))
        pages = range(0, len(self.filters), count)
        for page, start in enumerate(pages, start=1):
            suffix = f"_{page:02d}" if len(pages) > 1 else ""
            self._draw_filters(folder / f"filters{suffix}.png", slice(start, start + count), k)

    def _draw_filters(self, path: Path, part: slice, k: int) -> None:
        networks = {"trained weights": self.trained, "random weights": self.untrained}
        draw(
            path,
            f"What filters of layer {self.layer} respond to",
            [
                Block(
                    name,
                    draw_responses(of.photographs[part], of.guided[part], of.fields[part])[:, None],
                )
                for name, of in networks.items()
            ],
            [f"filter\n{number}" for number in self.filters[part]],
            f"The {k} strongest responses of each filter over {self.images}. Above, what the "
            "neuron sees of the image: its receptive field, hatched where that leaves the image. "
            "Below, what raised the response, by guided backpropagation (LeakyReLU rule: "
            f"{self.rule}); grey is zero, and each is scaled to its own maximum. A filter that "
            "learned something shows one or a few parts, with their edges; a random one shows "
            f"haze. {self.caption}.",
            zoom=1,
        )

    def __str__(self) -> str:
        trained, untrained = (concentration(r.guided) for r in (self.trained, self.untrained))
        return (
            f"layer {self.layer}, {len(self.filters)} filters, {self.images}\n"
            f"share of the guided signal in its strongest tenth of pixels: trained {trained:.2f}, "
            f"random weights {untrained:.2f}"
        )


def concentration(guided: Tensor) -> float:
    """Share of the signal's magnitude in the strongest tenth of the pixels, mean over images.

    guided: ... x C x H x W. 0.1 is an even haze, 1 a few strokes.
    """
    magnitude = guided.flatten(0, -4).abs().sum(dim=1).flatten(1)
    strongest = magnitude.topk(max(1, magnitude.shape[1] // 10), dim=1).values.sum(dim=1)
    return float((strongest / magnitude.sum(dim=1).clamp_min(1e-30)).mean())
