"""The command ``dcgan-probe convert``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dcgan_probe.cli.checkpoint_options import checkpoint_options, take_facts
from dcgan_probe.errors import InputError
from dcgan_probe.plugins.contract import Last
from dcgan_probe.terminal import answer

if TYPE_CHECKING:
    from dcgan_probe.checkpoints.checkpoint import Checkpoint


@click.command(cls=Last)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    required=True,
    help="File to write, NAME.safetensors; any other name is a folder for the Hugging Face hub.",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Images to estimate D's batch-norm statistics from, if the files have none.",
)
@checkpoint_options
@click.pass_context
def convert(
    context: click.Context, paths: tuple[Path, ...], to: Path, images: Path | None, **said: Any
) -> None:
    """Convert third-party checkpoints to a safetensors file or hub folder.

    PATHS are state dicts of a DCGAN (netG_epoch_N.pth, netD_epoch_N.pth, one or both, or a folder
    of them), or a folder of the .npy arrays that the paper's authors published. A checkpoint of
    dcgan-probe can be converted to a folder; it keeps its SHA-256.

    Facts that the files do not record are assumed and reported. The options override them, and the
    converted file records them.
    """
    from dcgan_probe import checkpoints
    from dcgan_probe.checkpoints import huggingface, native, weights
    from dcgan_probe.storage import files

    facts = take_facts(said)
    force = context.find_root().params["force"]
    folder = to.suffix != ".safetensors"
    if folder:
        files.check_free(to, force, huggingface.WRITTEN)
    elif to.exists():
        if not force:
            raise InputError(f"{to}: already exists, expected a new file (or --force)")
        if not native.is_own(weights.look_at(to)):
            raise InputError(
                f"{to}: found a file that convert did not write; it is left unchanged, expected "
                "another name"
            )
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
    answer(
        {
            "file": str(to),
            "sha256": sha,
            "config": checkpoint.config.to_dict(),
            "info": checkpoint.info,
        },
        "\n".join([f"{to}: SHA-256 {sha}", *_described(checkpoint), *about]),
    )


def _described(checkpoint: Checkpoint) -> Iterator[str]:
    """What was converted, in lines that a person reads."""
    config = checkpoint.config
    colours = {1: "grey", 3: "RGB"}.get(config.channels, f"{config.channels}-channel")
    yield f"{colours} images of {config.size} x {config.size} pixels"
    if checkpoint.generator is not None:
        drawn = config.z_distribution if isinstance(config.z_distribution, str) else "its own"
        layers = ", ".join(config.layers("generator"))
        yield f"generator: z of {config.z_size} ({drawn}); layers {layers}"
    if checkpoint.discriminator is not None:
        yield f"discriminator: layers {', '.join(config.layers('discriminator'))}"
