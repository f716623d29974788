"""The result of turn: samples along an axis, and a classifier's probabilities along it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from dcgan_probe.figures import film
from dcgan_probe.figures.panels import Block, chart_width, draw, zoom_for
from dcgan_probe.latents.sampling import write as write_latents
from dcgan_probe.metrics.intervals import Interval, Proportion
from dcgan_probe.probes.turn.curves import describe, rank, span
from dcgan_probe.probes.turn.figures import Line, chart_responses
from dcgan_probe.recognition.keeping import ROUGH, Keeping
from dcgan_probe.results.result import Result

# Samples on which a classifier measures the axis.
MEASURED = 200
# Of a film.
COLUMNS = 4
BELOW = (
    f"Below: the classifier's mean probability of each label, over {MEASURED} samples (bands: "
    "95%). In colour: the labels that change most anywhere along the axis. Beside each name: in "
    "how many samples the two ends differ"
)
ORIGINAL = "original axis"


@dataclass(frozen=True, kw_only=True)
class Response:
    """What a classifier sees along the axis, of `MEASURED` samples.

    mean: by label, its mean probability at each place; spans: the 95% interval of each. changes: by
    label, the mean change of its probability from end to end. rises: by label, the share of samples
    that have more of it at the far end than at the near one. differs: by label, the share of
    samples that have it at one end only; differs_at_random: the same at both ends of random
    directions of the same length, one for each sample.
    """

    classifier: str
    about: dict[str, Any]
    mean: dict[str, list[float]]
    spans: dict[str, list[tuple[float, float]]]
    changes: dict[str, Interval]
    rises: dict[str, float]
    differs: dict[str, Proportion]
    differs_at_random: dict[str, Proportion]

    @property
    def ranked(self) -> dict[str, list[float]]:
        """The mean of each label; first the one that changes most anywhere along the axis."""
        return {label: self.mean[label] for label in rank(self.mean)}

    def change(self, label: str) -> float:
        """How much the mean probability of a label changes, from end to end."""
        return self.mean[label][-1] - self.mean[label][0]

    def values(self) -> dict[str, Any]:
        return {
            "classifier": {"name": self.classifier, "about": self.about},
            "samples": MEASURED,
            "mean": self.mean,
            "mean_intervals": {
                label: list(map(list, spans)) for label, spans in self.spans.items()
            },
            "change": {
                label: {"mean": change.value, "low": change.low, "high": change.high}
                for label, change in self.changes.items()
            },
            "range": {label: span(mean) for label, mean in self.mean.items()},
            "rises": self.rises,
            "differs": {label: share.values() for label, share in self.differs.items()},
            "differs_at_random": {
                label: share.values() for label, share in self.differs_at_random.items()
            },
        }

    def __str__(self) -> str:
        means = [f"{label} {describe(mean)}" for label, mean in list(self.ranked.items())[:3]]
        often = sorted(self.differs, key=lambda label: -self.differs[label].value)[:3]
        shares = [
            f"{label} {self.differs[label].value:.0%} ({self.differs_at_random[label].value:.0%})"
            for label in often
        ]
        return (
            f"largest changes along the axis, by {self.classifier}: {'; '.join(means)}\n"
            f"samples that differ between its ends (of random directions): {', '.join(shares)}"
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Side:
    """One axis, z_size float32, and what it does.

    pixels: n x places x H x W x 3 uint8. response: None without a classifier.
    """

    axis: Tensor
    pixels: np.ndarray
    response: Response | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Turn(Result):
    """What `run` returns. side: the axis that was asked for, without what moves the kept.

    start, end: what it leads from and to, None for a direction. words: the same, to be read. at:
    the places along it, in lengths of the axis; 0 is the sample itself. without: the axis as it was
    before anything was kept, where something was. frames: images of a film, T x n x H x W x 3
    uint8, or none.
    """

    start: str | None
    end: str | None
    words: str
    at: tuple[float, ...]
    side: Side
    keeping: Keeping | None
    without: Side | None
    frames: np.ndarray
    video: str | None
    caption: str

    @property
    def axis(self) -> Tensor:
        """The axis, z_size float32."""
        return self.side.axis

    @property
    def pixels(self) -> np.ndarray:
        """Samples along the axis, n x places x H x W x 3 uint8."""
        return self.side.pixels

    @property
    def response(self) -> Response | None:
        """What a classifier sees along the axis."""
        return self.side.response

    def values(self) -> dict[str, Any]:
        return {
            "from": self.start,
            "to": self.end,
            "axis": self.words,
            "length_of_axis": float(self.axis.norm()),
            "at": list(self.at),
            "response": self.response.values() if self.response else None,
            "keep": self.keeping.values() if self.keeping else None,
            "without_keep": None if self.without is None else _values(self.without),
        }

    def draw(self, folder: Path) -> None:
        sha = self.made_with["checkpoint"]["sha256"]
        write_latents(folder / "axis.safetensors", self.axis[None], sha)
        if self.video:
            film.write_tiled(folder / f"turn.{self.video}", self.frames, COLUMNS)
        zoom = max(1, zoom_for(self.side.pixels.shape[2]) // 2)
        places = f"{self.at[0]:+.2g} to {self.at[-1]:+.2g}"
        if self.without is None or self.keeping is None:
            sides = {"": self.side}
            blocks = [
                Block(f"{place:+.2g}" if place else "0", self.side.pixels[:, i : i + 1])
                for i, place in enumerate(self.at)
            ]
            kept = ""
        else:
            sides = {ORIGINAL: self.without, self.keeping.title: self.side}
            blocks = [Block(f"{name}: {places}", side.pixels) for name, side in sides.items()]
            by = (
                f"the axis is {ROUGH}"
                if self.keeping.regression is None
                else "by a linear fit on z, the axis does not change the mean of the kept labels "
                "from end to end; in between, and in single samples, they may change"
            )
            kept = f"Right: {by}. {self.keeping}. "
        seen = {name: side.response for name, side in sides.items() if side.response is not None}
        # One order for all charts: a colour is the same label in each.
        order = rank(*(response.mean for response in seen.values())) if seen else []
        responses = {
            name: {
                label: Line(response.mean[label], response.spans[label], response.differs[label])
                for label in order
            }
            for name, response in seen.items()
        }
        spans = [
            f"{min(shares):.0%} to {max(shares):.0%}"
            for response in seen.values()
            if (shares := [each.value for each in response.differs_at_random.values()])
        ]
        below = (
            f"{BELOW} (of random directions of the same length, {' and '.join(spans)}, depending "
            "on the label). A clean axis changes only its target. "
        )
        # As wide as the images: each chart stands below its own.
        width = max(600, sum(b.images.shape[1] * (b.images.shape[3] * zoom + 2) for b in blocks))
        draw(
            folder / "turn.png",
            f"{self.words[0].upper()}{self.words[1:]}",
            blocks,
            [str(i) for i in range(len(self.side.pixels))],
            f"Each row is one sample, unchanged in the middle. To its left and right, the axis "
            f"{self.words} is subtracted and added, in multiples of its length. "
            f"{below if seen else ''}{kept}{self.caption}.",
            zoom=zoom,
            below=chart_responses(self.at, responses, chart_width(width)) if responses else None,
        )

    def __str__(self) -> str:
        line = f"{self.words}: {len(self.side.pixels)} samples, {len(self.at)} places"
        lines = [line if self.response is None else f"{line}\n{self.response}"]
        if self.keeping is not None:
            asked = ", ".join(self.keeping.asked)
            lines.append(f"Target: {asked}. {self.keeping}" if asked else str(self.keeping))
        if self.without is not None and self.without.response is not None:
            lines.append(f"without --keep, {self.without.response}")
        return "\n".join(lines)


def _values(side: Side) -> dict[str, Any]:
    response = side.response.values() if side.response else None
    return {"length_of_axis": float(side.axis.norm()), "response": response}
