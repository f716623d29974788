"""Add and subtract concepts in latent space: smiling woman - neutral woman + neutral man."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dcgan_probe.errors import InputError, at_least
from dcgan_probe.figures.rasters import pixels
from dcgan_probe.latents import expressions
from dcgan_probe.latents.concepts import Concepts, check_name
from dcgan_probe.latents.expressions import combine
from dcgan_probe.probes.arithmetic import trials
from dcgan_probe.probes.arithmetic.question import Question, base_of
from dcgan_probe.probes.arithmetic.result import NOISE, Arithmetic, Term
from dcgan_probe.recognition import keeping
from dcgan_probe.recognition.classifiers import Classifier, resolve
from dcgan_probe.session import Session


def run(
    session: Session,
    expression: str,
    concepts: Concepts | None = None,
    exemplars: int = 3,
    name: str = "result",
    classifier: Classifier | str | None = None,
    draws: int = 100,
    keep: Sequence[str] = (),
) -> Arithmetic:
    """Add and subtract concepts in latent space, and count how often it works.

        >>> session = Session.open("faces")
        >>> concepts = session.read_concepts()
        >>> run(session, "smiling - neutral + glasses", concepts).z.shape
        torch.Size([1, 100])

    expression: a sum of concepts (the mean of their first `exemplars`), samples such as 3:17, and
    names that earlier commands kept; see `expressions.parse`. name: name of the sum in the session.
    classifier: measure `draws` random draws of exemplars, see `trials.measure`.
    keep: labels or concepts that the sum must not change in its base, the last concept that is
    added; see `keeping.find`. The sum without it is computed for comparison. Active edits apply.

    Raises InputError for a malformed expression, unknown names, concepts with too few exemplars,
    and as `keeping.find` does. Source: section 6.3.2, figure 7; Shen et al. (2020) for `keep`.
    """
    at_least(1, exemplars=exemplars)
    at_least(2, draws=draws)
    if draws > trials.POOL // 2:
        raise InputError(
            f"arithmetic: found {draws} draws, expected at most {trials.POOL // 2}: half of the "
            "samples that exemplars are drawn from"
        )
    if classifier is not None:
        classifier = resolve(classifier, session)
    factors = expressions.parse(expression)
    check_name(name, "--name")
    latents = {n: session.find_latents(n, concepts, exemplars) for n in factors}
    plain = combine(factors, {n: each.mean(0) for n, each in latents.items()})[None]
    z, kept = plain, None
    if keep:
        base = base_of(factors)
        shift = plain[0] - latents[base].mean(0)
        if not shift.any():
            raise InputError(f"--keep: found a sum that is {base} itself, expected a change of it")
        asked: tuple[str, ...] = tuple(factors)
        if classifier is not None:
            asked = tuple(Question.read(factors, concepts, classifier).changed)
        kept = keeping.find(session, keep, asked, shift, concepts, classifier)
        z = (plain[0] - shift + kept.apply(shift))[None]
    success = None
    if classifier is not None:
        success = trials.measure(
            session, factors, concepts, classifier, exemplars, draws, keeping=kept
        )
    session.keep(name, z)
    images = {n: session.generate(each) for n, each in latents.items()}
    in_pixels = combine(factors, {n: each.mean(0) for n, each in images.items()})
    return Arithmetic(
        made_with=session.made_with(
            expression=expression,
            exemplars=exemplars,
            concepts=concepts.file if concepts else None,
            name=name,
            classifier=classifier.name if classifier else None,
            draws=draws,
            keep=list(keep),
        ),
        expression=expression,
        name=name,
        terms=tuple(_term(session, n, factors[n], latents[n], images[n]) for n in factors),
        z=z,
        neighbours=_neighbours(session, z),
        keeping=kept,
        without=pixels(session.generate(plain))[0] if keep else None,
        in_pixels=pixels(in_pixels[None])[0],
        success=success,
        caption=session.caption(),
    )


def _neighbours(session: Session, z: Tensor) -> np.ndarray:
    """Images of 1 x z_size with uniform noise, and without in the middle: 3 x 3 x H x W x 3."""
    random = torch.Generator().manual_seed(session.seed)
    noise = (torch.rand(9, z.shape[1], generator=random) * 2 - 1) * NOISE
    noise[4] = 0
    images = pixels(session.generate(z + noise))
    return images.reshape(3, 3, *images.shape[1:])


def _term(session: Session, name: str, factor: float, z: Tensor, images: Tensor) -> Term:
    return Term(
        name=name,
        factor=factor,
        exemplars=pixels(images),
        mean=pixels(session.generate(z.mean(0, keepdim=True)))[0],
        in_pixels=pixels(images.mean(0, keepdim=True))[0],
    )
