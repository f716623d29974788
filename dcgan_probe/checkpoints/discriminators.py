"""Infer what a file does not record about a discriminator from batch-norm statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from dcgan_probe.checkpoints.evidence import Between, Path, normed, slope_of
from dcgan_probe.checkpoints.facts import Facts
from dcgan_probe.checkpoints.hypotheses import (
    EPSILONS,
    NEARER,
    SLOPES,
    Choice,
    shown,
)
from dcgan_probe.checkpoints.statistics import FITS, NormFit, distance
from dcgan_probe.checkpoints.structure import StoredNetwork
from dcgan_probe.networks.chain_config import ChainConfig, activated

DROPOUT = (0.0, 0.25, 0.5)
OUTPUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "clip": F.hardtanh,
}


def choose_discriminator(
    config: ChainConfig, network: StoredNetwork, before_output: Tensor, facts: Facts
) -> Choice:
    """The config, unless the discriminator's statistics support another hypothesis.

    before_output: the generator's output, without its last activation. Here a fact holds for
    all layers. The statistics are also those of real images, which are not available, so one fact
    is changed after the other, only while they do not fit at all (`FITS`), and only where one
    brings the network much nearer to them.
    """
    best = plain = _as_it_is(config, network, before_output)
    changed: set[str] = set()
    while best.misfit > FITS:
        tried = [
            (name, _as_it_is(other, network, before_output, dropout))
            for name, other, dropout in _changes(best.config, facts)
            if name not in changed
        ]
        name, found = min(tried, key=lambda each: distance(each[1].fits), default=("", best))
        if distance(found.fits) > NEARER * distance(best.fits):
            break
        best = found
        changed.add(name)
    words = shown(plain.config, best.config, "discriminator")
    if "output" in changed:
        words["output"] = f"output {best.config.generator[-1].activation}"
    return replace(best, shown=words)


def _changes(config: ChainConfig, facts: Facts) -> Iterator[tuple[str, ChainConfig, float]]:
    """Configs with one fact of the discriminator changed, and dropout as training may have had."""
    blocks = config.discriminator
    if facts.output is None:
        yield "output", _ending(config, "sigmoid"), 0.0
    behind = tuple(replace(each, norm_last=each.norm == "batch") for each in blocks)
    for dropout in DROPOUT:
        yield "norms", replace(config, discriminator=behind), dropout
    if facts.d_slope is None:
        for slope in SLOPES:
            hidden = [activated(each, slope) for each in blocks[:-1]]
            yield "slope", replace(config, discriminator=(*hidden, blocks[-1])), 0.0
    if facts.eps is None:
        for eps in EPSILONS:
            other = tuple(normed(each, eps) for each in blocks)
            yield "eps", replace(config, discriminator=other), 0.0


def _as_it_is(
    config: ChainConfig, network: StoredNetwork, before_output: Tensor, dropout: float = 0.0
) -> Choice:
    """A config, with what enters the norms of its discriminator."""
    x = OUTPUTS[config.generator[-1].activation](before_output)
    fits: list[NormFit] = []
    before = -1
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # torch.manual_seed would reseed GPUs for good
        for at, layer in enumerate(network.layers):
            if layer.norm is None or "running_mean" not in layer.norm.tensors:
                continue
            block, last = config.discriminator[max(before, 0)], config.discriminator[at].norm_last
            guess = Between(config, block.eps, slope_of(block), last, dropout=dropout)
            path = Path(network, config.discriminator, before, at, x)
            x = path.enters(guess)
            fits.append(path.fit_of(x))
            before = at
    return Choice(config, tuple(fits), {})


def _ending(config: ChainConfig, output: str) -> ChainConfig:
    """A config whose generator ends in another activation."""
    last = replace(config.generator[-1], activation=output)
    images = "[0, 1]" if output == "sigmoid" else "[-1, 1]"
    return replace(config, generator=(*config.generator[:-1], last), images=images)
