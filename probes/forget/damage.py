"""Measure the damage of an edit away from the object: lost variety and contrast."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LEAST = 0.5  # of the variety, or of the contrast
MOVED = 0.9  # of how far two samples are apart: another sample would be as near


@dataclass(frozen=True)
class Damage:
    """What is left of images away from the object, on any generator; 1 is all of it.

    variety: deviation between samples at the same pixel, edited over unedited; a generator that
    draws the same image every time has 0. contrast: deviation between pixels of the same image,
    likewise; a flat image has 0. by_chance: variety and contrast of one half of the unedited
    samples over those of the other. moved: mean absolute change of pixels; apart: mean absolute
    difference of two unedited samples, both on images in [-1, 1].
    """

    variety: float
    contrast: float
    by_chance: tuple[float, float]
    moved: float
    apart: float

    def values(self) -> dict[str, object]:
        """As JSON values."""
        return {**vars(self), "by_chance": list(self.by_chance)}

    def doubts(self, label: str) -> list[str]:
        """What shows that the edit destroys the image, in a line; empty if nothing does."""
        reasons = []
        if self.variety < LEAST:
            reasons.append(f"samples vary {self.variety:.2f} times as much as unedited ones")
        if self.contrast < LEAST:
            reasons.append(f"pixels of an image vary {self.contrast:.2f} times as much")
        if self.moved > 0 and self.moved >= MOVED * self.apart:
            reasons.append(
                f"pixels change by {self.moved:.3f}, where two samples are {self.apart:.3f} apart"
            )
        if not reasons:
            return []
        return [f"THE EDIT DESTROYS THE IMAGE: away from the {label} {', '.join(reasons)}"]

    def __str__(self) -> str:
        chance = " and ".join(f"{share:.2f}" for share in self.by_chance)
        return (
            f"away from the object {self.variety:.2f} of the variety between samples is left, and "
            f"{self.contrast:.2f} of the contrast within them (unedited halves: {chance}); pixels "
            f"change by {self.moved:.3f}, two samples are {self.apart:.3f} apart"
        )


def measure_damage(before: Tensor, after: Tensor, away: Tensor | None = None) -> Damage:
    """Compare images of the same latents without an edit and with it.

        >>> images = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        >>> measure_damage(images, torch.zeros_like(images)).variety
        0.0

    before, after: N x C x S x S in [-1, 1], N at least 4. away: N x S x S bool, pixels away from
    the object on the unedited images, which alone count; all if None.
    """
    if away is None:
        away = torch.ones_like(before[:, 0], dtype=torch.bool)
    weights = away[:, None].double()
    was, became = before.double(), after.double()
    half = len(before) // 2
    chance = [
        _share(spread(was[:half], weights[:half]), spread(was[half:], weights[half:]))
        for spread in (_between, _within)
    ]
    change = (became - was).abs().mean(1, keepdim=True)
    return Damage(
        _share(_between(became, weights), _between(was, weights)),
        _share(_within(became, weights), _within(was, weights)),
        (chance[0], chance[1]),
        float((change * weights).sum() / weights.sum().clamp_min(1)),
        float((before - before.roll(1, 0)).abs().mean()),
    )


def _between(images: Tensor, weights: Tensor) -> float:
    """Deviation over the samples at a pixel, root of the mean square over pixels."""
    return _deviation(images, weights, (0,))


def _within(images: Tensor, weights: Tensor) -> float:
    """Deviation over the pixels of an image, root of the mean square over images."""
    return _deviation(images, weights, (2, 3))


def _deviation(images: Tensor, weights: Tensor, over: tuple[int, ...]) -> float:
    count = weights.sum(over, keepdim=True)
    mean = (images * weights).sum(over, keepdim=True) / count.clamp_min(1)
    square = ((images - mean).square() * weights).sum() / images.shape[1]
    return float((square / weights.sum().clamp_min(1)).sqrt())


def _share(part: float, whole: float) -> float:
    """What is left; all of it where there was nothing."""
    return part / whole if whole else 1.0
