"""Baselines: other features of the same images."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor
from torch.nn import functional as F

from dcgan_probe import networks
from dcgan_probe.errors import unknown
from dcgan_probe.images.sources import Images
from dcgan_probe.metrics import features
from dcgan_probe.metrics.features import Layout
from dcgan_probe.session import Session

from .extractors import Extractor, from_network
from .options import BASELINES

PIXELS, RANDOM, KMEANS = BASELINES
CENTROIDS, PATCH, PATCHES, POOL = 800, 6, 100_000, 2
CHUNK = 8


def find(
    name: str, session: Session, images: Images, layers: tuple[str, ...], grid: int, source: str
) -> Extractor:
    """A baseline by name: "pixels", "random" or "kmeans".

    images: those for training, which random weights take their batch-norm statistics from and
    k-means its patches. source: these in words. Raises InputError for another name.
    """
    config = session.config
    if name == PIXELS:
        layout = Layout((PIXELS,), (config.channels,), config.size)
        words = f"the {config.size} x {config.size} x {config.channels} pixels, in [-1, 1]"
        return Extractor(name, words, lambda batch: batch.flatten(1), layout, {"network": PIXELS})
    if name == RANDOM:
        untrained = networks.untrained(session.discriminator, session.seed)
        network = features.averaged(untrained, images, session.seed)
        about = {
            "network": f"random weights of seed {session.seed}",
            "config": config.to_dict(),
            "statistics": f"averaged over {source}",
        }
        return from_network(network, layers, grid, about, name)
    if name == KMEANS:
        return _kmeans(images, session.seed, str(session.device), source)
    raise unknown("baseline", name, BASELINES)


def _kmeans(images: Images, seed: int, device: str, source: str) -> Extractor:
    """Distances of whitened patches to centroids, pooled in quadrants (Coates, Lee, Ng 2011).

    The triangle activation of section 3.2.2 and the pooling of section 3.2.3, with fewer centroids.
    """

    def patches(batch: Tensor) -> Tensor:
        """n x locations x numbers, each patch brought to mean 0 and deviation 1."""
        flat = F.unfold(batch, PATCH).transpose(1, 2) * 127.5
        centred = flat - flat.mean(2, keepdim=True)
        return centred / (centred.var(2, keepdim=True) + 10).sqrt()

    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(images))[:2000])
    each = -(-PATCHES // len(rows))
    drawn = []
    for start in range(0, len(rows), CHUNK):
        for flat in patches(images.read(rows[start : start + CHUNK].tolist())):
            drawn.append(flat[torch.from_numpy(rng.integers(0, len(flat), each))])
    sample = torch.cat(drawn).double()
    mean = sample.mean(0)
    values, vectors = torch.linalg.eigh((sample - mean).T.cov())
    whiten = vectors @ torch.diag((values + 0.1).rsqrt()) @ vectors.T
    white = ((sample - mean) @ whiten).numpy()
    count = min(CENTROIDS, len(white) // 10)
    machine = MiniBatchKMeans(count, random_state=seed, n_init=1, batch_size=4096).fit(white)
    centroids = torch.from_numpy(machine.cluster_centers_).float().to(device)
    shift, whitening = mean.float().to(device), whiten.float().to(device)

    def compute(batch: Tensor) -> Tensor:
        pooled = []
        for part in batch.to(device).split(CHUNK):
            flat = (patches(part) - shift) @ whitening
            apart = torch.cdist(flat, centroids.expand(len(part), -1, -1))
            near = (apart.mean(2, keepdim=True) - apart).clamp_min(0)
            side = part.shape[2] - PATCH + 1
            maps = near.transpose(1, 2).reshape(len(part), count, side, side)
            pooled.append(F.adaptive_avg_pool2d(maps, POOL).flatten(1))
        return torch.cat(pooled)

    about = {"network": KMEANS, "centroids": count, "seed": seed, "patches from": source}
    words = f"{count} centroids of {PATCH} x {PATCH} patches, whitened, pooled to {POOL} x {POOL}"
    return Extractor(KMEANS, words, compute, Layout((KMEANS,), (count,), POOL), about)
