"""What `neighbours` found: pictures and numbers of samples beside their nearest training images."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import dcgan_probe as dp
from dcgan_probe.results.result import Result
from dcgan_probe.storage import files

from ._copying import Verdict

CLOSEST, TYPICAL = 4, 4
CHART = (560, 200)
SHEET = 36  # samples of either checkpoint that are drawn side by side
_LINE = 16


@dataclass(frozen=True, eq=False)
class Near:
    """Distances of one set of samples in one space.

    distances, nearest: m x 5 of each sample to its nearest training images, and their numbers.
    held_out: of each held-out image to its nearest training image. to_held_out,
    nearest_held_out: m, of each sample to its nearest held-out image, and its number. Empty, and
    verdict None, without held-out images.
    """

    space: str
    unit: str
    distances: np.ndarray
    nearest: np.ndarray
    held_out: np.ndarray
    to_held_out: np.ndarray
    nearest_held_out: np.ndarray
    verdict: Verdict | None

    def shown(self) -> list[tuple[str, int]]:
        """The samples of the picture, and why: the closest, and those about the median."""
        order = np.argsort(self.distances[:, 0], kind="stable").tolist()
        closest = [("closest", i) for i in order[:CLOSEST]]
        rest = order[CLOSEST:]
        start = max(0, (len(rest) - TYPICAL) // 2)
        return closest + [("typical", i) for i in rest[start : start + TYPICAL]]

    def values(self) -> dict[str, Any]:
        held = float(np.median(self.held_out)) if len(self.held_out) else None
        return {
            "unit": self.unit,
            "median_distance": {
                "samples": float(np.median(self.distances[:, 0])),
                "held_out": held,
            },
            **({} if self.verdict is None else self.verdict.values()),
        }

    def __str__(self) -> str:
        line = f"{self.space}: to the nearest training image (median; {self.unit}): "
        line += f"samples {np.median(self.distances[:, 0]):.3g}"
        if self.verdict is None:
            return line
        line += f", held-out images {np.median(self.held_out):.3g}"
        return "\n  ".join([line, *self.verdict.numbers(), str(self.verdict)])


@dataclass(frozen=True, eq=False)
class Of:
    """The samples of one checkpoint. pixels: m x H x W x 3 uint8; near: one for each space."""

    name: str
    pixels: np.ndarray
    near: tuple[Near, ...]

    def values(self) -> dict[str, Any]:
        return {"checkpoint": self.name, **{near.space: near.values() for near in self.near}}

    def __str__(self) -> str:
        return "\n".join(map(str, self.near))


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images of the picture of one space, m x columns x H x W x 3 uint8; held_out may be empty."""

    training: np.ndarray
    held_out: np.ndarray


