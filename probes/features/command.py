"""Extract the discriminator's features, and train a linear classifier on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dcgan_probe.plugins.contract import pass_session

from .options import BASELINES, GRID, STATISTICS
from .protocols import PROTOCOLS

if TYPE_CHECKING:
    from dcgan_probe.session import Session


class _Counts(click.ParamType):
    name = "N[,N...]"

    def convert(self, value: Any, param: Any, context: Any) -> tuple[int | None, ...]:
        counts: list[int | None] = []
        for word in value.split(","):
            if word != "all" and not (word.isdecimal() and int(word)):
                self.fail(f"found {word!r}, expected numbers above 0, or all", param, context)
            counts.append(None if word == "all" else int(word))
        return tuple(counts)


class _Floats(click.ParamType):
    name = "C[,C...]"

    def convert(self, value: Any, param: Any, context: Any) -> tuple[float, ...]:
        try:
            numbers = tuple(float(word) for word in value.split(","))
        except ValueError:
            numbers = ()
        if not numbers or not all(0 < c < float("inf") for c in numbers):
            self.fail(f"found {value!r}, expected numbers above 0", param, context)
        return numbers


class _Words(click.ParamType):
    name = "NAME[,NAME...]"

    def convert(self, value: Any, param: Any, context: Any) -> tuple[str, ...]:
        return tuple(value.split(",")) if isinstance(value, str) else value


_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--images", required=True, type=_PATH, help="Folder, zip, tar, LMDB, .npz or .mat.")
@click.option("--to", type=_PATH, help="File to write, .npy.  [default: OUT/features.npy]")
@click.option("--layers", type=_Words(), help="Layers of D. Default: all convolutions.")
@click.option("--grid", default=GRID, type=click.IntRange(1), help="Max-pool maps to this grid.")
@click.option(
    "--statistics",
    type=click.Choice(STATISTICS),
    help="Batch-norm statistics: stored, or averaged over the (training) images, as the authors "
    "did.  [default: stored, or the protocol's]",
)
@click.option("--resize", is_flag=True, help="Resize images to the size that D takes.")
@click.option("--n", type=click.IntRange(1), help="Maximum number of images; with labels, per set.")
@click.option(
    "--labels",
    metavar="[folders|y|FILE.csv]",
    help="Train a classifier. Labels are the images' folder names, the array y of a .mat, or the "
    "columns name and label (and split) of a CSV. Default: only extract features.",
)
@click.option("--column", default="label", help="Column of the CSV that holds labels.")
@click.option(
    "--name-column",
    help="Column of the CSV that holds names. Default: name, file, file_name, filename, image_id "
    "or path.",
)
@click.option("--test", type=_PATH, help="Test images, with labels of the same kind.")
@click.option(
    "--valid",
    type=click.FloatRange(0, min_open=True),
    help="Training images held out to choose C: a number, or a share if below 1.",
)
@click.option(
    "--per-class",
    type=_Counts(),
    help="Training labels per class; several, such as 10,100,all, draw a curve.",
)
@click.option(
    "--draws", type=click.IntRange(1), help="Number of random draws of the training labels."
)
@click.option("--c", type=_Floats(), help="Values of the SVM's C to try.")
@click.option(
    "--protocol",
    type=click.Choice(list(PROTOCOLS)),
    help="Data, sizes and classes of the paper's table 1 (cifar10) or 2 (svhn-1000).",
)
@click.option(
    "--beside",
    type=_Words(),
    default=(),
    show_default=False,
    help=f"Baselines on the same images: {', '.join(BASELINES)}.",
)
@pass_session
def features(session: Session, to: Path | None, **options: Any) -> None:
    """Extract the discriminator's features, and train a linear classifier on them.

    Every convolution layer is max-pooled to a 4x4 grid (section 5.1) and written to a .npy file.
    With --labels, a linear L2-SVM is trained on them: accuracy by number of labels, confusion
    matrix, and accuracy of each layer alone.
    """
    from .probe import run

    if to is None:
        to = session.folder.with_name(f"{session.folder.name}.npy")
    session.save(run(session, to=to, **options))
