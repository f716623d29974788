"""Make a generator forget an object: find the filters that draw it from boxes, and drop them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import dcgan_probe as dp
from dcgan_probe.errors import InputError
from dcgan_probe.plugins import pass_session
from dcgan_probe.probes._regression import (
    MAX_ITERATIONS,
    Fit,
    cells_of,
    fit,
    held_out_accuracy,
    maps_of,
)
from dcgan_probe.results import Result

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

SHOWN = 12


@dataclass(frozen=True)
class Change:
    """Mean absolute change of pixels, on images in [-1, 1], inside and outside the boxes."""

    inside: float
    outside: float

    def __str__(self) -> str:
        return f"inside boxes {self.inside:.3f}, outside {self.outside:.3f}"


@dataclass(frozen=True, eq=False)
class Forgotten(Result):
    """What `run` returns.

    selection: the filters to drop. weights: one a filter, of the logistic regression. accuracy:
    held-out, one a fold, empty where too few images have boxes. converged: of the regression.
    change: by dropping the selection; random: by random sets of equal size.
    """

    label: str
    selection: dp.Selection
    weights: np.ndarray
    accuracy: tuple[float, ...]
    converged: bool
    cells: int
    boxes: int
    unresolved: int
    change: Change
    random: tuple[Change, ...]
    pictures: _Pictures

    def values(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "layer": self.selection.layer,
            "filters_dropped": len(self.selection.filters),
            "filters": len(self.weights),
            "boxes": self.boxes,
            "boxes_without_a_cell": self.unresolved,
            "cells_in_boxes": self.cells,
            "converged": self.converged,
            "held_out_accuracy": list(self.accuracy),
            "change": vars(self.change),
            "change_by_random_filters": [vars(change) for change in self.random],
        }

    def draw(self, folder: Path) -> None:
        self.selection.write(folder / "selection.json")
        self.pictures.draw(folder, self.label, self.selection)

    def __str__(self) -> str:
        lines = []
        if not self.converged:
            lines.append(f"THE REGRESSION DID NOT CONVERGE in {MAX_ITERATIONS} iterations")
        if self.accuracy and min(self.accuracy) <= 0.5:
            lines.append("THE REGRESSION IS NO BETTER THAN CHANCE on some held-out images")
        if self.unresolved:
            lines.append(f"{self.unresolved} of {self.boxes} boxes hold no cell of this layer")
        if self.accuracy:
            mean = sum(self.accuracy) / len(self.accuracy)
            spread = f"{min(self.accuracy):.3f} to {max(self.accuracy):.3f}"
            held_out = f"held-out accuracy {mean:.3f} ({spread}), chance 0.5"
        else:
            held_out = "held-out accuracy not measured: too few images have boxes"
        kept = self.selection
        random = Change(
            sum(change.inside for change in self.random) / len(self.random),
            sum(change.outside for change in self.random) / len(self.random),
        )
        ratios = [change.inside / change.outside for change in self.random]
        return "\n".join(
            [
                *lines,
                f"{self.label}: {len(kept.filters)} of {len(self.weights)} filters of {kept.layer} "
                f"dropped; {held_out}",
                f"mean absolute change: {self.change}, "
                f"{self.change.inside / self.change.outside:.1f} times as much",
                f"mean of {len(self.random)} random sets of as many filters: {random}, "
                f"{min(ratios):.1f} to {max(ratios):.1f} times as much",
            ]
        )


@dataclass(frozen=True, eq=False)
class _Pictures:
    """Columns of the two figures; images as N x H x W x 3 uint8."""

    before: np.ndarray
    after: np.ndarray
    random: np.ndarray
    boxed: np.ndarray
    probability: np.ndarray
    change: np.ndarray
    caption: str
    fresh: str

    def draw(self, folder: Path, label: str, selection: dp.Selection) -> None:
        import numpy as np

        count = len(selection.filters)
        zoom = dp.figures.zoom_for(self.before.shape[1])
        dp.figures.draw(
            folder / "forget.png",
            f"Forgetting “{label}”: new samples with and without {count} filters "
            f"of layer {selection.layer}",
            [dp.figures.Block("", np.stack([self.before, self.after, self.random]))],
            [
                "as they are",
                f"without “{label}”\n({count} filters)",
                f"without {count}\nrandom filters",
            ],
            f"The same {len(self.before)} latents in every row, {self.fresh}. The second row drops "
            "every filter whose weight in the logistic regression is above zero (section 6.3.1); "
            f"the third as many filters drawn at random. {self.caption}.",
            zoom=zoom,
        )
        dp.figures.draw(
            folder / "where.png",
            f"Where layer {selection.layer} sees “{label}”, and what its filters change",
            [dp.figures.Block("", np.stack([self.boxed, self.probability, self.change]))],
            ["boxes", f"probability\nof “{label}”", "change"],
            "The first boxed samples. Middle: the logistic regression at every place of the layer, "
            "dark 0 to yellow 1. Below: mean absolute change of pixels by dropping the filters, "
            f"dark 0 to yellow 1 or more, on images in [-1, 1]. {self.caption}.",
            zoom=1,
        )


def default_layer(config: dp.Config) -> str:
    """The second-highest convolution layer of a generator, not counting the one that paints pixels.

        >>> default_layer(dp.Config(size=64))
        '16x16'

    The paper drops 200 maps of its second-highest convolution layer: more than the 128 of 32x32.
    """
    hidden = config.layers("generator")[1:-1]
    return hidden[-2] if len(hidden) > 1 else hidden[-1]


def run(
    session: dp.Session,
    boxes: dp.Boxes,
    label: str | None = None,
    layer: str | None = None,
    controls: int = 10,
) -> Forgotten:
    """Find the filters that draw an object, and what dropping them changes.

        >>> session = dp.Session.open("rooms")
        >>> result = run(session, dp.Boxes.read("windows.json"), label="window")
        >>> with session.editing(result.selection):
        ...     without = session.sample(16)

    boxes: drawn on samples of this very checkpoint. label: which of their labels; may be left out
    where there is one. layer: of the generator, see `default_layer`. controls: how many random
    filter sets of equal size to compare with.

    The paper's rule: a logistic regression tells activations inside the boxes from as many drawn
    at random outside of them on the same images, and every filter with a weight above zero is
    dropped. Its accuracy is held-out: of 5 folds by image, in which no image is on both sides.

    Raises InputError for boxes of another checkpoint, a label that is not there, a layer without
    places or in which the boxes hold no cell or all cells.
    Source: section 6.3.1, figure 6.
    """
    import numpy as np

    label = _label(boxes, label)
    boxes = boxes.only(label)
    boxes.check(session.checkpoint.sha256)
    layer = default_layer(session.config) if layer is None else layer
    maps = maps_of(session, _latents(session, boxes), layer)
    grid = (maps.shape[2], maps.shape[3])
    where = f"{boxes.source or 'boxes'}: layer {layer!r}"
    cells = cells_of(maps.numpy(), boxes.mask(grid), session.seed, where)
    fitted = fit(cells.activations, cells.inside)
    accuracy = held_out_accuracy(cells)

    filters = np.flatnonzero(fitted.weights > 0).tolist()
    about = {
        "rule": "weight > 0",
        "label": label,
        "weights": fitted.weights.tolist(),
        "held_out_accuracy": accuracy,
        "converged": fitted.converged,
        "boxes": {"source": Path(boxes.source).name, "seed": boxes.seed, "n": len(boxes.boxes)},
        "seed": session.seed,
    }
    selection = dp.Selection(layer, tuple(filters), session.checkpoint.sha256, about)
    rng = np.random.default_rng([session.seed, 1])
    every = len(fitted.weights)
    random = [rng.choice(every, len(filters), replace=False).tolist() for _ in range(controls)]

    rest = dp.hooks.tail(session.generator, layer)
    before = _without(session, rest, maps, [])
    after = _without(session, rest, maps, filters)
    inside = boxes.mask((before.shape[2], before.shape[3]))
    changes = [
        _change(before, _without(session, rest, maps, some), inside)
        for some in session.progress(random, "random filters")
    ]

    # New samples, as in the paper: none of those that the boxes were drawn on.
    start = boxes.n if session.seed == boxes.seed else 0
    new = maps_of(session, session.latents(SHOWN, start=start), layer)
    fresh = [_without(session, rest, new, some) for some in ([], filters, random[0])]
    words = f"samples {start} to {start + SHOWN - 1} of seed {session.seed}"

    return Forgotten(
        session.made_with(label=label, layer=layer, controls=controls, boxes=about["boxes"]),
        label,
        selection,
        fitted.weights,
        tuple(accuracy),
        fitted.converged,
        int(cells.inside.sum()),
        len(boxes.boxes),
        _without_a_cell(boxes, grid),
        _change(before, after, inside),
        tuple(changes),
        _pictures(session, boxes, (before, after), fresh, words, maps, fitted),
    )


def _without(session: dp.Session, rest: nn.Module, maps: Tensor, filters: list[int]) -> Tensor:
    """Images that the rest of a generator makes of feature maps, some filters set to zero."""
    import torch

    parts = []
    with torch.no_grad():
        for batch in maps.split(dp.session.BATCH):
            kept = batch.to(session.device, copy=True)
            kept[:, filters] = 0
            parts.append(rest(kept).cpu())
    return torch.cat(parts)


def _label(boxes: dp.Boxes, label: str | None) -> str:
    if label is not None:
        return label
    if len(boxes.labels) == 1:
        return boxes.labels[0]
    listed = ", ".join(boxes.labels) or "(there are no boxes)"
    raise InputError(
        f"{boxes.source or 'boxes'}: found {len(boxes.labels)} labels, expected one or --object "
        f"with one of: {listed}"
    )


def _latents(session: dp.Session, boxes: dp.Boxes) -> Tensor:
    """The latents of the images that were looked at, in the order of `boxes.images`."""
    import numpy as np
    import torch

    if boxes.seed is not None:
        return session.latents(boxes.n, boxes.seed)[list(boxes.images)]
    path = boxes.latents_path
    try:
        z = np.load(str(path), allow_pickle=False, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: found no .npy of latents that can be read: {error}") from error
    wanted = session.config.z_size
    if z.ndim != 2 or z.shape[1] != wanted or z.dtype.kind != "f":
        raise InputError(f"{path}: found {z.dtype} {z.shape}, expected float32 N x {wanted}")
    if len(z) < boxes.n:
        raise InputError(f"{path}: found {len(z)} latents, expected at least {boxes.n}")
    return torch.from_numpy(np.asarray(z[list(boxes.images)], dtype=np.float32))


def _change(before: Tensor, after: Tensor, inside: np.ndarray) -> Change:
    difference = (after - before).abs().mean(dim=1).numpy()
    return Change(float(difference[inside].mean()), float(difference[~inside].mean()))


def _without_a_cell(boxes: dp.Boxes, grid: tuple[int, int]) -> int:
    """How many boxes lie between the centres of a layer's cells."""
    alone = (replace(boxes, boxes=(box,)) for box in boxes.boxes)
    return sum(not box.mask(grid).any() for box in alone)