@dataclass(frozen=True, eq=False)
class Neighbours(Result):
    """What `neighbours.run` returns.

    images, control: the training and held-out images in words; control is "" without any.
    own, before: the samples of the session's checkpoint, and of the earlier one if there is any.
    pictures: for each space. names: of all training images, and of the held-out images.
    warnings: why not to believe the verdict, in words.
    """

    images: str
    control: str
    own: Of
    before: Of | None
    pictures: tuple[Pictures, ...]
    names: tuple[Sequence[str], Sequence[str]]
    warnings: tuple[str, ...]
    caption: str

    def values(self) -> dict[str, Any]:
        return {
            "images": self.images,
            "control": self.control,
            "warnings": list(self.warnings),
            "samples": self.own.values(),
            "before": None if self.before is None else self.before.values(),
        }

    def draw(self, folder: Path) -> None:
        for place, near in enumerate(self.own.near):
            files.write_text(folder / f"{near.space}.csv", self._table(near))
            self._draw_near(folder / f"{near.space}.png", place)
        if self.before is not None:
            self._draw_before(folder / "before_after.png", self.before)

    def _table(self, near: Near) -> str:
        """Each sample with the names of its nearest images, as CSV."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["sample", "distance", "training_image", "to_held_out", "held_out_image"])
        training, held_out = self.names
        for i, (distance, nearest) in enumerate(zip(near.distances, near.nearest, strict=True)):
            row = [i, f"{distance[0]:.6g}", training[nearest[0]]]
            if near.verdict is not None:
                row += [f"{near.to_held_out[i]:.6g}", held_out[near.nearest_held_out[i]]]
            table.writerow(row)
        return text.getvalue()

    def _draw_near(self, path: Path, place: int) -> None:
        near, images = self.own.near[place], self.pictures[place]
        shown = near.shown()
        rows = [i for _, i in shown]
        zoom = _zoom(self.own.pixels)
        samples = _labelled(self.own.pixels[rows][:, None], [[""]] * len(rows), zoom)
        training = _labelled(images.training, _numbers(near.distances[rows]), zoom)
        blocks = [
            dp.figures.Block("sample", samples),
            dp.figures.Block("nearest training images", training),
        ]
        told = "No held-out images were given: no verdict."
        if near.verdict is not None:
            held = _labelled(images.held_out, _numbers(near.to_held_out[rows][:, None]), zoom)
            blocks.append(dp.figures.Block("held-out", held))
            words = f"{near.verdict}; {'; '.join(near.verdict.numbers())}."
            told = " ".join([*self.warnings, words])
        dp.figures.draw(
            path,
            f"Samples and their nearest training images, by {near.space}"
            + ("" if near.verdict is None else f": {near.verdict.name.lower()}"),
            blocks,
            [f"{why}\nsample {i}" for why, i in shown],
            f"The samples closest to a training image, and some about the median. Under each image "
            f"its distance to the sample, {near.unit}. {told} Trained on: {self.images}. "
            f"{self._said()}{self.caption}.",
            zoom=1,
            below=_chart(near, None if self.before is None else self.before.near[place]),
        )

    def _draw_before(self, path: Path, before: Of) -> None:
        blocks, told = [], []
        for of in (before, self.own):
            sheet = dp.figures.tile(of.pixels[:SHEET], int(SHEET**0.5), _zoom(of.pixels))
            blocks.append(dp.figures.Block(of.name, sheet[None, None]))
            for near in of.near:
                if near.verdict is not None:
                    told.append(f"{of.name}, by {near.space}: {near.verdict}.")
        dp.figures.draw(
            path,
            "Samples of two checkpoints of one training, of the same latents",
            blocks,
            [""],
            f"{' '.join([*self.warnings, *told])} {self._said()}{self.caption}.",
            zoom=1,
        )

    def _said(self) -> str:
        return f"Held out: {self.control}. " if self.control else ""

    def __str__(self) -> str:
        lines = [*self.warnings, f"{len(self.own.pixels)} samples against {self.images}"]
        if self.control:
            lines[-1] += f"; held out: {self.control}"
        else:
            lines.append("no held-out images, so no verdict: give some (--held-out, or --split)")
        if self.before is not None:
            lines += [f"{self.before.name}:", str(self.before), f"{self.own.name}:"]
        return "\n".join([*lines, str(self.own)])


def _zoom(pixels: np.ndarray) -> int:
    """The whole number that brings images to about 64 pixels."""
    return max(1, dp.figures.zoom_for(pixels.shape[1]) // 2)


def _numbers(distances: np.ndarray) -> list[list[str]]:
    return [[f"{distance:.3g}" for distance in row] for row in distances]


def _labelled(images: np.ndarray, labels: list[list[str]], zoom: int) -> np.ndarray:
    """Rows x columns of images at whole-number zoom, each with a line of text beneath."""
    large = images.repeat(zoom, 2).repeat(zoom, 3)
    rows, columns, height, width, _ = large.shape
    # One figure for all lines: a figure for each would take longer than all else.
    figure = dp.figures.blank(columns * width, rows * _LINE)
    style: dict[str, Any] = {"fontfamily": dp.figures.FONT, "color": dp.figures.INK}
    for row, texts in enumerate(labels):
        for column, text in enumerate(texts):
            x, y = (column + 0.5) / columns, 1 - (row + 0.5) / rows
            figure.text(x, y, text, ha="center", va="center", fontsize=7, **style)
    lines = dp.figures.rendered(figure).reshape(rows, _LINE, columns, width, 3)
    return np.concatenate([large, lines.transpose(0, 2, 1, 3, 4)], axis=2)


def _chart(near: Near, before: Near | None) -> np.ndarray:
    """The distances to the nearest training image, as cumulative shares."""
    figure = dp.figures.blank(*CHART)
    axes = figure.subplots()
    lines = [("samples", near.distances[:, 0], dp.figures.BLUE, "-")]
    if before is not None:
        lines.append(("samples before", before.distances[:, 0], dp.figures.GREEN, "--"))
    if len(near.held_out):
        lines.append(("held-out images", near.held_out, dp.figures.ORANGE, "-"))
    for label, values, colour, style in lines:
        axes.ecdf(values, color=colour, linestyle=style, label=label)
    text: dict[str, Any] = {"fontfamily": dp.figures.FONT, "fontsize": 8}
    axes.set_xlabel("distance to the nearest training image", **text)
    axes.set_ylabel("share", **text)
    axes.set_xlim(left=0)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, prop={"family": dp.figures.FONT, "size": 8}, loc="upper left")
    figure.tight_layout()
    return dp.figures.rendered(figure)
