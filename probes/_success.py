"""Whether sums of concepts do what they say, as a classifier sees it (section 6.3.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import dcgan_probe as dp
from dcgan_probe.classifiers import Classifier, agreement, seen, wanted
from dcgan_probe.errors import InputError
from dcgan_probe.metrics import sliced_wasserstein

if TYPE_CHECKING:
    import numpy as np

# Samples among which exemplars are looked for, and how clearly they must show their concept.
POOL = 2000
CLEAR = 0.9
PROJECTIONS = 128


@dataclass(frozen=True)
class Share:
    """So many of so many, with Wilson's interval of 95%, between draws that are independent."""

    count: int
    of: int

    @property
    def value(self) -> float:
        return self.count / self.of

    @property
    def interval(self) -> tuple[float, float]:
        from scipy.stats import binomtest  # type: ignore[import-untyped]

        found = binomtest(self.count, self.of).proportion_ci(method="wilson")
        return float(found.low), float(found.high)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.2f} ({low:.2f} to {high:.2f})"


@dataclass(frozen=True, eq=False)
class Method:
    """One way to make images: of its draws, how many have what was asked, and kept the rest.

    has: all that was asked; kept: by label that was not asked, how many show it as the base does;
    drift: sliced Wasserstein distance, times 1000, from as many samples; pixels: images of the
    first draws, N x H x W x 3 uint8.
    """

    has: Share
    kept: dict[str, Share]
    drift: float
    pixels: np.ndarray

    @property
    def kept_mean(self) -> float | None:
        """None if every label was asked for."""
        values = [share.value for share in self.kept.values()]
        return sum(values) / len(values) if values else None

    def values(self) -> dict[str, Any]:
        return {
            "has_what_was_asked": _values(self.has),
            "kept_what_was_not": {label: _values(share) for label, share in self.kept.items()},
            "kept_mean": self.kept_mean,
            "sliced_wasserstein_x1000": self.drift,
        }


