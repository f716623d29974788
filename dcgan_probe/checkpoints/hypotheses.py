"""Choose, by the batch-norm statistics of a generator, what its file does not hold.

Each hypothesis (how z is drawn, eps, slope, strides) says what enters the norms; the statistics
that training left there say which one is right. What was said by the user is not put to the test.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from dcgan_probe import latents
from dcgan_probe.checkpoints.assembly import Guess, chain_tensors
from dcgan_probe.checkpoints.facts import Facts
from dcgan_probe.checkpoints.statistics import FITS, NormFit, compare, distance, misfit
from dcgan_probe.checkpoints.structure import StoredNetwork
from dcgan_probe.checkpoints.weights import fill
from dcgan_probe.networks.chain_config import ChainConfig
from dcgan_probe.networks.dcgan import empty

LATENTS = 128
NOISE = 0.06  # of `distance`, with so many latents
NEARER = 0.6
SLOPES = (0.2, 0.1, 0.01, 0.3)
EPSILONS = (1e-3, 0.8, 1e-8)
CORRELATION = 0.8  # of stored means with those of a one-hot class; of noise, 0.4 in 64 maps


@dataclass(frozen=True)
class Choice:
    """The config that was chosen; in words what the statistics showed, and whether it fits."""

    config: ChainConfig
    fits: tuple[NormFit, ...]
    shown: tuple[str, ...] = ()

    @property
    def misfit(self) -> float:
        return misfit(self.fits)


def choose(candidates: list[Guess], network: StoredNetwork, facts: Facts) -> Choice:
    """The first candidate, unless the statistics speak for another hypothesis.

    One fact is changed after the other, each time the one that brings the network nearest to its
    statistics, as long as it brings it much nearer (`NEARER`) and they are not yet as near as
    `NOISE` allows. The result is taken only if it fits (`statistics.FITS`).
    """
    usual = Choice(candidates[0].config, tuple(_fits(candidates[0].config, network)))
    best, words = usual, ""
    while distance(best.fits) > NOISE:
        tried = [
            (guess, tuple(_fits(guess.config, network)))
            for guess in _changes(best.config, words, candidates, network, facts)
        ]
        if not tried:
            break
        guess, fits = min(tried, key=lambda each: distance(each[1]))
        if distance(fits) > NEARER * distance(best.fits):
            break
        words = "; ".join(word for word in (words, guess.words) if word)
        best = Choice(guess.config, fits, tuple(words.split("; ")))
    return best if best.misfit <= FITS else usual


def _changes(
    config: ChainConfig, words: str, candidates: list[Guess], network: StoredNetwork, facts: Facts
) -> Iterator[Guess]:
    """Configs with one fact changed that was neither said nor changed before."""
    if facts.z is None and "z uniform" not in words:
        yield Guess(replace(config, z_distribution="uniform"), "z uniform")
    classes = 0 if config.classes else _classes(network)
    if classes:
        z = config.z_size - classes
        yield Guess(
            replace(config, z_size=z, classes=classes, label=0),
            f"the last {classes} of {config.z_size} inputs a one-hot class",
        )
    if facts.slope is None and "slope" not in words:
        for slope in SLOPES:
            hidden = [replace(b, activation="leaky_relu", slope=slope) for b in config.generator]
            blocks = (*hidden[:-1], config.generator[-1])
            yield Guess(replace(config, generator=blocks), f"slope {slope:g} in the generator")
    if facts.eps is None and "eps" not in words:
        for eps in EPSILONS:
            both = (config.generator, config.discriminator)
            g, d = (tuple(replace(block, eps=eps) for block in blocks) for blocks in both)
            yield Guess(replace(config, generator=g, discriminator=d), f"eps {eps:g}")
    if "strides" not in words:
        for other in candidates[1:]:
            if _geometry(other.config)[:-1] != _geometry(config)[:-1]:
                yield Guess(_with_strides(config, other.config), other.words)


def _geometry(config: ChainConfig) -> list[tuple[int, int, int]]:
    return [(block.stride, block.padding, block.output_padding) for block in config.generator]


def _with_strides(config: ChainConfig, other: ChainConfig) -> ChainConfig:
    """A config with the strides, paddings and image size of another."""
    both: dict[str, Any] = {}
    for part in ("generator", "discriminator"):
        pairs = zip(getattr(config, part), getattr(other, part), strict=True)
        both[part] = tuple(
            replace(own, stride=new.stride, padding=new.padding, output_padding=new.output_padding)
            for own, new in pairs
        )
    return replace(config, size=other.size, **both)


def _classes(network: StoredNetwork) -> int:
    """How many of the last inputs look like a one-hot class, by the means of the first norm.

    A z with mean 0 leaves means of 0 behind. A class leaves the mean of its rows of weights.
    """
    first = network.layers[0]
    if first.norm is None or "running_mean" not in first.norm.tensors:
        return 0
    weight = first.weight.float()
    rows = weight.T if first.kind == "linear" else weight.flatten(2).mean(2)
    stored = first.norm.tensors["running_mean"].float()
    if first.bias is not None and len(first.bias) == len(stored):
        stored = stored - first.bias.float()
    if rows.shape[1] != len(stored):
        rows = rows.reshape(rows.shape[0], len(stored), -1).mean(2)
    most = min(len(rows) - 1, 200)
    sums = rows.flip(0)[:most].cumsum(0)[1:]  # of the last 2, 3, ... rows
    alike = torch.nn.functional.cosine_similarity(sums, stored[None], dim=1)
    best = int(alike.argmax()) if len(alike) else 0
    return best + 2 if len(alike) and alike[best] > CORRELATION else 0


def _fits(config: ChainConfig, network: StoredNetwork) -> list[NormFit]:
    """What enters the norms of the generator, from latents and classes as training drew them."""
    last = max((i for i, block in enumerate(config.generator) if block.norm != "none"), default=-1)
    if last < 0:
        return []
    free = replace(config, z_size=config.z_size + config.classes, classes=0, label=0)
    chain = fill(empty(free, "generator"), chain_tensors(free, network))
    return compare(nn.Sequential(*list(chain)[: last + 1]), _drawn(config))


def _drawn(config: ChainConfig) -> Tensor:
    z = latents.sample(config, LATENTS, seed=0)
    if not config.classes:
        return z
    labels = torch.arange(LATENTS) % config.classes
    return torch.cat([z, torch.nn.functional.one_hot(labels, config.classes).float()], 1)
