"""Find directions in latent space without names, and name them by what they change."""

from __future__ import annotations

import torch
from torch import Tensor

from dcgan_probe.errors import InputError, at_least, unknown
from dcgan_probe.figures.rasters import pixels
from dcgan_probe.latents.concepts import Concepts
from dcgan_probe.probes.directions import finding, naming
from dcgan_probe.probes.directions.finding import Found
from dcgan_probe.probes.directions.result import Direction, Directions
from dcgan_probe.probes.directions.ways import WAYS
from dcgan_probe.recognition.classifiers import Classifier
from dcgan_probe.session import Session

# Images of a row.
STEPS = 5
# Latents for principal components, by default.
LATENTS = 1000


def run(
    session: Session,
    by: str = "pca",
    layer: str | None = None,
    n: int | None = None,
    components: int = 6,
    reach: float = 3.0,
    concepts: Concepts | None = None,
    classifier: Classifier | None = None,
) -> Directions:
    """Find directions in latent space, and name each by what it moves.

        >>> session = Session.open("faces")
        >>> run(session, "sefa", components=4).pixels.shape
        (4, 5, 64, 64, 3)

    by: "pca", the principal components of what `layer` outputs for n latents, the generator's
    first if none is given; "sefa", what changes the output of the first layer most, by its weights;
    "regression", for each label of the classifier what moves it alone. A direction is as long as
    one standard deviation of its component, or of z; `reach` of them go to both sides. It is named
    by the label that a classifier sees change most, on other samples, or by the nearest of the
    concepts, and has the sense in which that rises. Each is kept in the session as direction1,
    direction2 and so on. Active edits apply.

    Raises InputError for a way without what it needs or with what it does not use, for fewer
    latents than the way needs, and where the first layer is not linear ("sefa").
    Source: Härkönen et al. (2020); Shen and Zhou (2021); Shen et al. (2020).
    """
    at_least(1, components=components)
    if not 0 < reach <= 100:
        raise InputError(f"reach: found {reach:g}, expected more than 0 and at most 100")
    found = _find(session, by, layer, n, components, classifier)
    directions = _name(session, found, reach, concepts, classifier)
    at = torch.linspace(-reach, reach, STEPS)
    start = session.latents(1)
    moved = torch.cat([start + at[:, None] * direction.z for direction in directions])
    images = pixels(session.generate(moved))
    for i, direction in enumerate(directions):
        session.keep(f"direction{i + 1}", direction.z[None])
    return Directions(
        made_with=session.made_with(
            by=by,
            layer=layer,
            n=n,
            components=components,
            reach=reach,
            concepts=concepts.file if concepts else None,
            classifier=classifier.name if classifier else None,
        ),
        by=by,
        directions=directions,
        known=found.known,
        classifier=classifier.name if classifier else None,
        at=tuple(at.tolist()),
        pixels=images.reshape(len(directions), STEPS, *images.shape[1:]),
        caption=session.caption(),
    )


def _find(
    session: Session,
    by: str,
    layer: str | None,
    n: int | None,
    components: int,
    classifier: Classifier | None,
) -> Found:
    if layer is not None and by != "pca":
        raise InputError(f"directions --by {by}: found --layer, expected it with --by pca only")
    if by == "pca":
        first = next(iter(session.config.hidden("generator"))) if layer is None else layer
        return finding.principal(session, first, LATENTS if n is None else n, components)
    if by == "sefa":
        if n is not None:
            raise InputError("directions --by sefa: found --n, expected none: it takes weights")
        return finding.closed_form(session, components)
    if by == "regression":
        if classifier is None:
            raise InputError("directions --by regression: found no --classifier, expected one")
        return finding.of_labels(session, classifier, n, components)
    raise unknown("way", by, WAYS)


def _name(
    session: Session,
    found: Found,
    reach: float,
    concepts: Concepts | None,
    classifier: Classifier | None,
) -> tuple[Direction, ...]:
    """Name directions, each turned so that what names it rises along it."""
    z = torch.stack([_turned(direction) for direction in found.z])
    changes, cosines = None, None
    if classifier is not None:
        changes = naming.changes(session, z, reach, classifier)
    elif concepts is not None and concepts.named:
        cosines = naming.cosines(session, z, concepts)
    named = []
    for i, direction in enumerate(z):
        moved = changes[i] if changes is not None else None
        near = cosines[i] if cosines is not None else None
        name, sign = None, 1.0
        if moved is not None and (name := naming.named_by_change(moved)):
            sign = 1.0 if moved[name].value > 0 else -1.0
        elif near is not None and (name := naming.named_by_cosine(near, z.shape[1])):
            sign = 1.0 if near[name] > 0 else -1.0
        named.append(
            Direction(
                z=sign * direction,
                name=name,
                share=found.shares[i],
                changes=moved and {k: naming.times(sign, c) for k, c in moved.items()},
                cosines=near and {k: sign * c for k, c in near.items()},
            )
        )
    return tuple(named)


def _turned(direction: Tensor) -> Tensor:
    """A direction in the sense in which its largest number is positive: either is as good."""
    return direction * direction[direction.abs().argmax()].sign()
