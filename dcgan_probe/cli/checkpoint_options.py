"""Options that say of a file of weights what the file itself does not hold.

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
        help="How z is drawn, of another library's weights; uniform is on [-1, 1].",
    ),
    click.option(
        "--output",
        type=click.Choice(OUTPUTS),
        help="What its generator ends in; with sigmoid, images are in [0, 1] for both networks.",
    ),
    click.option(
        "--slope", type=float, help="Of its generator's activations below zero; 0 is ReLU."
    ),
    click.option("--d-slope", type=float, help="Of its discriminator's activations below zero."),
    click.option("--size", type=int, help="Height and width of its images."),
    click.option("--eps", type=float, help="Of its norms."),
    click.option(
        "--class",
        "label",
        metavar="K/N",
        help="It is conditional: draw class K, from 0, of N in a one-hot vector beside z; "
        "K/N:first before it, K/N:last behind it.",
    ),
    click.option(
        "--weights", metavar="NAME", help="Which of its generators to take, such as g_ema."
    ),
    click.option(
        "--statistics",
        type=click.Choice(STATISTICS),
        help="Of its batch norms: those of the file, or estimated anew.",
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
