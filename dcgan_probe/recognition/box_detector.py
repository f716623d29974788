"""A detector learned from boxes only: logistic regression at every location of an image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dcgan_probe import hooks
from dcgan_probe.errors import InputError
from dcgan_probe.metrics import features
from dcgan_probe.metrics.intervals import Interval, resampled_ratio
from dcgan_probe.recognition.regression import fit
from dcgan_probe.session import BATCH

PLACES = 10_000  # maximum number to learn from
TINTED = 3  # copies of every image, beside the image itself
# Without a discriminator: means of the first number of cells a side, at nine places the second
# number apart.
SCALES = ((1, 1), (3, 3), (7, 6))


class BoxDetector(nn.Module):
    """Says how likely every pixel is inside of a box that somebody would draw.

        >>> detector = BoxDetector.learn(session.discriminator, images, boxes.mask((64, 64)))
        >>> detector(images).shape
        torch.Size([150, 64, 64])

    It looks at images only, so it can judge what an edit of the generator left; and it has a
    gradient. What it sees are the feature maps of the discriminator's convolutions but the
    coarsest, or, where there is no discriminator, colours around the place and their squares. It
    learns from blurred and tinted copies too: one that knew white cells by their violet alone would
    call them gone as soon as an edit turned them red.

    about: JSON values; after `score`, held_out_iou is the overlap with boxes on images that it did
    not see, held_out_iou_95 the interval of that, and held_out_images how many these were.
    """

    name = "boxes"

    def __init__(self, discriminator: nn.Module | None):
        super().__init__()
        # In a tuple, so that the network is not taken for a part of this one.
        self._discriminator = (discriminator,)
        self.weights: list[Tensor] = []
        self.bias = 0.0
        self.about: dict[str, Any] = {}

    @classmethod
    def learn(
        cls,
        discriminator: nn.Module | None,
        images: Tensor,
        inside: np.ndarray,
        seed: int = 0,
    ) -> BoxDetector:
        """Learn from N x C x S x S images in [-1, 1] and N x S x S bool, inside of boxes or not.

        Raises InputError if all of the pixels are inside, or none.
        """
        detector = cls(discriminator)
        converged = detector._fit(images, inside, seed)
        detector.about = {"images": len(images), "converged": converged}
        return detector

    def forward(self, images: Tensor) -> Tensor:
        """N x C x S x S images in [-1, 1] to N x S x S probabilities."""
        return self.logit(images).sigmoid()

    def logit(self, images: Tensor) -> Tensor:
        """The same before the sigmoid: the evidence for the object at every pixel."""
        size = (images.shape[2], images.shape[3])
        logit = torch.full((len(images), *size), self.bias, device=images.device)
        for maps, weights in zip(self._seen(images), self.weights, strict=True):
            scores = torch.einsum("nchw,c->nhw", maps, weights.to(maps.device))
            logit = logit + _resized(scores[:, None], size)[:, 0].to(images.device)
        return logit

    def score(self, images: Tensor, inside: np.ndarray, seed: int = 0) -> Interval:
        """Measure on images that it did not learn from how well its marks overlap with boxes.

        images, inside: as `learn` takes them. Returns intersection over union of marked pixels and
        pixels in boxes, of all images together, with a bootstrap interval over images; and notes it
        in `about`.
        """
        with torch.no_grad():
            marked = torch.cat([self(part).cpu() > 0.5 for part in images.split(BATCH)]).numpy()
        both = (marked & inside).sum((1, 2)).astype(float)
        either = (marked | inside).sum((1, 2)).astype(float)
        overlap = resampled_ratio(both, either, [seed, 4])
        self.about |= {
            "held_out_iou": overlap.value,
            "held_out_iou_95": [overlap.low, overlap.high],
            "held_out_images": len(images),
        }
        return overlap

    def _fit(self, images: Tensor, inside: np.ndarray, seed: int) -> bool:
        grid = (images.shape[2] // 2, images.shape[3] // 2)
        targets = F.avg_pool2d(torch.from_numpy(inside)[:, None].float(), 2).flatten(1) >= 0.5
        if targets.all() or not targets.any():
            share = "all" if targets.all() else "none"
            raise InputError(f"boxes: found {share} of the images inside, expected a part of them")
        random = torch.Generator().manual_seed(seed)
        each = -(-PLACES // (len(images) * (1 + TINTED)))
        rows, wanted, counts = [], [], []
        for copy in range(1 + TINTED):
            looked = images if copy == 0 else tinted(images, random)
            for part, truth in zip(looked.split(32), targets.split(32), strict=True):
                with torch.no_grad():
                    maps = [m.cpu() for m in self._seen(part)]
                counts = [m.shape[1] for m in maps]
                seen = torch.cat([_resized(m, grid) for m in maps], 1).flatten(2).transpose(1, 2)
                places = torch.rand(truth.shape, generator=random).argsort(1)[:, :each]
                rows.append(seen.gather(1, places[..., None].expand(-1, -1, sum(counts))))
                wanted.append(truth.gather(1, places))
        x, y = torch.cat(rows).flatten(0, 1), torch.cat(wanted).flatten()
        mean, deviation = x.mean(dim=0), x.std(dim=0) + 1e-3
        fitted = fit(((x - mean) / deviation).numpy(), y.numpy())
        weights = torch.from_numpy(fitted.weights).float() / deviation
        self.bias = fitted.bias - float(weights @ mean)
        self.weights = list(weights.split(counts))
        return fitted.converged

    def _seen(self, images: Tensor) -> Iterator[Tensor]:
        (discriminator,) = self._discriminator
        if discriminator is None:
            yield from _colours(images)
            return
        layers = features.layers(discriminator)
        finer = layers[:-1] or layers
        with hooks.record(discriminator, *finer) as seen:
            # Images may be kept on the CPU, and the discriminator on a GPU.
            discriminator(images.to(next(discriminator.parameters()).device))
        yield from (seen[name] for name in finer)


def tinted(images: Tensor, random: torch.Generator) -> Tensor:
    """Images in [-1, 1], each blurred, dimmed and tinted by amounts of its own."""

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        shape = (len(images), channels, 1, 1)
        return torch.rand(shape, generator=random).to(images.device) * (high - low) + low

    soft = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    channels = images.shape[1]
    blurred = torch.lerp(images, soft, uniform(0, 1))
    scaled = blurred * uniform(0.6, 1.3) * uniform(0.8, 1.2, channels)
    return (scaled + uniform(-0.35, 0.35, channels)).clamp(-1, 1)


def _colours(images: Tensor) -> Iterator[Tensor]:
    """Mean colours around every cell of 2 x 2 pixels, and their squares, at every scale."""
    cells = F.avg_pool2d(images, 2)
    for width, step in SCALES:
        mean = F.avg_pool2d(_framed(cells, width // 2), width, stride=1)
        around = F.unfold(_framed(mean, step), 3, dilation=step).unflatten(2, cells.shape[2:])
        yield torch.cat([around, around.square()], 1)


def _framed(maps: Tensor, by: int) -> Tensor:
    return F.pad(maps, (by, by, by, by), mode="replicate")


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)
