"""The pictures of neighbours: samples with their nearest images, and two checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from dcgan_probe import figures
from dcgan_probe.figures import charts
from dcgan_probe.results.numbers import align_decimals

from .comparison import Comparison, Examples, Pairs, SampleSet

CHART = (560, 200)


def draw_nearest(
    path: Path,
    pixels: np.ndarray,
    comparison: Comparison,
    examples: Examples,
    before: Comparison | None,
    caption: str,
) -> None:
    """Some samples beside their nearest images, above the distances of all.

    pixels: all samples, m x H x W x 3 uint8. before: of the earlier checkpoint, for its distances.
    """
    shown = comparison.shown()
    rows = [i for _, i in shown]
    zoom = _zoom(pixels)
    near = _numbers(comparison.distances[rows])
    blocks = [
        figures.Block("sample", pixels[rows][:, None]),
        figures.Block("nearest training images", examples.training, near),
    ]
    title = f"Samples and their nearest training images, by {comparison.space}"
    if comparison.verdict is not None:
        numbers = _numbers(comparison.to_held_out[rows][:, None])
        blocks.append(figures.Block("held-out", examples.held_out, numbers))
        title += f": {comparison.verdict.name.lower()}"
    labels = [f"{why}\nsample {i}" for why, i in shown]
    below = _chart(comparison, before)
    figures.draw(path, title, blocks, labels, caption, zoom, below)


def draw_checkpoints(
    path: Path, checkpoints: Sequence[SampleSet], pairs: Pairs, caption: str
) -> None:
    """Samples of two checkpoints from the same latents, above the real images nearest to each."""
    rows = list(pairs.rows)
    names, below = ["sample"], []  # of all rows of images; distances of all but the first
    for place, space in enumerate(each.space for each in checkpoints[-1].near):
        near = [samples.near[place] for samples in checkpoints]
        kinds = [("training", [each.distances[rows, 0] for each in near])]
        if near[0].verdict is not None:
            kinds.append(("held-out", [each.to_held_out[rows] for each in near]))
        texts = align_decimals(np.concatenate([d for _, both in kinds for d in both]))
        for i, (kind, both) in enumerate(kinds):
            names.append(f"nearest\n{kind} image,\nby {space}")
            start = i * len(both) * len(rows)
            below.append([texts[start + j * len(rows) :][: len(rows)] for j in range(len(both))])
    blocks = []
    for j, (samples, examples) in enumerate(zip(checkpoints, pairs.examples, strict=True)):
        images = [samples.pixels[rows]]
        for each in examples:
            images.append(each.training[:, 0])
            if each.held_out.shape[1]:
                images.append(each.held_out[:, 0])
        verdicts = [
            f"{near.verdict.name.lower()} by {near.space}" for near in samples.near if near.verdict
        ]
        heading = ": ".join(filter(None, [samples.name, ", ".join(verdicts)]))
        labels = [[""] * len(rows), *(each[j] for each in below)]
        blocks.append(figures.Block(heading, np.stack(images), labels))
    title = "Samples of two checkpoints, and the real images nearest to them"
    figures.draw(path, title, blocks, names, caption, _zoom(checkpoints[-1].pixels))


def _zoom(pixels: np.ndarray) -> int:
    """The whole number that brings images to about 64 pixels."""
    return max(1, figures.zoom_for(pixels.shape[1]) // 2)


def _numbers(distances: np.ndarray) -> list[list[str]]:
    columns = distances.shape[1]
    texts = align_decimals(distances.flat)
    return [texts[i : i + columns] for i in range(0, len(texts), columns)]


def _chart(comparison: Comparison, before: Comparison | None) -> Figure:
    """The distances to the nearest training image, as cumulative shares."""
    figure = figures.blank(*CHART)
    axes = figure.subplots()
    lines = [("samples", comparison.distances[:, 0], figures.BLUE, "-")]
    if before is not None:
        lines.append(("samples before", before.distances[:, 0], figures.GREEN, "--"))
    if len(comparison.held_out):
        lines.append(("held-out images", comparison.held_out, figures.ORANGE, "-"))
    for label, values, colour, style in lines:
        axes.ecdf(values, color=colour, linestyle=style, label=label)
    axes.set_xlim(left=0)
    charts.style(axes, x="distance to the nearest training image", y="share", labels=8)
    charts.legend(axes, loc="upper left")
    figure.tight_layout()
    return figure
