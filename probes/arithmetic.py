"""Sums of concepts in latent space, as the paper's smiling woman - neutral woman + neutral man."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import dcgan_probe as dp
from dcgan_probe.errors import at_least
from dcgan_probe.latents import expressions
from dcgan_probe.latents.concepts import check_name
from dcgan_probe.plugins import completion
from dcgan_probe.plugins.contract import pass_session
from dcgan_probe.recognition import classifiers
from dcgan_probe.results.result import Result

from ._latent import concepts_option, exemplars_option

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from ._measured import Success

# Uniform noise of at most so much is added to the sum for its eight neighbours.
NOISE = 0.25


@dataclass(frozen=True)
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


@dataclass(frozen=True, eq=False)
class Arithmetic(Result):
    """What `run` returns. z: 1 x z_size float32, the sum; name: how later commands call it.

    neighbours: 3 x 3 x H x W x 3 uint8, the image of the sum in the middle and those of the sum
    with noise around it; in_pixels: the same sum of images, H x W x 3 uint8. success: how often
    such sums have what they should, if that was measured.
    """

    expression: str
    name: str
    terms: tuple[Term, ...]
    z: Tensor
    neighbours: np.ndarray
    in_pixels: np.ndarray
    success: Success | None
    caption: str

    def values(self) -> dict[str, Any]:
        return {
            "expression": self.expression,
            "name": self.name,
            "coefficients": {term.name: term.factor for term in self.terms},
            "length_of_z": float(self.z.norm()),
            "largest_of_z": float(self.z.abs().max()),
            "success": self.success.values() if self.success else None,
        }

    def draw(self, folder: Path) -> None:
        import numpy as np

        dp.latents.write(folder / "z.safetensors", self.z, self.made_with["checkpoint"]["sha256"])
        rows = max(3, *(len(term.exemplars) for term in self.terms))
        blank = np.full_like(self.in_pixels, 255)

        def column(images: np.ndarray, mean: np.ndarray, in_pixels: np.ndarray) -> np.ndarray:
            padding = [blank] * (rows - len(images))
            return np.stack([*images, *padding, mean, in_pixels])[:, None]

        blocks = [
            dp.figures.Block(str(term), column(term.exemplars, term.mean, term.in_pixels))
            for term in self.terms
        ]
        middle = self.neighbours[1, 1]
        result = [
            column(self.neighbours[:, i], *((middle, self.in_pixels) if i == 1 else (blank, blank)))
            for i in range(3)
        ]
        blocks.append(dp.figures.Block(f"= {self.name}", np.concatenate(result, axis=1)))
        dp.figures.draw(
            folder / "arithmetic.png",
            self.expression,
            blocks,
            [*["exemplar"] * rows, "mean of z", "mean of pixels"],
            "Above, the exemplars of each concept. In the row of z, the images of their mean "
            "latents and of the sum of these, which is also the middle of the nine: around it, the "
            f"sum with uniform noise of up to {NOISE} in every number. In the last row, the same "
            f"sum of the images themselves. {self.caption}.",
        )
        if self.success:
            self.success.draw(folder / "success.png", self.caption)

    def __str__(self) -> str:
        line = f"{self.name} = {self.expression}"
        return line if self.success is None else f"{line}\n{self.success}"


def run(
    session: dp.Session,
    expression: str,
    concepts: dp.Concepts | None = None,
    exemplars: int = 3,
    name: str = "result",
    classifier: classifiers.Classifier | None = None,
    draws: int = 100,
) -> Arithmetic:
    """Add and subtract concepts in latent space, and say how often that works.

        >>> session = dp.Session.open("faces")
        >>> concepts = session.read_concepts()
        >>> run(session, "smiling - neutral + glasses", concepts).z.shape
        torch.Size([1, 100])

    expression: see `expressions.parse`; its names are concepts, whose first `exemplars` are
    averaged, samples, as 3:17, and what earlier commands kept. name: under which the sum is kept
    in the session. classifier: measure `draws` draws of exemplars, see `_success.measure`.
    Edits in force are kept.

    Raises InputError for a malformed expression, unknown names, concepts of fewer exemplars.
    Source: section 6.3.2, figure 7.
    """
    import torch

    at_least(1, exemplars=exemplars)
    at_least(2, draws=draws)
    factors = expressions.parse(expression)
    check_name(name, "--name")
    latents = {n: session.find_latents(n, concepts, exemplars) for n in factors}
    z = torch.stack([factors[n] * latents[n].mean(0) for n in factors]).sum(0, keepdim=True)
    random = torch.Generator().manual_seed(session.seed)
    noise = (torch.rand(9, z.shape[1], generator=random) * 2 - 1) * NOISE
    noise[4] = 0
    size = session.config.size
    success = None
    if classifier is not None:
        from . import _success

        success = _success.measure(session, factors, concepts, classifier, exemplars, draws)
    session.keep(name, z)
    images = {n: session.generate(latents[n]) for n in factors}
    return Arithmetic(
        session.made_with(
            expression=expression,
            exemplars=exemplars,
            concepts=concepts.file if concepts else None,
            name=name,
            classifier=classifier.name if classifier else None,
            draws=draws,
        ),
        expression,
        name,
        tuple(_term(session, n, factors[n], latents[n], images[n]) for n in factors),
        z,
        dp.figures.pixels(session.generate(z + noise)).reshape(3, 3, size, size, 3),
        dp.figures.pixels(
            torch.stack([factors[n] * images[n].mean(0) for n in factors]).sum(0)[None]
        )[0],
        success,
        session.caption(),
    )


def _term(session: dp.Session, name: str, factor: float, z: Tensor, images: Tensor) -> Term:
    mean = session.generate(z.mean(0, keepdim=True))
    pixels = [dp.figures.pixels(of) for of in (images, mean, images.mean(0, keepdim=True))]
    return Term(name, factor, pixels[0], pixels[1][0], pixels[2][0])


@click.command()
@click.argument("expression")
@concepts_option
@exemplars_option
@click.option("--name", default="result", help="How later commands of the line call the sum.")
@click.option(
    "--classifier",
    shell_complete=completion.installed("classifier"),
    help="Measure how often it works, as this sees it: an installed classifier (faces), a file of "
    "torch.export, or a folder of images with a sub-folder a label.",
)
@click.option("--draws", default=100, type=click.IntRange(2), help="Of exemplars, to measure.")
@pass_session
def arithmetic(
    session: dp.Session,
    expression: str,
    path: Path | None,
    exemplars: int,
    name: str,
    classifier: str | None,
    draws: int,
) -> None:
    """Add and subtract concepts: "smiling_woman - neutral_woman + neutral_man"."""
    concepts = session.read_concepts(path)
    judge = classifiers.find(classifier, session) if classifier else None
    session.save(run(session, expression, concepts, exemplars, name, judge, draws))
