"""Measure how far samples are from held-out images, and held-out images from each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from dcgan_probe.errors import InputError
from dcgan_probe.figures.rasters import pixels
from dcgan_probe.images import sources
from dcgan_probe.metrics.distances import rank_warning
from dcgan_probe.metrics.manifolds import NEIGHBOURS
from dcgan_probe.probes.evaluate.comparison import ScaleComparison, Spread
from dcgan_probe.probes.evaluate.result import COLUMNS, SPLITS, Evaluation, FeatureDistance
from dcgan_probe.probes.evaluate.sets import (
    FRECHET,
    KERNEL,
    PRECISION,
    RECALL,
    SIMILARITY,
    Extractor,
    ImageSet,
    compare,
    extract_features,
    read_extractor,
)
from dcgan_probe.recognition.inception import InceptionExtractor
from dcgan_probe.session import BATCH, Session

IN_FEATURES = (FRECHET, KERNEL, PRECISION, RECALL)


def run(
    session: Session,
    images: str | Path,
    n: int = 2000,
    features: str | Path | None = None,
) -> Evaluation:
    """Measure how far samples are from images that the generator was not trained on.

        >>> result = run(Session.open("rooms"), "held_out.zip", n=1000)
        >>> result.wasserstein["64"].samples.mean > result.wasserstein["64"].held_out.mean
        True

    images: what `sources.ImageSource` opens. n: maximum number of images, drawn by the seed.
    features: an extractor, for Fréchet and kernel distance, precision and recall. It is a file of
    torch.export.save with a network from N x C x S x S float32 images in [-1, 1] to N x D features
    and a dynamic batch, or the published weights of FID's Inception network. Only with those
    weights are the distances FID and KID.

    The held-out images are split at random into halves, four times. Each time, one half is compared
    with as many new samples and, for the floor, with the other half. The splits share the held-out
    images, so four new sets of images would vary more than the range.

    Raises InputError for fewer than 4 images, and for an extractor that cannot be read safely or
    does not output finite N x D features. Source: see `metrics.sliced_wasserstein`,
    `metrics.diversity`, `metrics.frechet_distance`, `metrics.kernel_distance`,
    `metrics.precision_recall`.
    """
    extractor = None if features is None else read_extractor(Path(features)).to(session.device)
    source = session.images(images, n)
    count = len(source) // 2
    if count < 2:
        raise InputError(
            f"{images}: found {len(source)} images to use, expected at least 4: two halves of two"
        )
    if extractor is not None and count <= NEIGHBOURS:
        raise InputError(
            f"{images}: found {len(source)} images to use, expected at least {2 * NEIGHBOURS + 2} "
            "with --features: precision and recall need neighbours"
        )
    real = torch.cat(list(sources.batches(source, BATCH)))[: 2 * count]
    held_out = ImageSet.extract(real, extractor)
    if extractor is not None:
        _check_repeatable(extractor, held_out)
    numbers, floors, shown = _compare_splits(session, held_out, extractor, count)
    comparisons = {
        name: ScaleComparison(
            samples=Spread(tuple(each[name] for each in numbers)),
            held_out=Spread(tuple(each[name] for each in floors)),
        )
        for name in numbers[0]
    }
    similarity = comparisons.pop(SIMILARITY)
    seen = {name: comparisons.pop(name) for name in IN_FEATURES if name in comparisons}
    words = sources.describe(2 * count, getattr(source, "whole", len(source)), images)
    used = None if extractor is None else {"name": extractor.path.name, "sha256": extractor.sha256}
    return Evaluation(
        made_with=session.made_with(images=words, n=n, features=used),
        images=words,
        count=count,
        wasserstein=comparisons,
        similarity=similarity,
        frechet=_describe(extractor, held_out, seen, count),
        samples=shown,
        held_out=pixels(held_out.images[: len(shown)]),
        caption=session.caption(),
    )


def _check_repeatable(extractor: Extractor, images: ImageSet) -> None:
    """Refuse an extractor that has other features of the same images when asked again."""
    assert images.features is not None, "the extractor was shown the images"
    first = images.images[:BATCH]
    again = extract_features(extractor, first)
    if not torch.allclose(again, images.features[: len(first)], rtol=1e-3, atol=1e-5):
        raise InputError(
            f"{extractor.path}: found other features when the same images were shown again, "
            "expected the same; export the network in eval mode"
        )


def _compare_splits(
    session: Session, held_out: ImageSet, extractor: Extractor | None, count: int
) -> tuple[list[dict[str, float]], list[dict[str, float]], np.ndarray]:
    """Numbers of samples, those of the other half, split by split; and the first samples drawn."""
    rng = np.random.default_rng(session.seed)
    numbers, floors = [], []
    for split in session.progress(range(SPLITS), "measuring"):
        one, other = torch.from_numpy(rng.permutation(2 * count)).split(count)
        seed = int(rng.integers(2**32))
        new = sources.eight_bit(session.generate(session.latents(count, start=split * count)))
        if split == 0:
            shown = pixels(new[: COLUMNS**2])
        half = held_out.only(one)
        numbers.append(compare(ImageSet.extract(new, extractor), half, seed))
        floors.append(compare(held_out.only(other), half, seed))
    return numbers, floors, shown


def _describe(
    extractor: Extractor | None, held_out: ImageSet, seen: dict[str, ScaleComparison], count: int
) -> FeatureDistance | None:
    if extractor is None or held_out.features is None:
        return None
    size = held_out.features.shape[1]
    return FeatureDistance(
        extractor=extractor.path.name,
        sha256=extractor.sha256,
        inception=isinstance(extractor, InceptionExtractor),
        features=size,
        distance=seen[FRECHET],
        kernel=seen[KERNEL],
        precision=seen[PRECISION],
        recall=seen[RECALL],
        images=count,
        warning=rank_warning(count, size),
    )
