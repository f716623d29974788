"""The figures of forget: samples before and after, what is left, where images change."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from torch import Tensor

from dcgan_probe import figures
from dcgan_probe.edits.filters import Selection
from dcgan_probe.figures import charts, strips
from dcgan_probe.probes.forget.judgement import PRESENT, Proof
from dcgan_probe.probes.forget.traces import Traces
from dcgan_probe.recognition.detectors import Detector, soft
from dcgan_probe.recognition.regression import Fit
from dcgan_probe.recognition.samples import BoxedSamples

PANELS, HEIGHT = 2, 320  # in a row; of each, in pixels
LOW = 200  # of a row with nothing but what a probe finds, in pixels
SHOWN = 6  # samples: they stay readable on a page of 800 pixels
HIGHEST = 1.3  # area left: what leaves more is drawn at the edge
TITLE = 42  # characters that fit above a panel
LEGEND = 10  # pixels of the line above the panels


@dataclass(frozen=True, eq=False)
class ForgettingPictures:
    """Columns of the two figures; images as N x H x W x 3 uint8."""

    before: np.ndarray
    after: np.ndarray
    random: np.ndarray
    boxed: np.ndarray
    probability: np.ndarray
    change: np.ndarray
    caption: str
    fresh: str

    def draw(
        self,
        folder: Path,
        label: str,
        selections: Sequence[Selection],
        proofs: Sequence[Proof],
        doubts: Sequence[str] = (),
        traces: Sequence[Traces] = (),
    ) -> None:
        """Write forget.png, where.png, before.png and after.png."""
        count = sum(len(edit.filters) for edit in selections)
        layers = " and ".join(edit.layer for edit in selections)
        edit = ", ".join(map(str, selections))
        if any(any(each.gains) for each in selections):
            title, row = f"{count} filters of {layers} turned down", f"{count} filters\nturned down"
        else:
            title = f"new samples with and without {count} filters of {layers}"
            row = f"without\n“{label}”\n({count} filters)"
        said = _chart_words(label, proofs[0]) if proofs else ""
        figures.draw(
            folder / "forget.png",
            f"Forgetting “{label}”: {title}",
            [figures.Block("", np.stack([self.before, self.after, self.random]))],
            [
                "as they are",
                row,
                f"{count} random\nfilters",
            ],
            f"The same {len(self.before)} latents in every row, {self.fresh}: the first with a "
            f"{label}. Second row: {edit}; third: as many filters drawn at random. {said}"
            f"{self.caption}.",
            zoom=figures.zoom_for(self.before.shape[1]),
            warnings=doubts,
            below=_chart(proofs, traces) if proofs else None,
        )
        figures.draw(
            folder / "where.png",
            f"Where layer {selections[0].layer} sees “{label}”, and what its filters change",
            [figures.Block("", np.stack([self.boxed, self.probability, self.change]))],
            ["boxes", f"probability\nof “{label}”", "change"],
            "The first boxed samples. Middle: the logistic regression at every place of the layer, "
            "dark 0 to yellow 1. Below: mean absolute change of pixels by the edit, "
            f"dark 0 to yellow 1 or more, on images in [-1, 1]. {self.caption}.",
            zoom=1,
        )
        strips.write(folder, self.before, self.after)


def pictures(
    samples: BoxedSamples,
    regression: Fit,
    boxed: tuple[Tensor, Tensor],
    fresh: Sequence[Tensor],
    words: str,
) -> ForgettingPictures:
    """Draw the columns of the figures.

    boxed: the boxed samples before and after. fresh: new ones before, after and at random; words:
    which those are. regression: what sees the object at every location of the samples' layer.
    """
    boxes, maps = samples.boxes, samples.maps
    before, after = boxed
    with_boxes = {box.image for box in boxes.boxes}
    first = [i for i, image in enumerate(boxes.images) if image in with_boxes][:SHOWN]
    zoom = figures.zoom_for(before.shape[2])
    side = before.shape[2] * zoom
    drawn = []
    for i, image in zip(first, figures.pixels(before[first]), strict=True):
        on_it = [b.edges for b in boxes.boxes if b.image == boxes.images[i]]
        drawn.append(figures.outlined(image, on_it, zoom))
    logit = regression.logit(maps[first].permute(0, 2, 3, 1).numpy())
    difference = (after[first] - before[first]).abs().mean(dim=1).numpy()
    as_they_are, without, random = (figures.pixels(images) for images in fresh)
    return ForgettingPictures(
        as_they_are,
        without,
        random,
        np.stack(drawn),
        figures.heat(1 / (1 + np.exp(-logit)), 0, 1, (side, side)),
        figures.heat(difference, 0, 1, (side, side)),
        samples.session.caption(),
        words,
    )


def rows_to_show(before: Tensor, after: Tensor, judges: Sequence[Detector]) -> list[int]:
    """The first samples that hold the object, to the first judge; at least one.

    Without a judge, those that change most.
    """
    if not judges:
        change = (after - before).abs().flatten(1).mean(1)
        return sorted(change.topk(min(SHOWN, len(before))).indices.tolist())
    marked = (soft(judges[0], before) > 0.5).flatten(1).float().mean(1)
    rows = [i for i, share in enumerate(marked.tolist()) if share > PRESENT]
    return rows[:SHOWN] or [int(marked.argmax())]


def name_samples(rows: Sequence[int], start: int, seed: int) -> str:
    """Name the samples that are shown, for captions.

    >>> name_samples([0, 2, 3, 4], 150, 0)
    'samples 150 and 152 to 154 of seed 0'
    """
    runs: list[list[int]] = []
    for row in rows:
        if runs and row == runs[-1][-1] + 1:
            runs[-1].append(row)
        else:
            runs.append([row])
    parts: list[str] = []
    for run in runs:
        numbers = [str(start + row) for row in run]
        parts += numbers if len(run) < 3 else [f"{numbers[0]} to {numbers[-1]}"]
    *others, last = parts
    named = f"{', '.join(others)} and {last}" if others else last
    return f"sample{'s' if len(rows) > 1 else ''} {named} of seed {seed}"


def blank_panels(count: int, last: int = HEIGHT) -> tuple[Figure, list[Axes]]:
    """A chart of that many panels, two in a row; one that is left over has a row of its own.

    last: pixels that the last row is high.
    """
    rows = -(-count // PANELS)
    figure = figures.blank(figures.WIDEST, (rows - 1) * HEIGHT + last)
    grid = figure.add_gridspec(rows, PANELS, height_ratios=[HEIGHT] * (rows - 1) + [last])
    panels = [figure.add_subplot(grid[divmod(i, PANELS)]) for i in range(count - count % PANELS)]
    if count % PANELS:
        panels.append(figure.add_subplot(grid[rows - 1, :]))
    return figure, panels


def name_panel(axes: Axes, text: str) -> None:
    """Say above a panel what it shows."""
    axes.set_title(text, loc="left", color=figures.INK, **charts.TEXT)


def draw_traces(axes: Axes, traces: Traces) -> None:
    """How well a probe trained again finds the object's place, a row an edit."""
    names = list(traces.found)
    for y, name in enumerate(reversed(names)):
        value = traces.found[name].beyond
        plain = name in ("as they are", "inpainted")
        colour = figures.INK if plain else figures.BLUE if y == len(names) - 2 else figures.ORANGE
        axes.errorbar(
            value.value,
            y,
            xerr=[[value.value - value.low], [value.high - value.value]],
            fmt="o",
            color=colour,
        )
    axes.axvline(0.5, color=figures.INK, linewidth=0.8)
    charts.style(axes, "found again, beyond position (AUC)", labels=8)
    axes.set_yticks(range(len(names)), list(reversed(names)))
    axes.set_ylim(-0.6, len(names) - 0.4)
    low = min(each.beyond.low for each in traces.found.values())
    left = min(0.45, low - 0.02) if np.isfinite(low) else 0.45
    axes.set_xlim(left, 1.01)
    name_panel(axes, "New probe trained on edited images")
    # Chance is among the ticks, however narrow the panel.
    axes.xaxis.set_major_locator(MultipleLocator(0.1 if left >= 0.4 else 0.25))