def _pictures(
    session: dp.Session,
    boxes: dp.Boxes,
    boxed: tuple[Tensor, Tensor],
    fresh: list[Tensor],
    words: str,
    maps: Tensor,
    fitted: Fit,
) -> _Pictures:
    import numpy as np

    before, after = boxed
    with_boxes = {box.image for box in boxes.boxes}
    first = [i for i, image in enumerate(boxes.images) if image in with_boxes][:SHOWN]
    zoom = dp.figures.zoom_for(before.shape[2])
    side = before.shape[2] * zoom
    drawn = []
    for i, image in zip(first, dp.figures.pixels(before[first]), strict=True):
        on_it = [(b.x0, b.y0, b.x1, b.y1) for b in boxes.boxes if b.image == boxes.images[i]]
        drawn.append(dp.figures.outlined(image, on_it, zoom))
    logit = fitted.logit(maps[first].permute(0, 2, 3, 1).numpy())
    difference = (after[first] - before[first]).abs().mean(dim=1).numpy()
    as_they_are, without, random = (dp.figures.pixels(images) for images in fresh)
    return _Pictures(
        as_they_are,
        without,
        random,
        np.stack(drawn),
        dp.figures.heat(1 / (1 + np.exp(-logit)), 0, 1, (side, side)),
        dp.figures.heat(difference, 0, 1, (side, side)),
        session.caption(),
        words,
    )


