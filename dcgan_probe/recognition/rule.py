"""The paper's rule: from boxes on an object to the filters to drop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dcgan_probe.boxes.boxes import Boxes
from dcgan_probe.edits.filters import Selection
from dcgan_probe.edits.ranking import Ranking
from dcgan_probe.recognition.samples import BoxedSamples, default_layer
from dcgan_probe.session import Session


def choose(
    session: Session, boxes: Boxes, label: str | None = None, layer: str | None = None
) -> Selection:
    """Choose the filters that draw an object by the paper's rule; does not judge the choice.

        >>> session = Session.open("rooms")
        >>> with session.editing(choose(session, session.read_boxes(), "window")):
        ...     without = session.sample(16)

    boxes: drawn on samples of this checkpoint. label: which of their labels; may be left out
    where there is one. layer: of the generator, `default_layer` if None.

    Raises InputError for boxes of another checkpoint, a label that the boxes do not have, a layer
    without locations or in which the boxes hold none, and where the rule chooses no filter or all.
    Source: section 6.3.1.
    """
    label = boxes.one_label(label)
    boxes = boxes.only(label)
    boxes.check(session.checkpoint.sha256)
    samples = BoxedSamples.draw(session, boxes, layer or default_layer(session.config))
    about = {"rule": "paper", "label": label}
    return replace(rank_by_weight(samples, positive(samples)).chosen, about=about)


def positive(samples: BoxedSamples) -> int:
    """How many filters have a weight above zero in the regression on boxed samples."""
    return int((samples.regression.weights > 0).sum())


def rank_by_weight(samples: BoxedSamples, k: int, values: Sequence[float] = ()) -> Ranking:
    """Drop the k filters of the largest weights in the regression on boxed samples.

    values: of all filters, which replace the dropped ones; empty is zero. Raises InputError for k
    of no filter or of all. Source: section 6.3.1, where k is `positive(samples)`.
    """
    order = (-samples.regression.weights).argsort(kind="stable").tolist()
    return Ranking.drop(samples.layer, samples.session.checkpoint.sha256, order, k, values)