def _chart_words(label: str, proof: Proof) -> str:
    """Explain the charts below the samples."""
    last = proof.chosen_last.filters
    fewer = f"; here {last}, as one layer has no more" if last < proof.chosen.filters else ""
    return (
        f"Judge: area of the {label} left against the change away from it, for the first few of "
        "the chosen filters (their number beside a point), all of them, and random ones; lower "
        "left is better. Lowest-ranked: as many filters, those that the rule would choose last, "
        f"set to zero{fewer}. New probe: how well it finds where the {label} was, beyond position; "
        "0.5 is not at all. Inpainted: pixels filled by OpenCV instead. Bars: 95% intervals. "
    )


def _chart(proofs: Sequence[Proof], traces: Sequence[Traces]) -> Figure:
    """For each judge the object's area left against the change outside of it; traces."""
    count = len(proofs) + len(traces)
    low = len(proofs) <= (count - 1) // PANELS * PANELS  # the last row is of traces alone
    figure, panels = blank_panels(count, LOW if low else HEIGHT)
    for axes, proof in zip(panels, proofs, strict=False):
        _draw_proof(axes, proof)
    for axes, each in zip(panels[len(proofs) :], traces, strict=True):
        draw_traces(axes, each)
    handles, names = panels[0].get_legend_handles_labels()
    # Of an error bar the mark alone: with its bars a circle looks like a diamond.
    marks = [each[0] if isinstance(each, ErrorbarContainer) else each for each in handles]
    # One line for all panels: below one of them it would leave the others' ground empty.
    charts.legend(figure, marks, names, loc="upper left", ncols=3, borderaxespad=0)
    figure.tight_layout(w_pad=3, h_pad=2, rect=(0, 0, 1, 1 - LEGEND / figure.bbox.height))
    for axes, proof in zip(panels, proofs, strict=False):
        # The last first: they are what the eye looks for, and the first crowd.
        inner = [each for each in reversed(proof.curve) if each[0] < proof.chosen.filters]
        points = [(outside, left) for _, left, outside in inner]
        charts.label_points(axes, points, [str(filters) for filters, _, _ in inner])
    return figure


