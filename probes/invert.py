"""The latent whose image is nearest to a photograph, and how far that is."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import dcgan_probe as dp
from dcgan_probe.errors import InputError
from dcgan_probe.latents import concepts
from dcgan_probe.networks import config
from dcgan_probe.plugins.contract import pass_session
from dcgan_probe.results.result import Result

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from ._inversion import Found

# Decibels below the sample's that still count as close: at most twice its squared error.
CLOSE_DB = 3.0
# A sample that is found again with more than 8 of 255 levels of error was not found again.
SURE_DB = 30.0
# Levels of difference, of 255, that are drawn as the brightest.
BRIGHTEST = 64
# Starts that are drawn beside the best.
OTHERS = 7


@dataclass(frozen=True, eq=False)
class Inversion(Result):
    """What `run` returns. z: m x z_size float32, the latents found, the nearest first.

    photo: its path. name: how later commands call z[:1]. found: of the photograph; again: of
    `sample`, a sample named by seed and index, searched in the same way: see `_inversion.Found`.
    """

    photo: str
    name: str
    found: Found
    sample: str
    again: Found
    caption: str

    @property
    def z(self) -> Tensor:
        return self.found.z

    def values(self) -> dict[str, Any]:
        from . import _inversion

        return {
            "photo": self.photo,
            "name": self.name,
            "verdict": self.verdict(),
            "candidates": _inversion.CANDIDATES,
            **self.found.values(),
            "sample": {"name": self.sample, **self.again.values()},
        }

    def verdict(self) -> str:
        """Whether the nearest image is close to the photograph, in words."""
        own, best = float(self.again.near.psnr[0]), float(self.found.near.psnr[0])
        if own < SURE_DB:
            return (
                f"it cannot be said how close this is: even a sample is found again with {own:.1f} "
                f"dB only, expected {SURE_DB:g}; try more steps or starts"
            )
        if best >= own - CLOSE_DB:
            return "close: the photograph is found about as well as a sample"
        return (
            f"not close: {own - best:.1f} dB short of what a sample reaches, "
            f"{10 ** ((own - best) / 10):.3g} times its squared error"
        )

    def draw(self, folder: Path) -> None:
        import numpy as np

        from ._inversion import CANDIDATES

        sha = self.made_with["checkpoint"]["sha256"]
        dp.latents.write(folder / "z.safetensors", self.z[:1], sha)
        rows, verdict = (self.found, self.again), self.verdict()

        def block(heading: str, images: list[np.ndarray]) -> dp.figures.Block:
            return dp.figures.Block(heading, np.stack(images))

        blocks = [
            block("wanted", [dp.figures.pixels(of.target) for of in rows]),
            block("nearest random", [dp.figures.pixels(of.random) for of in rows]),
            block("found: the best", [dp.figures.pixels(of.images[:1]) for of in rows]),
            block("difference", [_difference(of.images[:1], of.target) for of in rows]),
        ]
        if len(self.z) > 1:
            others = [dp.figures.pixels(of.images[1 : 1 + OTHERS]) for of in rows]
            blocks.append(block("other starts, the better first", others))
        zoom = dp.figures.zoom_for(self.found.target.shape[3])
        width = sum(b.images.shape[1] for b in blocks) * self.found.target.shape[3] * zoom + 100
        dp.figures.draw(
            folder / "invert.png",
            f"The nearest image to {Path(self.photo).name}",
            blocks,
            [_row("photograph", self.found), _row(f"sample {self.sample}", self.again)],
            f"{verdict[0].upper()}{verdict[1:]}. Above the photograph; below a sample, which "
            "has a z, searched for in the same way: what can be reached at best. Nearest random: "
            f"the nearest of {CANDIDATES} samples, {self.found.random_near.words()} for the "
            f"photograph and {self.again.random_near.words()} for the sample. Difference: black is "
            f"none, white {BRIGHTEST} of 255 levels or more. {self.caption}.",
            zoom=zoom,
            below=_chart(self, max(600, width)),
        )

    def __str__(self) -> str:
        from ._inversion import CANDIDATES

        what = "" if self.found.near.distance is not None else " (no discriminator: pixels alone)"
        levels = 255 * 10 ** (-float(self.found.near.psnr[0]) / 20)
        return "\n".join(
            [
                f"{self.photo}: found with {self.found.near.words()}{what}: "
                f"{levels:.0f} of 255 levels of error",
                f"nearest of {CANDIDATES} random z: {self.found.random_near.words()}",
                f"sample {self.sample}, which has a z, searched for in the same way: "
                f"{self.again.near.words()} (nearest random: {self.again.random_near.words()})",
                self.verdict(),
                f"z is called {self.name} in later commands",
            ]
        )


def run(
    session: dp.Session,
    photo: str | os.PathLike[str] | Tensor,
    starts: int = 8,
    steps: int = 200,
    resize: bool = False,
    name: str | None = None,
) -> Inversion:
    """Find the latents whose images are nearest to a photograph, and say how near.

        >>> result = run(dp.Session.open("rooms"), "my_room.png", resize=True)
        >>> result.z.shape, result.found.near.psnr.shape
        (torch.Size([8, 100]), torch.Size([8]))

    photo: a file, or C x H x W float32 in [-1, 1]. resize: take a file of another size, cropped to
    its centre square and resized. starts, steps: see `_inversion.search`. name: under which the
    nearest latent is kept in the session, if not the file's. Edits in force are kept. The same
    search for a sample, the first that is none of the candidates, says what can be reached.

    Raises InputError for a photograph that is none or of another size, and a name that is no word.
    """
    from . import _inversion

    if not 1 <= starts <= _inversion.CANDIDATES:
        raise InputError(
            f"invert: found {starts} starts, expected 1 to {_inversion.CANDIDATES}, the candidates"
        )
    if steps < 1:
        raise InputError(f"invert: found {steps} steps, expected at least 1")
    if isinstance(photo, str | os.PathLike):
        source, target = str(photo), read(photo, session.config, resize)
    else:
        source, target = "photo", _checked(photo, session.config)
    name = name_of(source) if name is None else concepts.check_name(name, "--name")
    found = _inversion.search(session, target, starts, steps, "the photograph")
    own = session.generate(session.latents(1, start=_inversion.CANDIDATES))
    again = _inversion.search(session, own, starts, steps, "a sample, to compare")
    session.keep(name, found.z[:1])
    return Inversion(
        session.made_with(
            photo=source if isinstance(photo, str | os.PathLike) else None,
            starts=starts,
            steps=steps,
            resize=resize,
            name=name,
        ),
        source,
        name,
        found,
        f"{session.seed}:{_inversion.CANDIDATES}",
        again,
        session.caption(),
    )


def read(path: str | os.PathLike[str], config: config.AnyConfig, resize: bool = False) -> Tensor:
    """The image of a file as 1 x C x size x size float32 in [-1, 1], grey or RGB as the network's.

        >>> read("my_room.png", dp.Config(), resize=True).shape
        torch.Size([1, 3, 64, 64])

    Raises InputError where there is no file, for one that is no image and, unless `resize`, for
    one of another size.
    """
    import cv2
    import numpy as np
    import torch

    from dcgan_probe.images import containers, decoding, sources

    path, expected = Path(path), "an image file"
    try:
        if path.is_dir():
            raise InputError(f"{path}: found a folder, expected {expected}")
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{path}: found no regular file, expected {expected}")
        containers.check_size(path.stat().st_size)
        data = path.read_bytes()
        pixels = decoding.pixels(data, config.size, config.channels)
    except FileNotFoundError:
        raise InputError(f"{path}: found nothing, expected {expected}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except containers.Unreadable as reason:
        raise InputError(f"{path}: {reason}") from reason
    whole: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    height, width = whole.shape
    if not resize and (height, width) != (config.size, config.size):
        raise InputError(
            f"{path}: found {width} x {height} pixels, expected {config.size} x {config.size} as "
            "the generator draws, or --resize"
        )
    return sources.to_range(torch.from_numpy(pixels))[None]


def name_of(photo: str) -> str:
    """The name of a photograph's file, as a word that an expression can hold.

    >>> name_of("album/me at sea.png"), name_of("17.jpg")
    ('me_at_sea', 'photo_17')
    """
    word = re.sub(r"\W", "_", Path(photo).stem)
    return f"photo_{word}" if re.match(r"\d", word) else word


def _checked(image: Tensor, config: config.AnyConfig) -> Tensor:
    shape = (config.channels, config.size, config.size)
    if tuple(image.shape) != shape:
        found, expected = (" x ".join(map(str, of)) for of in (image.shape, shape))
        raise InputError(f"photo: found {found} numbers, expected {expected}")
    if not (image.abs() <= 1).all():
        raise InputError("photo: found numbers outside of -1 to 1, expected none")
    return image.detach().float()[None]


def _row(label: str, of: Found) -> str:
    return f"{label}\n" + of.near.words().replace(", ", "\n")


def _difference(images: Tensor, target: Tensor) -> np.ndarray:
    """How far images are from a target in the mean of their channels, as grey."""
    levels = (images - target).abs().mean(1, keepdim=True) * 127.5
    return dp.figures.pixels(levels / BRIGHTEST * 2 - 1)


def _chart(of: Inversion, width: int) -> np.ndarray:
    figures = dp.figures
    figure = figures.blank(width, 240)
    axes = figure.subplots()
    for label, found, colour in (
        ("photograph", of.found, figures.BLUE),
        (f"sample {of.sample}", of.again, figures.ORANGE),
    ):
        for row, losses in enumerate(found.losses.tolist()):
            axes.plot(
                losses,
                color=colour,
                label=f"{label}, best" if row == 0 else None,
                alpha=1.0 if row == 0 else 0.4,
                linewidth=1.8 if row == 0 else 0.7,
            )
    axes.set_yscale("log")
    axes.set_xlabel("step", fontsize=9)
    axes.set_ylabel("loss", fontsize=9)
    axes.tick_params(labelsize=8, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="upper right", ncols=2)
    figure.subplots_adjust(left=80 / width, right=0.99, bottom=0.18, top=0.96)
    return figures.rendered(figure)


@click.command()
@click.argument("photo", type=click.Path(path_type=Path))
@click.option("--starts", default=8, type=click.IntRange(1), help="Random z to search from.")
@click.option("--steps", default=200, type=click.IntRange(1), help="Of the search, from each.")
@click.option("--resize", is_flag=True, help="Crop and resize a photograph of another size.")
@click.option("--name", help="How later commands call the z; of the file if not given.")
@pass_session
def invert(session: dp.Session, photo: Path, **options: Any) -> None:
    """Find the z whose image is nearest to a photograph, and say how far it is.

    Later commands take it by its name: invert me.png arithmetic "me + smiling - neutral".
    """
    session.save(run(session, photo, **options))
