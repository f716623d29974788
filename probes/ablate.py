"""Change any filters of the generator: drop, scale or replace them, everywhere or in a region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import dcgan_probe as dp
from dcgan_probe.errors import InputError, at_least
from dcgan_probe.plugins.contract import pass_session
from dcgan_probe.results.result import Result

from ._boxed import latents_of, without_a_cell
from ._filters import EXAMPLE, numbers
from ._levels import PERCENT, SAMPLES, levels, means

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

SHOWN = 12
INSERTED = "--insert"  # no value of --replace
MEASURES = {"mean": (means, "mean"), INSERTED: (levels, f"{PERCENT}th percentile")}


@dataclass(frozen=True, eq=False)
class Ablated(Result):
    """What `run` returns.

    change: mean absolute change of pixels, on images in [-1, 1], by place: "everywhere", or
    "inside" and "outside" of the region or the boxes; samples: of how many. boxes: those that the
    edit was made inside of, on their own samples; unresolved: how many hold no cell of the layer.
    """

    selection: dp.Selection
    boxes: dp.Boxes | None
    unresolved: int
    change: dict[str, float]
    samples: int
    pictures: _Pictures

    def values(self) -> dict[str, Any]:
        boxed = {} if self.boxes is None else {"boxes_without_a_cell": self.unresolved}
        return {"samples": self.samples, "change": self.change, **boxed}

    def draw(self, folder: Path) -> None:
        # An edit inside of boxes is of their samples: it has no file that others could take up.
        if self.boxes is None:
            self.selection.write(folder / "selection.json")
        else:
            self.boxes.write(folder / "boxes.json")
        self.pictures.draw(folder / "ablate.png", self._what())

    def _what(self) -> str:
        return f"{self.selection}{'' if self.boxes is None else ' inside of boxes'}"

    def __str__(self) -> str:
        change = ", ".join(f"{place} {value:.3f}" for place, value in self.change.items())
        lines = [self._what(), f"mean absolute change of {self.samples} samples: {change}"]
        if self.boxes is not None:
            if self.unresolved:
                count = len(self.boxes.boxes)
                lines.append(f"{self.unresolved} of {count} boxes hold no cell of this layer")
            lines.append("this edit is of the boxed samples only: it is not left in force")
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class _Pictures:
    """Rows of the figure, columns x H x W x 3 uint8, as large as they are shown."""

    before: np.ndarray
    after: np.ndarray
    change: np.ndarray
    caption: str

    def draw(self, path: Path, title: str) -> None:
        import numpy as np

        dp.figures.draw(
            path,
            title,
            [dp.figures.Block("", np.stack([self.before, self.after, self.change]))],
            ["as they are", "edited", "change"],
            self.caption,
            zoom=1,
        )
        # Strips alone, for a report to lay over each other.
        for name, images in (("before", self.before), ("after", self.after)):
            dp.figures.write_image(path.with_name(f"{name}.png"), np.concatenate(images, axis=1))


def run(
    session: dp.Session,
    selection: dp.Selection,
    boxes: dp.Boxes | None = None,
    n: int = SAMPLES,
) -> Ablated:
    """Show what an edit of the generator changes, and where.

        >>> session = dp.Session.open("rooms")
        >>> edit = dp.Selection("16x16", (3, 17, 40), session.checkpoint.sha256)
        >>> list(run(session, edit).change)
        ['everywhere']

    It is measured on the first n samples of the session's seed; with boxes, on the samples that
    have any, each edited inside of its own. The edits in force act before and after alike. This
    one is lifted again: `session.edit(selection)` leaves it in force.

    Raises InputError for an edit that does not fit the generator, for boxes of
    another checkpoint, and where the layer has no cell in the region or in any box.
    """
    at_least(1, n=n)
    options: dict[str, Any] = {"edit": selection.change()}
    inside: np.ndarray | None = None
    if boxes is None:
        options["n"] = n
        z = session.latents(n)
        before = session.generate(z)
        with session.editing(selection):
            after = session.generate(z)
        region = selection.region(session.config)
        if region is not None:
            inside = region.mask((before.shape[2], before.shape[3])).repeat(n, axis=0)
        frames = [() if region is None else region.boxes] * n
        shown = f"samples 0 to {min(n, SHOWN) - 1} of seed {session.seed}"
        unresolved = 0
    else:
        boxes.check(session.checkpoint.sha256)
        if not boxes.boxes:
            raise InputError(f"{boxes.source or 'boxes'}: found no boxes, expected at least one")
        numbers = sorted({box.image for box in boxes.boxes})
        rows = [boxes.images.index(number) for number in numbers]
        z = latents_of(session, boxes)[rows]
        before = session.generate(z)
        after, unresolved = _inside_boxes(session, selection, boxes, z, rows)
        inside = boxes.mask((before.shape[2], before.shape[3]))[rows]
        frames = [tuple(box for box in boxes.boxes if box.image == number) for number in numbers]
        shown = "the first samples with boxes"
    difference = (after - before).abs().mean(dim=1)
    return Ablated(
        session.made_with(**options),
        selection,
        boxes,
        unresolved,
        _change(difference, inside),
        len(before),
        _pictures(session, before, after, difference, frames, shown),
    )


def _inside_boxes(
    session: dp.Session, selection: dp.Selection, boxes: dp.Boxes, z: Tensor, rows: list[int]
) -> tuple[Tensor, int]:
    """Images of latents, each edited inside of its own boxes; how many boxes hold no cell."""
    import torch

    if selection.where is not None:
        raise InputError("ablate: found a region and boxes, expected one of them")
    # The edit is made and lifted: it is refused here if it does not fit.
    with session.editing(selection):
        pass
    one = session.latents(1).to(session.device)
    shape = tuple(dp.hooks.activations(session.generator, selection.layer, one).shape)
    cells = torch.from_numpy(dp.edits.cells(boxes, selection.layer, shape, session.config)[rows])
    parts = []
    batch = dp.session.BATCH
    for some, where in zip(z.split(batch), cells.split(batch), strict=True):
        gain, value = selection.gains or 0.0, selection.values or 0.0
        with dp.hooks.ablate(
            session.generator, selection.layer, selection.filters, gain, value, where
        ):
            parts.append(session.generate(some))
    return torch.cat(parts), without_a_cell(boxes, (shape[2], shape[3]))


def _change(difference: Tensor, inside: np.ndarray | None) -> dict[str, float]:
    if inside is None:
        return {"everywhere": float(difference.mean())}
    values = difference.numpy()
    places = {"inside": inside, "outside": ~inside}
    return {name: float(values[place].mean()) for name, place in places.items() if place.any()}


def _pictures(
    session: dp.Session,
    before: Tensor,
    after: Tensor,
    difference: Tensor,
    frames: Sequence[Sequence[dp.Box]],
    shown: str,
) -> _Pictures:
    import numpy as np

    zoom = dp.figures.zoom_for(before.shape[2])

    def framed(images: Tensor) -> np.ndarray:
        drawn = []
        for image, boxes in zip(dp.figures.pixels(images[:SHOWN]), frames, strict=False):
            edges = [(box.x0, box.y0, box.x1, box.y1) for box in boxes]
            drawn.append(dp.figures.outlined(image, edges, zoom))
        return np.stack(drawn)

    size = (before.shape[3] * zoom, before.shape[2] * zoom)
    return _Pictures(
        framed(before),
        framed(after),
        dp.figures.heat(difference[:SHOWN].numpy(), 0, 1, size),
        f"The same latents in every row: {shown}. Below: mean absolute change of pixels, dark 0 to "
        f"yellow 1 or more, on images in [-1, 1]. {session.caption()}.",
    )


def _selected(
    session: dp.Session, layer: str | None, filters: str | None, path: Path | None
) -> dp.Selection:
    """The filters that a command line names, and what a file says becomes of them."""
    if (filters is None) == (path is None):
        found = "neither --filters nor" if path is None else "both --filters and"
        raise InputError(f"ablate: found {found} --selection, expected one of them")
    if path is not None:
        if layer is not None:
            raise InputError("--layer: found it beside --selection, which names the layer")
        selection = dp.Selection.read(path)
        if not selection.filters:
            raise InputError(f"{path}: found no filters, expected at least one")
        return selection
    if layer is None:
        known = ", ".join(session.config.layers("generator"))
        raise InputError(f"--filters: found no --layer, expected one of: {known}")
    assert filters is not None
    chosen = {"chosen": "by hand"}
    return dp.Selection(layer, tuple(sorted(numbers(filters))), session.checkpoint.sha256, chosen)


def _with_values(session: dp.Session, selection: dp.Selection, how: str) -> dp.Selection:
    """A selection whose maps are replaced by zero, their mean, their level or a number."""
    count = len(selection.filters)
    about = {k: v for k, v in selection.about.items() if k not in ("replaced_by", "measured_on")}
    if how == "zero":
        return replace(selection, values=(), about=about)
    if how not in MEASURES:
        try:
            value = float(how)
        except ValueError:
            raise InputError(f"--replace: found {how!r}, expected zero, mean or a number") from None
        return replace(selection, values=(value,) * count, about=about)
    measure, name = MEASURES[how]
    values = measure(session, selection.layer, selection.filters)
    if how == INSERTED and not any(values):
        raise InputError(
            f"--insert: found {selection.layer} filters that put out nothing on {SAMPLES} samples, "
            "expected some that do; an edit in force may drop them"
        )
    edits = [edit.change() for edit in session.edits]
    measured = {"samples": SAMPLES, "seed": session.seed, "edits": edits}
    about |= {"replaced_by": f"their {name}", "measured_on": measured}
    return replace(selection, values=values, about=about)


def _place(session: dp.Session, text: str) -> tuple[float, float, float, float] | dp.Boxes:
    """What --where names: the edges of a region, or a file of boxes."""
    try:
        edges = [float(edge) for edge in text.split(",")]
    except ValueError:
        size = (session.config.size, session.config.size)
        return dp.Boxes.read(text, image_size=size)
    if len(edges) != 4:
        raise InputError(f"--where: found {text!r}, expected x0,y0,x1,y1 or a file of boxes")
    x0, y0, x1, y1 = edges
    return x0, y0, x1, y1


@click.command()
@click.option("--layer", help="Layer of the generator that the filters are of.")
@click.option("--filters", help=f"Numbers and ranges, such as {EXAMPLE}.")
@click.option(
    "--selection",
    "path",
    type=click.Path(path_type=Path),
    help="A selection.json that names layer and filters, in place of these two.",
)
@click.option("--gain", type=float, help="What the maps are multiplied by; 0 if not given.")
@click.option(
    "--replace", "value", metavar="zero|mean|FLOAT", help="What takes the place of what is gone."
)
@click.option("--insert", is_flag=True, help="Turn them up: replace by their 99th percentile.")
@click.option(
    "--where",
    metavar="X0,Y0,X1,Y1|BOXES",
    help="Only in a region, in pixels; or in boxes, on the samples they were drawn on.",
)
@click.option("--undo", is_flag=True, help="Lift the last edit in force, and nothing else.")
@pass_session
def ablate(
    session: dp.Session,
    layer: str | None,
    filters: str | None,
    path: Path | None,
    gain: float | None,
    value: str | None,
    insert: bool,
    where: str | None,
    undo: bool,
) -> None:
    """Drop, scale, replace or insert filters of the generator, everywhere or in a region.

    A feature map becomes gain * map + (1 - gain) * value, in the commands after this too.
    """
    if undo:
        if any((layer, filters, path, value, insert, where)) or gain is not None:
            raise InputError("--undo: found other options beside it, expected it alone")
        lifted = session.undo()
        session.report({"lifted": str(lifted)})
        return
    if value == INSERTED or (insert and value is not None):
        raise InputError("ablate: found both --insert and --replace, expected one of them")
    selection = _selected(session, layer, filters, path)
    boxes = None
    if where is not None:
        place = _place(session, where)
        boxes = place if isinstance(place, dp.Boxes) else None
        selection = replace(selection, where=None if isinstance(place, dp.Boxes) else place)
    if gain is not None or insert:
        gains = (gain,) * len(selection.filters) if gain else ()
        selection = replace(selection, gains=gains)
    how = INSERTED if insert else value
    if how is not None:
        selection = _with_values(session, selection, how)
    result = run(session, selection, boxes)
    session.save(result)
    if boxes is None:
        session.edit(selection)
