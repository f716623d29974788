"""The result of dissect: for every object, the agreement and the effect of each filter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcgan_probe.probes.dissect.agreement import Agreement
from dcgan_probe.probes.dissect.effects import Effect
from dcgan_probe.probes.dissect.figures import DissectionPictures
from dcgan_probe.results.result import Result

LISTED = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Object:
    """All filters of the layer against one labelled object.

    judge: the detector that says what is left of it, or "boxes"; about: what is known of it.
    samples: on how many the effect was measured. tells_effect: Spearman's rank correlation, over
    filters, of held-out IoU and size of the effect; tells_place: of held-out IoU and the change
    inside less that outside. None where one of the two is the same for all filters.
    """

    label: str
    judge: str
    about: dict[str, Any]
    samples: int
    agreement: Agreement
    effect: Effect
    tells_effect: float | None
    tells_place: float | None
    pictures: DissectionPictures

    def by_agreement(self) -> list[int]:
        """Filters by held-out IoU, the highest first."""
        return (-self.agreement.held_out_iou).argsort(kind="stable").tolist()

    def by_effect(self) -> list[int]:
        """Filters by the size of their effect, the largest first."""
        return (-self.effect.size).argsort(kind="stable").tolist()

    def row(self, f: int) -> dict[str, Any]:
        """The numbers of one filter; area_left only where a detector judged."""
        effect, left = self.effect, self.effect.area_left
        low, high = effect.interval[f].tolist()
        return {
            "filter": f,
            "threshold": float(self.agreement.threshold[f]),
            "iou": float(self.agreement.iou[f]),
            "held_out_iou": float(self.agreement.held_out_iou[f]),
            **({} if left is None else {"area_left": float(left[f])}),
            "change_inside": float(effect.inside[f]),
            "change_outside": float(effect.outside[f]),
            "effect": float(effect.size[f]),
            "effect_95": [low, high] if math.isfinite(low) else None,
        }

    def values(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "judge": {"name": self.judge, "about": self.about},
            "samples": self.samples,
            "pixels_of_object": self.effect.pixels,
            "chance_iou": self.agreement.chance,
            "rank_correlation_of_iou": {
                "effect": self.tells_effect,
                "change_inside_less_outside": self.tells_place,
            },
            "filters": [self.row(f) for f in range(len(self.effect.size))],
        }

    def __str__(self) -> str:
        looks, causes = self.by_agreement()[:LISTED], self.by_effect()[:LISTED]
        if self.effect.area_left is None:
            judged = "no detector: effect is the change inside the boxes less that outside"
        else:
            judged = f"judged by {self.judge}: effect is the share of the object's area lost"
        effect, place = (
            "none" if rho is None else f"{rho:.2f}" for rho in (self.tells_effect, self.tells_place)
        )
        both = len(set(looks) & set(causes))
        head = "  filter  held-out IoU  effect (95% interval)   change inside  outside"
        return "\n".join(
            [
                f"{self.label}: {self.samples} samples, {judged}",
                f"most like the boxes (a mask of all places has IoU {self.agreement.chance:.3f}):",
                head,
                *map(self._line, looks),
                "of most effect:",
                head,
                *map(self._line, causes),
                f"{both} of {len(looks)} are in both lists",
                f"rank correlation of IoU over all {len(self.effect.size)} filters: {effect} with "
                f"the effect, {place} with the change inside less that outside",
            ]
        )

    def _line(self, f: int) -> str:
        low, high = self.effect.interval[f]
        return (
            f"  {f:6d}  {self.agreement.held_out_iou[f]:12.3f}  {self.effect.size[f]:6.3f} "
            f"({low:6.3f} to {high:6.3f})  {self.effect.inside[f]:13.3f}  "
            f"{self.effect.outside[f]:7.3f}"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Dissected(Result):
    """What `run` returns: one object for each label, in the order of the labels."""

    layer: str
    objects: tuple[Object, ...]

    def values(self) -> dict[str, Any]:
        return {"layer": self.layer, "objects": [each.values() for each in self.objects]}

    def draw(self, folder: Path) -> None:
        for i, each in enumerate(self.objects):
            # Labels may be any text, so they are in the picture and not in the name of its file.
            each.pictures.draw(folder / ("dissect.png" if not i else f"dissect_{i + 1}.png"))

    def __str__(self) -> str:
        count = len(self.objects[0].effect.size)
        return "\n\n".join([f"layer {self.layer}, {count} filters", *map(str, self.objects)])
