"""The figures of forget: samples before and after, what is left, and where the change is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from dcgan_probe import figures
from dcgan_probe.edits.filters import Selection
from dcgan_probe.figures import charts, strips
from dcgan_probe.probes.forget.judgement import Proof
from dcgan_probe.recognition.regression import Fit
from dcgan_probe.recognition.samples import BoxedSamples

PANEL = (480, 330)


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
    ) -> None:
        """Write forget.png, where.png, before.png and after.png."""
        count = sum(len(edit.filters) for edit in selections)
        layers = " and ".join(edit.layer for edit in selections)
        edit = ", ".join(map(str, selections))
        said = (
            "Below: how much of the object is left against how much changes away from it, for more "
            "and more of the filters and for random ones; bars are 95% intervals. "
            if proofs
            else ""
        )
        figures.draw(
            folder / "forget.png",
            f"Forgetting “{label}”: new samples with and without {count} filters of {layers}",
            [figures.Block("", np.stack([self.before, self.after, self.random]))],
            [
                "as they are",
                f"without “{label}”\n({count} filters)",
                f"{count}\nrandom filters",
            ],
            f"The same {len(self.before)} latents in every row, {self.fresh}. Second row: {edit}; "
            f"third: as many filters drawn at random. {said}{self.caption}.",
            zoom=figures.zoom_for(self.before.shape[1]),
            warnings=doubts,
            below=_chart(proofs) if proofs else None,
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
    shown = len(fresh[0])
    first = [i for i, image in enumerate(boxes.images) if image in with_boxes][:shown]
    zoom = figures.zoom_for(before.shape[2])
    side = before.shape[2] * zoom
    drawn = []
    for i, image in zip(first, figures.pixels(before[first]), strict=True):
        on_it = [(b.x0, b.y0, b.x1, b.y1) for b in boxes.boxes if b.image == boxes.images[i]]
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


def _chart(proofs: Sequence[Proof]) -> np.ndarray:
    """A panel a judge: the object's area left against the change outside of it."""
    figure = figures.blank(PANEL[0] * len(proofs), PANEL[1])
    panels = figure.subplots(1, len(proofs), squeeze=False)[0]
    font = charts.TEXT | {"color": figures.INK}
    for axes, proof in zip(panels, proofs, strict=True):
        colours = (figures.ORANGE, figures.BLUE)
        for colour, curve in zip(colours, (proof.random_curve, proof.curve), strict=True):
            along = [(0.0, 1.0), *((outside, left) for _, left, outside in curve)]
            axes.plot(*zip(*along, strict=True), color=colour, linewidth=1, alpha=0.6)
            for filters, left, outside in curve:
                axes.plot(outside, left, ".", color=colour, markersize=4)
                if colour == figures.BLUE:
                    offset = {"textcoords": "offset points", "xytext": (4, 3)}
                    axes.annotate(str(filters), (outside, left), **offset, **font)
        cloud = list(zip(*proof.each_random, strict=True))
        axes.plot(cloud[1], cloud[0], "o", color=figures.ORANGE, markersize=3, label="random sets")
        for name, outcome, mark, colour in (
            ("chosen", proof.chosen, "o", figures.BLUE),
            ("chosen last", proof.chosen_last, "s", figures.GREEN),
        ):
            x, y = outcome.outside, outcome.area_left
            axes.errorbar(
                x.value,
                y.value,
                xerr=[[x.value - x.low], [x.high - x.value]],
                yerr=[[y.value - y.low], [y.high - y.value]],
                fmt=mark,
                color=colour,
                markersize=6,
                label=f"{name}, {outcome.filters} filters",
            )
        axes.set_title(f"judge: {proof.judge}", loc="left", **font)
        charts.style(
            axes, "mean absolute change outside the object", "area of the object left", labels=8
        )
        for axis in (axes.xaxis, axes.yaxis):
            axis.label.set_color(figures.INK)
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
        charts.legend(axes)
    figure.tight_layout()
    return figures.rendered(figure)
