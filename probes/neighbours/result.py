"""The result of neighbours: numbers, tables and pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcgan_probe.results.result import Result
from dcgan_probe.storage import files

from . import figures
from .comparison import PAIRED, Comparison, Examples, Pairs, SampleSet


@dataclass(frozen=True, eq=False, kw_only=True)
class Neighbours(Result):
    """What `neighbours.run` returns.

    images, control: the training and held-out images in words; control is "" without any.
    own, before: the samples of the session's checkpoint, and of the earlier one if there is any.
    examples: the images of the picture of each space. pairs: those of the picture of two
    checkpoints. names: of all training images, and of the
    held-out images.
    warnings: why not to believe the verdict, in words.
    """

    images: str
    control: str
    own: SampleSet
    before: SampleSet | None
    examples: tuple[Examples, ...]
    pairs: Pairs | None
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
            figures.draw_nearest(
                folder / f"{near.space}.png",
                self.own.pixels,
                near,
                self.examples[place],
                None if self.before is None else self.before.near[place],
                self._nearest_caption(near),
            )
        if self.before is not None and self.pairs is not None:
            figures.draw_checkpoints(
                folder / "before_after.png",
                (self.before, self.own),
                self.pairs,
                self._checkpoints_caption(self.own.near[0]),
            )

    def _table(self, near: Comparison) -> str:
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

    def _nearest_caption(self, near: Comparison) -> str:
        verdict = "No held-out images were given: no verdict."
        if near.verdict is not None:
            verdict = " ".join([*self.warnings, near.verdict.sentence()])
        held_out = ", and the nearest held-out image" if near.verdict is not None else ""
        return (
            f"In each row a sample, the training images nearest to it{held_out}; below each image "
            f"its distance to the sample ({near.unit}). First the samples that are closest to a "
            f"training image, then typical ones. {verdict} Training images: {self.images}. "
            f"{self._control_words()}{self.caption}."
        )

    def _checkpoints_caption(self, near: Comparison) -> str:
        held_out = " and the nearest held-out image" if near.verdict is not None else ""
        words = (
            f"The same latents on both sides: the {PAIRED} whose samples of {self.own.name} are "
            f"closest to a training image by {near.space}, then {PAIRED} typical ones. Below each "
            f"sample the nearest training image{held_out}, with their distances to it."
        )
        words = " ".join([words, *self.warnings])
        return f"{words} Training images: {self.images}. {self._control_words()}{self.caption}."

    def _control_words(self) -> str:
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
