"""Remove from an axis what changes other labels of a classifier, or named concepts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dcgan_probe.errors import InputError, unknown
from dcgan_probe.latents import axes
from dcgan_probe.latents.axes import Regression
from dcgan_probe.latents.concepts import Concepts
from dcgan_probe.recognition.classifiers import Classifier, classify
from dcgan_probe.session import BATCH

if TYPE_CHECKING:
    from dcgan_probe.session import Session

ALL = "all"
# Number of samples, of the seed after the next: those of the next one measure.
SAMPLES, SEED = 4000, 2
# A direction that explains less of a label says little of where it lies: of pure noise, z_size in
# SAMPLES are explained by chance, 0.025 for a z of 100.
BOUND = 0.1
# To keep a label that correlates with what is asked, is to keep what is asked.
ALIKE = 0.5
# Labels exclude each other if they appear together in less than this share of the samples that
# independent ones would, and these were expected to be five or more: hair has one colour. To keep
# one such label prevents the other from appearing.
TOGETHER, EXPECTED = 0.1, 5
# Probabilities are taken as at least so far from 0 and 1, where logits have no end.
EDGE = 1e-4
# What is shorter than this share of an axis is what rounding left of it.
NOTHING = 1e-4
# What figures say of an axis at right angles to concepts.
ROUGH = (
    "at right angles to the mean latent of the exemplars of what is kept, which is a rough "
    "direction: it may change all the same"
)


def regress(session: Session, classifier: Classifier, n: int | None = None) -> Regression:
    """The logits of a classifier as linear functions of z, on n samples (`SAMPLES` if not given).

        >>> session = Session.open("faces")
        >>> regress(session, classifiers.find("faces", session)).weights.shape
        torch.Size([12, 100])

    The samples are those of the seed after the next, with the active edits. Raises InputError as
    `axes.regress` and `classify` do.
    """
    z = session.latents(SAMPLES if n is None else n, session.seed + SEED)
    axes.check_enough(*z.shape)
    parts = session.progress(z.split(BATCH), "samples for the regression", -(-len(z) // BATCH))
    seen = torch.cat([classify(classifier, session.generate(part)) for part in parts])
    logits = torch.logit(seen.double().clamp(EDGE, 1 - EDGE))
    fitted = axes.regress(z, logits, tuple(classifier.labels))
    return replace(fitted, exclusive=exclusive(seen > 0.5))


def exclusive(shown: Tensor) -> Tensor:
    """Which labels hardly ever appear together, L x L bool.

        >>> red, grey = torch.arange(100) < 50, torch.arange(100) >= 50
        >>> exclusive(torch.stack([red, grey], 1))
        tensor([[False,  True],
                [ True, False]])

    shown: N x L bool. If the samples are too few for chance to bring two labels together
    `EXPECTED` times, nothing is known of them: False.
    """
    counts = shown.double()
    expected = counts.sum(0)[:, None] * counts.sum(0) / len(shown)
    return (expected >= EXPECTED) & (counts.T @ counts < TOGETHER * expected)


def hindrance(regression: Regression, label: str, asked: Sequence[str]) -> str | None:
    """Why a label cannot be kept while others change, or None if it can."""
    r2, alike = regression.r2_of(label), regression.alike(label, asked)
    if r2 < BOUND:
        return f"R^2 {r2:.2f}, below {BOUND}"
    if alike >= ALIKE:
        return f"|correlation| with {', '.join(asked)}: {alike:.2f}"
    if apart := regression.excluded_by(label, asked):
        return f"hardly ever together with {', '.join(apart)}"
    return None


@dataclass(frozen=True, eq=False, kw_only=True)
class Keeping:
    """What an axis leaves alone, and what not, with the reasons.

    asked: labels that it should move; empty for concepts. kept: labels or concepts that it leaves
    alone. left_out: labels that it may still move, each with the reason. rest: it also leaves alone
    what no label describes. regression: of the labels; None for concepts. directions: of what is
    kept and of what is asked, K x z_size and A x z_size.
    """

    asked: tuple[str, ...]
    kept: tuple[str, ...]
    left_out: dict[str, str]
    rest: bool
    regression: Regression | None
    directions: tuple[Tensor, Tensor]

    def apply(self, axis: Tensor) -> Tensor:
        """Axes (z_size or N x z_size) without what moves the kept; see `axes.hold`.

        Raises InputError where nothing is left of one.
        """
        kept, asked = self.directions
        held = axes.hold(axis, asked, kept, self.rest)
        if (held.norm(dim=-1) <= NOTHING * axis.norm(dim=-1)).any():
            raise InputError(
                f"--keep {', '.join(self.kept)}: found nothing left of the axis without what moves "
                "these, expected an axis that also moves something else"
            )
        return held

    def values(self) -> dict[str, Any]:
        r2 = self.regression and dict(zip(self.regression.labels, self.regression.r2, strict=True))
        return {
            "asked": list(self.asked),
            "kept": list(self.kept),
            "left_out": self.left_out,
            "rest_kept": self.rest,
            "samples": self.regression.samples if self.regression else None,
            "r2": r2,
        }

    @property
    def title(self) -> str:
        """What is kept, in the form of the option."""
        if self.rest:
            return f"--keep {ALL}"
        named = self.kept if len(self.kept) < 4 else (*self.kept[:2], f"{len(self.kept) - 2} more")
        return f"--keep {', '.join(named)}"

    def __str__(self) -> str:
        what = [*self.kept, *(["everything without a label"] if self.rest else [])]
        out = ", ".join(f"{label} ({reason})" for label, reason in self.left_out.items())
        how = "Kept" if self.regression is not None else "Kept roughly, by exemplars"
        return f"{how}: {', '.join(what)}{f'. Not kept: {out}' if out else ''}"


def find(
    session: Session,
    keep: Sequence[str],
    asked: Sequence[str],
    axis: Tensor,
    concepts: Concepts | None,
    classifier: Classifier | None,
    regression: Regression | None = None,
) -> Keeping:
    """Find what an axis must not move, for names as users give them.

        >>> find(session, ["all"], ["turned right"], axis, None, faces).kept
        ('glasses', 'hat', 'long hair', 'dark skin', ...)

    keep: labels of the classifier, or "all" and what else; without a classifier, concepts, whose
    direction is the mean of all of their exemplars less the mean of z. asked: with a classifier the
    labels that the axis should move, if that is known; else the one that the regression says it
    moves most. Without one, the names of the concepts that make the axis. axis: z_size float32.
    regression: of `regress` with this classifier, if it was made before.

    Of "all", labels that a line explains badly (R^2 below `BOUND`) are left out, those that go
    with what is asked or against it (correlation of `ALIKE` or more, either sign), and those that
    hardly ever appear together with it (`exclusive`). A label that is named is kept, unless it is
    explained badly: then InputError says so, as for an unknown name and for one that is asked.
    """
    if classifier is None:
        return _of_concepts(session, keep, asked, concepts)
    for label in (*keep, *asked):
        if label not in (*classifier.labels, ALL):
            raise unknown("label", label, [*classifier.labels, ALL], where="--keep")
    _refuse_asked(keep, asked)
    regression = regression or regress(session, classifier)
    if not asked:
        asked = [regression.most_moved(axis)]
        _refuse_asked(keep, asked, " (what the axis moves most)")
    weak = {
        label: reason
        for label in regression.labels
        if (reason := hindrance(regression, label, ())) is not None
    }
    if named := [label for label in keep if label in weak]:
        raise InputError(
            f"--keep {named[0]}: found {weak[named[0]]}, expected a label that changes linearly "
            "with z"
        )
    left_out: dict[str, str] = {}
    kept = [label for label in dict.fromkeys(keep) if label != ALL]
    if ALL in keep:
        for label in regression.labels:
            if label in asked or label in kept:
                continue
            if (reason := hindrance(regression, label, asked)) is None:
                kept.append(label)
            else:
                left_out[label] = reason
        if all(label in weak for label in asked):
            raise InputError(
                f"--keep all: {asked[0]}: found {weak[asked[0]]}, expected an axis of a label that "
                "changes linearly with z, or names of labels to keep"
            )
        left_out |= {label: weak[label] for label in asked if label in weak}
    held = [label for label in asked if label not in weak]
    return Keeping(
        asked=tuple(asked),
        kept=tuple(kept),
        left_out=left_out,
        rest=ALL in keep,
        regression=regression,
        directions=(regression.rows(kept), regression.rows(held)),
    )


def _refuse_asked(keep: Sequence[str], asked: Sequence[str], why: str = "") -> None:
    for name in keep:
        if name in asked:
            raise InputError(f"--keep {name}: found what is asked{why}, expected something else")


def _of_concepts(
    session: Session, keep: Sequence[str], ends: Sequence[str], concepts: Concepts | None
) -> Keeping:
    for name in keep:
        if concepts is None or name not in concepts.named:
            raise InputError(
                f"--keep {name}: found no --classifier and no concept of that name, expected one "
                f"of: {', '.join(concepts.named if concepts else ()) or '(there are no concepts)'}"
            )
    _refuse_asked(keep, ends)
    assert concepts is not None, "a name was kept"
    names = tuple(dict.fromkeys(keep))
    towards = towards_concepts(session, concepts, names)
    return Keeping(
        asked=(),
        kept=names,
        left_out={},
        rest=False,
        regression=None,
        directions=(towards, torch.empty(0, towards.shape[1])),
    )


def towards_concepts(session: Session, concepts: Concepts, names: Sequence[str]) -> Tensor:
    """For each name, the mean of its exemplars' latents less that of random ones, a row each."""
    middle = session.latents(SAMPLES, session.seed + SEED).mean(0)
    return torch.stack([concepts.latents(n, session.config).mean(0) - middle for n in names])
