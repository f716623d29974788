"""Who judges what is left of an object: detectors, or one that is learnt from half of the boxes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from dcgan_probe.boxes.boxes import Boxes
from dcgan_probe.errors import InputError
from dcgan_probe.metrics import features, splits
from dcgan_probe.recognition import detectors
from dcgan_probe.recognition.box_detector import BoxDetector
from dcgan_probe.recognition.detectors import Detector
from dcgan_probe.recognition.samples import latents_of
from dcgan_probe.session import Session

BOXES = "boxes"  # the judge that is learnt from boxes
EDGE = 2  # pixels around an object that count neither as it nor as outside


def split(
    session: Session, boxes: Boxes, label: str, judges: Sequence[str | Detector] | None
) -> tuple[Boxes, list[Detector]]:
    """Who judges, and the boxes that are left to choose with.

    judges: detectors, by name or themselves; None is the detector that ships for the object, or
    `BOXES`. That one learns from every second image with boxes and leaves the others.
    """
    if judges is None:
        judges = [detectors.shipped(session.checkpoint.name, label) or BOXES]
    choosing, judging = halves(boxes) if BOXES in judges else (boxes, boxes)
    return choosing, [_judge(session, judging, label, judge) for judge in judges]


def learn_from_boxes(session: Session, boxes: Boxes) -> BoxDetector:
    """Learn a detector from all the boxes."""
    images = session.generate(latents_of(session, boxes)).to(session.device)
    inside = boxes.mask((images.shape[2], images.shape[3]))
    discriminator = features.seeing(session.checkpoint.discriminator)
    return BoxDetector.learn(discriminator, images.cpu(), inside, session.seed)


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
    grown = F.max_pool2d(marked[:, None].float(), 2 * EDGE + 1, stride=1, padding=EDGE)
    return grown[:, 0] == 0


def _judge(session: Session, boxes: Boxes, label: str, judge: str | Detector) -> Detector:
    if judge == BOXES:
        return learn_from_boxes(session, boxes)
    if isinstance(judge, str):
        return detectors.find(judge, label, session.device, also=[BOXES])
    return judge
