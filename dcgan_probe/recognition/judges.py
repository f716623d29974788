"""Choose the judges of an object: named detectors, or one learned from half of the boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from dcgan_probe.boxes.boxes import Boxes
from dcgan_probe.errors import InputError
from dcgan_probe.metrics import features, splits
from dcgan_probe.recognition import detectors
from dcgan_probe.recognition.box_detector import BoxDetector
from dcgan_probe.recognition.detectors import Detector
from dcgan_probe.recognition.masks import grown
from dcgan_probe.recognition.samples import latents_of
from dcgan_probe.session import Session

# Detectors by name, by path or as objects: several, or one.
Judges = Sequence[str | Detector] | str | Detector
BOXES = "boxes"  # the judge that is learnt from boxes
EDGE = 2  # pixels around an object that count neither as it nor as outside
POOR = 0.5  # a judge whose marks overlap less with the truth is reported as poor


def split(
    session: Session,
    boxes: Boxes,
    label: str,
    judges: Judges | None,
) -> tuple[Boxes, list[Detector]]:
    """Who judges, and the boxes that are left to choose with.

    judges: detectors, by name or themselves, several or one; None is the detector that ships for
    the object, or `BOXES`. That one learns from every second image with boxes and every second one
    without, and is scored on the others, which are left to choose with.
    """
    if judges is None:
        judges = detectors.shipped(session.checkpoint.name, label) or BOXES
    if isinstance(judges, str) or not isinstance(judges, Sequence):
        judges = [judges]
    choosing, judging = halves(boxes) if BOXES in judges else (boxes, boxes)
    return choosing, [_judge(session, judging, choosing, label, judge) for judge in judges]


def learn_from_boxes(session: Session, boxes: Boxes) -> BoxDetector:
    """Learn a detector from all the boxes."""
    discriminator = features.seeing(session.checkpoint.discriminator)
    return BoxDetector.learn(discriminator, *_images(session, boxes), session.seed)


def halves(boxes: Boxes) -> tuple[Boxes, Boxes]:
    """Every second of the images with boxes and of those without: to choose, and to judge."""
    boxed = sorted({box.image for box in boxes.boxes})
    if len(boxed) < 2:
        raise InputError(
            f"{boxes.source or 'boxes'}: found boxes on {len(boxed)} image, expected 2 or more: "
            "the judge that is learnt from boxes needs images of its own; name another --judge"
        )
    empty = [image for image in boxes.images if image not in set(boxed)]
    first, second = splits.halves(boxed, empty)
    return boxes.only_images(first.tolist()), boxes.only_images(second.tolist())


def away_from(marked: Tensor) -> Tensor:
    """Pixels that are neither marked nor within two pixels of one that is; N x S x S bool."""
    return ~grown(marked, EDGE)


def doubt_judge(name: str, about: Mapping[str, Any]) -> list[str]:
    """Say that a judge is poor, if its overlap with what is right is known to be.

    >>> doubt_judge("boxes", {"held_out_iou": 0.45, "held_out_iou_95": [0.31, 0.62]})
    []
    """
    known = about.get("held_out_iou", 1.0)
    interval = about.get("held_out_iou_95")
    if (known if interval is None else interval[1]) >= POOR:
        return []
    said = (
        f"{known:.2f}"
        if interval is None
        else f"{known:.2f} ({interval[0]:.2f} to {interval[1]:.2f})"
    )
    return [
        f"JUDGE {name} IS NOT TO BE BELIEVED: on images it did not see, its marks overlap with "
        f"what is right by {said} (intersection over union)"
    ]


def _images(session: Session, boxes: Boxes) -> tuple[Tensor, np.ndarray]:
    """The samples that boxes are of, on the CPU, and which of their pixels are in boxes."""
    images = session.generate(latents_of(session, boxes)).cpu()
    return images, boxes.mask((images.shape[2], images.shape[3]))


def _judge(
    session: Session, judging: Boxes, choosing: Boxes, label: str, judge: str | Detector
) -> Detector:
    if judge == BOXES:
        learnt = learn_from_boxes(session, judging)
        learnt.score(*_images(session, choosing), session.seed)
        return learnt
    if isinstance(judge, str):
        return detectors.find(judge, label, session.device, also=[BOXES])
    return detectors.check(judge)
