"""Pictures of filters: their strongest samples, where they respond, and what they change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from dcgan_probe import figures
from dcgan_probe.edits.tails import Tail
from dcgan_probe.probes.dissect.agreement import Agreement
from dcgan_probe.probes.dissect.effects import Effect
from dcgan_probe.session import Session

DIMMED = 0.25
BRIGHTEST = 0.3


@dataclass(frozen=True, eq=False)
class DissectionPictures:
    """A row a filter. seen, change: rows x columns x H x W x 3 uint8."""

    title: str
    seen: np.ndarray
    change: np.ndarray
    rows: tuple[str, ...]
    caption: str

    def draw(self, path: Path) -> None:
        blocks = [
            figures.Block("strongest images, dark where the filter is low", self.seen),
            figures.Block("what dropping it changes in them", self.change),
        ]
        zoom = figures.zoom_for(self.seen.shape[2])
        figures.draw(path, self.title, blocks, self.rows, self.caption, zoom)


def pictures(
    session: Session,
    layer: str,
    label: str,
    match: Agreement,
    effect: Effect,
    z: Tensor,
    strongest: Tensor,
    top: int,
) -> DissectionPictures:
    """The `top` filters of most effect, on the samples of z on which they are highest.

    match, effect, strongest: as `agreement` and `measure` return them.
    """
    rest = Tail(session.generator, layer)
    seen, changes, rows = [], [], []
    name = "effect" if effect.area_left is None else "object gone"
    for f in (-effect.size).argsort(kind="stable")[:top].tolist():
        base = rest.start(z[strongest[f]].to(session.device))
        before, after = base.images(), base.without([f])
        high = (base.maps[:, f : f + 1] > match.threshold[f]).float()
        light = DIMMED + (1 - DIMMED) * F.interpolate(high, before.shape[2:])
        seen.append(figures.pixels((before + 1) * light - 1))  # black is -1
        change = (after - before).abs().mean(dim=1).cpu().numpy()
        changes.append(figures.heat(change, 0, BRIGHTEST, (change.shape[2], change.shape[1])))
        rows.append(f"filter {f}\nIoU {match.held_out_iou[f]:.2f}\n{name} {effect.size[f]:.2f}")
    return DissectionPictures(
        f"Filters of layer {layer} that “{label}” depends on most",
        np.stack(seen),
        np.stack(changes),
        tuple(rows),
        f"Each row is a filter, the one of most effect first, on those of {len(z)} samples on "
        "which it is highest. Left: bright where its map is above the threshold that matches "
        f"boxes of “{label}” best, with its held-out IoU. Right: mean absolute change of pixels by "
        f"this filter alone at zero, dark 0 to yellow {BRIGHTEST} or more, on images in [-1, 1]. "
        f"{session.caption()}.",
    )
