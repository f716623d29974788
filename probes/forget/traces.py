"""Train a probe on edited images to find where the object was."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dcgan_probe.metrics import features
from dcgan_probe.probes.forget.judgement import PRESENT
from dcgan_probe.recognition.detectors import Detector, soft
from dcgan_probe.recognition.retrained import Retrained, inpaint, places_differ, retrain, see
from dcgan_probe.session import Session

GONE = 0.05  # share of the area left, from which on an object is gone for a judge


@dataclass(frozen=True)
class Traces:
    """What a probe trained again finds on images of the same latents, edited in several ways.

    judge: the detector whose marks on the unedited images it learns. found: by edit; "as they are"
    and "inpainted", the marked pixels filled by OpenCV, are there to compare with.
    """

    judge: str
    found: Mapping[str, Retrained]

    def values(self) -> dict[str, Any]:
        """As JSON values."""
        measured = {name: each.values() for name, each in self.found.items()}
        return {"judge": self.judge, "trained_again": measured}

    def lines(self) -> list[str]:
        """A heading, and a line for every edit."""
        lines = ["a probe trained again on edited images, to say where the object had been:"]
        for name, each in self.found.items():
            if math.isnan(each.beyond.value):
                lines.append(f"  {name}: not measured, with {each.images} such images")
                continue
            lines.append(
                f"  {name}: AUC {each.auc} (position alone {each.position.value:.3f}), beyond "
                f"position {each.beyond}"
            )
        return lines

    def doubts(self, name: str, left: float) -> list[str]:
        """Reasons to doubt an edit of `found`.

        left: share of the object's area that the judge still marks.
        """
        lines = []
        probe = self.found[name]
        if left <= GONE and probe.finds_it:
            filled, unedited = (self.found[n].beyond.value for n in ("inpainted", "as they are"))
            lines.append(
                "THE PLACE CAN STILL BE FOUND by a new probe, trained on the edited images: AUC "
                f"{probe.beyond}. Inpainted by OpenCV: {filled:.3f}; unedited: {unedited:.3f}; "
                "chance: 0.5"
            )
        return lines


def trace(
    session: Session, judge: Detector, before: Tensor, edited: Mapping[str, Tensor]
) -> Traces:
    """Train probes on samples that hold the object, as they are, inpainted, and edited.

    before: N x C x S x S, unedited. edited: the same latents, by the name of the edit. Where the
    object is always at the same place, samples without it are learnt from too, or there would be
    nothing to tell it from.
    """
    mask = soft(judge, before) > 0.5
    area = mask.flatten(1).float().mean(1)
    rows = torch.where(area > PRESENT)[0]
    if not places_differ(mask[rows]):
        rows = torch.where((area > PRESENT) | (area == 0))[0]
    held = before[rows]
    images = {"as they are": held, **{name: each[rows] for name, each in edited.items()}}
    images["inpainted"] = inpaint(held, mask[rows])
    discriminator = features.seeing(session.checkpoint.discriminator)
    probes = {
        name: retrain(see(discriminator, each), mask[rows], session.seed)
        for name, each in session.progress(images.items(), "training probes again")
    }
    return Traces(judge.name, probes)
