"""Extract the discriminator's features of images, and classify by them."""

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
@click.option(
    "--labels",
    metavar="[folders|y|FILE.csv]",
    help="Classify: images lie in folders of their class; y beside X in a .mat; a CSV of name, "
    "label and perhaps split. Without it features are extracted, no more.",
)
@click.option("--column", default="label", help="Of the CSV, the one with labels.")
@click.option(
    "--name-column",
    help="Of the CSV, the one with names, if it is not name, file, file_name, filename, image_id "
    "or path.",
)
@click.option("--test", type=_PATH, help="Other images, for testing, with labels of the same kind.")
@click.option(
    "--protocol",
    type=click.Choice(list(PROTOCOLS)),
    help="Data, sizes and classes of the paper's table 1 or 2.",
)
@click.option("--to", type=_PATH, help="File of the features, .npy.  [default: OUT/features.npy]")
@click.option("--layers", type=_Words(), help="Only these. Default: all convolutions.")
@click.option("--grid", default=GRID, type=click.IntRange(1), help="Maps are max-pooled to it.")
@click.option(
    "--statistics",
    type=click.Choice(STATISTICS),
    help="Of batch norm: as stored, or averaged over the (training) images, as the authors did. "
    "[default: stored, or of the protocol]",
)
@click.option("--resize", is_flag=True, help="Bring images of another size to that of D.")
@click.option("--n", type=click.IntRange(1), help="At most so many; labelled, of either side.")
@click.option("--valid", type=click.FloatRange(0, min_open=True), help="Images to choose C by.")
@click.option("--per-class", type=_Counts(), help="Labels a class: 10,100,all is a curve.")
@click.option("--draws", type=click.IntRange(1), help="How often labels are drawn, to report.")
@click.option("--c", type=_Floats(), help="The only values of C to try.")
@click.option(
    "--beside",
    type=_Words(),
    default=(),
    show_default=False,
    help=f"Of the same images: {', '.join(BASELINES)}.",
)
@pass_session
def features(session: Session, to: Path | None, **options: Any) -> None:
    """Extract the discriminator's features of images, and classify by them.

    Every convolution layer, max-pooled to a 4x4 grid (section 5.1), in a file that numpy maps. With
    labels a linear L2-SVM: accuracy by labels a class, confusion, and which layers carry it.
    """
    from .probe import run

    if to is None:
        to = session.folder.with_name(f"{session.folder.name}.npy")
    session.save(run(session, to=to, **options))
