"""The commands that are no probes: checkpoints, training, results, plugins.

Nothing here imports torch: each command imports what it needs.
"""

from __future__ import annotations

import shlex
import signal
from pathlib import Path
from typing import Any

import click

from dcgan_probe import plugins, terminal
from dcgan_probe.cli.checkpoint_options import checkpoint_options, take_facts
from dcgan_probe.errors import InputError
from dcgan_probe.networks.config import PRESETS


@click.command(cls=plugins.Last)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    required=True,
    help="File to write, NAME.safetensors; any other name is a folder as the Hugging Face hub has.",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Images for the discriminator's batch-norm statistics, where the files hold none.",
)
@checkpoint_options
@click.pass_context
def convert(
    context: click.Context, paths: tuple[Path, ...], to: Path, images: Path | None, **said: Any
) -> None:
    """Convert other people's checkpoints to one safetensors file, or to a folder for the hub.

    PATHS are state dicts of a DCGAN (netG_epoch_N.pth, netD_epoch_N.pth, either or both, or a
    folder of them) or a folder of the .npy arrays that the paper's authors published; for a folder
    also a file of ours, which keeps its SHA-256. What a file does not hold is assumed, and said;
    the options say otherwise, and the converted file keeps it.
    """
    from dcgan_probe import checkpoints
    from dcgan_probe.checkpoints import huggingface, native, weights
    from dcgan_probe.storage import files

    facts = take_facts(said)
    force = context.find_root().params["force"]
    folder = to.suffix != ".safetensors"
    if folder:
        files.check_free(to, force, huggingface.WRITTEN)
    elif to.exists() and not force:
        raise InputError(f"{to}: already exists, expected a new file (or --force)")
    alone = folder and len(paths) == 1 and images is None and not paths[0].is_dir()
    if alone and native.is_own(weights.look_at(paths[0])):
        checkpoint = native.read_own(paths[0], paths[0].stem)
        sha = huggingface.save(paths[0], to, force)
    else:
        checkpoint = checkpoints.convert(paths, images, facts)
        sha = (
            huggingface.save(checkpoint, to, force) if folder else checkpoints.save(checkpoint, to)
        )
    about = [f"{name}: {value}" for name, value in checkpoint.info.items()]
    terminal.answer(
        {
            "file": str(to),
            "sha256": sha,
            "config": checkpoint.config.to_dict(),
            "info": checkpoint.info,
        },
        "\n".join([f"{to}: SHA-256 {sha}", str(checkpoint.config), *about]),
    )


_DATA = click.option(
    "--images",
    "data",
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


@click.command()
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
    from dcgan_probe.dedup import command
    from dcgan_probe.dedup.autoencoder import Settings

    root = context.find_root().params
    settings = Settings(seed=root["seed"])
    folder = root["out"] / "dedup"
    command.run(folder, root["device"], root["force"], settings=settings, **options)
    if terminal.here().json:
        import json

        terminal.answer(json.loads((folder / "dedup.json").read_text(encoding="utf-8")), "")


@click.command()
@_DATA
@click.option("--steps", type=click.IntRange(1), help="Updates of each network; or --epochs.")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the images; or --steps.")
@click.option("--preset", default="paper", type=click.Choice(list(PRESETS)))
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
    "--augment",
    is_flag=True,
    help="Augment all images that D sees, real and generated (DiffAugment): for small sets.",
)
@click.option(
    "--decay-steps",
    default=0,
    type=click.IntRange(0),
    help="Step at which the rate reaches 0, falling from half way on; 0 keeps it constant.",
)
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

        torchrun --nproc-per-node 2 -m dcgan_probe train --images photographs.zip --epochs 5
    """
    from dcgan_probe.training import command

    root = context.find_root().params
    network = {name: options.pop(name) for name in ("size", "channels", "g_width", "d_width")}
    names = ("name", "batch", "rate", "ema", "flip", "augment", "decay_steps")
    recipe = {name: options.pop(name) for name in names}
    folder = root["out"] / "train"
    stopped = command.run(
        folder,
        root["seed"],
        root["device"],
        root["force"],
        network=network,
        recipe=recipe,
        **options,
    )
    if terminal.here().json:
        from dcgan_probe.storage import files

        file = folder / "checkpoint.safetensors"
        terminal.answer({"file": str(file), "sha256": files.sha256(file), "stopped": stopped}, "")
    if stopped:
        context.exit(128 + getattr(signal, stopped, signal.SIGTERM))


_RESULT = click.Path(path_type=Path)


@click.command()
@click.argument("path", metavar="RESULT.json|FOLDER", type=_RESULT)
def show(path: Path) -> None:
    """Show a saved result: what it found, and how it was made."""
    from dcgan_probe.results import loading

    found = loading.load_result(path)
    terminal.answer(found.to_dict(), str(found))


@click.command()
@click.argument("a", metavar="A", type=_RESULT)
@click.argument("b", metavar="B", type=_RESULT)
@click.pass_context
def diff(context: click.Context, a: Path, b: Path) -> None:
    """Compare two saved results: how they were made, what they found.

    A and B are each a result.json or its folder. As diff does, it ends with exit code 0 if nothing
    differs, and with 1 if something does.
    """
    from dcgan_probe.results import differences, loading

    found = differences.differences(loading.load_result(a), loading.load_result(b))
    values = {"a": str(a), "b": str(b), "differences": [each.to_dict() for each in found]}
    terminal.answer(values, differences.told(found))
    if found:
        context.exit(1)


@click.command("plugins")
def list_plugins() -> None:
    """List every probe, detector and classifier, and whether it works.

    Each is imported, in a process of its own package. Broken: cannot be imported, and why. Slow:
    was not imported within 30 seconds. Taken: another package has the name.
    """
    from dcgan_probe.plugins import trial

    own = [command.name for command in ALL if command.name]
    found = trial.check(terminal.here().only_ours, own)
    terminal.answer({"plugins": [each.to_dict() for each in found]}, trial.table(found))


@click.command("new-probe", cls=plugins.Last)
@click.argument("name")
@click.option(
    "--to", type=click.Path(path_type=Path), help="Folder; dcgan-probe-NAME if not given."
)
@click.pass_context
def write_probe(context: click.Context, name: str, to: Path | None) -> None:
    """Write a package with a working probe and its test, to start from."""
    from dcgan_probe.plugins import new_probe

    main = context.find_root()
    assert isinstance(main.command, click.Group)
    folder = new_probe.write(name, to, main.command.list_commands(main))
    written = sorted(path.name for path in folder.iterdir())
    install = shlex.join(["pip", "install", "-e", str(folder)])
    terminal.answer(
        {"folder": str(folder), "files": written},
        f"wrote {folder}: {', '.join(written)}\nnext: {install}, then dcgan-probe {name}",
    )


ALL = (convert, dedup, train, show, diff, list_plugins, write_probe)