@dataclass(frozen=True, eq=False)
class Success:
    """What `measure` returns.

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

    def draw(self, path: Path, caption: str) -> None:
        """The first draws of every method, and their shares with intervals."""
        import numpy as np

        dp.figures.draw(
            path,
            f"Does it work? Asked: {', '.join(self.asked)}",
            [dp.figures.Block("", np.stack([m.pixels for m in self.methods.values()]))],
            [f"{name}\n{method.has.value:.2f} have it" for name, method in self.methods.items()],
            f"The first of {next(iter(self.methods.values())).has.of} draws of {self.exemplars} "
            f"exemplars a concept, among those that {self.classifier} clearly sees so. The same "
            f"draws in a column. Below, the share that has all that was asked, and of the labels "
            f"that were not, the mean share that is as in {self.base}; bars: Wilson's 95%. "
            f"{caption}.",
            zoom=1,
            below=self._chart(),
        )

    def _chart(self) -> np.ndarray:
        figures = dp.figures
        figure = figures.blank(640, 40 + 34 * len(self.methods))
        axes = figure.subplots()
        for row, method in enumerate(self.methods.values()):
            low, high = method.has.interval
            axes.plot([low, high], [row, row], color=figures.BLUE, linewidth=2)
            for at, mark, colour, label in (
                (method.has.value, "o", figures.BLUE, "has what was asked"),
                (method.kept_mean, "D", figures.ORANGE, "kept what was not"),
            ):
                if at is not None:
                    axes.plot(at, row, mark, color=colour, label=None if row else label)
        axes.set_yticks(range(len(self.methods)), list(self.methods), fontsize=9)
        axes.invert_yaxis()
        axes.set_xlim(-0.02, 1.02)
        axes.grid(axis="x", color="#EEEEEE")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
        figure.subplots_adjust(left=0.27, right=0.98, bottom=0.12, top=0.88)
        return figures.rendered(figure)

    def __str__(self) -> str:
        first = next(iter(self.methods.values()))
        lines = [
            f"asked: {', '.join(self.asked)} ({self.classifier}; {first.has.of} draws of "
            f"{self.exemplars} exemplars; base: {self.base})"
        ]
        for name, method in self.methods.items():
            mean = method.kept_mean
            kept = "" if mean is None else f"{mean:.2f} of the other labels kept, "
            lines.append(
                f"{name}: {method.has} have it, {kept}{method.drift:.0f} from samples "
                f"(samples from each other: {self.floor:.0f})"
            )
        return "\n".join(lines)


def measure(
    session: dp.Session,
    factors: Mapping[str, float],
    concepts: dp.Concepts | None,
    classifier: Classifier,
    exemplars: int = 3,
    draws: int = 100,
    shown: int = 10,
) -> Success:
    """How often a sum of concepts has what it should, over random draws of its exemplars.

        >>> faces = dp.classifiers.find("faces", session)
        >>> factors = dp.expressions.parse("smiling - neutral + glasses")
        >>> measure(session, factors, concepts, faces).methods["mean of 3"].has.of
        100

    Every concept must say what it `shows`. Its exemplars are drawn, without replacement, from those
    of the first `POOL` samples of the next seed that the classifier clearly (`CLEAR`) sees so. What
    the sum should show is the same sum of the concepts' conditions, as 0 and 1: asked is what comes
    out as 0 or 1. The base is the last concept that is added; what was not asked should stay as in
    the image of the base's mean.

    Compared are the sum of means, the sum of single exemplars, the sum of images, the base with a
    random direction of the sum's length, and the base alone; with the same draws of exemplars.

    Raises InputError for a concept that says not what it shows, a label that the classifier does
    not know, a sum that asks for nothing, and a concept of fewer than `exemplars` clear samples.
    Source: section 6.3.2.
    """
    conditions = {name: _conditions(name, concepts, classifier) for name in factors}
    asked = _asked(factors, conditions)
    added = [name for name, factor in factors.items() if factor > 0]
    if not asked or not added:
        raise InputError(
            "arithmetic: found a sum that no label says anything about, expected conditions "
            "('shows') of its concepts that come out as 0 or 1"
        )
    base = added[-1]
    changed = [label for label, yes in asked.items() if conditions[base].get(label) != yes]
    labels = list(classifier.labels)

    z = session.latents(POOL, session.seed + 1)
    samples = session.generate(z)
    pool = seen(classifier, samples)
    candidates = {}
    for name in factors:
        wants = [(labels.index(label), yes) for label, yes in conditions[name].items()]
        candidates[name] = torch.nonzero(agreement(pool, wants) > CLEAR)[:, 0]
        if len(candidates[name]) < exemplars:
            raise InputError(
                f"arithmetic: concept {name}: found {len(candidates[name])} of {POOL} samples that "
                f"{classifier.name} clearly sees so, expected at least {exemplars}"
            )
    random = torch.Generator().manual_seed(session.seed)
    picks = {
        name: torch.stack(
            [rows[torch.randperm(len(rows), generator=random)[:exemplars]] for _ in range(draws)]
        )
        for name, rows in candidates.items()
    }
    several = {name: z[rows].mean(1) for name, rows in picks.items()}
    single = {name: z[rows[:, 0]] for name, rows in picks.items()}
    total, of_one = (sum_of(factors, means) for means in (several, single))
    away = torch.randn(total.shape, generator=random)
    away *= (total - several[base]).norm(dim=1, keepdim=True) / away.norm(dim=1, keepdim=True)
    overlaid = {name: samples[rows].mean(1) for name, rows in picks.items()}
    images = {
        f"mean of {exemplars}": session.generate(total),
        "single exemplars": session.generate(of_one),
        "sum of pixels": sum_of(factors, overlaid).clamp(-1, 1),
        "random direction": session.generate(several[base] + away),
        "base alone": session.generate(several[base]),
    }
    of_base = seen(classifier, images["base alone"]) > 0.5
    opposite = _opposites(pool, [labels.index(label) for label in asked])
    others = [i for i in range(len(labels)) if labels[i] not in asked and i not in opposite]
    methods = {
        name: _method(classifier, pictures, samples, asked, others, of_base, shown)
        for name, pictures in images.items()
    }
    return Success(
        classifier.name,
        classifier.about,
        base,
        tuple(label if yes else f"not {label}" for label, yes in asked.items()),
        tuple(label if asked[label] else f"not {label}" for label in changed),
        exemplars,
        {name: len(rows) for name, rows in candidates.items()},
        _drift(samples[draws : 2 * draws], samples),
        methods,
    )


def sum_of(factors: Mapping[str, float], values: Mapping[str, Tensor]) -> Tensor:
    """The sum of tensors by name, each times its coefficient."""
    return torch.stack([factor * values[name] for name, factor in factors.items()]).sum(0)


def _conditions(name: str, concepts: dp.Concepts | None, classifier: Classifier) -> dict[str, bool]:
    concept = concepts.named.get(name) if concepts else None
    if concept is None or not concept.shows:
        raise InputError(
            f"arithmetic: {name}: found nothing that it shows, expected a concept with conditions "
            "that can be measured (concepts add --shows)"
        )
    labels = list(classifier.labels)
    return {labels[i]: yes for i, yes in wanted(classifier, concept.shows)}


def _asked(
    factors: Mapping[str, float], conditions: Mapping[str, Mapping[str, bool]]
) -> dict[str, bool]:
    """The labels that all concepts speak of, and whose sum is 0 or 1."""
    asked = {}
    for label in conditions[next(iter(factors))]:
        if all(label in conditions[name] for name in factors):
            value = sum(factor * conditions[name][label] for name, factor in factors.items())
            if value in (0, 1):
                asked[label] = bool(value)
    return asked


def _method(
    classifier: Classifier,
    images: Tensor,
    samples: Tensor,
    asked: Mapping[str, bool],
    others: Sequence[int],
    base: Tensor,
    shown: int,
) -> Method:
    labels = list(classifier.labels)
    found = seen(classifier, images)
    wants = [(labels.index(label), yes) for label, yes in asked.items()]
    same = (found > 0.5) == base
    return Method(
        Share(int((agreement(found, wants) > 0.5).sum()), len(found)),
        {labels[i]: Share(int(same[:, i].sum()), len(found)) for i in others},
        _drift(images, samples),
        dp.figures.pixels(images[:shown]),
    )


def _opposites(probabilities: Tensor, asked: Sequence[int]) -> set[int]:
    """Labels that are the opposite of one that was asked, so that to ask is to change them."""
    return {
        other
        for label in asked
        for other in range(probabilities.shape[1])
        if (probabilities[:, label] + probabilities[:, other] - 1).abs().max() < 1e-4
    }


def _drift(images: Tensor, samples: Tensor) -> float:
    """How far images are from as many samples."""
    found = sliced_wasserstein(images, samples[: len(images)], projections=PROJECTIONS)
    return found["mean"]


def _values(share: Share) -> dict[str, Any]:
    low, high = share.interval
    return {"share": share.value, "low": low, "high": high, "of": share.of}
