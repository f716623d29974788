"""Samples to choose an edit on, and a guide that scores how much of the object is left."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dcgan_probe.errors import InputError
from dcgan_probe.recognition.box_detector import BoxDetector
from dcgan_probe.recognition.judges import away_from
from dcgan_probe.recognition.samples import maps_of
from dcgan_probe.session import BATCH, Session

SAMPLES = 256
TINY = 1e-6  # samples without the object have no evidence to leave


@dataclass(frozen=True, eq=False)
class Guidance:
    """Samples that an edit is chosen on, and the guide that says where the object is on them.

    z: N x z_size. maps: N x filters x h x w of the layer. before: their images, unedited.
    evidence: N x S x S, how much the guide's logit is above `ground` in the object, and 0
    elsewhere; ground: its mean outside. outside: N x S x S bool. holding: which samples have
    evidence, int64.
    """

    session: Session
    layer: str
    guide: BoxDetector
    z: Tensor
    maps: Tensor
    before: Tensor
    evidence: Tensor
    outside: Tensor
    ground: float
    holding: Tensor

    @classmethod
    def draw(
        cls, session: Session, layer: str, guide: BoxDetector, start: int, n: int = SAMPLES
    ) -> Guidance:
        """Take n samples of the session's seed, from number `start` on.

        Raises InputError where the guide sees no object on them, or nothing else.
        """
        z = session.latents(n, start=start)
        maps, before = maps_of(session, z, layer), session.generate(z)
        with torch.no_grad():
            batches = before.split(BATCH)
            logit = torch.cat([guide.logit(part.to(session.device)).cpu() for part in batches])
        marked, apart = logit > 0, away_from(logit > 0)
        if not marked.any() or not apart.any():
            raise InputError(
                f"layer {layer!r}: found no object, or nothing else, on {n} samples by a detector "
                "of the boxes, expected both"
            )
        ground = logit[apart].mean().item()
        evidence = torch.where(marked, logit - ground, 0).clamp_min(0)
        holding = evidence.sum(dim=(1, 2)).nonzero().flatten()
        return cls(session, layer, guide, z, maps, before, evidence, apart, ground, holding)

    def measure(self, images: Tensor, rows: slice | Tensor) -> tuple[Tensor, Tensor]:
        """Measure on edited images of some samples the evidence left, and the mean change outside.

        The evidence for the object, where it was, is a share of what there was; 0 is when to the
        guide all of it looks like what is outside of objects, or less like the object than that.
        """
        evidence = self.evidence[rows].to(images.device)
        still = (self.guide.logit(images) - self.ground).clamp_min(0)
        left = torch.minimum(still, evidence).sum() / evidence.sum().clamp_min(TINY)
        apart = (images - self.before[rows].to(images.device)).abs().mean(1)
        where = self.outside[rows].to(images.device)
        return left, (apart * where).sum() / where.sum()
