"""Image sets, their features by an extractor, and distances between two sets."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from dcgan_probe.errors import InputError
from dcgan_probe.metrics.distances import (
    diversity,
    frechet_distance,
    kernel_distance,
    sliced_wasserstein,
)
from dcgan_probe.metrics.manifolds import precision_recall
from dcgan_probe.recognition import exported, inception
from dcgan_probe.recognition.exported import Network, shape
from dcgan_probe.recognition.inception import InceptionExtractor
from dcgan_probe.session import BATCH

# Directions and pairs of one split; all splits together take the published 512, and 1000 pairs.
PROJECTIONS, PAIRS = 128, 250
SIMILARITY, FRECHET, KERNEL = "similarity", "frechet", "kernel"
PRECISION, RECALL = "precision", "recall"

Extractor = Network | InceptionExtractor


class ImageSet(NamedTuple):
    """Images, N x C x S x S float32 in [-1, 1], and what an extractor makes of them, N x D."""

    images: Tensor
    features: Tensor | None

    @classmethod
    def extract(cls, images: Tensor, extractor: Extractor | None) -> ImageSet:
        """A set with its features; without an extractor it has none."""
        if extractor is None:
            return cls(images, None)
        batches = images.split(BATCH)
        return cls(images, torch.cat([extract_features(extractor, batch) for batch in batches]))

    def only(self, rows: Tensor) -> ImageSet:
        """The images of some rows, M int64."""
        return ImageSet(self.images[rows], None if self.features is None else self.features[rows])


def read_extractor(path: Path) -> Extractor:
    """An extractor from its file: of torch.export, or the published weights of FID's Inception.

    Raises InputError as `exported.read` and `inception.read` do.
    """
    if path.suffix == ".pth" or (path.is_file() and inception.is_published(path)):
        return inception.read(path)
    return exported.read(path)


def extract_features(extractor: Extractor, images: Tensor) -> Tensor:
    """Features of images, N x D float32 on the CPU; InputError unless they are that and finite."""
    features = extractor(images)
    if features.ndim != 2 or len(features) != len(images):
        raise InputError(
            f"{extractor.path}: found an output of {shape(features)} for {len(images)} "
            f"images, expected {len(images)} x D"
        )
    if not features.isfinite().all():
        raise InputError(f"{extractor.path}: found NaN or infinity in features, expected numbers")
    return features.float().cpu()


def compare(images: ImageSet, others: ImageSet, seed: int) -> dict[str, float]:
    """Distances between two sets by scale, and how alike the images of the first are."""
    numbers = sliced_wasserstein(images.images, others.images, seed, projections=PROJECTIONS)
    numbers[SIMILARITY] = diversity(images.images, PAIRS, seed)
    if images.features is not None and others.features is not None:
        numbers[FRECHET] = frechet_distance(images.features, others.features).distance
        numbers[KERNEL] = kernel_distance(images.features, others.features)
        covered = precision_recall(images.features, others.features)
        numbers[PRECISION], numbers[RECALL] = covered
    return numbers
