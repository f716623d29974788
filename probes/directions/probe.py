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
from dcgan_probe.recognition.classifiers import Classifier, resolve
from dcgan_probe.recognition.samples import hidden_layers
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
    classifier: Classifier | str | None = None,
) -> Directions:
    """Find directions in latent space, and name each by what it changes.

        >>> session = Session.open("faces")
        >>> run(session, "sefa", components=4).pixels.shape
        (4, 5, 64, 64, 3)

    by: "pca", principal components of the output of `layer` (by default the generator's first) for
    n latents; "sefa", the directions that change the output of the first layer most, from its
    weights; "regression", for each label of the classifier the direction that changes only that
    label. A direction has the length of one standard deviation of its component, or of z. Images
    are drawn up to `reach` lengths to both sides: with a classifier, of the sample in which the
    label that changes most changes by the median; else of the first sample.

    A direction is named after the label that changes most, measured by the classifier on other
    samples, or after the nearest concept; its sign is such that it increases. The session keeps the
    directions as direction1, direction2 and so on. Active edits apply.

    Raises InputError for missing or unused arguments of a method, for too few latents, and for
    "sefa" if the first layer is not linear. Source: Härkönen et al. (2020); Shen and Zhou (2021);
    Shen et al. (2020).
    """
    at_least(1, components=components)
    if not 0 < reach <= 100:
        raise InputError(f"reach: found {reach:g}, expected more than 0 and at most 100")
    if classifier is not None:
        classifier = resolve(classifier, session)
    found = _find(session, by, layer, n, components, classifier)
    directions = _name(session, found, reach, concepts, classifier)
    at = torch.linspace(-reach, reach, STEPS)
    moved = torch.cat(
        [
            session.find_latents(direction.sample, None) + at[:, None] * direction.z
            for direction in directions
        ]
    )
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
        about=classifier.about if classifier else None,
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
        layer = layer or hidden_layers(session.config)[0]
        return finding.principal(session, layer, LATENTS if n is None else n, components)
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
    measured, cosines = None, None
    if classifier is not None:
        measured = naming.measure(session, z, reach, classifier)
    elif concepts is not None and concepts.named:
        cosines = naming.cosines(session, z, concepts)
    named = []
    for i, direction in enumerate(z):
        moved = measured[i].changes if measured is not None else None
        near = cosines[i] if cosines is not None else None
        name, sign, sample = None, 1.0, f"{session.seed}:0"
        if measured is not None:
            sample = f"{session.seed + 1}:{measured[i].median[measured[i].most]}"
        if moved is not None and (name := naming.named_by_change(moved)):
            sign = 1.0 if moved[name].value > 0 else -1.0
        elif near is not None and (name := naming.named_by_cosine(near, z.shape[1])):
            sign = 1.0 if near[name] > 0 else -1.0
        named.append(
            Direction(
                z=sign * direction,
                name=name,
                share=found.shares[i],
                sample=sample,
                changes=moved and {k: naming.times(sign, c) for k, c in moved.items()},
                cosines=near and {k: sign * c for k, c in near.items()},
            )
        )
    return tuple(named)


def _turned(direction: Tensor) -> Tensor:
    """A direction in the sense in which its largest number is positive: either is as good."""
    return direction * direction[direction.abs().argmax()].sign()
