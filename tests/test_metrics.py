"""Metrics hold against scipy, pytorch-msssim and what the papers' equations say."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy import linalg, ndimage, signal, stats
from scipy.spatial.distance import cdist
from sklearn.metrics.pairwise import polynomial_kernel
from torch.nn.functional import avg_pool2d, interpolate

import dcgan_probe as dp
from dcgan_probe import metrics
from dcgan_probe.errors import InputError
from dcgan_probe.metrics import features, intervals, nearest, ranking, svm
from dcgan_probe.networks import Discriminator


def images(n: int, size: int = 32, channels: int = 3, seed: int = 0) -> torch.Tensor:
    """Noise on soft blobs: something at every scale, in [-1, 1]."""
    rng = np.random.default_rng(seed)
    blobs = ndimage.gaussian_filter(rng.normal(size=(n, channels, size, size)), (0, 0, 3, 3))
    noisy = 0.4 * blobs / blobs.std() + 0.1 * rng.normal(size=blobs.shape)
    return torch.from_numpy(noisy.clip(-1, 1).astype(np.float32))


def pyramid(picture: np.ndarray) -> list[np.ndarray]:
    """Burt and Adelson's pyramid of one channel, with scipy's convolution."""
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    levels = [picture]
    while len(levels[-1]) >= 32 and len(levels[-1]) % 2 == 0:
        fine = levels.pop()
        coarse = ndimage.convolve(fine, kernel, mode="mirror")[::2, ::2]
        spread = np.zeros_like(fine)
        spread[::2, ::2] = coarse
        levels += [fine - ndimage.convolve(spread, 4 * kernel, mode="mirror"), coarse]
    return levels


@pytest.mark.parametrize("size", [16, 28, 48, 64, 100])
def test_the_pyramid_is_that_of_scipy(size):
    found = metrics.laplacian_pyramid(images(2, size))
    expected = pyramid(images(2, size)[1, 2].double().numpy())
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours[1, 2], theirs, atol=1e-6)


@pytest.mark.parametrize("size", [28, 33, 50])
def test_images_of_any_size_are_compared(size):
    a, b = images(8, size), images(8, size).flip(3)
    found = metrics.sliced_wasserstein(a, b)
    assert list(found)[0] == str(size)
    assert 0 < found["mean"] < 10_000
    assert metrics.sliced_wasserstein(a, a)["mean"] == 0
    similarity = metrics.ms_ssim(a, b)
    assert ((similarity >= 0) & (similarity < 1)).all()
    torch.testing.assert_close(metrics.ms_ssim(a, a), torch.ones(8))


def test_projections_are_as_far_apart_as_scipy_says():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(50, 6)), rng.exponential(size=(50, 6))
    directions = rng.normal(size=(100, 6))
    expected = [stats.wasserstein_distance(a @ d, b @ d) for d in directions]
    np.testing.assert_allclose(metrics.projected_distances(a, b, directions), expected)


def test_a_shift_is_as_far_as_each_direction_sees_of_it():
    rng = np.random.default_rng(0)
    points, directions, shift = rng.normal(size=(40, 5)), rng.normal(size=(7, 5)), np.arange(5)
    found = metrics.projected_distances(points, points[::-1] + shift, directions)
    np.testing.assert_allclose(found, np.abs(directions @ shift))


def test_the_distance_is_the_published_one_written_out():
    """The same draws, then every patch, channel and projection by itself."""
    a, b = images(6, seed=1), images(6, seed=2) ** 3
    found = metrics.sliced_wasserstein(a, b, seed=3, patches=10, projections=20)
    rng = np.random.default_rng(3)
    levels = [[[pyramid(c.numpy()) for c in image] for image in of] for of in (a, b)]
    for level, side in enumerate((32, 16)):
        places = rng.integers(0, side - 6, (60, 2))
        described = []
        for of in levels:
            patches = np.array(
                [
                    [of[i // 10][c][level][y : y + 7, x : x + 7] for c in range(3)]
                    for i, (y, x) in enumerate(places)
                ]
            )
            for c in range(3):
                patches[:, c] = (patches[:, c] - patches[:, c].mean()) / patches[:, c].std()
            described.append(patches.reshape(60, -1))
        directions = rng.standard_normal((20, 147), dtype=np.float32)
        unit = [d / np.sqrt((d**2).sum()) for d in directions]
        far = [stats.wasserstein_distance(*(of @ d for of in described)) for d in unit]
        assert found[str(side)] == pytest.approx(1000 * np.mean(far), rel=1e-4)
    assert found["mean"] == pytest.approx((found["32"] + found["16"]) / 2)


def test_a_set_is_at_no_distance_from_itself_and_both_ways_are_equal():
    a, b = images(8), images(8, seed=1)
    assert set(metrics.sliced_wasserstein(a, a, seed=5).values()) == {0.0}
    assert metrics.sliced_wasserstein(a, b) == metrics.sliced_wasserstein(b, a)
    assert metrics.sliced_wasserstein(a, b, seed=1) != metrics.sliced_wasserstein(a, b)


def test_the_order_of_images_is_only_another_draw():
    a, b = images(32), images(32, seed=1) ** 3
    plain = metrics.sliced_wasserstein(a, b)["mean"]
    draws = [metrics.sliced_wasserstein(a, b, seed)["mean"] for seed in range(1, 9)]
    shuffled = metrics.sliced_wasserstein(a.flip(0), b)["mean"]
    assert abs(shuffled - plain) < 6 * np.std(draws)
    assert np.std(draws) < 0.1 * plain


def test_brightness_and_contrast_of_a_whole_set_are_not_seen():
    a = images(8)
    assert metrics.sliced_wasserstein(a, 0.5 * a + 0.3)["mean"] < 0.01


def test_lost_detail_shows_at_the_finest_scale():
    a = images(16, size=64)
    soft = interpolate(avg_pool2d(a, 2), scale_factor=2.0, mode="bilinear")
    found = metrics.sliced_wasserstein(a, soft)
    assert found["64"] > found["32"] > found["16"]


def test_a_larger_set_is_used_to_its_last_image():
    few, others = images(4), images(4, seed=1) ** 3
    many = torch.cat([few, others])
    assert metrics.sliced_wasserstein(few, many)["mean"] > 0
    half, whole = (metrics.sliced_wasserstein(others, of)["mean"] for of in (few, many))
    assert 0 < whole < half


def test_a_collapsed_generator_has_a_distance_too():
    grey = torch.full((4, 3, 32, 32), 0.3)
    assert np.isfinite(metrics.sliced_wasserstein(grey, images(4))["mean"])
    assert metrics.sliced_wasserstein(grey, grey + 0.1)["mean"] < 10


@pytest.mark.parametrize(
    ("size", "scales"),
    [(16, ["16"]), (48, ["48", "24"]), (256, ["256", "128", "64", "32", "16"])],
)
def test_every_halving_down_to_16_is_a_scale_and_grey_images_are_images(size, scales):
    a, b = images(2, size, channels=1), images(2, size, channels=1, seed=1)
    found = metrics.sliced_wasserstein(a, b, patches=8, projections=8)
    assert list(found) == [*scales, "mean"]


def scaled(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels from 0 to 255 as the networks have them."""
    return pixels / 127.5 - 1