def _draw_proof(axes: Axes, proof: Proof) -> None:
    outcomes = (
        ("chosen", proof.chosen, "o", figures.BLUE),
        ("lowest-ranked", proof.chosen_last, "s", figures.GREEN),
    )
    everywhere = [left for left, _ in proof.each_random]
    everywhere += [left for _, left, _ in (*proof.curve, *proof.random_curve)]
    everywhere += [outcome.area_left.high for _, outcome, _, _ in outcomes]
    top = min(HIGHEST, 1.05 * max(1.0, *everywhere))
    widest = [outside for _, outside in proof.each_random]
    widest += [outcome.outside.high for _, outcome, _, _ in outcomes]
    axes.set_ylim(0, top)
    axes.set_xlim(0, 1.08 * max(widest))
    colours = (figures.ORANGE, figures.BLUE)
    for colour, curve in zip(colours, (proof.random_curve, proof.curve), strict=True):
        along = [(0.0, 1.0), *((outside, left) for _, left, outside in curve)]
        axes.plot(*zip(*along, strict=True), color=colour, linewidth=1, alpha=0.6)
        axes.plot(*zip(*along[1:], strict=True), ".", color=colour, markersize=4)
    cloud = [(outside, min(left, top)) for left, outside in proof.each_random]
    points: dict[str, Any] = {"color": figures.ORANGE, "markersize": 3, "clip_on": False}
    axes.plot(*zip(*cloud, strict=True), "o", label="random sets", **points)
    beyond = sum(left > top for left, _ in proof.each_random)
    higher = [f"{beyond} random set{'s' if beyond > 1 else ''}"] if beyond else []
    for name, outcome, mark, colour in outcomes:
        x, y = outcome.outside, outcome.area_left
        tall = y.high > top
        if tall:
            higher.append(f"{name} ({y.value:.2f})")
        axes.errorbar(
            x.value,
            min(y.value, top),
            xerr=[[x.value - x.low], [x.high - x.value]],
            yerr=None if tall else [[y.value - y.low], [y.high - y.value]],
            fmt=mark,
            color=colour,
            markersize=6,
            clip_on=False,
            label=f"{name}, {outcome.filters} filters",
        )
    lines = [f"Judge: {proof.judge}"]
    if higher:
        above = textwrap.wrap(" and ".join(higher), TITLE)
        lines += [f"Above {top:g}, drawn at the upper edge:", *above]
    name_panel(axes, "\n".join(lines))
    charts.style(axes, "mean absolute change outside", "area of the object left", labels=8)
