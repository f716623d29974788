"""Draw exemplars many times, and count by a classifier how often the sum succeeds."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from dcgan_probe.errors import InputError
from dcgan_probe.figures.rasters import pixels
from dcgan_probe.latents.concepts import Concepts
from dcgan_probe.latents.expressions import combine
from dcgan_probe.metrics.distances import sliced_wasserstein
from dcgan_probe.metrics.intervals import Proportion, resampled_mean
from dcgan_probe.probes.arithmetic.question import Question
from dcgan_probe.probes.arithmetic.success import Method, Success
from dcgan_probe.recognition.classifiers import Classifier, agreement, classify
from dcgan_probe.recognition.keeping import Keeping
from dcgan_probe.session import Session

# Samples among which exemplars are looked for, and how clearly they must show their concept.
POOL = 2000
CLEAR = 0.9
PROJECTIONS = 128


def measure(
    session: Session,
    factors: Mapping[str, float],
    concepts: Concepts | None,
    classifier: Classifier,
    exemplars: int = 3,
    draws: int = 100,
    shown: int = 10,
    keeping: Keeping | None = None,
) -> Success:
    """How often a sum of concepts has what it should, over random draws of its exemplars.

        >>> faces = classifiers.find("faces", session)
        >>> factors = expressions.parse("smiling - neutral + glasses")
        >>> measure(session, factors, concepts, faces).methods["mean of 3"].has.total
        100

    Every concept must say what it `shows`. Its exemplars are drawn, without replacement, from those
    of the first `POOL` samples of the next seed that the classifier clearly (`CLEAR`) sees so. What
    the sum should show is the same sum of the concepts' conditions, as 0 and 1: asked is what comes
    out as 0 or 1. The base is the last concept that is added; what was not asked should stay as in
    the image of the base's mean.

    keeping: what the sum must not change of its base. Compared are the sum of means, with that kept
    and without, the sum of single exemplars, the sum of images, the base with a
    random direction of the sum's length, and the base alone; with the same draws of exemplars.

    Raises InputError for a concept without conditions, a label that the classifier does not
    know, a sum that asks for nothing, and a concept of fewer than `exemplars` clear samples.
    Source: section 6.3.2.
    """
    question = Question.read(factors, concepts, classifier)
    z = session.latents(POOL, session.seed + 1)
    samples = session.generate(z)
    pool = classify(classifier, samples)
    candidates = {
        name: torch.nonzero(agreement(pool, question.columns(conditions)) > CLEAR)[:, 0]
        for name, conditions in question.conditions.items()
    }
    for name, rows in candidates.items():
        if len(rows) < exemplars:
            raise InputError(
                f"arithmetic: concept {name}: found {len(rows)} of {POOL} samples that "
                f"{classifier.name} clearly sees so, expected at least {exemplars}"
            )
    random = torch.Generator().manual_seed(session.seed)
    picks = {name: _pick(rows, exemplars, draws, random) for name, rows in candidates.items()}
    images = _make(session, factors, picks, z, samples, question.base, random, keeping)
    base = classify(classifier, images["base alone"]) > 0.5
    others = question.others(pool)

    def judge(made: Tensor) -> Method:
        probabilities = classify(classifier, made)
        asked = agreement(probabilities, question.columns(question.asked)) > 0.5
        same = (probabilities > 0.5) == base
        shares = same[:, others].double().mean(1).numpy()
        return Method(
            has=Proportion(int(asked.sum()), draws),
            kept={question.labels[i]: Proportion(int(same[:, i].sum()), draws) for i in others},
            unchanged=resampled_mean(shares, session.seed) if others else None,
            drift=_drift(made, samples),
            pixels=pixels(made[:shown]),
        )

    return Success(
        classifier=classifier.name,
        about=classifier.about,
        base=question.base,
        asked=question.describe(list(question.asked)),
        changed=question.describe(question.changed),
        exemplars=exemplars,
        candidates={name: len(rows) for name, rows in candidates.items()},
        floor=_drift(samples[draws : 2 * draws], samples),
        methods={name: judge(made) for name, made in images.items()},
    )


def _pick(rows: Tensor, exemplars: int, draws: int, random: torch.Generator) -> Tensor:
    """Rows drawn without replacement, draws x exemplars."""
    return torch.stack(
        [rows[torch.randperm(len(rows), generator=random)[:exemplars]] for _ in range(draws)]
    )


def _make(
    session: Session,
    factors: Mapping[str, float],
    picks: Mapping[str, Tensor],
    z: Tensor,
    samples: Tensor,
    base: str,
    random: torch.Generator,
    keeping: Keeping | None,
) -> dict[str, Tensor]:
    """The images of every method, from the same draws: picks are rows of z and samples."""
    exemplars = picks[base].shape[1]
    several = {name: z[rows].mean(1) for name, rows in picks.items()}
    single = {name: z[rows[:, 0]] for name, rows in picks.items()}
    overlaid = {name: samples[rows].mean(1) for name, rows in picks.items()}
    total = combine(factors, several)
    away = torch.randn(total.shape, generator=random)
    away *= (total - several[base]).norm(dim=1, keepdim=True) / away.norm(dim=1, keepdim=True)
    held = {}
    if keeping is not None:
        kept = several[base] + keeping.apply(total - several[base])
        held = {f"mean of {exemplars}, {keeping.title}": session.generate(kept)}
    return {
        **held,
        f"mean of {exemplars}": session.generate(total),
        "single exemplars": session.generate(combine(factors, single)),
        "sum of pixels": combine(factors, overlaid).clamp(-1, 1),
        "random direction": session.generate(several[base] + away),
        "base alone": session.generate(several[base]),
    }


def _drift(images: Tensor, samples: Tensor) -> float:
    """The sliced Wasserstein distance, times 1000, of images from as many samples."""
    return sliced_wasserstein(images, samples[: len(images)], projections=PROJECTIONS)["mean"]
