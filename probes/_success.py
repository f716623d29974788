"""Whether sums of concepts do what they say, as a classifier sees it (section 6.3.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

import dcgan_probe as dp
from dcgan_probe.errors import InputError
from dcgan_probe.metrics.distances import sliced_wasserstein
from dcgan_probe.metrics.intervals import Share
from dcgan_probe.recognition.classifiers import Classifier, agreement, classify, wanted

from ._measured import Method, Success

# Samples among which exemplars are looked for, and how clearly they must show their concept.
POOL = 2000
CLEAR = 0.9
PROJECTIONS = 128


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
    pool = classify(classifier, samples)
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
    of_base = classify(classifier, images["base alone"]) > 0.5
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
    found = classify(classifier, images)
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
