"""The figures of forget: samples before and after, what is left, and where the change is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dcgan_probe as dp

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from dcgan_probe.recognition.regression import Fit

    from ._proof import Proof

PANEL = (480, 330)


@dataclass(frozen=True, eq=False)
class Pictures:
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
        selections: Sequence[dp.Selection],
        proofs: Sequence[Proof],
    ) -> None:
        """Write forget.png, where.png, before.png and after.png."""
        import numpy as np

        count = sum(len(of.filters) for of in selections)
        layers = " and ".join(of.layer for of in selections)
        edit = ", ".join(map(str, selections))
        said = (
            "Below: how much of the object is left against how much changes away from it, for more "
            "and more of the filters and for random ones; bars are 95% intervals. "
            if proofs
            else ""
        )
        dp.figures.draw(
            folder / "forget.png",
            f"Forgetting “{label}”: new samples with and without {count} filters of {layers}",
            [dp.figures.Block("", np.stack([self.before, self.after, self.random]))],
            [
                "as they are",
                f"without “{label}”\n({count} filters)",
                f"{count}\nrandom filters",
            ],
            f"The same {len(self.before)} latents in every row, {self.fresh}. Second row: {edit}; "
            f"third: as many filters drawn at random. {said}{self.caption}.",
            zoom=dp.figures.zoom_for(self.before.shape[1]),
            below=_chart(proofs) if proofs else None,
        )
        dp.figures.draw(
            folder / "where.png",
            f"Where layer {selections[0].layer} sees “{label}”, and what its filters change",
            [dp.figures.Block("", np.stack([self.boxed, self.probability, self.change]))],
            ["boxes", f"probability\nof “{label}”", "change"],
            "The first boxed samples. Middle: the logistic regression at every place of the layer, "
            "dark 0 to yellow 1. Below: mean absolute change of pixels by the edit, "
            f"dark 0 to yellow 1 or more, on images in [-1, 1]. {self.caption}.",
            zoom=1,
        )
        # Strips alone, for a report to lay over each other.
        for name, images in (("before", self.before), ("after", self.after)):
            dp.figures.write_image(folder / f"{name}.png", np.concatenate(images, axis=1))


def pictures(
    session: dp.Session,
    boxes: dp.Boxes,
    boxed: tuple[Tensor, Tensor],
    fresh: Sequence[Tensor],
    words: str,
    maps: Tensor,
    fitted: Fit,
) -> Pictures:
    """boxed: the boxed samples before and after. fresh: new ones before, after and at random."""
    import numpy as np

    before, after = boxed
    with_boxes = {box.image for box in boxes.boxes}
    shown = len(fresh[0])
    first = [i for i, image in enumerate(boxes.images) if image in with_boxes][:shown]
    zoom = dp.figures.zoom_for(before.shape[2])
    side = before.shape[2] * zoom
    drawn = []
    for i, image in zip(first, dp.figures.pixels(before[first]), strict=True):
        on_it = [(b.x0, b.y0, b.x1, b.y1) for b in boxes.boxes if b.image == boxes.images[i]]
        drawn.append(dp.figures.outlined(image, on_it, zoom))
    logit = fitted.logit(maps[first].permute(0, 2, 3, 1).numpy())
    difference = (after[first] - before[first]).abs().mean(dim=1).numpy()
    as_they_are, without, random = (dp.figures.pixels(images) for images in fresh)
    return Pictures(
        as_they_are,
        without,
        random,
        np.stack(drawn),
        dp.figures.heat(1 / (1 + np.exp(-logit)), 0, 1, (side, side)),
        dp.figures.heat(difference, 0, 1, (side, side)),
        session.caption(),
        words,
    )


def _chart(proofs: Sequence[Proof]) -> np.ndarray:
    """A panel a judge: the object's area left against the change outside of it."""
    figure = dp.figures.blank(PANEL[0] * len(proofs), PANEL[1])
    panels = figure.subplots(1, len(proofs), squeeze=False)[0]
    font = {"fontfamily": dp.figures.FONT, "fontsize": 8, "color": dp.figures.INK}
    for axes, proof in zip(panels, proofs, strict=True):
        colours = (dp.figures.ORANGE, dp.figures.BLUE)
        for colour, curve in zip(colours, (proof.random_curve, proof.curve), strict=True):
            along = [(0.0, 1.0), *((outside, left) for _, left, outside in curve)]
            axes.plot(*zip(*along, strict=True), color=colour, linewidth=1, alpha=0.6)
            for filters, left, outside in curve:
                axes.plot(outside, left, ".", color=colour, markersize=4)
                if colour == dp.figures.BLUE:
                    at = {"textcoords": "offset points", "xytext": (4, 3)}
                    axes.annotate(str(filters), (outside, left), **at, **font)
        cloud = list(zip(*proof.each_random, strict=True))
        axes.plot(
            cloud[1], cloud[0], "o", color=dp.figures.ORANGE, markersize=3, label="random sets"
        )
        for name, of, mark, colour in (
            ("chosen", proof.chosen, "o", dp.figures.BLUE),
            ("chosen last", proof.chosen_last, "s", dp.figures.GREEN),
        ):
            x, y = of.outside, of.area_left
            axes.errorbar(
                x.value,
                y.value,
                xerr=[[x.value - x.low], [x.high - x.value]],
                yerr=[[y.value - y.low], [y.high - y.value]],
                fmt=mark,
                color=colour,
                markersize=6,
                label=f"{name}, {of.filters} filters",
            )
        axes.set_title(f"judge: {proof.judge}", loc="left", **font)
        axes.set_xlabel("mean absolute change outside the object", **font)
        axes.set_ylabel("area of the object left", **font)
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, prop={"family": dp.figures.FONT, "size": 8})
    figure.tight_layout()
    return dp.figures.rendered(figure)
