"""Charts: the one look of all axes and legends that matplotlib draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dcgan_probe.figures.canvas import FONT

# For whatever text a chart writes beside its axes.
TEXT: dict[str, Any] = {"fontfamily": FONT, "fontsize": 8}


def style(
    axes: Axes,
    x: str | None = None,
    y: str | None = None,
    labels: float = 9,
    ticks: float = 8,
    hidden: Sequence[str] = ("top", "right"),
) -> None:
    """Give axes the common look: names, and no frame where nothing is read off it.

        >>> axes = blank(600, 240).subplots()
        >>> style(axes, x="step", y="loss")

    x, y: what the axes show; labels, ticks: sizes of their names and numbers in points; hidden:
    sides of the frame that are left out.
    """
    axes.spines[list(hidden)].set_visible(False)
    axes.tick_params(labelsize=ticks, which="both")
    if x is not None:
        axes.set_xlabel(x, fontsize=labels, fontfamily=FONT)
    if y is not None:
        axes.set_ylabel(y, fontsize=labels, fontfamily=FONT)


def legend(owner: Axes | Figure, *handles: Any, size: float = 8, **place: Any) -> None:
    """Write a legend without a frame. place: as matplotlib's `Axes.legend` takes it.

    >>> legend(axes, loc="upper right", ncols=2)
    """
    owner.legend(*handles, frameon=False, prop={"family": FONT, "size": size}, **place)
