"""The training images nearest to samples, and whether samples are closer than they should be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import dcgan_probe as dp
from dcgan_probe.errors import InputError, unknown
from dcgan_probe.metrics import features
from dcgan_probe.plugins.contract import pass_session

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from dcgan_probe.checkpoints.native import Checkpoint
    from dcgan_probe.images.subsets import Chosen

    from ._near import Near, Neighbours, Of, Pictures
    from ._spaces import Space

PIXELS, FEATURES, DEDUP = SPACES = ("pixels", "features", "dedup")
BATCH = 256
SAME = 1e-4  # of either unit: closer images are one and the same


def run(
    session: dp.Session,
    images: str | Path,
    held_out: str | Path | None = None,
    *,
    split: bool = False,
    n: int = 1000,
    spaces: Sequence[str] | None = None,
    code: str | Path | None = None,
    before: str | Path | None = None,
    resize: bool = False,
    cells: int | None = None,
) -> Neighbours:
    """Find the training images that are nearest to samples, and say whether they are copies.

        >>> result = run(dp.Session.open("rooms"), "rooms.zip", "held_out.zip", n=1000)
        >>> result.own.near[0].verdict.name
        'NO SIGN OF COPYING'

    images: those the generator was trained on, all of them. held_out: others of the same source;
    n at random are the control. split: take the control out of `images` at random, at most half:
    honest only if the generator was not trained on it. Without a control there is no verdict.
    n: samples. spaces: any of "pixels", "features" and "dedup"; the first two, or pixels alone
    where the checkpoint has no discriminator, if not given. code: a file with the autoencoder of
    "dedup", or for it: without such a file it is trained on `images`. before: an earlier
    checkpoint of the same training, which is asked the same with the same latents. resize: images
    of another size are brought to that of the network. cells: of the partition of the three-sample
    test; one for `_passing.A_CELL` samples if not given.

    Raises InputError for fewer than 2 training images, or fewer than 20 samples or held-out images;
    for images of another size, unless `resize`; for names that are not there; for an earlier
    checkpoint that takes other latents or draws images of another size; for features that are not
    finite.
    Source: `_copying.three_sample`, `_copying.preference`.
    """
    from dcgan_probe import checkpoints
    from dcgan_probe.images.sources import ImageSource, eight_bit
    from dcgan_probe.images.subsets import Chosen

    from . import _near, _passing

    earlier = None if before is None else _same_latents(session, checkpoints.load(before))
    size, channels = session.config.size, session.config.channels

    def opened(path: str | Path) -> Chosen:
        source = ImageSource(path, size, channels)
        return Chosen([(source, range(len(source)))], resize)

    training, control, said = opened(images), None, ""
    if held_out is not None and split:
        raise InputError("--split: found --held-out as well, expected one of the two")
    if held_out is not None:
        control = opened(held_out)
        control = control.only(_drawn(session, len(control), n))
        said = f"{len(control)} images of {Path(held_out).name}"
    elif split:
        rows = _drawn(session, len(training), min(n, len(training) // 2))
        rest = sorted(set(range(len(training))).difference(rows))
        training, control = training.only(rest), training.only(rows)
        said = f"{len(control)} images split off, honest only if G was not trained on them"
    _check_counts(len(training), None if control is None else len(control), n, images, held_out)

    z = session.latents(n)
    drawn = [(session.checkpoint, eight_bit(session.generate(z)))]
    if earlier is not None:
        drawn.insert(0, (earlier, eight_bit(_generated(session, earlier, z))))
    chosen = _spaces(session, training, spaces, None if code is None else Path(code))
    sets = [pixels for _, pixels in drawn]
    found = _passing.searched(session, training, control, chosen, sets, cells)
    of = [
        _near.Of(f"{c.name} ({c.sha256[:8]})", dp.figures.pixels(pixels), near)
        for (c, pixels), near in zip(drawn, found, strict=True)
    ]
    words = f"{len(training)} images of {Path(images).name}"
    return _near.Neighbours(
        session.made_with(
            images=words,
            control=said,
            n=n,
            spaces=[space.name for space in chosen],
            before=None if earlier is None else {"name": earlier.name, "sha256": earlier.sha256},
            resize=resize,
            cells=cells,
        ),
        words,
        said,
        of[-1],
        of[0] if earlier is not None else None,
        tuple(_pictures(near, training, control) for near in of[-1].near),
        (training.names, [] if control is None else control.names),
        _warnings(of[-1]),
        session.caption(),
    )


def _same_latents(session: dp.Session, earlier: Checkpoint) -> Checkpoint:
    """A checkpoint, on the session's device; InputError unless the same latents fit."""
    if earlier.generator is None:
        raise InputError(f"{earlier.name}: found no generator, expected one")
    for name in ("z_size", "z_distribution", "size", "channels"):
        found, wanted = getattr(earlier.config, name), getattr(session.config, name)
        if found != wanted:
            raise InputError(
                f"{earlier.name}: {name}: found {found}, expected {wanted} as in "
                f"{session.checkpoint.name}: two checkpoints of one training"
            )
    earlier.generator.to(session.device)
    return earlier


