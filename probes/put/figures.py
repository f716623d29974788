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
from dcgan_probe.figures.panels import GAP, chart_width
from dcgan_probe.probes.put.choice import TriedWay
from dcgan_probe.probes.put.evaluation import PUT, TURNED_UP, Rivals
from dcgan_probe.probes.put.options import Edges
from dcgan_probe.probes.put.placing import Placement
from dcgan_probe.probes.put.ways import Way
from dcgan_probe.session import Session

SHOWN = 5  # samples: they stay readable on a page of 800 pixels
APART = 3  # from a box to its outline, in pixels of the zoomed picture: nothing in it is hid
LINE, MARGINS = 16, 60  # pixels of a row of the chart, and above and below all of them


@dataclass(frozen=True, eq=False)
class PutPictures:
    """Columns of the figure, N x H x W x 3 uint8, as large as they are shown.

    donor: the image that the object is of. before: fresh samples, with what is asked for outlined;
    after: by edit. free: they show no object there before, by a judge. plain: before and after
    without the outline and at their own size. caption, and which samples they are.
    """

    donor: np.ndarray
    before: np.ndarray
    after: Mapping[str, np.ndarray]
    free: bool
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
        doubts: Sequence[str] = (),
    ) -> None:
        """Write put.png, before.png and after.png."""
        rows = np.stack([self.before, *self.after.values()])
        empty = np.full_like(rows[:, :1], 255)
        empty[0, 0] = self.donor
        columns, side = rows.shape[1] + 1, rows.shape[3]
        width = chart_width(columns * (side + GAP))
        chart = chart_tried(tried, way, width) if tried else None
        below = (
            " Below: all that was tried on held-out objects, with 95% intervals; a number is how "
            "many pixels the edit reaches beyond the box, soft: it fades out there."
            if tried
            else ""
        )
        turned = (
            " Turned up: filters that the paper's rule chooses, at their 99th percentile."
            if TURNED_UP in self.after
            else ""
        )
        figures.draw(
            folder / "put.png",
            f"Putting “{label}” into samples{' that have none there' if self.free else ''}",
            [figures.Block("donor", empty), figures.Block("", rows)],
            ["as they are", *(name.replace(" ", "\n") for name in self.after)],
            f"The same {len(self.before)} latents in every row, {self.fresh}; outlined is what was "
            f"asked for. Put: {edit}. Pasted: the pixels of the donor's box.{turned}{below} "
            f"{self.caption}.",
            zoom=1,
            below=chart,
            warnings=doubts,
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
    free: bool,
) -> PutPictures:
    """Draw some of the samples. rows: which; start: number of the first of all. source: C x S x S,
    the donor's image. free: the samples show no object at the place, by a judge."""
    zoom = figures.zoom_for(session.config.size)

    def framed(images: Tensor, edges: Edges) -> np.ndarray:
        shown = figures.pixels(images)
        return np.stack([figures.outlined(i, [edges], zoom, width=1, apart=APART) for i in shown])

    numbers = ", ".join(str(start + int(row)) for row in rows)
    after = {name: each[rows] for name, each in rivals.after.items()}
    return PutPictures(
        donor=framed(source[None], placed.box.edges)[0],
        before=framed(rivals.before[rows], at),
        after={name: framed(each, at) for name, each in after.items()},
        free=free,
        plain=(figures.pixels(rivals.before[rows]), figures.pixels(after[PUT])),
        caption=session.caption(),
        fresh=f"samples {numbers} of seed {session.seed}",
    )


def chart_tried(tried: Sequence[TriedWay], chosen: Way, width: int) -> Figure:
    """A row a way: overlap with the box, how its rim stands out, and the change outside."""
    figure = figures.blank(width, LINE * len(tried) + MARGINS)
    panels = figure.subplots(1, 3, sharey=True)
    measures = {
        "iou": "overlap with the box",
        "rim": "rim stands out (0.5: usual)",
        "outside": "change outside",
    }
    for axes, (name, title) in zip(panels, measures.items(), strict=True):
        for y, each in enumerate(tried):
            value = getattr(each.outcome, name)
            taken = each.way == chosen
            axes.errorbar(
                value.value,
                y,
                xerr=[[value.value - value.low], [value.high - value.value]],
                fmt="s" if taken else "o",
                color=figures.ORANGE if taken else figures.BLUE,
                markersize=6 if taken else 4,
                linewidth=0.8,
            )
        charts.style(axes, title, labels=8)
        axes.locator_params(axis="x", nbins=4)
    axes = panels[0]
    names = axes.set_yticks(range(len(tried)), [_name(each.way) for each in tried])
    for tick, each in zip(names, tried, strict=True):
        tick.label1.set_fontweight("bold" if each.way == chosen else "normal")
    axes.set_ylim(len(tried) - 0.5, -0.5)
    figure.tight_layout()
    return figure


def _name(way: Way) -> str:
    """A way in a few words, such as "8x8+16x16 clone, 6.4 soft"."""
    return f"{'+'.join(way.layers)} {way.fill}, {way.margin:.2g}{' soft' if way.soft else ''}"
