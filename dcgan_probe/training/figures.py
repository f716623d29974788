"""The training chart: losses, and the distance of samples from real images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from dcgan_probe.figures import canvas, charts
from dcgan_probe.figures.output import save

SIZE = 10  # of all text of the chart, in points
APART = 0.08  # of the axes' height, between the names of two lines


@canvas.look()
def draw(lines: Sequence[dict[str, Any]], path: Path, caption: str) -> None:
    """Draw what a training measured: losses and, where it was measured, the distance to images.

        >>> draw([{"step": 1, "generator": 0.7}], Path("losses.png"), "rooms, seed 0")

    lines: objects with ``step`` and any of ``discriminator``, ``generator`` (nats), ``swd_mean``
    and ``warning``; a dotted line is drawn where something was warned of.
    """
    measured = [line for line in lines if "swd_mean" in line]
    figure = canvas.blank(canvas.PAGE, 420 if not measured else 640)
    panels = figure.subplots(2 if measured else 1, sharex=True, squeeze=False)[:, 0]
    _draw_losses(panels[0], lines)
    if measured:
        _draw_distances(panels[1], measured)
    for axes in panels:
        for line in lines:
            if "warning" in line:
                axes.axvline(line["step"], color=canvas.ORANGE, linestyle=":", linewidth=1)
    charts.style(panels[-1], x=f"step\n{caption}", labels=SIZE, ticks=SIZE)
    figure.subplots_adjust(left=0.09, right=0.91, bottom=0.13, top=0.96, hspace=0.12)
    save(path, figure)


def _draw_losses(axes: Axes, lines: Sequence[dict[str, Any]]) -> None:
    for name, colour in (("discriminator", canvas.BLUE), ("generator", canvas.ORANGE)):
        have = [line for line in lines if name in line]
        if not have:
            continue
        steps, values = (np.array([line[key] for line in have]) for key in ("step", name))
        window = max(1, len(have) // 100)
        smooth = np.convolve(values, np.ones(window) / window, mode="valid")
        axes.plot(steps, values, color=colour, alpha=0.2, linewidth=0.5)
        axes.plot(steps[window - 1 :], smooth, color=colour, label=name)
    charts.style(axes, y="loss (nats)", labels=SIZE, ticks=SIZE)
    if any("generator" in line for line in lines):
        charts.legend(axes, size=SIZE)


def _draw_distances(axes: Axes, measured: Sequence[dict[str, Any]]) -> None:
    best = min(measured, key=lambda line: line["swd_mean"])
    scales = sorted({k for line in measured for k in line if k.startswith("swd_")})
    if len(scales) == 2:
        scales = ["swd_mean"]  # of a single scale, which is the same line
    for scale in scales:
        steps, values = (np.array([m[key] for m in measured]) for key in ("step", scale))
        colour, width, marker = (canvas.PALE, 0.7, "")
        if scale == "swd_mean":
            colour, width, marker = (canvas.INK, 1.8, ".")
        axes.plot(steps, values, color=colour, linewidth=width, marker=marker)
    axes.plot(best["step"], best["swd_mean"], "o", color=canvas.GREEN, label="best")
    charts.style(axes, y="sliced Wasserstein distance", labels=SIZE, ticks=SIZE)
    axes.set_ylim(bottom=0)
    ends = [measured[-1][scale] / axes.get_ylim()[1] for scale in scales]
    for scale, place in zip(scales, charts.spread(ends, APART), strict=True):
        name = scale.removeprefix("swd_")
        label, colour = (name, canvas.INK) if name == "mean" else (f"{name} pixels", canvas.PALE)
        axes.text(1.01, place, label, color=colour, va="center", transform=axes.transAxes)
    charts.legend(axes, size=SIZE)
