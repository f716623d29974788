"""Options for facts about a network that its file of weights does not record.

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from dcgan_probe.checkpoints.facts import DISTRIBUTIONS, OUTPUTS, STATISTICS, Facts

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--z",
        type=click.Choice(DISTRIBUTIONS),
        help="Distribution of z, for third-party weights; uniform is on [-1, 1].",
    ),
    click.option(
        "--output",
        type=click.Choice(OUTPUTS),
        help="Last activation of G; with sigmoid, both networks use images in [0, 1].",
    ),
    click.option("--slope", type=float, help="Negative slope of G's activations; 0 is ReLU."),
    click.option("--d-slope", type=float, help="Negative slope of D's activations."),
    click.option("--size", type=int, help="Height and width of images, in pixels."),
    click.option("--eps", type=float, help="eps of the normalization layers."),
    click.option(
        "--class",
        "label",
        metavar="K/N",
        help="For a conditional network: draw class K (from 0) of N, as a one-hot vector that is "
        "concatenated with z. K/N:first puts it before z, K/N:last after.",
    ),
    click.option(
        "--weights", metavar="NAME", help="Generator to use if the file has several, such as g_ema."
    ),
    click.option(
        "--statistics",
        type=click.Choice(STATISTICS),
        help="Batch-norm statistics: read them from the file, or estimate them again.",
    ),
)
NAMES = ("z", "output", "slope", "d_slope", "size", "eps", "label", "weights", "statistics")


def checkpoint_options(function: Function) -> Function:
    """Give a command the options, which come as keyword arguments `NAMES`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def take_facts(options: dict[str, Any]) -> Facts:
    """The facts of a command's options, which are taken out of them.

    >>> take_facts({"z": "uniform", "n": 4}).z
    'uniform'
    """
    return Facts(**{name: options.pop(name) for name in NAMES if name in options})
