"""Make a generator forget an object: find the filters that draw it from boxes, and drop them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import dcgan_probe as dp
from dcgan_probe.errors import InputError
from dcgan_probe.plugins import pass_session
from dcgan_probe.results import Result

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

MAX_ITERATIONS = 1000
FOLDS = 5
SHOWN = 12


@dataclass(frozen=True)
class Change:
    """Mean absolute change of pixels, on images in [-1, 1], inside and outside the boxes."""

    inside: float
    outside: float


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
        inside = [change.inside for change in self.random]
        outside = [change.outside for change in self.random]
        return "\n".join(
            [
                *lines,
                f"{self.label}: {len(kept.filters)} of {len(self.weights)} filters of {kept.layer} "
                f"dropped; {held_out}",
                f"mean absolute change inside boxes {self.change.inside:.3f}, "
                f"outside {self.change.outside:.3f}",
                f"by {len(self.random)} random sets of as many filters: inside "
                f"{min(inside):.3f} to {max(inside):.3f}, "
                f"outside {min(outside):.3f} to {max(outside):.3f}",
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
        zoom = max(1, 96 // self.before.shape[1])
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
    dropped. Its held-out accuracy is of `FOLDS` folds by image, in which no image is on both sides.

    Raises InputError for boxes of another checkpoint, a label that is not there, a layer without
    places or in which the boxes hold no cell or all cells.
    Source: section 6.3.1, figure 6.
    """
    import numpy as np

    label = _label(boxes, label)
    boxes = boxes.only(label)
    boxes.check(session.checkpoint.sha256)
    layer = default_layer(session.config) if layer is None else layer
    z = _latents(session, boxes)
    maps = _maps(session, z, layer)
    inside = boxes.mask(maps.shape[2:])
    rng = np.random.default_rng(session.seed)
    cells, targets, groups = _cells(
        maps, inside, rng, f"{boxes.source or 'boxes'}: layer {layer!r}"
    )
    weights, bias, converged = _regression(cells, targets)
    accuracy = _held_out(cells, targets, groups)
    filters = tuple(int(f) for f in np.flatnonzero(weights > 0))

    about = {
        "rule": "weight > 0",
        "label": label,
        "weights": [float(w) for w in weights],
        "held_out_accuracy": accuracy,
        "converged": converged,
        "boxes": {"source": Path(boxes.source).name, "seed": boxes.seed, "n": len(boxes.boxes)},
        "seed": session.seed,
    }
    selection = dp.Selection(layer, filters, session.checkpoint.sha256, about)

    def drop(some: tuple[int, ...]) -> dp.Selection:
        return dp.Selection(layer, some, session.checkpoint.sha256)

    before = session.generate(z)
    pixels_inside = boxes.mask(before.shape[2:])
    with session.editing(selection):
        after = session.generate(z)
    change = _change(before, after, pixels_inside)
    random = []
    sets = [
        tuple(rng.choice(len(weights), len(filters), replace=False).tolist())
        for _ in range(controls)
    ]
    for some in session.progress(sets, "random filters"):
        with session.editing(drop(some)):
            random.append(_change(before, session.generate(z), pixels_inside))

    # New samples, as in the paper: none of those that the boxes were drawn on.
    start = boxes.n if session.seed == boxes.seed else 0
    new = session.latents(SHOWN, start=start)
    rows = [session.generate(new)]
    for some in (selection, drop(sets[0]) if sets else selection):
        with session.editing(some):
            rows.append(session.generate(new))
    pictures = _pictures(session, boxes, rows, before, after, maps, (weights, bias), start)
    resolved = _resolved(boxes, inside.shape[1:])
    return Forgotten(
        session.made_with(label=label, layer=layer, controls=controls, boxes=about["boxes"]),
        label,
        selection,
        weights,
        tuple(accuracy),
        converged,
        int(inside.sum()),
        len(boxes.boxes),
        len(boxes.boxes) - resolved,
        change,
        tuple(random),
        pictures,
    )


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


def _maps(session: dp.Session, z: Tensor, layer: str) -> np.ndarray:
    """Feature maps of a layer for latents, N x filters x h x w float32."""
    import numpy as np
    import torch

    parts = []
    with torch.no_grad():
        for batch in z.split(64):
            maps = dp.hooks.activations(session.generator, layer, batch.to(session.device))
            if maps.dim() != 4:
                raise InputError(f"layer {layer!r}: found {maps.dim() - 1}-d values, expected maps")
            parts.append(maps.cpu().numpy())
    return np.concatenate(parts)