@pytest.mark.parametrize(("darkest", "size"), [(0, 192), (100, 192), (0, 256)])
def test_ms_ssim_is_that_of_pytorch_msssim_where_that_takes_the_image(darkest, size):
    """There pixels from 0 to 255 in double precision; ours is single, 3e-5 of a flat variance."""
    pytorch_msssim = pytest.importorskip("pytorch_msssim")
    first, second = images(3, size), images(3, size, seed=1)
    a = darkest + (first.abs() * 150).round()
    b = ((0.8 * a + 0.2 * second.abs() * 150) + 5).round()
    expected = pytorch_msssim.ms_ssim(a.double(), b.double(), data_range=255, size_average=False)
    torch.testing.assert_close(
        metrics.ms_ssim(scaled(a), scaled(b)), expected.float(), atol=5e-5, rtol=0
    )


def test_ms_ssim_of_a_texture_a_little_brighter_is_near_one():
    """0.999307: pytorch-msssim 1.0.0 in double precision, data_range=255; on the same images with
    black at -1 and a range of 2, both give 0."""
    texture = torch.randn(1, 3, 192, 192, generator=torch.Generator().manual_seed(0)) * 8
    a, b = ((grey + texture).round().clamp(0, 255) for grey in (121, 134))
    assert metrics.ms_ssim(scaled(a), scaled(b)).item() == pytest.approx(0.999307, abs=5e-6)


