"""The axis between two concepts, applied to any sample: the paper's turning faces (figure 8)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dcgan_probe.errors import InputError, at_least
from dcgan_probe.figures.rasters import pixels
from dcgan_probe.latents.concepts import Concepts
from dcgan_probe.probes.turn.result import MEASURED, Response, Turn
from dcgan_probe.recognition.classifiers import Classifier, classify
from dcgan_probe.session import Session

# Images of a film from one end to the other.
FRAMES = 48


def run(
    session: Session,
    start: str,
    end: str,
    concepts: Concepts | None = None,
    n: int = 8,
    steps: int = 7,
    reach: float = 1.0,
    exemplars: int = 3,
    classifier: Classifier | None = None,
    video: str | None = None,
) -> Turn:
    """Add the axis between two concepts to samples, in steps to both sides.

        >>> session = Session.open("faces")
        >>> run(session, "left", "right", session.read_concepts(), n=4).pixels.shape
        (4, 7, 64, 64, 3)

    start, end: concepts, samples ("3:17") or what earlier commands kept; of a concept the mean of
    the first `exemplars`. The samples are the first n of the session's seed; `steps` places lie
    evenly from -reach to +reach lengths of the axis. classifier: measure what changes on other
    samples. video: the ending of a film to write. Edits in force are kept.

    Raises InputError for unknown names, for one place only, and for concepts of the same mean.
    Source: section 6.3.2, figure 8.
    """
    at_least(1, n=n, exemplars=exemplars)
    at_least(2, steps=steps)
    if not 0 < reach <= 100:
        raise InputError(f"reach: found {reach:g}, expected more than 0 and at most 100")
    near, far = (session.find_latents(name, concepts, exemplars) for name in (start, end))
    axis = far.mean(0) - near.mean(0)
    if not axis.any():
        raise InputError(f"turn: found no axis from {start} to {end}: their latents are the same")

    # Symmetric by construction: linspace alone may leave 1e-8 where 0 should be.
    at = torch.linspace(0, 1, steps).sub(torch.linspace(1, 0, steps)) * reach
    z = session.latents(n)
    swing = torch.sin(torch.linspace(-0.5, 1.5, FRAMES + 1)[:-1] * torch.pi) * reach
    response = None if classifier is None else _measure(session, axis, at, classifier)
    return Turn(
        made_with=session.made_with(
            start=start,
            end=end,
            concepts=concepts.file if concepts else None,
            classifier=classifier.name if classifier else None,
            steps=steps,
            reach=reach,
            exemplars=exemplars,
            n=n,
        ),
        start=start,
        end=end,
        axis=axis,
        at=tuple(round(place, 6) for place in at.tolist()),
        pixels=_pixels(_along(session, z, axis, at)).swapaxes(0, 1),
        response=response,
        frames=_pixels(_along(session, z, axis, swing)) if video else np.empty(0),
        video=video,
        caption=session.caption(),
    )


def _along(session: Session, z: Tensor, axis: Tensor, at: Tensor) -> Tensor:
    """Images of N latents at places of the axis: places x N x channels x size x size."""
    moved = z + at.view(-1, 1, 1) * axis
    return session.generate(moved.flatten(0, 1)).unflatten(0, moved.shape[:2])


def _pixels(images: Tensor) -> np.ndarray:
    flat = pixels(images.flatten(0, 1))
    return flat.reshape(*images.shape[:2], *flat.shape[1:])


def _measure(session: Session, axis: Tensor, at: Tensor, classifier: Classifier) -> Response:
    """What a classifier sees at places of the axis, from the samples of the next seed."""
    z = session.latents(MEASURED, session.seed + 1)
    places = session.progress(at, "places along the axis", len(at))
    probabilities = torch.stack(
        [classify(classifier, _along(session, z, axis, place[None])[0]) for place in places]
    )
    labels = list(enumerate(classifier.labels))
    rises = (probabilities[-1] > probabilities[0]).float().mean(0)
    return Response(
        classifier=classifier.name,
        about=classifier.about,
        mean={name: probabilities[:, :, i].mean(1).tolist() for i, name in labels},
        rises={name: float(rises[i]) for i, name in labels},
    )