def _check_counts(
    training: int, control: int | None, n: int, images: str | Path, held_out: str | Path | None
) -> None:
    from ._copying import LEAST

    if training < 2:
        raise InputError(f"{images}: found {training} training images, expected at least 2")
    if control is None:
        return
    if control < LEAST:
        where = f"{images}: --split" if held_out is None else held_out
        raise InputError(f"{where}: found {control} held-out images, expected at least {LEAST}")
    if n < LEAST:
        raise InputError(f"--n: found {n} samples, expected at least {LEAST} for the test")


def _drawn(session: dp.Session, of: int, n: int) -> list[int]:
    """At most n numbers below `of`, by the session's seed, ascending."""
    import numpy as np

    return np.sort(np.random.default_rng(session.seed).permutation(of)[:n]).tolist()


def _generated(session: dp.Session, checkpoint: Checkpoint, z: Tensor) -> Tensor:
    import torch

    from dcgan_probe.images.sources import Samples, batches

    assert checkpoint.generator is not None
    return torch.cat([b.cpu() for b in batches(Samples(checkpoint.generator, z), BATCH)])


def _spaces(
    session: dp.Session, training: Chosen, names: Sequence[str] | None, code: Path | None
) -> list[Space]:
    from . import _spaces as spaces

    if names is None:
        blind = features.seeing(session.checkpoint.discriminator) is None
        names = (PIXELS,) if blind else (PIXELS, FEATURES)
    for name in names:
        if name not in SPACES:
            raise unknown("space", name, SPACES)
    if code is not None and DEDUP not in names:
        raise InputError(f"{code}: found a code for no use, expected --in {DEDUP} with it")
    made = {
        PIXELS: spaces.pixels,
        FEATURES: lambda: spaces.of_discriminator(session, training),
        DEDUP: lambda: spaces.of_code(session, training, code),
    }
    return [made[name]() for name in dict.fromkeys(names)]


def _pictures(near: Near, training: Chosen, control: Chosen | None) -> Pictures:
    from ._near import Pictures

    def read(source: Chosen, rows: np.ndarray) -> np.ndarray:
        images = dp.figures.pixels(source.read(rows.ravel().tolist()))
        return images.reshape(*rows.shape, *images.shape[1:])

    rows = [i for _, i in near.shown()]
    found = read(training, near.nearest[rows])
    if control is None:
        return Pictures(found, found[:, :0])
    return Pictures(found, read(control, near.nearest_held_out[rows][:, None]))


def _warnings(of: Of) -> tuple[str, ...]:
    held_out = of.near[0].held_out
    same = int((held_out < SAME).sum())
    if not same:
        return ()
    return (
        f"{same} OF {len(held_out)} HELD-OUT IMAGES ARE AMONG THE TRAINING IMAGES: do not believe "
        "the verdict.",
    )


_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--images", required=True, type=_PATH, help="What the generator was trained on.")
@click.option("--held-out", type=_PATH, help="Images of the same source that it never saw.")
@click.option(
    "--split",
    is_flag=True,
    help="Take held-out images out of --images; honest only if G was not trained on them.",
)
@click.option("--n", default=1000, type=click.IntRange(1), help="Samples, and held-out images.")
@click.option(
    "--in",
    "spaces",
    multiple=True,
    type=click.Choice(SPACES),
    help="Where to compare; several may be given.  [default: pixels and features]",
)
@click.option(
    "--code",
    type=_PATH,
    help="Autoencoder of --in dedup; trained on --images, and kept here, if it is not there.",
)
@click.option("--before", type=_PATH, help="An earlier checkpoint of the same training.")
@click.option("--resize", is_flag=True, help="Bring images of another size to that of G.")
@click.option("--cells", type=click.IntRange(1), help="Of the three-sample test.  [default: n/100]")
@pass_session
def neighbours(session: dp.Session, spaces: tuple[str, ...], **options: Any) -> None:
    """Find training images nearest to samples, and say whether they are copies.

    By pixels, by the discriminator's features or by the code of dedup. The verdict compares with
    images that were held out (Meehan et al. 2020).
    """
    session.save(run(session, spaces=spaces or None, **options))