@pytest.mark.parametrize(("a", "b"), [(0, 255), (0, 10), (100, 120), (120, 140), (250, 255)])
def test_ms_ssim_of_flat_greys_is_their_luminance_alone(a, b):
    """Written out from Wang, Simoncelli and Bovik 2003, equations 1 and 7."""
    flat = [scaled(torch.full((1, 3, 64, 64), float(grey))) for grey in (a, b)]
    c = (0.01 * 255) ** 2
    expected = ((2 * a * b + c) / (a**2 + b**2 + c)) ** 0.1333
    assert metrics.ms_ssim(*flat).item() == pytest.approx(expected, abs=1e-3)


def test_ms_ssim_of_small_images_shrinks_the_window_as_published_code_does():
    """Scale by scale with scipy: the window is 11 wide at 32 and 16, then the whole image."""
    a, b = images(1, seed=1)[0], (images(1, seed=1)[0] * 0.7 + 0.1)
    x, y = (127.5 * (of.double().numpy() + 1) for of in (a, b))
    c1, c2 = 2.55**2, 7.65**2
    expected = 1.0
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        width = min(11, x.shape[1])
        line = signal.windows.gaussian(width, 1.5 * width / 11)
        window = np.outer(line, line) / line.sum() ** 2

        def blur(of: np.ndarray, window: np.ndarray = window) -> np.ndarray:
            return np.stack([signal.convolve2d(c, window, mode="valid") for c in of])

        covariance = blur(x * y) - blur(x) * blur(y)
        variances = blur(x * x) - blur(x) ** 2 + blur(y * y) - blur(y) ** 2
        value = (2 * covariance + c2) / (variances + c2)
        if scale == 4:
            mean_x, mean_y = blur(x), blur(y)
            value *= (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
        expected *= max(value.mean(), 0) ** weight
        x, y = (of.reshape(3, len(of[0]) // 2, 2, -1, 2).mean(axis=(2, 4)) for of in (x, y))
    assert metrics.ms_ssim(a[None], b[None]).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("size", [16, 32, 64])
def test_ms_ssim_falls_from_one_as_noise_grows(size):
    a, noise = images(2, size) * 0.8, images(2, size, seed=1)
    found = [metrics.ms_ssim(a, a + k * 0.2 * noise) for k in (0, 0.3, 1)]
    torch.testing.assert_close(found[0], torch.ones(2))
    assert (found[0] > found[1]).all()
    assert (found[1] > found[2]).all()


def test_diversity_never_pairs_an_image_with_itself():
    two = images(2)
    expected = metrics.ms_ssim(two[:1], two[1:]).item()
    assert metrics.diversity(two, pairs=50) == pytest.approx(expected, rel=1e-5)


def test_diversity_is_the_mean_over_pairs():
    few = images(6)
    every = [metrics.ms_ssim(few[i : i + 1], few[j : j + 1]) for i in range(6) for j in range(i)]
    drawn = metrics.diversity(few, pairs=2000)
    assert drawn == pytest.approx(np.mean(every), abs=4 * np.std(every) / np.sqrt(2000))
    assert metrics.diversity(few, pairs=10) == metrics.diversity(few, pairs=10)
    assert metrics.diversity(few, pairs=10, seed=1) != metrics.diversity(few, pairs=10)


def test_images_that_are_alike_are_less_diverse():
    many = images(8)
    assert metrics.diversity(0.9 * many[:1] + 0.1 * many) > metrics.diversity(many)


def test_frechet_distance_is_the_formula_with_scipys_square_root():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(200, 12)) @ rng.normal(size=(12, 12))
    b = rng.normal(size=(150, 12)) @ rng.normal(size=(12, 12)) + 0.5
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(
        cov_a + cov_b - 2 * linalg.sqrtm(cov_a @ cov_b).real
    )
    found = metrics.frechet_distance(torch.from_numpy(a), torch.from_numpy(b))
    assert found.distance == pytest.approx(expected)
    assert found.warning == ""


@pytest.mark.parametrize("n", [8, 12, 13, 40])
def test_frechet_distance_without_full_rank_is_exact_and_says_so(n):
    """Of x and 2x + s it is the trace of the covariance and |mean + s|^2, whatever the rank."""
    x = np.random.default_rng(0).normal(size=(n, 12))
    expected = np.trace(np.cov(x.T)) + ((x.mean(0) + 3) ** 2).sum()
    found = metrics.frechet_distance(torch.from_numpy(x), torch.from_numpy(2 * x + 3))
    assert found.distance == pytest.approx(expected)
    assert (f"{n} images for 12 features" in found.warning) == (n <= 12)


def test_frechet_distance_of_one_feature():
    x = torch.tensor([[0.0], [1.0], [2.0]])
    assert metrics.frechet_distance(x, 3 * x).distance == pytest.approx(4 + 4)


def test_kernel_distance_is_the_unbiased_estimate_by_scikit_learns_kernel():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(30, 8)), rng.normal(size=(50, 8)) * 1.5 + 0.3
    kernels = [polynomial_kernel(x, y, degree=3) for x, y in ((a, a), (b, b), (a, b))]
    within = [k[~np.eye(len(k), dtype=bool)].mean() for k in kernels[:2]]
    expected = sum(within) - 2 * kernels[2].mean()
    found = metrics.kernel_distance(torch.from_numpy(a), torch.from_numpy(b))
    assert found == pytest.approx(expected)


def test_kernel_distance_is_the_mean_over_all_subsets():
    """Published code draws some subsets at random, and averages what it finds in each."""
    rng = np.random.default_rng(1)
    a, b = (torch.from_numpy(rng.normal(size=(5, 3))) for _ in range(2))
    sets = [list(rows) for rows in combinations(range(5), 3)]
    each = [metrics.kernel_distance(a[i], b[j]) for i in sets for j in sets]
    assert metrics.kernel_distance(a, b) == pytest.approx(np.mean(each))


@pytest.mark.parametrize("neighbours", [1, 3])
def test_precision_and_recall_are_those_of_the_definition_in_a_loop(neighbours, monkeypatch):
    monkeypatch.setattr("dcgan_probe.metrics.manifolds.ROWS", 7)
    rng = np.random.default_rng(2)
    real, generated = rng.normal(size=(40, 3)), rng.normal(size=(30, 3)) * 0.8 + 0.7

    def covered(points: np.ndarray, by: np.ndarray) -> float:
        count = 0
        for point in points:
            for i, centre in enumerate(by):
                others = np.delete(by, i, axis=0)
                reach = np.sort(np.linalg.norm(others - centre, axis=1))[neighbours - 1]
                if np.linalg.norm(point - centre) <= reach:
                    count += 1
                    break
        return count / len(points)

    found = metrics.precision_recall(
        torch.from_numpy(generated), torch.from_numpy(real), neighbours
    )
    assert found == (covered(generated, real), covered(real, generated))
    assert 0 < found[1] < found[0] < 1


def test_precision_and_recall_of_copies_collapse_and_noise():
    real = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    assert metrics.precision_recall(real, real) == (1.0, 1.0)
    same = real[:1] + 1e-3 * torch.randn(200, 4, generator=torch.Generator().manual_seed(1))
    precision, recall = metrics.precision_recall(same, real)
    assert precision == 1.0 and recall <= 0.01
    assert metrics.precision_recall(real + 100, real) == (0.0, 0.0)
    for few, message in ((real[:3], "found 3 x 4"), (real[:, :2], "found 4 and 2 an image")):
        with pytest.raises(InputError, match=message):
            metrics.precision_recall(real, few)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.kernel_distance(torch.zeros(4, 2), torch.zeros(4, 3)), "found 2 and 3"),
        (lambda: metrics.sliced_wasserstein(torch.zeros(2, 3, 32, 16), images(2)), "32 x 16"),
        (lambda: metrics.sliced_wasserstein(images(2), torch.zeros(0, 3, 32, 32)), "images b"),
        (lambda: metrics.sliced_wasserstein(images(2), images(2, 16)), "32 x 32 and 3 x 16"),
        (lambda: metrics.sliced_wasserstein(images(2), 100 * images(2)), r"beyond \[-1, 1\]"),
        (lambda: metrics.ms_ssim(images(2), images(2) * torch.nan), "images b: found values"),
        (lambda: metrics.ms_ssim(images(2), images(3)), "found 2 x 3 x 32 x 32 and 3 x 3 x 32"),
        (lambda: metrics.ms_ssim(torch.zeros(2, 3, 8, 8), images(2)), "S at least 16"),
        (lambda: metrics.diversity(images(1)), "found 1, expected at least 2"),
        (lambda: metrics.frechet_distance(torch.zeros(4), torch.zeros(4, 2)), "features a"),
        (lambda: metrics.frechet_distance(torch.zeros(1, 2), torch.zeros(4, 2)), "found 1 x 2"),
        (lambda: metrics.frechet_distance(torch.zeros(4, 2), torch.zeros(4, 3)), "found 2 and 3"),
        (lambda: metrics.frechet_distance(torch.zeros(4, 2), torch.full((4, 2), torch.nan)), "NaN"),
    ],
)
def test_what_is_no_set_of_images_or_features_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


