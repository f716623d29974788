"""The result of arithmetic: the terms of a sum, and the images of the sum."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from dcgan_probe.figures.panels import Block, draw
from dcgan_probe.latents.sampling import write as write_latents
from dcgan_probe.probes.arithmetic.success import Success
from dcgan_probe.recognition.keeping import ROUGH, Keeping
from dcgan_probe.results.result import Result

# Uniform noise of at most so much is added to the sum for its eight neighbours.
NOISE = 0.25


@dataclass(frozen=True, kw_only=True)
class Term:
    """One name of a sum: its coefficient, and pixels of its exemplars, of their mean, and in them.

    exemplars: n x H x W x 3 uint8; mean: the image of the mean latent, in_pixels: the mean image,
    H x W x 3 uint8.
    """

    name: str
    factor: float
    exemplars: np.ndarray
    mean: np.ndarray
    in_pixels: np.ndarray

    def __str__(self) -> str:
        size = "" if abs(self.factor) == 1 else f"{abs(self.factor):g} "
        return f"{'-' if self.factor < 0 else '+'} {size}{self.name}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Arithmetic(Result):
    """What `run` returns. z: 1 x z_size float32, the sum; name: how later commands call it.

    neighbours: 3 x 3 x H x W x 3 uint8, the image of the sum in the middle and those of the sum
    with noise around it; in_pixels: the same sum of images, H x W x 3 uint8. keeping: what the sum
    does not change of its base, if asked; without: the image of the sum without that, H x W x 3
    uint8. success: how often such sums have what they should, if that was measured.
    """

    expression: str
    name: str
    terms: tuple[Term, ...]
    z: Tensor
    neighbours: np.ndarray
    in_pixels: np.ndarray
    keeping: Keeping | None
    without: np.ndarray | None
    success: Success | None
    caption: str

    def values(self) -> dict[str, Any]:
        return {
            "expression": self.expression,
            "name": self.name,
            "coefficients": {term.name: term.factor for term in self.terms},
            "length_of_z": float(self.z.norm()),
            "largest_of_z": float(self.z.abs().max()),
            "keep": self.keeping.values() if self.keeping else None,
            "success": self.success.values() if self.success else None,
            "doubts": self.success.doubts() if self.success else [],
        }

    def draw(self, folder: Path) -> None:
        write_latents(folder / "z.safetensors", self.z, self.made_with["checkpoint"]["sha256"])
        count = max(3, *(len(term.exemplars) for term in self.terms))
        blank = np.full_like(self.in_pixels, 255)

        def column(images: np.ndarray, mean: np.ndarray, in_pixels: np.ndarray) -> np.ndarray:
            padding = [blank] * (count - len(images))
            return np.stack([*images, *padding, mean, in_pixels])[:, None]

        together = str.maketrans(" ", "\N{NO-BREAK SPACE}")  # a sign stays with its term
        blocks = [
            Block(
                str(term).translate(together),
                column(term.exemplars, term.mean, term.in_pixels),
                [
                    *([f"exemplar {i + 1}"] for i in range(len(term.exemplars))),
                    *[[""]] * (count - len(term.exemplars)),
                    ["mean of z"],
                    ["mean of pixels"],
                ],
            )
            for term in self.terms
        ]
        under = [(blank, blank), (self.neighbours[1, 1], self.in_pixels), (blank, blank)]
        sums, name, kept = ["", "sum of z", ""], self.name, ""
        if self.without is not None and self.keeping is not None:
            under[2] = (self.without, blank)
            sums = ["", self.keeping.title, "without --keep"]
            name = f"{self.name}, {self.keeping.title}"
            by = (
                f"The change of the last term that is added is {ROUGH}. To its right"
                if self.keeping.regression is None
                else "By a linear fit on z, the sum does not change the kept labels of the last "
                "term that is added; to its right"
            )
            kept = f"{by}, the sum without --keep. {self.keeping}. "
        noisy = ["+ noise"] * 3
        nine = [noisy, ["+ noise", "sum of z", "+ noise"], noisy]
        labels = [*nine, *[[""] * 3] * (count - 3), sums, ["", "sum of pixels", ""]]
        result = [column(self.neighbours[:, i], *under[i]) for i in range(3)]
        blocks.append(Block(f"= {name}", np.concatenate(result, axis=1), labels))
        draw(
            folder / "arithmetic.png",
            self.expression,
            blocks,
            [""] * (count + 2),
            "A term: its exemplars, the image of their mean z, and the mean of their images. The "
            "result: the image of the sum of mean z; around it, the sum with uniform noise of up "
            f"to {NOISE} added to each number of z. Below, again, above the same sum of images. "
            f"{kept}{self.caption}.",
        )
        if self.success:
            self.success.draw(folder / "success.png", self.caption)

    def __str__(self) -> str:
        line = f"{self.name} = {self.expression}"
        if self.keeping is not None:
            line += f"\n{self.keeping}"
        return line if self.success is None else f"{line}\n{self.success}"
