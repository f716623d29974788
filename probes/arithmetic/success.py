"""How often sums of concepts succeed: numbers, text and a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dcgan_probe.figures.panels import Block, draw
from dcgan_probe.metrics.intervals import Interval, Proportion
from dcgan_probe.probes.arithmetic.figures import chart_methods

# Draws that share no exemplar: of fewer clear samples, draws are too much alike to count them as
# independent.
DISJOINT = 10


@dataclass(frozen=True, eq=False, kw_only=True)
class Method:
    """One way to make images: how many draws meet the target, and change no other label.

    has: meet the target; kept: by label outside the target, how many show it as the base does;
    unchanged: the mean share of these labels over the draws, None if every label was asked for;
    drift: sliced Wasserstein distance, times 1000, from as many samples; pixels: images of the
    first draws, N x H x W x 3 uint8.
    """

    has: Proportion
    kept: dict[str, Proportion]
    unchanged: Interval | None
    drift: float
    pixels: np.ndarray

    def values(self) -> dict[str, Any]:
        return {
            "has_what_was_asked": self.has.values(),
            "kept_what_was_not": {label: share.values() for label, share in self.kept.items()},
            "kept_mean": self.unchanged and self.unchanged.value,
            "kept_mean_interval": self.unchanged and [self.unchanged.low, self.unchanged.high],
            "sliced_wasserstein_x1000": self.drift,
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class Success:
    """What `trials.measure` returns.

    asked: conditions that the sum should meet; changed: those of them that the base does not.
    candidates: clear samples of each concept; floor: the drift of samples from other samples.
    """

    classifier: str
    about: dict[str, Any]
    base: str
    asked: tuple[str, ...]
    changed: tuple[str, ...]
    exemplars: int
    candidates: dict[str, int]
    floor: float
    methods: dict[str, Method]

    def values(self) -> dict[str, Any]:
        return {
            "classifier": {"name": self.classifier, "about": self.about},
            "base": self.base,
            "asked": list(self.asked),
            "changed": list(self.changed),
            "candidates": self.candidates,
            "sliced_wasserstein_x1000_of_samples": self.floor,
            "methods": {name: method.values() for name, method in self.methods.items()},
        }

    def doubts(self) -> list[str]:
        """Why not to believe the intervals; empty if nothing is known."""
        few = {name: n for name, n in self.candidates.items() if n // self.exemplars < DISJOINT}
        if not few:
            return []
        draws = next(iter(self.methods.values())).has.total
        counts = ", ".join(f"{name} {n}" for name, n in few.items())
        return [
            f"FEW CLEAR SAMPLES: {counts}. {draws} draws of {self.exemplars} exemplars repeat "
            "them, and the intervals are too narrow"
        ]

    def draw(self, path: Path, caption: str) -> None:
        """The first draws of every method, and their shares with intervals."""
        first = next(iter(self.methods.values()))
        draw(
            path,
            f"Does it work? Target: {', '.join(self.asked)}",
            [Block("", np.stack([m.pixels for m in self.methods.values()]))],
            [f"{name}\n{method.has.value:.2f} meet it" for name, method in self.methods.items()],
            f"The first {len(first.pixels)} of {first.has.total} draws of {self.exemplars} "
            f"exemplars per concept, one draw in each column. Exemplars are samples that clearly "
            f"show their concept, by the classifier {self.classifier}. Below: the share of all "
            "draws that meet the target, and the mean share of other labels that are as in "
            f"{self.base} (bars: 95% intervals). A sum of pixels is a double exposure, which a "
            f"classifier may accept and a person does not: compare its row. {caption}.",
            zoom=1,
            warnings=self.doubts(),
            below=chart_methods(
                {name: (method.has, method.unchanged) for name, method in self.methods.items()}
            ),
        )

    def __str__(self) -> str:
        first = next(iter(self.methods.values()))
        lines = [
            *self.doubts(),
            f"target: {', '.join(self.asked)} ({self.classifier}; {first.has.total} draws of "
            f"{self.exemplars} exemplars; base: {self.base})",
        ]
        for name, method in self.methods.items():
            share = method.unchanged
            kept = "" if share is None else f"{_span(share)} of the other labels unchanged, "
            lines.append(
                f"{name}: {method.has} meet the target, {kept}{method.drift:.0f} from samples "
                f"(samples from each other: {self.floor:.0f})"
            )
        return "\n".join(lines)


def _span(share: Interval) -> str:
    return f"{share.value:.2f} ({share.low:.2f} to {share.high:.2f})"