PICTURES = images(6).double().numpy()
ROWS = np.random.default_rng(0).normal(size=(40, 4))
INSIDE = np.random.default_rng(1).random((10, 2, 2)) > 0.5
D = Discriminator(dp.Config(size=32, g_width=2, d_width=2)).eval().requires_grad_(False)


def nearest_of(rows):
    search = nearest.Search(rows[:3], k=2)
    search.add(rows)
    return search.distances


METRICS = {
    "sliced_wasserstein": lambda x: list(
        metrics.sliced_wasserstein(x[:4], x[2:], projections=16).values()
    ),
    "laplacian_pyramid": lambda x: torch.cat(
        [level.flatten() for level in metrics.laplacian_pyramid(x)]
    ),
    "ms_ssim": lambda x: metrics.ms_ssim(x[:2], x[2:4]),
    "diversity": lambda x: metrics.diversity(x, pairs=8),
    "extract": lambda x: features.extract(D, x, ["16x16"], grid=4),
    "distance": lambda x: features.distance(D, x[:2], x[2:4]),
}
OF_ROWS = {
    "frechet_distance": lambda x: metrics.frechet_distance(x[:20], x[20:]).distance,
    "kernel_distance": lambda x: metrics.kernel_distance(x[:20], x[20:]),
    "precision_recall": lambda x: metrics.precision_recall(x[:20], x[20:]),
    "projected_distances": lambda x: metrics.projected_distances(x, x * 2, x[:4]),
    "Search": nearest_of,
    "svm": lambda x: svm.fit(x, np.arange(40) % 2, c=1.0).weights,
    "auc_by_image": lambda x: ranking.auc_by_image(x.reshape(40, 2, 2)[:10], INSIDE, INSIDE).value,
    "resampled_mean": lambda x: intervals.resampled_mean(x[:, 0], 0).high,
    "resampled_ratio": lambda x: intervals.resampled_ratio(x[:, 0], x[:, 1] * 0 + 1, 0).low,
    "mean_interval": lambda x: intervals.mean_interval(x[:, 0]),
}


