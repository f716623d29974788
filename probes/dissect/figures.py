"""Pictures of filters: their strongest samples, where they respond, and what they change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from torch import Tensor
from torch.nn import functional as F

from dcgan_probe import figures
from dcgan_probe.edits.tails import Tail
from dcgan_probe.probes.dissect.agreement import Agreement
from dcgan_probe.probes.dissect.effects import Effect
from dcgan_probe.session import Session

DIMMED = 0.75
OUTLINE = 2  # pixels
_ORANGE = [round(255 * part) for part in to_rgb(figures.ORANGE)]


@dataclass(frozen=True, eq=False)
class DissectionPictures:
    """Two rows a filter: rows x columns x H x W x 3 uint8, zoomed. labels: below each image."""

    title: str
    images: np.ndarray
    labels: tuple[tuple[str, ...], ...]
    rows: tuple[str, ...]
    caption: str

    def draw(self, path: Path) -> None:
        heading = f"the {self.images.shape[1]} samples on which each filter is highest"
        blocks = [figures.Block(heading, self.images, self.labels)]
        figures.draw(path, self.title, blocks, self.rows, self.caption, zoom=1)


def pictures(
    session: Session,
    layer: str,
    label: str,
    match: Agreement,
    effect: Effect,
    z: Tensor,
    strongest: Tensor,
    top: int,
    names: Sequence[str],
) -> DissectionPictures:
    """The `top` filters of most effect, on the samples of z on which they are highest.

    names: of the samples of z.
    match, effect, strongest: as `agreement` and `measure` return them.
    """
    rest = Tail(session.generator, layer)
    zoom = figures.zoom_for(session.config.size)
    chosen = (-effect.size).argsort(kind="stable")[:top].tolist()
    seen, changes, rows, labels = [], [], [], []
    for f in chosen:
        base = rest.start(z[strongest[f]].to(session.device))
        before, after = base.images(), base.without([f])
        high = (base.maps[:, f : f + 1] > match.threshold[f]).float()
        seen.append(_outlined(before, F.interpolate(high, before.shape[2:]), zoom))
        changes.append((after - before).abs().mean(dim=1).cpu().numpy())
        rows += [f"filter {f}\nIoU {match.held_out_iou[f]:.2f}", _describe(effect, f)]
        labels += [tuple(names[i] for i in strongest[f].tolist()), ()]
    most = float(np.quantile(changes, 0.995))
    drawn = [
        image
        for each, change in zip(seen, changes, strict=True)
        for image in (each, _coloured(change / max(most, 1e-12), zoom))
    ]
    share = f"; gone: of the area of “{label}”" if effect.area_left is not None else ""
    return DissectionPictures(
        f"Filters of layer {layer} that “{label}” depends on most",
        np.stack(drawn),
        tuple(labels),
        tuple(rows),
        f"The filters of most effect, the largest first, on those of {len(z)} samples on which "
        "each is highest: extremes, some perhaps failed. Framed in orange: where its map is "
        f"above the threshold that matches boxes of “{label}” best; IoU: how well, on held-out "
        "boxes. Below: how much the image changes without this filter alone, white 0 to dark red "
        f"{most:.2f} or more, on images in [-1, 1]{share}; in brackets the 95% interval over "
        f"samples. {session.caption()}.",
    )


def _describe(effect: Effect, f: int) -> str:
    """The effect of a filter with its interval, which is left out if it is unknown."""
    size, ends = float(effect.size[f]), effect.interval[f].tolist()
    if effect.area_left is None:
        words, (low, high) = f"effect {size:.2f}", (f"{end:.2f}" for end in ends)
    else:
        words, (low, high) = f"{size:.1%} gone", (f"{100 * end:.1f}" for end in ends)
    known = all(map(math.isfinite, ends))
    return f"without it,\n{words}" + f"\n({low} to {high})" * known


def _outlined(images: Tensor, high: Tensor, zoom: int) -> np.ndarray:
    """Images at whole-number zoom, with an orange frame around where a mask of 0 and 1 is high."""
    dimmed = (images + 1) * (DIMMED + (1 - DIMMED) * high) - 1  # black is -1
    large = figures.pixels(dimmed).repeat(zoom, 1).repeat(zoom, 2)
    masks = high[:, 0].cpu().numpy().astype(np.uint8).repeat(zoom, 1).repeat(zoom, 2)
    kernel = np.ones((2 * OUTLINE + 1, 2 * OUTLINE + 1), np.uint8)
    for image, mask in zip(large, masks, strict=True):
        image[cv2.dilate(mask, kernel) > mask] = _ORANGE
    return large


def _coloured(shares: np.ndarray, zoom: int) -> np.ndarray:
    """Shares of the largest change in colours from white to dark red, at whole-number zoom."""
    colours = colormaps["Reds"](np.clip(shares, 0, 1))[..., :3]
    return (colours * 255).round().astype(np.uint8).repeat(zoom, 1).repeat(zoom, 2)
