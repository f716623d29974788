"""Find the training images nearest to samples, and test whether samples are copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dcgan_probe import checkpoints, figures
from dcgan_probe.checkpoints.checkpoint import Checkpoint
from dcgan_probe.errors import InputError
from dcgan_probe.images.sources import ImageSource, Samples, batches, describe, eight_bit
from dcgan_probe.images.subsets import Chosen
from dcgan_probe.metrics import splits
from dcgan_probe.session import Session

from . import search
from .comparison import PAIRED, Comparison, Examples, Pairs, SampleSet
from .result import Neighbours
from .spaces import find as find_spaces
from .verdict import LEAST

BATCH = 256
SAME = 1e-4  # of either unit: closer images are one and the same


def run(
    session: Session,
    images: str | Path,
    held_out: str | Path | None = None,
    *,
    split: bool = False,
    n: int = 1000,
    spaces: Sequence[str] | None = None,
    before: str | Path | None = None,
    resize: bool = False,
    cells: int | None = None,
) -> Neighbours:
    """Find the training images nearest to samples, and test whether samples are copies.

        >>> result = run(dp.Session.open("rooms"), "rooms.zip", "held_out.zip", n=1000)
        >>> result.own.near[0].verdict.name
        'NO SIGN OF COPYING'

    images: all training images of the generator. held_out: other images of the same source; n
    random ones are the control. split: take the control from `images` instead, at most half; only
    valid if the generator was not trained on it. Without a control no verdict is given. n: number
    of samples. spaces: "pixels", "features" or both; by default both, or only pixels without a
    discriminator. before: an earlier checkpoint of the same training, to compare from the same
    latents. resize: resize images to the size of the network. cells: number of cells of the
    three-sample test; by default one for `search.A_CELL` samples.

    Raises InputError for fewer than 2 training images, fewer than 20 samples or held-out images,
    images of another size without `resize`, unknown names, an earlier checkpoint with other latents
    or image size, and features that are not finite. Source: `verdict.three_sample`,
    `verdict.preference`.
    """
    earlier = None if before is None else _load_earlier(session, before)
    real = RealImages.open(session, images, held_out, split, n, resize)
    generated = _generate(session, earlier, n)
    compared_in = find_spaces(session, real.training, spaces)
    pixels = [images for _, images in generated]
    comparisons = search.compare(session, real.training, real.control, compared_in, pixels, cells)
    sets = [
        SampleSet(f"{checkpoint.name} ({checkpoint.sha256[:8]})", figures.pixels(drawn), near)
        for (checkpoint, drawn), near in zip(generated, comparisons, strict=True)
    ]
    own = sets[-1]
    words = f"{len(real.training)} images of {Path(images).name}"
    return Neighbours(
        made_with=session.made_with(
            images=words,
            control=real.words,
            n=n,
            spaces=[space.name for space in compared_in],
            before=None if earlier is None else {"name": earlier.name, "sha256": earlier.sha256},
            resize=resize,
            cells=cells,
        ),
        images=words,
        control=real.words,
        own=own,
        before=None if earlier is None else sets[0],
        examples=tuple(_examples(near, _rows(near), real) for near in own.near),
        pairs=None if earlier is None else _pair(sets, real),
        names=(real.training.names, [] if real.control is None else real.control.names),
        warnings=_warnings(own),
        caption=session.caption(),
    )


@dataclass(frozen=True, eq=False)
class RealImages:
    """The training images, and the control that is held out, if any; words: the control."""

    training: Chosen
    control: Chosen | None
    words: str

    @classmethod
    def open(
        cls,
        session: Session,
        images: str | Path,
        held_out: str | Path | None,
        split: bool,
        n: int,
        resize: bool,
    ) -> RealImages:
        """Open the images, and take a control of at most n from `held_out` or, by split, `images`.

        Raises InputError where the control is asked for in both ways, or images are too few.
        """
        training, control, words = _open(session, images, resize), None, ""
        if held_out is not None and split:
            raise InputError("--split: found --held-out as well, expected one of the two")
        rng = np.random.default_rng(session.seed)
        if held_out is not None:
            control = _open(session, held_out, resize)
            whole = len(control)
            control = control.only(splits.hold_out(len(control), n, rng)[1].tolist())
            words = describe(len(control), whole, held_out)
        elif split:
            count = min(n, len(training) // 2)
            rest, rows = splits.hold_out(len(training), count, rng)
            training, control = training.only(rest.tolist()), training.only(rows.tolist())
            words = f"{len(control)} images split off, honest only if G was not trained on them"
        _check_counts(len(training), None if control is None else len(control), n, images, held_out)
        return cls(training, control, words)


def _open(session: Session, path: str | Path, resize: bool) -> Chosen:
    source = ImageSource(path, session.config.size, session.config.channels)
    return Chosen([(source, range(len(source)))], resize)


def _load_earlier(session: Session, path: str | Path) -> Checkpoint:
    """A checkpoint, on the session's device; InputError unless the same latents fit."""
    earlier = checkpoints.load(path)
    if earlier.generator is None:
        raise InputError(f"{earlier.name}: found no generator, expected one")
    for name in ("z_size", "z_distribution", "size", "channels"):
        theirs, ours = getattr(earlier.config, name), getattr(session.config, name)
        if theirs != ours:
            raise InputError(
                f"{earlier.name}: {name}: found {theirs}, expected {ours} as in "
                f"{session.checkpoint.name}: two checkpoints of one training"
            )
    earlier.generator.to(session.device)
    return earlier


