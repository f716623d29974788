"""Ways to put an object: layers, fill, and how the edit ends beyond the box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# The donor's maps as they are, or their texture at the level of what is around.
FILLS = ("mix", "clone")


@dataclass(frozen=True)
class Way:
    """How an object is put: the layers in the order of the data, the fill, by how many pixels the
    region reaches beyond the object's box, and whether the edit fades out over these."""

    layers: tuple[str, ...]
    fill: str
    margin: float
    soft: bool = False

    def values(self) -> dict[str, Any]:
        """As JSON values."""
        return {**vars(self), "layers": list(self.layers)}

    def __str__(self) -> str:
        rim = "fading out over" if self.soft else "up to"
        return f"{' and '.join(self.layers)}, {self.fill}, {rim} {self.margin:.2g} pixels beyond"
