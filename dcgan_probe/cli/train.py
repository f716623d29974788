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
@click.option("--steps", type=click.IntRange(1), help="Updates of each network; or --epochs.")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the images; or --steps.")
@click.option("--preset", default="paper", type=click.Choice(list(PRESETS)))
@click.option("--size", type=int, help="Image size; of the preset if not given.")
@click.option("--channels", type=int, help="1 or 3; of the preset if not given.")
@click.option("--g-width", type=int, help="Feature maps of G's last hidden layer; of the preset.")
@click.option("--d-width", type=int, help="Feature maps of D's first layer; of the preset.")
@click.option("--recipe", "name", default="paper", type=click.Choice(["paper", "shared"]))
@click.option(
    "--batch",
    type=click.IntRange(2),
    help="Images, over all processes; 128 for the recipe paper, 64 for shared if not given.",
)
@click.option(
    "--l2",
    type=click.FloatRange(0, 1, max_open=True),
    help="Added to every gradient, times the weight; 1e-5 for paper, 0 for shared if not given.",
)
@click.option("--rate", default=2e-4, type=float, help="Adam's, for both networks.")
@click.option(
    "--ema",
    default=0.0,
    type=click.FloatRange(0, 1, max_open=True),
    help="Decay of the mean of G's weights that is saved; 0 saves the last weights, as the paper "
    "does.",
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
@max_bad_option
@cache_option
@click.option("--save-every", default=500, type=click.IntRange(1), help="Steps.")
@click.option("--tensorboard", is_flag=True, help="Write TensorBoard events too.")
@click.pass_context
def train(context: click.Context, **options: Any) -> None:
    """Train a DCGAN with the paper's recipe, or resume a training.

    Writes into OUT/train: samples, losses, the state to resume from, checkpoint.safetensors and
    best.safetensors. Run the same line again to resume where it stopped; more --steps train on.
    Under torchrun, all its processes train together:

        torchrun --nproc-per-node 2 -m dcgan_probe train --images photographs.zip --epochs 5
    """
    from dcgan_probe.training.launch import launch

    root = context.find_root().params
    network = {name: options.pop(name) for name in ("size", "channels", "g_width", "d_width")}
    names = ("name", "batch", "l2", "rate", "ema", "flip", "augment", "decay_steps")
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
