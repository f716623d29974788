"""The result of ablate: the edit, how much it changes, and where."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dcgan_probe.boxes.boxes import Boxes
from dcgan_probe.edits.filters import Selection
from dcgan_probe.probes.ablate.figures import AblationPictures
from dcgan_probe.results.result import Result


@dataclass(frozen=True, kw_only=True, eq=False)
class Ablated(Result):
    """What `run` returns.

    change: mean absolute change of pixels, on images in [-1, 1], by place: "everywhere", or
    "inside" and "outside" of the region or the boxes; samples: of how many. boxes: those that the
    edit was made inside of, on their own samples; unresolved: how many hold no cell of the layer.
    """

    selection: Selection
    boxes: Boxes | None
    unresolved: int
    change: dict[str, float]
    samples: int
    pictures: AblationPictures

    def values(self) -> dict[str, Any]:
        boxed = {} if self.boxes is None else {"boxes_without_a_cell": self.unresolved}
        return {"samples": self.samples, "change": self.change, **boxed}

    def draw(self, folder: Path) -> None:
        # An edit inside of boxes is of their samples: it has no file that others could take up.
        if self.boxes is None:
            self.selection.write(folder / "selection.json")
        else:
            boxes, latents = self.boxes, self.boxes.latents_path
            if latents is not None:  # which stays where it is
                beside = os.path.relpath(os.path.realpath(latents), os.path.realpath(folder))
                boxes = replace(boxes, latents=beside)
            boxes.write(folder / "boxes.json")
        place = "" if self.selection.where is None else " inside the frame"
        place = place if self.boxes is None else " inside the boxes"
        title = f"{replace(self.selection, where=None)}{place}"
        self.pictures.draw(folder / "ablate.png", title)

    def _title(self) -> str:
        return f"{self.selection}{'' if self.boxes is None else ' inside of boxes'}"

    def __str__(self) -> str:
        change = ", ".join(f"{place} {value:.3f}" for place, value in self.change.items())
        lines = [self._title(), f"mean absolute change of {self.samples} samples: {change}"]
        if self.boxes is not None:
            if self.unresolved:
                count = len(self.boxes.boxes)
                lines.append(f"{self.unresolved} of {count} boxes hold no location of this layer")
            lines.append("this edit is of the boxed samples only: later commands do not see it")
        return "\n".join(lines)
