"""Distances between image sets, and the diversity of one set.

Nothing here needs a trained network. Every number depends on how many images it is of, so it
means something beside the same number for two sets of real images, and little alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from dcgan_probe.errors import InputError
from dcgan_probe.metrics import inputs
from dcgan_probe.metrics.inputs import Numbers, shape

PATCH = 7
SMALLEST = 16  # side of the coarsest level of the pyramid
CHUNK = 64  # projections that are in memory at a time
PAIRS = 64  # pairs of images that are compared at a time
WINDOW, SIGMA = 11, 1.5
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
# (0.01 L)^2 and (0.03 L)^2, where L = 2 is the range of images in [-1, 1].
C1, C2 = 0.02**2, 0.06**2


def sliced_wasserstein(
    a: Numbers, b: Numbers, seed: int = 0, patches: int = 128, projections: int = 512
) -> dict[str, float]:
    """Sliced Wasserstein distance of two sets of images at every scale of a Laplacian pyramid.

        >>> generator = torch.Generator().manual_seed(0)
        >>> a, b = torch.rand(2, 8, 3, 64, 64, generator=generator)
        >>> sliced_wasserstein(a, b).keys()
        dict_keys(['64', '32', '16', 'mean'])
        >>> sliced_wasserstein(a, a)["mean"]
        0.0

    a, b: N x C x S x S float32 in [-1, 1], S at least 16. Of every level, down to sides of 16
    (sides are halved while they are even: 28 is the one level of 28 x 28), `patches` patches of
    7 x 7 an image are drawn and each set is brought to mean 0 and deviation 1 by channel; the
    distance is the mean difference of the sorted projections on random directions, times 1000 as
    published. "64" compares the finest detail, "16" what is left when detail is gone.

    The patches lie at the same places in both sets, so a set is at distance 0 from itself. Of sets
    that differ in size as many patches are drawn as the smaller one gives, spread evenly over the
    images of both. `projections` costs time and narrows the spread over seeds; the value that is
    estimated stays. The number of images changes it: with fewer, any two sets are further apart.

    Raises InputError for images of another shape or range, and sets whose images differ in shape.
    Source: Karras et al. 2018, Progressive Growing of GANs, section 5.
    """
    a, b = _images(a, "a"), _images(b, "b")
    if a.shape[1:] != b.shape[1:]:
        raise InputError(
            f"sets of images: found {shape(a[0])} and {shape(b[0])}, "
            "expected the same shape in both"
        )
    rng = np.random.default_rng(seed)
    count = patches * min(len(a), len(b))
    distances = {}
    for level_a, level_b in zip(laplacian_pyramid(a), laplacian_pyramid(b), strict=True):
        side = level_a.shape[3]
        places = rng.integers(0, side - PATCH + 1, (count, 2))
        of_a, of_b = _descriptors(level_a, places), _descriptors(level_b, places)
        directions = rng.standard_normal((projections, of_a.shape[1]), dtype=np.float32)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        distances[str(side)] = 1e3 * float(projected_distances(of_a, of_b, directions).mean())
    distances["mean"] = sum(distances.values()) / len(distances)
    return distances


def laplacian_pyramid(images: Numbers) -> list[Tensor]:
    """What every halving of the side takes away from images, and at the end what is left.

        >>> [level.shape[-1] for level in laplacian_pyramid(torch.zeros(2, 3, 64, 64))]
        [64, 32, 16]

    images: N x C x S x S float. Sides are halved as long as they are even and stay at least 16.
    Source: Burt and Adelson 1983, with their binomial filter (1, 4, 6, 4, 1) / 16.
    """
    levels = [inputs.images(images, "of the pyramid").detach().cpu()]
    while (side := levels[-1].shape[3]) % 2 == 0 and side // 2 >= SMALLEST:
        fine = levels.pop()
        # Blurring with mirrored edges, as a matrix: much faster than a convolution by one channel.
        mirrored = np.pad(np.eye(side), ((2, 2), (0, 0)), mode="reflect")
        blur = _band(np.array([1, 4, 6, 4, 1]) / 16, side + 4) @ mirrored
        coarse = _filter(fine, blur[::2])
        levels += [fine - _filter(coarse, 2 * blur[:, ::2]), coarse]
    return levels


def projected_distances(a: Numbers, b: Numbers, directions: Numbers) -> np.ndarray:
    """Wasserstein-1 distance of two sets of points along each direction.

        >>> points = np.array([[0.0, 0.0], [1.0, 5.0]])
        >>> projected_distances(points, points + [3, 0], np.eye(2))
        array([3., 0.])

    a, b: N x D, as many points in both. directions: K x D. Returns K distances.
    """
    x, y, axes = (
        inputs.tensor(each, name).detach().cpu().numpy()
        for each, name in ((a, "a"), (b, "b"), (directions, "directions"))
    )
    distances = []
    for part in np.split(axes, range(CHUNK, len(axes), CHUNK)):
        # numpy's sort, not torch's: on a CPU it is several times as fast.
        gaps = np.sort(part @ x.T, axis=1) - np.sort(part @ y.T, axis=1)
        distances.append(np.abs(gaps).mean(axis=1))
    return np.concatenate(distances)


def ms_ssim(a: Numbers, b: Numbers) -> Tensor:
    """Multi-scale structural similarity of each image of a with that of b.

        >>> images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        >>> ms_ssim(images, images)
        tensor([1., 1., 1., 1.])

    a, b: N x C x S x S float32 in [-1, 1], S at least 16. Returns N float32 from 0 to 1: five
    scales, each half the last (an odd side loses its last row), with the published weights; a
    negative mean at a scale counts as 0. Equal to the value of pixels from 0 to 255: luminance is
    a ratio of means, with black at 0.
    The window is Gaussian, 11 x 11 of sigma 1.5, where the image holds it; on a smaller image (the
    last two scales of 64 x 64, the last three of 32 x 32) it shrinks to the image, and sigma with
    it. That is the practice of Progressive Growing of GANs; pytorch-msssim refuses such images.

    Raises InputError for images of another shape or range.
    Source: Wang, Simoncelli and Bovik 2003, Multi-scale structural similarity, equation 7.
    """
    a, b = _images(a, "a"), _images(b, "b")
    if a.shape != b.shape:
        raise InputError(f"pairs of images: found {shape(a)} and {shape(b)}, expected the same")
    return torch.cat([_ms_ssim(*pair) for pair in zip(a.split(PAIRS), b.split(PAIRS), strict=True)])


def diversity(images: Numbers, pairs: int = 1000, seed: int = 0) -> float:
    """Mean MS-SSIM of random pairs of two different images: high is little diversity.

        >>> images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        >>> diversity(images.repeat(8, 1, 1, 1), pairs=20)
        1.0

    images: N x C x S x S as for `ms_ssim`, N at least 2. Pairs are drawn with replacement.
    Raises InputError for fewer images. Source: Odena, Olah and Shlens 2017, section 4.2.
    """
    pictures = _images(images, "to compare")
    if len(pictures) < 2:
        raise InputError(f"images: found {len(pictures)}, expected at least 2 to make a pair")
    rng = np.random.default_rng(seed)
    count = len(pictures)
    first = torch.from_numpy(rng.integers(0, count, pairs))
    second = (first + torch.from_numpy(rng.integers(1, count, pairs))) % count
    chunks = zip(first.split(PAIRS), second.split(PAIRS), strict=True)
    return float(torch.cat([_ms_ssim(pictures[i], pictures[j]) for i, j in chunks]).mean())


@dataclass(frozen=True)
class Frechet:
    """A Fréchet distance, and in `warning` why not to believe it; empty if nothing is known."""

    distance: float
    warning: str = ""


def frechet_distance(a: Numbers, b: Numbers) -> Frechet:
    """Squared Fréchet distance of the Gaussians with the means and covariances of two sets.

        >>> points = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]])
        >>> frechet_distance(points, points + 3)
        Frechet(distance=18.0, warning='')

    a, b: N x D features, N at least 2, computed in float64. With fewer than D + 1 images a
    covariance is not of full rank; the distance is then mostly that of the missing images, and
    `warning` says so. It shrinks as N grows: compare with real against real of the same N.

    Raises InputError for features that are not finite, of another shape, or too few.
    Source: Dowson and Landau 1982; Heusel et al. 2017, equation 6, for images.
    """
    sets = _same_width(a, b)
    means = [points.mean(axis=0) for points in sets]
    covariances = [np.atleast_2d(np.cov(points, rowvar=False)) for points in sets]
    # The trace of (A B)^(1/2) is that of (A^(1/2) B A^(1/2))^(1/2), which is symmetric: unlike the
    # square root of A B, its eigenvalues stay real and at least 0, full rank or not.
    values, vectors = np.linalg.eigh(covariances[0])
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ covariances[1] @ root).clip(0)).sum()
    spread = np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * cross
    distance = float(np.square(means[0] - means[1]).sum() + spread)
    return Frechet(max(distance, 0.0), rank_warning(min(map(len, sets)), sets[0].shape[1]))


def kernel_distance(a: Numbers, b: Numbers) -> float:
    """Squared maximum mean discrepancy of two sets, by the polynomial kernel of KID, unbiased.

        >>> points = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]])
        >>> round(kernel_distance(points, points + 3), 1)
        4662.3

    a, b: N x D features, N at least 2, computed in float64, in blocks of rows such that the kernel
    takes 8 MiB. The kernel is (x y / D + 1)^3. Published code draws subsets of 1,000 and
    averages; this is the mean over all possible subsets, so there is no seed. It does not shrink
    with more images, and is below 0 by chance for sets that are alike.
    Raises InputError as `frechet_distance` does.
    Source: Binkowski et al. 2018, Demystifying MMD GANs, section 4.
    """
    x, y = _same_width(a, b)
    within = [
        (_kernel_sum(each, each) - _kernel(np.square(each).sum(1), each.shape[1]).sum())
        / (len(each) * (len(each) - 1))
        for each in (x, y)
    ]
    return float(sum(within) - 2 * _kernel_sum(x, y) / (len(x) * len(y)))


def _kernel(products: np.ndarray, width: int) -> np.ndarray:
    return (products / width + 1) ** 3


def _kernel_sum(x: np.ndarray, y: np.ndarray) -> float:
    rows = max(1, (1 << 20) // len(y))
    parts = (x[first : first + rows] for first in range(0, len(x), rows))
    return float(sum(_kernel(part @ y.T, x.shape[1]).sum() for part in parts))


def _same_width(a: Numbers, b: Numbers) -> tuple[np.ndarray, np.ndarray]:
    """Features of two sets, N x D and M x D float64; InputError if they differ in D."""
    x, y = inputs.features(a, "a").numpy(), inputs.features(b, "b").numpy()
    if x.shape[1] != y.shape[1]:
        raise InputError(
            f"features: found {x.shape[1]} and {y.shape[1]} an image, expected as many in both sets"
        )
    return x, y


def rank_warning(images: int, features: int) -> str:
    """Why not to believe a Fréchet distance of this many images and features; empty if there are
    more images than features.

        >>> rank_warning(500, 2048)
        '500 images for 2048 features, expected more images: their covariance lacks full rank'
    """
    if images > features:
        return ""
    return (
        f"{images} images for {features} features, expected more images: "
        "their covariance lacks full rank"
    )


def _descriptors(level: Tensor, places: np.ndarray) -> np.ndarray:
    """Patches of a level at places (top, left), brought to mean 0 and deviation 1 by channel.

    Returns len(places) x (C * 7 * 7) float32; places go to the images in order, evenly.
    """
    windows = np.lib.stride_tricks.sliding_window_view(level.numpy(), (PATCH, PATCH), axis=(2, 3))
    image = np.arange(len(places)) * len(level) // len(places)
    patches = windows[image, :, places[:, 0], places[:, 1]]
    patches -= patches.mean(axis=(0, 2, 3), keepdims=True, dtype=np.float64).astype(np.float32)
    variance = np.square(patches).mean(axis=(0, 2, 3), keepdims=True, dtype=np.float64)
    # A collapsed generator has levels of nothing but rounding errors; they are not blown up.
    patches /= np.sqrt(variance).clip(1e-4).astype(np.float32)
    return patches.reshape(len(patches), -1)


def _band(kernel: np.ndarray, side: int) -> np.ndarray:
    """The matrix that slides a kernel along a side, wherever it fits."""
    rows = side - len(kernel) + 1
    shifts = [np.eye(rows, side, k) * value for k, value in enumerate(kernel)]
    return np.sum(shifts, axis=0)


def _filter(images: Tensor, matrix: np.ndarray) -> Tensor:
    """Both sides of every image, multiplied by a matrix."""
    kernel = torch.from_numpy(matrix).to(images)
    return kernel @ images @ kernel.T


def _ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    product = torch.ones(len(a), device=a.device)
    for scale, weight in enumerate(WEIGHTS):
        if scale > 0:
            a, b = avg_pool2d(a, 2), avg_pool2d(b, 2)
        similarity, contrast = _ssim(a, b)
        last = scale == len(WEIGHTS) - 1
        product = product * (similarity if last else contrast).clamp_min(0) ** weight
    return product


def _ssim(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over each image of the structural similarity, and of its part without luminance."""
    size = min(WINDOW, a.shape[3])
    x = np.arange(size) - (size - 1) / 2
    window = np.exp(-(x**2) / (2 * (SIGMA * size / WINDOW) ** 2))
    blur = _band(window / window.sum(), a.shape[3])
    blurred = _filter(torch.cat([a, b, a * a, b * b, a * b], dim=1), blur)
    mean_a, mean_b, square_a, square_b, product = blurred.chunk(5, dim=1)
    variances = (square_a - mean_a**2) + (square_b - mean_b**2)
    contrast = (2 * (product - mean_a * mean_b) + C2) / (variances + C2)
    # Black is -1 here, and 0 where means are compared. Variances do not depend on it.
    mean_a, mean_b = mean_a + 1, mean_b + 1
    luminance = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    return (luminance * contrast).mean(dim=(1, 2, 3)), contrast.mean(dim=(1, 2, 3))


def _images(values: Numbers, name: str) -> Tensor:
    pictures = inputs.images(values, name, SMALLEST)
    # Written so that NaN, which is not below anything, is refused too.
    if not bool((pictures.abs() <= 1.001).all()):
        raise InputError(f"images {name}: found values beyond [-1, 1], expected none")
    return pictures