def _check_counts(
    training: int, control: int | None, n: int, images: str | Path, held_out: str | Path | None
) -> None:
    if training < 2:
        raise InputError(f"{images}: found {training} training images, expected at least 2")
    if control is None:
        return
    if control < LEAST:
        where = f"{images}: --split" if held_out is None else held_out
        raise InputError(f"{where}: found {control} held-out images, expected at least {LEAST}")
    if n < LEAST:
        raise InputError(f"--n: found {n} samples, expected at least {LEAST} for the test")


def _generate(
    session: Session, earlier: Checkpoint | None, n: int
) -> list[tuple[Checkpoint, Tensor]]:
    """n samples of the earlier checkpoint, if any, and of the session's, from the same latents.

    Rounded to the 256 values that pixels of a file have.
    """
    z = session.latents(n)
    own = eight_bit(session.generate(z))
    if earlier is None:
        return [(session.checkpoint, own)]
    assert earlier.generator is not None
    drawn = torch.cat([batch.cpu() for batch in batches(Samples(earlier.generator, z), BATCH)])
    return [(earlier, eight_bit(drawn)), (session.checkpoint, own)]


def _rows(near: Comparison, *counts: int) -> list[int]:
    return [i for _, i in near.shown(*counts)]


def _pair(sets: Sequence[SampleSet], real: RealImages) -> Pairs:
    """Some latents of two checkpoints, chosen by what the later one draws, in the first space."""
    rows = _rows(sets[-1].near[0], PAIRED, PAIRED)
    examples = tuple(
        tuple(_examples(near, rows, real, nearest=1) for near in samples.near) for samples in sets
    )
    return Pairs(tuple(rows), examples)


def _examples(
    near: Comparison, rows: Sequence[int], real: RealImages, nearest: int | None = None
) -> Examples:
    """The real images nearest to samples, that the picture of one space shows.

    nearest: how many training images of each sample; by default all that were found.
    """
    rows = list(rows)

    def read(source: Chosen, rows: np.ndarray) -> np.ndarray:
        images = figures.pixels(source.read(rows.ravel().tolist()))
        return images.reshape(*rows.shape, *images.shape[1:])

    training = read(real.training, near.nearest[rows, :nearest])
    if real.control is None:
        return Examples(training, training[:, :0])
    return Examples(training, read(real.control, near.nearest_held_out[rows][:, None]))


def _warnings(samples: SampleSet) -> tuple[str, ...]:
    """Why not to believe the verdict, in words."""
    held_out = samples.near[0].held_out
    same = int((held_out < SAME).sum())
    if not same:
        return ()
    return (
        f"{same} OF {len(held_out)} HELD-OUT IMAGES ARE AMONG THE TRAINING IMAGES: do not believe "
        "the verdict.",
    )
