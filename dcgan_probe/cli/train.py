"""The command ``dcgan-probe train``."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import click

from dcgan_probe.cli.options import cache_option, data_option, max_bad_option
from dcgan_probe.networks.config import PRESETS
from dcgan_probe.terminal import answer


@click.command()
@data_option
@click.option("--steps", type=click.IntRange(1), help="Updates of each network, or use --epochs.")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the images, or use --steps.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    help="Train only on the images in this list, as written by dedup.",
)
@click.option("--flip", is_flag=True, help="Flip each image horizontally with probability 0.5.")
@click.option(
    "--augment",
    is_flag=True,
    help="Augment real and generated images (DiffAugment); for small sets.",
)
@max_bad_option
@cache_option
@click.option(
    "--start-from",
    metavar="MODEL",
    help="Start from the networks of this checkpoint, by name or path, instead of random weights.",
)
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    help="Architecture and latents. Default: those of --start-from, or paper.",
)
@click.option("--size", type=int, help="Image size. Default: the preset's.")
@click.option("--channels", type=int, help="Colour channels, 1 or 3. Default: the preset's.")
@click.option(
    "--g-width", type=int, help="Feature maps of G's last hidden layer. Default: the preset's."
)
@click.option("--d-width", type=int, help="Feature maps of D's first layer. Default: the preset's.")
@click.option(
    "--recipe",
    "name",
    default="paper",
    type=click.Choice(["paper", "shared"]),
    help="Order of updates: G and D in turn, each with its own latents (paper), or one pass of G "
    "for both (shared).",
)
@click.option(
    "--batch",
    type=click.IntRange(2),
    help="Minibatch size, over all processes. Default: 128 for the recipe paper, 64 for shared.",
)
@click.option("--rate", default=2e-4, type=float, help="Adam's learning rate, for both networks.")
@click.option(
    "--decay-steps",
    default=0,
    type=click.IntRange(0),
    help="Decay the rate linearly to 0 over the second half of this many steps; 0 keeps it "
    "constant.",
)
@click.option(
    "--l2",
    type=click.FloatRange(0, 1, max_open=True),
    help="L2 weight decay. Default: 1e-5 for the recipe paper, 0 for shared.",
)
@click.option(
    "--r1",
    default=0.0,
    type=click.FloatRange(0),
    help="Weight of the R1 penalty on D's gradient at real images; 0 for none.",
)
@click.option(
    "--ema",
    default=0.0,
    type=click.FloatRange(0, 1, max_open=True),
    help="Save an exponential moving average of G's weights with this decay; 0 saves the weights "
    "themselves.",
)
@click.option(
    "--precision",
    default="auto",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    help="bfloat16 uses autocast; auto is bfloat16 on CUDA, else float32.",
)
@click.option("--compile", "compiled", is_flag=True, help="Use torch.compile.")
@click.option("--save-every", default=500, type=click.IntRange(1), help="Steps between saves.")
@click.option("--tensorboard", is_flag=True, help="Also write TensorBoard events.")
@click.pass_context
def train(context: click.Context, **options: Any) -> None:
    """Train a DCGAN with the paper's recipe, or resume training.

    Stop it at any time. Rerun the command to resume, or with more --steps or --epochs to train
    further. OUT/train then holds samples, losses, the last networks (checkpoint.safetensors) and
    those with the least sliced Wasserstein distance to training images (best.safetensors).

    Under torchrun, processes share each minibatch:

        torchrun --nproc-per-node 2 -m dcgan_probe train --images photographs.zip --epochs 5
    """
    from dcgan_probe.training.launch import launch

    root = context.find_root().params
    network = {name: options.pop(name) for name in ("size", "channels", "g_width", "d_width")}
    names = ("name", "batch", "l2", "rate", "ema", "flip", "augment", "decay_steps", "r1")
    recipe = {name: options.pop(name) for name in names}
    trained = launch(
        (root["out"] or Path("out")) / "train",
        root["seed"],
        root["device"],
        root["force"],
        network=network,
        recipe=recipe,
        **options,
    )
    if trained.first:
        answer(trained.to_dict(), str(trained))
    if stopped := trained.outcome.stopped:
        context.exit(128 + getattr(signal, stopped, signal.SIGTERM))