@pytest.mark.filterwarnings("error:The given NumPy array is not writable")
@pytest.mark.parametrize("metric", [*METRICS, *OF_ROWS])
def test_an_array_is_taken_as_the_tensor_of_its_numbers(metric):
    values = PICTURES if metric in METRICS else ROWS
    measure = (METRICS | OF_ROWS)[metric]
    expected = np.asarray(measure(torch.from_numpy(values.copy())))
    fixed = values.copy()
    fixed.flags.writeable = False
    mirrored = values[..., ::-1].copy()[..., ::-1]  # a view that torch does not have
    for array in (fixed, mirrored):
        np.testing.assert_array_equal(np.asarray(measure(array)), expected)


@pytest.mark.parametrize("metric", ["frechet_distance", "kernel_distance", "precision_recall"])
def test_lists_of_numbers_are_features_too(metric):
    assert OF_ROWS[metric](ROWS.tolist()) == OF_ROWS[metric](ROWS)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([["a"] * 4] * 40), "found a ndarray of other things, expected numbers"),
        ([[1.0, 2.0], [3.0]] * 20, "found a list of other things, expected numbers"),
        (np.array([[None] * 4] * 40), "found a ndarray of other things, expected numbers"),
    ],
)
@pytest.mark.parametrize("metric", ["frechet_distance", "precision_recall", "Search", "svm"])
def test_what_is_no_numbers_is_refused_in_one_line(metric, values, message):
    with pytest.raises(InputError, match=message):
        OF_ROWS[metric](values)


@pytest.mark.parametrize("metric", ["sliced_wasserstein", "laplacian_pyramid", "ms_ssim"])
def test_pixels_of_whole_numbers_are_no_images(metric):
    pixels = np.zeros((6, 3, 32, 32), np.uint8)
    with pytest.raises(InputError, match="found uint8, expected floats in"):
        METRICS[metric](pixels)


def test_neighbours_of_half_precision_are_exact():
    # Far from 0 and close together: products of halves would rule out the nearest.
    rows = (torch.randn(2000, 64, generator=torch.Generator().manual_seed(0)) * 0.01 + 3).half()
    exact = np.sort(cdist(rows[:3].double(), rows.double()), axis=1)[:, :2]
    np.testing.assert_allclose(nearest_of(rows), exact, rtol=1e-12)
