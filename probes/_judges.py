"""Who judges what is left of an object: detectors, or one that is learnt from half of the boxes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dcgan_probe as dp
from dcgan_probe.errors import InputError
from dcgan_probe.metrics import features
from dcgan_probe.recognition import detectors

from ._boxed import latents_of

if TYPE_CHECKING:
    from dcgan_probe.recognition.detectors import Detector

BOXES = "boxes"  # the judge that is learnt from boxes


def asked(
    session: dp.Session, label: str, judges: Sequence[str | Detector] | None
) -> list[str | Detector]:
    """Those that were named; else the detector that ships for the object, or `BOXES`."""
    if judges is not None:
        return list(judges)
    return [detectors.shipped(session.checkpoint.name, label) or BOXES]


def made(session: dp.Session, boxes: dp.Boxes, label: str, judge: str | Detector) -> Detector:
    """A judge by name, or itself. boxes: what that of `BOXES` learns from."""
    if judge == BOXES:
        return learnt(session, boxes)
    if isinstance(judge, str):
        return detectors.find(judge, label, session.device, also=[BOXES])
    return judge


def learnt(session: dp.Session, boxes: dp.Boxes) -> Any:
    """A `BoxDetector` of all the boxes."""
    from dcgan_probe.recognition.box_detector import BoxDetector

    images = session.generate(latents_of(session, boxes)).to(session.device)
    inside = boxes.mask((images.shape[2], images.shape[3]))
    discriminator = features.seeing(session.checkpoint.discriminator)
    return BoxDetector.learn(discriminator, images.cpu(), inside, session.seed)


def halves(boxes: dp.Boxes) -> tuple[dp.Boxes, dp.Boxes]:
    """Every second of the images with boxes and of those without: to choose, and to judge."""
    boxed = sorted({box.image for box in boxes.boxes})
    if len(boxed) < 2:
        raise InputError(
            f"{boxes.source or 'boxes'}: found boxes on {len(boxed)} image, expected 2 or more: "
            "the judge that is learnt from boxes needs images of its own; name another --judge"
        )
    empty = [image for image in boxes.images if image not in set(boxed)]
    first = {*boxed[::2], *empty[::2]}
    return only_images(boxes, first), only_images(boxes, set(boxes.images) - first)


def only_images(boxes: dp.Boxes, images: set[int]) -> dp.Boxes:
    """The same, as if only these images had been looked at."""
    kept = tuple(box for box in boxes.boxes if box.image in images)
    return dataclasses.replace(boxes, boxes=kept, images=tuple(sorted(images)))
