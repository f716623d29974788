"""The figures of put: samples before and after, the donor, all trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from dcgan_probe import figures
from dcgan_probe.edits.places import PlaceEdit
from dcgan_probe.figures import charts, strips
from dcgan_probe.probes.put.choice import TriedWay
from dcgan_probe.probes.put.evaluation import PUT, Judged, Rivals
from dcgan_probe.probes.put.options import Edges
from dcgan_probe.probes.put.placing import Placement
from dcgan_probe.probes.put.ways import Way
from dcgan_probe.session import Session

SHOWN = 8
BESIDE = 2  # pixels, of the zoomed picture, between a box and its outline
PANEL = (860, 330)


@dataclass(frozen=True, eq=False)
class PutPictures:
    """Columns of the figure, N x H x W x 3 uint8, as large as they are shown.

    donor: the image that the object is of. before: fresh samples, with what is asked for outlined;
    after: by edit. plain: before and after without the outline and at their own size. caption, and
    which samples they are.
    """

    donor: np.ndarray
    before: np.ndarray
    after: Mapping[str, np.ndarray]
    plain: tuple[np.ndarray, np.ndarray]
    caption: str
    fresh: str

    def draw(
        self,
        folder: Path,
        label: str,
        edit: PlaceEdit,
        way: Way,
        tried: Sequence[TriedWay],
        judged: Mapping[str, Judged],
    ) -> None:
        """Write put.png, before.png and after.png."""
        rows = np.stack([self.before, *self.after.values()])
        empty = np.full_like(rows[:, :1], 255)
        empty[0, 0] = self.donor
        chart = chart_tried(tried, way) if tried else None
        below = (
            " Below: all that was tried on held-out objects, with 95% intervals." if tried else ""
        )
        figures.draw(
            folder / "put.png",
            f"Putting “{label}” into samples that have none there",
            [figures.Block("donor", empty), figures.Block("", rows)],
            ["as they are", *(name.replace(" ", "\n") for name in self.after)],
            f"The same {len(self.before)} latents in every row, {self.fresh}; outlined is what was "
            f"asked for. Put: {edit}. Pasted: the pixels of the donor's box. Turned up: filters "
            f"that the paper's rule chooses, at their 99th percentile.{below} {self.caption}.",
            zoom=1,
            below=chart,
        )
        strips.write(folder, *self.plain)


def pictures(
    session: Session,
    rivals: Rivals,
    rows: Tensor,
    start: int,
    source: Tensor,
    placed: Placement,
    at: Edges,
) -> PutPictures:
    """Draw some of the samples. rows: which; start: number of the first of all. source: C x S x S,
    the donor's image."""
    zoom = figures.zoom_for(session.config.size)

    def framed(images: Tensor, edges: Edges) -> np.ndarray:
        return np.stack([outline(image, edges, zoom) for image in figures.pixels(images)])

    box = placed.box
    own = (box.x0, box.y0, box.x1, box.y1)
    numbers = ", ".join(str(start + int(row)) for row in rows)
    after = {name: each[rows] for name, each in rivals.after.items()}
    return PutPictures(
        donor=framed(source[None], own)[0],
        before=framed(rivals.before[rows], at),
        after={name: framed(each, at) for name, each in after.items()},
        plain=(figures.pixels(rivals.before[rows]), figures.pixels(after[PUT])),
        caption=session.caption(),
        fresh=f"samples {numbers} of seed {session.seed}",
    )


def outline(image: np.ndarray, edges: Edges, zoom: int) -> np.ndarray:
    """An image at whole-number zoom with a thin line beside a box, so that nothing in it is hid."""
    large = np.ascontiguousarray(image.repeat(zoom, 0).repeat(zoom, 1))
    height, width, _ = large.shape
    x0, y0, x1, y1 = (round(edge * zoom) for edge in edges)
    x0, y0 = x0 - BESIDE - 1, y0 - BESIDE - 1
    x1, y1 = x1 + BESIDE, y1 + BESIDE
    rgb = [int(figures.ORANGE[i : i + 2], 16) for i in (1, 3, 5)]
    columns = slice(max(x0, 0), min(x1, width - 1) + 1)
    lines = slice(max(y0, 0), min(y1, height - 1) + 1)
    for x in (x0, x1):
        if 0 <= x < width:
            large[lines, x] = rgb
    for y in (y0, y1):
        if 0 <= y < height:
            large[y, columns] = rgb
    return large


def chart_tried(tried: Sequence[TriedWay], chosen: Way) -> Figure:
    """Every way: overlap with the box, and how its rim stands out, against the change outside."""
    figure = figures.blank(*PANEL)
    panels = figure.subplots(1, 2)
    colours = {"mix": figures.BLUE, "clone": figures.ORANGE}
    for axes, name, title in zip(
        panels,
        ("iou", "rim"),
        ("overlap with the box (1: the same)", "rim stands out (0.5: usual, 1: always)"),
        strict=True,
    ):
        named: set[str] = set()
        for each in tried:
            value, outside = getattr(each.outcome, name), each.outcome.outside.value
            if not np.isfinite(value.value):
                continue
            fill = each.way.fill
            axes.errorbar(
                outside,
                value.value,
                yerr=[[value.value - value.low], [value.high - value.value]],
                fmt="s" if each.way == chosen else "o",
                color=colours[fill],
                markersize=9 if each.way == chosen else 4,
                linewidth=0.8,
                label=None if fill in named else fill,
            )
            named.add(fill)
            short = "+".join(layer.split("x")[0] for layer in each.way.layers)
            soft = " soft" if each.way.soft else ""
            axes.annotate(
                f" {short} {each.way.margin:.2g}{soft}", (outside, value.value), fontsize=7
            )
        charts.style(axes, "mean absolute change outside the box", title, 8)
        axes.set_xlim(left=0)
        charts.legend(axes)
    figure.tight_layout()
    return figure
