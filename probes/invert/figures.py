"""The chart of an inversion: the loss of each start."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure
from torch import Tensor

from dcgan_probe.figures import charts
from dcgan_probe.figures.canvas import BLUE, ORANGE, blank


def chart_losses(losses: Mapping[str, Tensor], width: int) -> Figure:
    """The losses of every start, one colour for each target.

    losses: by the name of the target, m x (steps + 1), the best start first. width: in pixels.
    """
    figure = blank(width, 240)
    axes = figure.subplots()
    for (label, starts), colour in zip(losses.items(), (BLUE, ORANGE), strict=True):
        for row, each in enumerate(starts.tolist()):
            axes.plot(
                each,
                color=colour,
                label=f"{label}, best" if row == 0 else None,
                alpha=1.0 if row == 0 else 0.4,
                linewidth=1.8 if row == 0 else 0.7,
            )
    axes.set_yscale("log")
    charts.style(axes, x="step", y="loss")
    charts.legend(axes, loc="upper right", ncols=2)
    figure.subplots_adjust(left=80 / width, right=0.99, bottom=0.18, top=0.96)
    return figure
