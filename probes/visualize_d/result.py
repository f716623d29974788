"""The result of visualize-d: responses of filters, what caused them, and their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from dcgan_probe.figures.panels import Block, draw, zoom_for
from dcgan_probe.figures.rasters import signed
from dcgan_probe.probes.visualize_d.figures import light_photographs
from dcgan_probe.results.result import Result

# Rows of a figure; more filters go into further figures.
FIGURE_ROWS = 16


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
        pages = range(0, len(self.filters), FIGURE_ROWS)
        for page, start in enumerate(pages, start=1):
            suffix = f"_{page:02d}" if len(pages) > 1 else ""
            part = slice(start, start + FIGURE_ROWS)
            self._draw_filters(folder / f"filters{suffix}.png", part)
            self._draw_fields(folder / f"receptive_fields{suffix}.png", part)

    def _headed(self) -> tuple[tuple[str, Responses], ...]:
        return ("trained", self.trained), ("random weights", self.untrained)

    def _draw_filters(self, path: Path, part: slice) -> None:
        k = self.trained.values.shape[1]
        blocks = []
        for heading, responses in self._headed():
            photographs = responses.photographs[part]
            signal = signed(responses.guided[part].flatten(0, 1)).reshape(photographs.shape)
            blocks.append(Block(f"{heading}: images", photographs))
            blocks.append(Block("guided backpropagation", signal))
        draw(
            path,
            f"What filters of layer {self.layer} respond to",
            blocks,
            [f"filter {number}" for number in self.filters[part]],
            f"The {k} strongest responses of each filter over {self.images}, and what in the image "
            f"raised them (grey: nothing; rule: {self.rule}; each scaled to itself). A filter that "
            f"learned something shows edges of one thing where a random one shows haze. "
            f"{self.caption}.",
            zoom=zoom_for(self.trained.photographs.shape[2]),
        )

    def _draw_fields(self, path: Path, part: slice) -> None:
        zoom = zoom_for(self.trained.photographs.shape[2])
        blocks = [
            Block(
                heading,
                light_photographs(
                    responses.photographs[part],
                    responses.guided[part],
                    responses.fields[part],
                    zoom,
                ),
            )
            for heading, responses in self._headed()
        ]
        draw(
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


def concentration(guided: Tensor) -> float:
    """Share of the signal's magnitude in the strongest tenth of the pixels, mean over images.

    guided: ... x C x H x W. 0.1 is an even haze, 1 a few strokes.
    """
    magnitude = guided.flatten(0, -4).abs().sum(dim=1).flatten(1)
    strongest = magnitude.topk(max(1, magnitude.shape[1] // 10), dim=1).values.sum(dim=1)
    return float((strongest / magnitude.sum(dim=1).clamp_min(1e-30)).mean())