def _cells(
    maps: np.ndarray, inside: np.ndarray, rng: np.random.Generator, where: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Activations inside boxes and as many outside, of the same images: cells, targets, images."""
    import numpy as np

    cells, targets, groups = [], [], []
    for i in np.flatnonzero(inside.any(axis=(1, 2))):
        here = maps[i].reshape(len(maps[i]), -1).T
        is_in = inside[i].ravel()
        outside = np.flatnonzero(~is_in)
        # A box may fill more than half of an image: then there are fewer places outside than in.
        drawn = rng.choice(outside, min(int(is_in.sum()), len(outside)), replace=False)
        both = np.concatenate([np.flatnonzero(is_in), drawn])
        cells.append(here[both])
        targets.append(is_in[both])
        groups.append(np.full(len(both), i))
    if not cells:
        raise InputError(f"{where}: found no cell inside a box, expected a finer layer")
    if np.concatenate(targets).all():
        raise InputError(f"{where}: found no cell outside the boxes, expected a finer layer")
    return np.concatenate(cells), np.concatenate(targets), np.concatenate(groups)


def _regression(cells: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, float, bool]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = LogisticRegression(max_iter=MAX_ITERATIONS).fit(cells, targets)
    converged = not any(issubclass(w.category, ConvergenceWarning) for w in caught)
    return model.coef_[0], float(model.intercept_[0]), converged


def _held_out(cells: np.ndarray, targets: np.ndarray, groups: np.ndarray) -> list[float]:
    import numpy as np
    from sklearn.model_selection import GroupKFold

    images = len(np.unique(groups))
    if images < 2:
        return []
    accuracy = []
    for train, test in GroupKFold(min(FOLDS, images)).split(cells, targets, groups):
        weights, bias, _ = _regression(cells[train], targets[train])
        accuracy.append(float(((cells[test] @ weights + bias > 0) == targets[test]).mean()))
    return accuracy


def _change(before: Tensor, after: Tensor, inside: np.ndarray) -> Change:
    difference = (after - before).abs().mean(dim=1).numpy()
    return Change(float(difference[inside].mean()), float(difference[~inside].mean()))


def _resolved(boxes: dp.Boxes, grid: tuple[int, int]) -> int:
    """How many boxes hold the centre of a cell."""
    from dataclasses import replace

    return sum(bool(replace(boxes, boxes=(box,)).mask(grid).any()) for box in boxes.boxes)


def _pictures(
    session: dp.Session,
    boxes: dp.Boxes,
    rows: list[Tensor],
    before: Tensor,
    after: Tensor,
    maps: np.ndarray,
    regression: tuple[np.ndarray, float],
    start: int,
) -> _Pictures:
    import numpy as np

    weights, bias = regression
    with_boxes = {box.image for box in boxes.boxes}
    first = [i for i, image in enumerate(boxes.images) if image in with_boxes][:SHOWN]
    zoom = max(1, 96 // before.shape[2])
    side = before.shape[2] * zoom
    boxed = [
        dp.figures.outlined(
            image,
            [(b.x0, b.y0, b.x1, b.y1) for b in boxes.boxes if b.image == boxes.images[i]],
            zoom,
        )
        for i, image in zip(first, dp.figures.pixels(before[first]), strict=True)
    ]
    logit = np.einsum("nchw,c->nhw", maps[first], weights) + bias
    difference = (after[first] - before[first]).abs().mean(dim=1).numpy()
    seen = [dp.figures.pixels(row) for row in rows]
    return _Pictures(
        seen[0],
        seen[1],
        seen[2],
        np.stack(boxed),
        dp.figures.heat(1 / (1 + np.exp(-logit)), 0, 1, (side, side)),
        dp.figures.heat(difference, 0, 1, (side, side)),
        session.caption(),
        f"samples {start} to {start + SHOWN - 1} of seed {session.seed}",
    )


def shipped_boxes(session: dp.Session) -> Path:
    """The boxes that ship with the session's checkpoint; InputError if there are none."""
    path = dp.checkpoints.shipped_file(session.checkpoint.name, "windows.json")
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
