"""Move samples along the axis between two concepts: the paper's turning faces (figure 8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dcgan_probe.errors import InputError, at_least, unknown
from dcgan_probe.figures.rasters import pixels
from dcgan_probe.latents import sampling
from dcgan_probe.latents.concepts import Concepts
from dcgan_probe.metrics.intervals import Interval, mean_interval
from dcgan_probe.probes.turn.ends import count_differing, random_ways
from dcgan_probe.probes.turn.result import MEASURED, Response, Side, Turn
from dcgan_probe.recognition import keeping
from dcgan_probe.recognition.classifiers import Classifier, classify, resolve, wanted
from dcgan_probe.session import Session

# Images of a film from one end to the other.
FRAMES = 48
MOST = 4096  # images in the picture


def run(
    session: Session,
    start: str | None = None,
    end: str | None = None,
    concepts: Concepts | None = None,
    n: int = 8,
    steps: int = 7,
    reach: float = 1.0,
    exemplars: int = 3,
    classifier: Classifier | str | None = None,
    video: str | None = None,
    keep: Sequence[str] = (),
    axis: str | None = None,
) -> Turn:
    """Move samples along the axis between two concepts, in steps to both sides.

        >>> session = Session.open("faces")
        >>> run(session, "left", "right", session.read_concepts(), n=4).pixels.shape
        (4, 7, 64, 64, 3)

    start, end: concepts (the mean of their first `exemplars`), samples such as "3:17", or names
    that earlier commands kept. axis: use a direction that an earlier command kept instead, or
    "FILE:2", the second of a file of latents. The samples are the first n of the session's seed, at
    `steps` even positions from -reach to +reach lengths of the axis. classifier: measure what
    changes, on other samples. keep: labels that must not change, see `keeping.find`; the original
    axis is measured for comparison. video: extension of a film to write. Active edits apply.

    Raises InputError for unknown names, fewer than two steps, concepts with the same mean, and as
    `keeping.find` does. Source: section 6.3.2, figure 8; Shen et al. (2020) for `keep`.
    """
    at_least(1, n=n, exemplars=exemplars)
    at_least(2, steps=steps)
    if n * steps > MOST:
        raise InputError(
            f"turn: found {n} samples in {steps} steps, expected {MOST} images or less"
        )
    if not 0 < reach <= 100:
        raise InputError(f"reach: found {reach:g}, expected more than 0 and at most 100")
    if classifier is not None:
        classifier = resolve(classifier, session)
    given = _find(session, start, end, axis, concepts, exemplars, classifier)
    if not given.axis.any():
        raise InputError(f"turn: found no axis {given.words}: its length is 0")
    kept = None
    if keep:
        kept = keeping.find(session, keep, given.asked, given.axis, concepts, classifier)

    # Symmetric by construction: linspace alone may leave 1e-8 where 0 should be.
    at = torch.linspace(0, 1, steps).sub(torch.linspace(1, 0, steps)) * reach
    z = session.latents(n)

    def side(axis: Tensor) -> Side:
        return Side(
            axis=axis,
            pixels=_pixels(_along(session, z, axis, at)).swapaxes(0, 1),
            response=None if classifier is None else _measure(session, axis, at, classifier),
        )

    found = side(given.axis if kept is None else kept.apply(given.axis))
    swing = torch.sin(torch.linspace(-0.5, 1.5, FRAMES + 1)[:-1] * torch.pi) * reach
    return Turn(
        made_with=session.made_with(
            start=start,
            end=end,
            axis=axis,
            concepts=concepts.file if concepts else None,
            classifier=classifier.name if classifier else None,
            keep=list(keep),
            steps=steps,
            reach=reach,
            exemplars=exemplars,
            n=n,
        ),
        start=start,
        end=end,
        words=given.words,
        at=tuple(round(place, 6) for place in at.tolist()),
        side=found,
        keeping=kept,
        without=side(given.axis) if kept else None,
        frames=_pixels(_along(session, z, found.axis, swing)) if video else np.empty(0),
        video=video,
        caption=session.caption(),
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class _Given:
    """An axis as it was asked for; `asked`: as `keeping.find` takes it."""

    axis: Tensor
    words: str
    asked: tuple[str, ...]


def _find(
    session: Session,
    start: str | None,
    end: str | None,
    name: str | None,
    concepts: Concepts | None,
    exemplars: int,
    classifier: Classifier | None,
) -> _Given:
    if name is not None and start is None and end is None:
        return _Given(axis=_direction(session, name), words=f"along {name}", asked=())
    if name is not None or start is None or end is None:
        raise InputError("turn: expected --from and --to, or --axis, and not both")
    near, far = (session.find_latents(each, concepts, exemplars) for each in (start, end))
    asked: tuple[str, ...] = (start, end)
    if classifier is not None:
        asked = _opposed(start, end, concepts, classifier)
    return _Given(axis=far.mean(0) - near.mean(0), words=f"from {start} to {end}", asked=asked)


def _direction(session: Session, name: str) -> Tensor:
    """A direction of the session, or one of a file by its number, from 1; z_size float32."""
    if name in session.kept:
        if len(session.kept[name]) != 1:
            raise InputError(
                f"--axis {name}: found {len(session.kept[name])} latents, expected one direction"
            )
        return session.kept[name][0]
    path, colon, number = name.rpartition(":")
    if not colon or not number.isascii() or not number.isdecimal():
        known = [*session.kept, "FILE.safetensors:NUMBER"]
        raise unknown("direction", name, known, where="--axis")
    held = sampling.read(path, session.config, session.checkpoint.sha256)
    if not 1 <= int(number) <= len(held):
        raise InputError(f"--axis {name}: found {len(held)} directions, expected one of them")
    return held[int(number) - 1]


def _opposed(
    start: str, end: str, concepts: Concepts | None, classifier: Classifier
) -> tuple[str, ...]:
    """The labels that one concept shows and the other does not, by their conditions."""
    shown = [
        dict(wanted(classifier, concepts.named[name].shows))
        if concepts and name in concepts.named
        else {}
        for name in (start, end)
    ]
    both = [i for i in shown[0] if i in shown[1] and shown[0][i] != shown[1][i]]
    return tuple(classifier.labels[i] for i in both)


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
    changes = probabilities[-1] - probabilities[0]
    rises = (changes > 0).float().mean(0)
    differs = count_differing(probabilities[0], probabilities[-1])
    ways = random_ways(z, float(axis.norm() * at[-1]), session.seed)
    near, far = (classify(classifier, session.generate(z + way)) for way in (-ways, ways))
    at_random = count_differing(near, far)
    return Response(
        classifier=classifier.name,
        about=classifier.about,
        mean={name: probabilities[:, :, i].mean(1).tolist() for i, name in labels},
        spans={
            name: [mean_interval(x) for x in probabilities[:, :, i].tolist()] for i, name in labels
        },
        changes={name: _interval(changes[:, i]) for i, name in labels},
        rises={name: float(rises[i]) for i, name in labels},
        differs=dict(zip(classifier.labels, differs, strict=True)),
        differs_at_random=dict(zip(classifier.labels, at_random, strict=True)),
    )


def _interval(changes: Tensor) -> Interval:
    return Interval(float(changes.mean()), *mean_interval(changes.tolist()))
