"""Batch-norm statistics: estimate them, and check the stored ones.

A norm that was trained has seen what enters it: mean and variance of its input must be near those
that it has stored. Where they are not, something that the file does not hold was assumed wrongly.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from dcgan_probe import latents
from dcgan_probe.images.sources import Images, ImageSource, draw_batches
from dcgan_probe.networks.config import AnyConfig
from dcgan_probe.networks.dcgan import estimate_statistics

BATCHES = 100
BATCH = 128  # the authors' batch, whose statistics their networks were trained with
EPS = 1e-5
GREY_LEVEL = 2 / 255
SAMPLES = 32  # by which range and statistics are judged
FITS = math.log(1.25)  # see `misfit`; networks in the way they were trained have 0.01 to 0.1


@dataclass(frozen=True)
class NormFit:
    """What enters a norm, beside what the norm has stored.

    ratio: the variance over the stored one, the median over feature maps. shift: the difference of
    the means, in stored standard deviations, the median as well. distance: the median of both
    together, map by map: |log ratio| + shift.
    """

    name: str
    ratio: float
    shift: float
    distance: float


def compare(network: nn.Module, inputs: Tensor) -> list[NormFit]:
    """What enters each norm of a network in eval mode, in the order of the data.

    >>> compare(session.generator, session.latents(64))[0].ratio  # close to 1
    """
    fits: list[NormFit] = []

    def look(name: str, norm: Any, arguments: tuple[Tensor, ...]) -> None:
        x = arguments[0].detach().float()
        fits.append(fit(name, *moments(x), norm.running_mean, norm.running_var))

    handles = [
        part.register_forward_pre_hook(
            lambda _m, arguments, name=name, part=part: look(name, part, arguments)
        )
        for name, part in network.named_modules()
        if _stores(part)
    ]
    try:
        with torch.no_grad():
            network(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return fits


def moments(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each map, N x C or N x C x H x W."""
    var, mean = torch.var_mean(maps, [i for i in range(maps.dim()) if i != 1])
    return mean, var


def fit(name: str, mean: Tensor, var: Tensor, stored_mean: Tensor, stored_var: Tensor) -> NormFit:
    """Mean and variance of what enters a norm beside those that it has stored."""
    # With an eps, so that maps that are always 0 do not count.
    stored = stored_var + EPS
    ratio = ((var + EPS) / stored).clamp_min(1e-12)
    shift = (mean - stored_mean).abs() / stored.sqrt()
    medians = (each.median().item() for each in (ratio, shift, ratio.log().abs() + shift))
    return NormFit(name, *medians)


def misfit(fits: Sequence[NormFit]) -> float:
    """How far a network is from its statistics: the worst norm's |log ratio|, or shift."""
    return max((max(abs(math.log(fit.ratio)), fit.shift) for fit in fits), default=0.0)


def distance(fits: Sequence[NormFit]) -> float:
    """How far a network is from its statistics, map by map: the mean over its norms."""
    return sum(fit.distance for fit in fits) / max(len(fits), 1)


def alike(samples: Tensor) -> str:
    """A warning if samples of different latents are the same image, else "".

    >>> alike(torch.zeros(8, 3, 16, 16))
    'WARNING: 8 samples are alike: another z changes nothing'
    """
    if len(samples) < 2 or samples.std(0).mean() >= GREY_LEVEL:
        return ""
    return f"WARNING: {len(samples)} samples are alike: another z changes nothing"


def untouched(network: nn.Module) -> list[str]:
    """Names of the norms whose statistics are those of a new norm: means 0, variances 1.

    >>> untouched(nn.Sequential(nn.BatchNorm2d(3)))
    ['0']
    """
    return [
        name
        for name, part in network.named_modules()
        if _stores(part) and not part.running_mean.any() and bool((part.running_var == 1).all())
    ]


def _stores(part: nn.Module) -> bool:
    return (
        isinstance(part, _NormBase)
        and isinstance(part.running_mean, Tensor)
        and isinstance(part.running_var, Tensor)
    )


def estimate(
    config: AnyConfig,
    networks: Mapping[str, Any],
    images: str | os.PathLike[str] | Images | None,
) -> str:
    """Set the batch-norm statistics of both networks, and say in words how.

    The generator's over latents of seed 0, the discriminator's over the generator's images of
    these, or over `images`.
    """
    devices = {part: next(each.parameters()).device for part, each in networks.items()}
    z: Sequence[Tensor] = ()
    words = []
    if "generator" in networks:
        z = latents.sample(config, BATCHES * BATCH, seed=0).to(devices["generator"]).split(BATCH)
        estimate_statistics(networks["generator"], z)
        words.append(f"generator: means over {BATCHES} batches of {BATCH} latents of seed 0")
    if "discriminator" in networks:
        batches: Iterator[Tensor]
        if images is None:
            batches = (networks["generator"](batch) for batch in z)
            source = f"{BATCHES} batches of {BATCH} images of the generator, of the same latents"
        else:
            if isinstance(images, str | os.PathLike):
                images = ImageSource(images, config.size, config.channels)
            rows = draw_batches(len(images), BATCH, BATCHES, seed=0)
            batches = (images.read(batch) for batch in rows)
            source = f"{len(rows)} batches of {min(len(images), BATCH)} real images"
        there = (batch.to(devices["discriminator"]) for batch in batches)
        estimate_statistics(networks["discriminator"], there)
        words.append(f"discriminator: means over {source}")
    return "; ".join(words)
