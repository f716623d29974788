"""The command ``dcgan-probe``: a lazy, chained click group.

Nothing here imports torch: ``--help`` answers at once, and what is heavy is imported by the
command that needs it.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dcgan_probe import plugins
from dcgan_probe.errors import InputError

if TYPE_CHECKING:
    from dcgan_probe.session import Session


class Mistake(click.ClickException):
    """An InputError on the command line: one line, exit code 2."""

    exit_code = 2


class Group(click.Group):
    """Our own commands, and the probes of all installed packages."""

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted({*super().list_commands(context), *plugins.find()})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        own = super().get_command(context, name)
        point = plugins.find().get(name)
        if own is not None or point is None:
            return own
        try:
            return plugins.load(point)
        except InputError as error:
            raise Mistake(str(error)) from error

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(context):
            known = ", ".join(self.list_commands(context))
            raise Mistake(f"unknown command {args[0]!r}, expected one of: {known}")
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        # click would import every probe for its short help; the source's docstring will do.
        points = plugins.find()
        rows = []
        for name in self.list_commands(context):
            own = super().get_command(context, name)
            text = own.get_short_help_str(70) if own else plugins.summary(points[name])
            rows.append((name, text))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except InputError as error:
            raise Mistake(str(error)) from error


@click.group(cls=Group, chain=True, no_args_is_help=True, context_settings={"show_default": True})
@click.option("--model", default="rooms", help="A checkpoint that ships (rooms, svhn) or a path.")
@click.option("--seed", default=0, type=click.IntRange(0), help="Seed of all that is drawn.")
@click.option("--device", default="auto", type=click.Choice(["auto", "cpu", "cuda"]))
@click.option(
    "--out", default="out", type=click.Path(path_type=Path), help="Results go into its sub-folders."
)
@click.option("--force", is_flag=True, help="Overwrite results that are there.")
@click.option(
    "--edit",
    "edits",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A selection.json to put in force; may be given again.",
)
@click.version_option(package_name="dcgan-probe")
@click.pass_context
def main(
    context: click.Context,
    model: str,
    seed: int,
    device: str,
    out: Path,
    force: bool,
    edits: tuple[Path, ...],
) -> None:
    """Open a trained DCGAN: see what its filters learned, prove what they cause, edit it.

    Commands are a chain: what `forget` edits stays edited for the commands after it.

        dcgan-probe --model rooms --seed 3 forget --boxes windows.json sample --n 64
    """

    def open_session() -> Session:
        from dcgan_probe import checkpoints
        from dcgan_probe.edits import Selection
        from dcgan_probe.session import Session

        session = Session(checkpoints.load(model), seed, device, out, force)
        for path in edits:
            session.edit(Selection.read(path))
        return session

    context.obj = plugins.Opener(open_session)
    context.call_on_close(context.obj.close)


@main.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--to", type=click.Path(path_type=Path), required=True, help="File to write.")
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Images for the discriminator's batch-norm statistics, where the files hold none.",
)
@click.pass_context
def convert(context: click.Context, paths: tuple[Path, ...], to: Path, images: Path | None) -> None:
    """Convert other people's checkpoints to one safetensors file.

    PATHS are state dicts of pytorch/examples' dcgan (netG_epoch_N.pth, netD_epoch_N.pth, either
    or both) or a folder of the .npy arrays that the paper's authors published.
    """
    from dcgan_probe import checkpoints

    if to.exists() and not context.find_root().params["force"]:
        raise InputError(f"{to}: already exists, expected a new file (or --force)")
    checkpoint = checkpoints.convert(paths, images)
    sha = checkpoints.save(checkpoint, to)
    click.echo(f"{to}: SHA-256 {sha}")
    click.echo(f"{checkpoint.config}")
    for name, value in checkpoint.info.items():
        click.echo(f"{name}: {value}")


_DATA = click.option(
    "--data",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder, zip, tar, LMDB, .npz or .mat.",
)
_MAX_BAD = click.option(
    "--max-bad",
    default=0.01,
    type=click.FloatRange(0, 1),
    help="Share of images that may fail to decode.",
)
_CACHE = click.option(
    "--cache",
    "cache_folder",
    type=click.Path(path_type=Path),
    help="Folder of decoded images; $DCGAN_PROBE_CACHE or the user's if not given.",
)


@main.command()
@_DATA
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    required=True,
    help="List to write: names of the images to keep.",
)
@click.option(
    "--within",
    default=0,
    type=click.IntRange(0, 8),
    help="Bits in which the codes of duplicates may differ; the paper's 0.",
)
@_MAX_BAD
@_CACHE
@click.pass_context
def dedup(context: click.Context, **options: Any) -> None:
    """Find near-duplicates among images, and write the list of those to keep.

    Images with equal codes of a denoising autoencoder (section 4.1 of the paper) are duplicates,
    and the first of them by name is kept. Writes the list, which `train --keep` reads, and into
    OUT/dedup what was found, with a picture to check it by eye.
    """
    from dcgan_probe.training import dedup_command
    from dcgan_probe.training.dedup import Settings

    root = context.find_root().params
    settings = Settings(seed=root["seed"])
    dedup_command.run(
        root["out"] / "dedup", root["device"], root["force"], settings=settings, **options
    )


@main.command()
@_DATA
@click.option("--steps", type=click.IntRange(1), help="Updates of each network; or --epochs.")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the images; or --steps.")
@click.option("--preset", default="paper", type=click.Choice(["paper", "torch"]))
@click.option("--size", type=int, help="Image size; of the preset if not given.")
@click.option("--channels", type=int, help="1 or 3; of the preset if not given.")
@click.option("--g-width", type=int, help="Feature maps of G's last hidden layer; of the preset.")
@click.option("--d-width", type=int, help="Feature maps of D's first layer; of the preset.")
@click.option("--recipe", "name", default="paper", type=click.Choice(["paper", "shared"]))
@click.option("--batch", default=128, type=click.IntRange(2), help="Images, over all processes.")
@click.option("--rate", default=2e-4, type=float, help="Adam's, for both networks.")
@click.option(
    "--ema",
    default=0.0,
    type=click.FloatRange(0, 1, max_open=True),
    help="Decay of the "
    "mean of G's weights that is saved; 0 saves the last weights, as the paper does.",
)
@click.option("--flip", is_flag=True, help="Mirror every second image, at random.")
@click.option(
    "--precision",
    default="auto",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    help="Of the arithmetic; auto is bfloat16 on CUDA.",
)
@click.option("--compile", "compiled", is_flag=True, help="Run through torch.compile.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    help="Train on the images of this list only, as dedup writes it.",
)
@_MAX_BAD
@_CACHE
@click.option("--save-every", default=500, type=click.IntRange(1), help="Steps.")
@click.option("--tensorboard", is_flag=True, help="Write TensorBoard events too.")
@click.pass_context
def train(context: click.Context, **options: Any) -> None:
    """Train a DCGAN with the paper's recipe, or go on with a training.

    Writes into OUT/train: samples, losses, the state to resume from, checkpoint.safetensors and
    best.safetensors. Run the same line again to go on where it stopped; more --steps train on.
    Under torchrun, all its processes train together:

        torchrun --nproc-per-node 2 -m dcgan_probe train --data photographs.zip --epochs 5
    """
    from dcgan_probe.training import command

    root = context.find_root().params
    network = {name: options.pop(name) for name in ("size", "channels", "g_width", "d_width")}
    recipe = {name: options.pop(name) for name in ("name", "batch", "rate", "ema", "flip")}
    stopped = command.run(
        root["out"] / "train",
        root["seed"],
        root["device"],
        root["force"],
        network=network,
        recipe=recipe,
        **options,
    )
    if stopped:
        context.exit(128 + getattr(signal, stopped, signal.SIGTERM))
