"""Search for the latent whose image is nearest to a given one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from scipy.stats import chi  # type: ignore[import-untyped]
from torch import Tensor, nn

from dcgan_probe.images import sources
from dcgan_probe.latents.sampling import sample
from dcgan_probe.metrics import features
from dcgan_probe.networks.config import AnyConfig
from dcgan_probe.session import BATCH, Session

# Random latents, of which the nearest are the starts.
CANDIDATES = 512
# What a distance of 1 in D features counts beside a mean squared error of 1. With it both parts
# are of one size at the end; 1 costs up to 1 dB on photographs.
WEIGHT = 0.1
# Adam's first step, in standard deviations of the latent; it falls to 0 along half a cosine.
RATE = 0.4
# A normal latent is kept as long as this middle share of draws is.
MIDDLE = 0.9
# An error of none has no end in decibels.
MOST_DB = 100.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Nearness:
    """How near images are to a target: psnr in dB, distance in D features; m float32 each.

    psnr: of images in [-1, 1], so its peak to peak is 2, or 255 levels; at most 100. distance: of
    `features.distance`, or None without a discriminator.
    """

    psnr: Tensor
    distance: Tensor | None

    def values(self, row: int) -> dict[str, float | None]:
        distance = None if self.distance is None else float(self.distance[row])
        return {"psnr_db": float(self.psnr[row]), "distance": distance}

    def words(self, row: int = 0) -> str:
        """One of them, as 21.9 dB, distance 0.51."""
        line = f"{self.psnr[row]:.1f} dB"
        return line if self.distance is None else f"{line}, distance {self.distance[row]:.2f}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Matches:
    """What the search found for one target, the start of the least loss first.

    target: 1 x C x H x W; z: m x z_size, images: m x C x H x W in [-1, 1], near: of these.
    losses: m x (steps + 1), along the way. random: 1 x C x H x W, the image of the candidate of
    the least loss, random_near: of it. All float32 on the CPU.
    """

    target: Tensor
    z: Tensor
    images: Tensor
    near: Nearness
    losses: Tensor
    random: Tensor
    random_near: Nearness

    def values(self) -> dict[str, Any]:
        return {
            "starts": [self.near.values(row) for row in range(len(self.z))],
            "nearest_random": self.random_near.values(0),
            "losses": self.losses.tolist(),
        }


def search(session: Session, target: Tensor, starts: int, steps: int, label: str) -> Matches:
    """The latents whose images are nearest to a target, with the session's active edits.

        >>> session = Session.open("rooms")
        >>> search(session, session.sample(1, seed=7), starts=4, steps=50, label="looking").z.shape
        torch.Size([4, 100])

    target: 1 x C x H x W float32 in [-1, 1]. The `starts` nearest of `CANDIDATES` latents of the
    session's seed are optimised together by Adam for `steps` steps; each keeps its nearest latent.
    Source: Creswell and Bharath (2016), with a perceptual part as Zhu et al. (2016), section 3.1.
    """
    discriminator = features.seeing(session.checkpoint.discriminator)
    there = target.to(session.device)
    first = _nearest_candidates(session, discriminator, there, starts)
    z, losses = _descend(session, discriminator, there, first, steps, label)
    order = losses.amin(1).argsort(stable=True)
    z = z[order].cpu()
    images, random = session.generate(z), session.generate(first[:1])
    return Matches(
        target=target.cpu(),
        z=z,
        images=images,
        near=nearness(discriminator, images.to(session.device), there),
        losses=losses[order].cpu(),
        random=random,
        random_near=nearness(discriminator, random.to(session.device), there),
    )


def _nearest_candidates(
    session: Session, discriminator: nn.Module | None, target: Tensor, starts: int
) -> Tensor:
    """The latents of the session's seed whose images are nearest, the nearest first."""
    candidates = session.latents(CANDIDATES)
    drawn = sources.batches(sources.Samples(session.generator, candidates), BATCH)
    with torch.no_grad():
        losses = torch.cat([_loss(*_parts(discriminator, images, target)) for images in drawn])
    return candidates[losses.argsort(stable=True)[:starts].cpu()]


def _descend(
    session: Session,
    discriminator: nn.Module | None,
    target: Tensor,
    first: Tensor,
    steps: int,
    label: str,
) -> tuple[Tensor, Tensor]:
    """Optimise latents towards a target: the best of each start, and its m x (steps + 1) losses."""
    z = first.to(session.device, copy=True).requires_grad_()
    least = torch.full((len(z),), math.inf, device=session.device)
    best = z.detach().clone()
    rate = RATE * _deviation(session.config)
    adam = torch.optim.Adam([z], lr=rate)
    losses = []
    for step in session.progress(range(steps + 1), label):
        with torch.enable_grad():
            loss = _loss(*_parts(discriminator, session.generator(z), target))
            whole = loss.sum()
        losses.append(loss.detach())
        nearer = losses[-1] < least
        least = torch.where(nearer, losses[-1], least)
        best = torch.where(nearer[:, None], z.detach(), best)
        if step < steps:
            adam.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * step / steps)) / 2
            (z.grad,) = torch.autograd.grad(whole, z)
            adam.step()
            keep_in_distribution(z.data, session.config)
    return best, torch.stack(losses, dim=1)


def keep_in_distribution(z: Tensor, config: AnyConfig) -> None:
    """Bring latents back, in place, to where the distribution has its draws.

    z: m x z_size. Uniform ones are clamped to [-1, 1]. Normal ones keep their direction and are
    as long as the middle `MIDDLE` of draws: nearly all lie on a sphere, and none near its middle.
    Those that a function draws stay where they are: nothing is known of their distribution.
    """
    if config.z_distribution == "uniform":
        z.clamp_(-1, 1)
    elif config.z_distribution == "normal":
        shortest, longest = chi.ppf([(1 - MIDDLE) / 2, (1 + MIDDLE) / 2], config.z_size)
        length = z.norm(dim=1, keepdim=True).clamp_min(1e-12)
        z.mul_(length.clamp(shortest, longest) / length)


def nearness(discriminator: nn.Module | None, images: Tensor, target: Tensor) -> Nearness:
    """How near each of N images is to a target, 1 x C x H x W, all in [-1, 1] on one device."""
    with torch.no_grad():
        error, distance = _parts(discriminator, images, target)
    psnr = (10 * torch.log10(4 / error)).clamp(max=MOST_DB)
    return Nearness(psnr=psnr.cpu(), distance=None if distance is None else distance.cpu())


def _parts(
    discriminator: nn.Module | None, images: Tensor, target: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Mean squared error of each image, and its distance in D features."""
    error = (images - target).square().mean((1, 2, 3))
    if discriminator is None:
        return error, None
    return error, features.distance(discriminator, images, target)


def _loss(error: Tensor, distance: Tensor | None) -> Tensor:
    return error if distance is None else error + WEIGHT * distance


def _deviation(config: AnyConfig) -> float:
    if callable(config.z_distribution):
        return sample(config, CANDIDATES, seed=0).std().item()
    return 1.0 if config.z_distribution == "normal" else 1 / math.sqrt(3)
