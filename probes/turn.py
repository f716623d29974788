"""The axis between two concepts, applied to any sample: the paper's turning faces (figure 8)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import dcgan_probe as dp
from dcgan_probe.errors import InputError, at_least
from dcgan_probe.plugins import completion
from dcgan_probe.plugins.contract import pass_session
from dcgan_probe.recognition import classifiers
from dcgan_probe.results.result import Result

from ._latent import concepts_option, exemplars_option, film, video_option

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

# Samples on which a classifier measures the axis.
MEASURED = 200
# Images of a film from one end to the other.
FRAMES = 48
COLUMNS = 4


@dataclass(frozen=True)
class Response:
    """What a classifier sees along the axis, of `MEASURED` samples.

    mean: by label, its mean probability at each place. rises: by label, the share of samples that
    have more of it at the far end than at the near one.
    """

    classifier: str
    about: dict[str, Any]
    mean: dict[str, list[float]]
    rises: dict[str, float]

    @property
    def order(self) -> list[str]:
        """Labels, the one that the axis changes most first."""
        return sorted(self.mean, key=lambda label: -abs(self.change(label)))

    def change(self, label: str) -> float:
        """How much the mean probability of a label changes, from end to end."""
        return self.mean[label][-1] - self.mean[label][0]

    def values(self) -> dict[str, Any]:
        return {
            "classifier": {"name": self.classifier, "about": self.about},
            "samples": MEASURED,
            "mean": self.mean,
            "rises": self.rises,
        }


@dataclass(frozen=True, eq=False)
class Turn(Result):
    """What `run` returns. axis: z_size float32, from the mean of one concept to that of the other.

    at: the places along it, in lengths of the axis; 0 is the sample itself. pixels: n x places x
    H x W x 3 uint8. frames: images of a film, T x n x H x W x 3 uint8, or none.
    """

    start: str
    end: str
    axis: Tensor
    at: tuple[float, ...]
    pixels: np.ndarray
    response: Response | None
    frames: np.ndarray
    video: str | None
    caption: str

    def values(self) -> dict[str, Any]:
        return {
            "from": self.start,
            "to": self.end,
            "length_of_axis": float(self.axis.norm()),
            "at": list(self.at),
            "response": self.response.values() if self.response else None,
        }

    def draw(self, folder: Path) -> None:
        sha = self.made_with["checkpoint"]["sha256"]
        dp.latents.write(folder / "axis.safetensors", self.axis[None], sha)
        if self.video:
            film(folder / f"turn.{self.video}", self.frames, COLUMNS)
        blocks = [
            dp.figures.Block(f"{place:+.2g}" if place else "0", self.pixels[:, i : i + 1])
            for i, place in enumerate(self.at)
        ]
        dp.figures.draw(
            folder / "turn.png",
            f"From {self.start} to {self.end}",
            blocks,
            [str(i) for i in range(len(self.pixels))],
            f"Every row is one sample, in the column 0. To its sides, the same with the axis from "
            f"{self.start} to {self.end} subtracted and added, so many times its length. "
            f"{'' if self.response is None else self._below()}{self.caption}.",
            zoom=max(1, dp.figures.zoom_for(self.pixels.shape[2]) // 2),
            below=None if self.response is None else self._chart(self.response),
        )

    def _below(self) -> str:
        return (
            f"Below, what the classifier sees along the axis, mean of {MEASURED} samples: an axis "
            "of its own moves its label alone. "
        )

    def _chart(self, response: Response) -> np.ndarray:
        figures = dp.figures
        figure = figures.blank(620, 260)
        axes = figure.subplots()
        colours = (figures.BLUE, figures.ORANGE, figures.GREEN)
        for rank, label in reversed(list(enumerate(response.order))):
            own = rank < len(colours)
            style = {"color": colours[rank], "linewidth": 2} if own else {"color": "#CCCCCC"}
            axes.plot(self.at, response.mean[label], label=label if own else None, **style)
        axes.set_ylim(0, 1)
        axes.set_xlabel("lengths of the axis", fontsize=9)
        axes.set_ylabel("mean probability", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(handles[::-1], labels[::-1], frameon=False, fontsize=8, loc="upper left")
        figure.subplots_adjust(left=0.1, right=0.98, bottom=0.18, top=0.97)
        return figures.rendered(figure)

    def __str__(self) -> str:
        line = f"from {self.start} to {self.end}: {len(self.pixels)} samples, {len(self.at)} places"
        if self.response is None:
            return line
        parts = [
            f"{label} {self.response.mean[label][0]:.2f} to {self.response.mean[label][-1]:.2f} "
            f"(rises in {self.response.rises[label]:.0%})"
            for label in self.response.order[:3]
        ]
        return f"{line}\nmost changed, as {self.response.classifier} sees it: {', '.join(parts)}"


def run(
    session: dp.Session,
    start: str,
    end: str,
    concepts: dp.Concepts | None = None,
    n: int = 8,
    steps: int = 7,
    reach: float = 1.0,
    exemplars: int = 3,
    classifier: classifiers.Classifier | None = None,
    video: str | None = None,
) -> Turn:
    """Add the axis between two concepts to samples, in steps to both sides.

        >>> session = dp.Session.open("faces")
        >>> run(session, "left", "right", session.read_concepts(), n=4).pixels.shape
        (4, 7, 64, 64, 3)

    start, end: concepts, samples ("3:17") or what earlier commands kept; of a concept the mean of
    the first `exemplars`. The samples are the first n of the session's seed; `steps` places lie
    evenly from -reach to +reach lengths of the axis. classifier: measure what changes on other
    samples. video: the ending of a film to write. Edits in force are kept.

    Raises InputError for unknown names, for one place only, and for concepts of the same mean.
    Source: section 6.3.2, figure 8.
    """
    import numpy as np
    import torch

    at_least(1, n=n, exemplars=exemplars)
    at_least(2, steps=steps)
    if not 0 < reach <= 100:
        raise InputError(f"reach: found {reach:g}, expected more than 0 and at most 100")
    near, far = (session.find_latents(name, concepts, exemplars) for name in (start, end))
    axis = far.mean(0) - near.mean(0)
    if not axis.any():
        raise InputError(f"turn: found no axis from {start} to {end}: their latents are the same")

    def along(z: Tensor, at: Tensor) -> Tensor:
        """Images of latents at places of the axis: places x N x channels x size x size."""
        moved = z + at.view(-1, 1, 1) * axis
        return session.generate(moved.flatten(0, 1)).unflatten(0, moved.shape[:2])

    def pixels(images: Tensor) -> np.ndarray:
        flat = dp.figures.pixels(images.flatten(0, 1))
        return flat.reshape(*images.shape[:2], *flat.shape[1:])

    # Symmetric by construction: linspace alone may leave 1e-8 where 0 should be.
    at = torch.linspace(0, 1, steps).sub(torch.linspace(1, 0, steps)) * reach
    z = session.latents(n)
    there = torch.sin(torch.linspace(-0.5, 1.5, FRAMES + 1)[:-1] * torch.pi) * reach
    response = None
    if classifier is not None:
        response = _response(session, along, at, classifier)
    options = {"steps": steps, "reach": reach, "exemplars": exemplars, "n": n}
    return Turn(
        session.made_with(
            start=start,
            end=end,
            concepts=concepts.file if concepts else None,
            classifier=classifier.name if classifier else None,
            **options,
        ),
        start,
        end,
        axis,
        tuple(round(place, 6) for place in at.tolist()),
        pixels(along(z, at)).swapaxes(0, 1),
        response,
        pixels(along(z, there)) if video else np.empty(0),
        video,
        session.caption(),
    )


def _response(
    session: dp.Session, along: Any, at: Tensor, classifier: classifiers.Classifier
) -> Response:
    import torch

    z = session.latents(MEASURED, session.seed + 1)
    places = session.progress(at, "places along the axis", len(at))
    found = torch.stack([classifiers.classify(classifier, along(z, p[None])[0]) for p in places])
    rises = (found[-1] > found[0]).float().mean(0)
    return Response(
        classifier.name,
        classifier.about,
        {name: found[:, :, i].mean(1).tolist() for i, name in enumerate(classifier.labels)},
        {name: float(rises[i]) for i, name in enumerate(classifier.labels)},
    )


@click.command()
@click.option("--from", "start", required=True, help="A concept, or a sample, as 3:17.")
@click.option("--to", "end", required=True, help="The same, for the other end.")
@click.option("--n", default=8, type=click.IntRange(1), help="How many samples to turn.")
@click.option("--steps", default=7, type=click.IntRange(2), help="Places along the axis.")
@click.option("--reach", default=1.0, type=float, help="How far to both sides, in its lengths.")
@concepts_option
@exemplars_option
@click.option(
    "--classifier",
    shell_complete=completion.installed("classifier"),
    help="Measure what changes, as this sees it; see arithmetic.",
)
@video_option
@pass_session
def turn(
    session: dp.Session,
    start: str,
    end: str,
    n: int,
    steps: int,
    reach: float,
    path: Path | None,
    exemplars: int,
    classifier: str | None,
    video: str | None,
) -> None:
    """Turn samples along the axis between two concepts, such as left and right."""
    concepts = session.read_concepts(path)
    judge = classifiers.find(classifier, session) if classifier else None
    session.save(run(session, start, end, concepts, n, steps, reach, exemplars, judge, video))
