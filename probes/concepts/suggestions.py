"""Suggest exemplars: the samples that a classifier finds to show a concept best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dcgan_probe import figures
from dcgan_probe.errors import InputError, at_least
from dcgan_probe.latents.concepts import check_name
from dcgan_probe.recognition.classifiers import Classifier, agreement, classify, resolve, wanted
from dcgan_probe.results.result import Result
from dcgan_probe.session import Session

COLUMNS = 6


@dataclass(frozen=True, eq=False, kw_only=True)
class Suggestions(Result):
    """What `suggest` returns, best first. samples: "seed:index"; scores: 0 to 1.

    A score is the classifier's probability of the condition that is met worst. pixels: N x H x W x
    3 uint8. frequency: the share of all samples that meet every condition by more than one half.
    """

    name: str
    shows: tuple[str, ...]
    samples: tuple[str, ...]
    scores: tuple[float, ...]
    frequency: float
    pixels: np.ndarray
    caption: str

    def values(self) -> dict[str, Any]:
        scores = dict(zip(self.samples, self.scores, strict=True))
        shows = list(self.shows)
        return {"name": self.name, "shows": shows, "scores": scores, "frequency": self.frequency}

    def draw(self, folder: Path) -> None:
        figures.sheet(
            folder / "suggestions.png",
            f"Suggested for {self.name}: {', '.join(self.shows)}",
            self.pixels,
            [f"{s}   {write(v)}" for s, v in zip(self.samples, self.scores, strict=True)],
            f"The {len(self.samples)} samples (seed:index) that meet the conditions best, with "
            "their scores, best first. A score is the classifier's probability of the condition "
            f"that the sample meets worst. {self.caption}.",
            columns=COLUMNS,
        )

    def __str__(self) -> str:
        flags = " ".join(f'--shows "{condition}"' for condition in self.shows)
        return (
            f"{self.frequency:.1%} of the samples show {', '.join(self.shows)}; the clearest:\n"
            f"  {' '.join(self.samples)}\n"
            f"to take the first three: dcgan-probe concepts add {self.name} "
            f"{' '.join(self.samples[:3])} {flags}"
        )


def write(score: float) -> str:
    """A probability with three decimals; one that they round to 1, as 1 less the rest.

    >>> write(0.9876), write(0.9999996)
    ('0.988', '1 - 4.0e-7')
    """
    if score < 0.9995:
        return f"{score:.3f}"
    digits, power = f"{1 - score:.1e}".split("e")
    return f"1 - {digits}e{int(power)}" if score < 1 else "1"


def suggest(
    session: Session,
    name: str,
    shows: Sequence[str],
    classifier: Classifier | str,
    n: int = 1000,
    top: int = 18,
) -> Suggestions:
    """Rank samples by how well they meet conditions, as a classifier sees them.

        >>> session = Session.open("faces")
        >>> faces = find("faces", session)
        >>> suggest(session, "smiling", ["smile", "not hat"], faces).samples[:3]
        ('0:...', '0:...', '0:...')

    The first n samples of the session's seed, with the active edits. Raises InputError for a
    name that is not one word and for conditions that the classifier does not know.
    """
    at_least(1, n=n, top=top)
    check_name(name, "concepts suggest")
    classifier = resolve(classifier, session)
    conditions = wanted(classifier, shows)
    if not conditions:
        raise InputError("concepts suggest: found no conditions, expected --shows LABEL")
    scores = []
    z = session.latents(n)
    for part in session.progress(z.split(256), "samples", -(-n // 256)):
        scores.append(agreement(classify(classifier, session.generate(part)), conditions))
    score = torch.cat(scores)
    best = score.argsort(descending=True, stable=True)[:top]
    options = {"name": name, "shows": list(shows), "classifier": classifier.name, "n": n}
    return Suggestions(
        made_with=session.made_with(**options),
        name=name,
        shows=tuple(shows),
        samples=tuple(f"{session.seed}:{i}" for i in best.tolist()),
        scores=tuple(score[best].tolist()),
        frequency=float((score > 0.5).float().mean()),
        pixels=figures.pixels(session.generate(z[best])),
        caption=session.caption(),
    )