def shipped_boxes(session: dp.Session) -> Path:
    """The boxes that ship with the session's checkpoint; InputError if there are none."""
    path = dp.checkpoints.shipped_boxes(session.checkpoint.name)
    if path is None:
        raise InputError(f"no boxes ship with {session.checkpoint.name}, expected --boxes FILE")
    return path


@click.command()
@click.option(
    "--boxes",
    "path",
    type=click.Path(path_type=Path),
    help="Boxes on samples of this checkpoint; those that ship with it if not given.",
)
@click.option("--object", "label", help="Which label; not needed where the boxes have only one.")
@click.option(
    "--layer", help="Layer of the generator; its second-highest convolution if not given."
)
@click.option(
    "--controls", default=10, type=click.IntRange(1), help="Random filter sets to compare."
)
@pass_session
def forget(
    session: dp.Session, path: Path | None, label: str | None, layer: str | None, controls: int
) -> None:
    """Make the generator forget an object that boxes were drawn on.

    A logistic regression on the layer's activations tells inside from outside the boxes; every
    filter with a weight above zero is dropped (section 6.3.1), in the commands after this too.
    """
    size = (session.config.size, session.config.size)
    boxes = dp.Boxes.read(path or shipped_boxes(session), image_size=size)
    result = run(session, boxes, label, layer, controls)
    session.save(result)
    session.edit(result.selection)
