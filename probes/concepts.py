"""Concepts: name exemplars, and find good ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import dcgan_probe as dp
from dcgan_probe import terminal
from dcgan_probe.errors import InputError, at_least
from dcgan_probe.latents.concepts import Concept, check_name, exemplars_of
from dcgan_probe.plugins import completion
from dcgan_probe.plugins.contract import Last, session_of
from dcgan_probe.recognition import classifiers
from dcgan_probe.results.result import Result

if TYPE_CHECKING:
    import numpy as np

COLUMNS = 6


@dataclass(frozen=True, eq=False)
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
        dp.figures.sheet(
            folder / "suggestions.png",
            f"Suggested for {self.name}: {', '.join(self.shows)}",
            self.pixels,
            [f"{s}   {v:.3f}" for s, v in zip(self.samples, self.scores, strict=True)],
            f"Samples, by seed and index, that meet the conditions best, and how well the "
            f"classifier thinks they meet the one that they meet worst. {self.caption}.",
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


def suggest(
    session: dp.Session,
    name: str,
    shows: Sequence[str],
    classifier: classifiers.Classifier,
    n: int = 1000,
    top: int = 18,
) -> Suggestions:
    """Rank samples by how well they meet conditions, as a classifier sees them.

        >>> session = dp.Session.open("faces")
        >>> faces = dp.classifiers.find("faces", session)
        >>> suggest(session, "smiling", ["smile", "not hat"], faces).samples[:3]
        ('0:...', '0:...', '0:...')

    The first n samples of the session's seed, with the edits in force. Raises InputError for a
    name that is no word and for conditions that the classifier does not know.
    """
    import torch

    at_least(1, n=n, top=top)
    check_name(name, "concepts suggest")
    conditions = classifiers.wanted(classifier, shows)
    if not conditions:
        raise InputError("concepts suggest: found no conditions, expected --shows LABEL")
    scores = []
    z = session.latents(n)
    for part in session.progress(z.split(256), "samples", -(-n // 256)):
        found = classifiers.classify(classifier, session.generate(part))
        scores.append(classifiers.agreement(found, conditions))
    score = torch.cat(scores)
    best = score.argsort(descending=True, stable=True)[:top]
    return Suggestions(
        session.made_with(name=name, shows=list(shows), classifier=classifier.name, n=n),
        name,
        tuple(shows),
        tuple(f"{session.seed}:{i}" for i in best.tolist()),
        tuple(score[best].tolist()),
        float((score > 0.5).float().mean()),
        dp.figures.pixels(session.generate(z[best])),
        session.caption(),
    )


@click.command(cls=Last)
@click.argument("action", type=click.Choice(["add", "remove", "list", "suggest"]))
@click.argument("arguments", nargs=-1)
@click.option(
    "--concepts",
    "path",
    default="concepts.json",
    type=click.Path(path_type=Path),
    help="The file; a new one is made.",
)
@click.option("--shows", multiple=True, help='A label of the classifier, or "not" and one.')
@click.option(
    "--classifier",
    shell_complete=completion.installed("classifier"),
    help="For suggest: see arithmetic; what ships if not given.",
)
@click.option("--n", default=1000, type=click.IntRange(1), help="For suggest: how many samples.")
@click.pass_context
def concepts(
    context: click.Context,
    action: str,
    arguments: tuple[str, ...],
    path: Path,
    shows: tuple[str, ...],
    classifier: str | None,
    n: int,
) -> None:
    """Name exemplars, list or remove names, or suggest exemplars.

    \b
    dcgan-probe concepts add smiling_woman 3:17 3:42 5:8     seed and index, or a z.safetensors
    dcgan-probe concepts remove smiling_woman
    dcgan-probe concepts list
    dcgan-probe concepts suggest smiling --shows smile --shows "not hat"

    An exemplar of add may also be a z.safetensors, as arithmetic and invert write it.
    """
    # Not pass_session: only suggest writes results, the others edit a file of the user's.
    session = session_of(context)
    if action != "list" and not arguments:
        raise InputError(f"concepts {action}: found no name, expected one")
    if action == "suggest":
        session.start("concepts")
        chosen = classifier or classifiers.shipped(session.checkpoint.name)
        if chosen is None:
            raise InputError("concepts suggest: found no classifier, expected --classifier")
        judge = classifiers.find(chosen, session)
        session.save(suggest(session, arguments[0], shows, judge, n))
        return
    sha = session.checkpoint.sha256
    have = session.read_concepts(path) if path.exists() else dp.Concepts(sha, {}, str(path))
    assert have is not None, "a path was given"
    named = dict(have.named)
    if action == "add":
        exemplars = exemplars_of(arguments[1:], session.config, sha)
        named[arguments[0]] = Concept(exemplars, shows)
        replace(have, named=named).write(path)
    elif action == "remove":
        for name in arguments:
            if name not in named:
                raise dp.errors.unknown("concept", name, named, where=str(path))
            del named[name]
        replace(have, named=named).write(path)
    terminal.answer(
        {name: _values(concept) for name, concept in named.items()},
        "\n".join(_line(name, concept) for name, concept in named.items()),
    )


def _values(concept: Concept) -> dict[str, Any]:
    return {"exemplars": list(concept.exemplars), "shows": list(concept.shows)}


def _line(name: str, concept: Concept) -> str:
    shown = [e if isinstance(e, str) else "a stored z" for e in concept.exemplars]
    note = f"   shows {', '.join(concept.shows)}" if concept.shows else ""
    return f"{name}: {' '.join(shown)}{note}"
