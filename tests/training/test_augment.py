"""Augmentation does what the paper's policy says, image by image, and lets gradients through."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dcgan_probe.training.augment import augment

SIZE = 16
IMAGES = torch.rand(200, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1


def written_out(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The policy in plain loops, from the same draws."""
    n, reach, side = len(images), SIZE // 8, SIZE // 2
    factors = rng.uniform((-0.5, 0, 0.5), (0.5, 2, 1.5), (n, 3))
    tops, lefts = rng.integers(0, 2 * reach + 1, (2, n))
    rows, columns = rng.integers(0, SIZE + 1, (2, n))
    out = np.zeros_like(images)
    for i, image in enumerate(images):
        brightness, saturation, contrast = factors[i]
        image = image + brightness
        grey = image.mean(0, keepdims=True)
        image = grey + (image - grey) * saturation
        image = image.mean() + (image - image.mean()) * contrast
        for y in range(SIZE):
            for x in range(SIZE):
                from_y, from_x = y + tops[i] - reach, x + lefts[i] - reach
                inside = 0 <= from_y < SIZE and 0 <= from_x < SIZE
                cut_y = rows[i] - side // 2 <= y < rows[i] + side // 2
                cut_x = columns[i] - side // 2 <= x < columns[i] + side // 2
                if inside and not (cut_y and cut_x):
                    out[i, :, y, x] = image[:, from_y, from_x]
    return out


def test_it_is_the_policy_written_out():
    got = augment(IMAGES[:12].double(), np.random.default_rng(3))
    expected = written_out(IMAGES[:12].double().numpy(), np.random.default_rng(3))
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-12)


def test_the_same_draws_are_the_same_images_and_others_are_others():
    one, same, other = (augment(IMAGES, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert (one != other).flatten(1).any(1).all()


def test_as_much_is_left_of_an_image_as_the_policy_leaves():
    # Along one side: what a shift leaves in view, and how much of that the square covers.
    shifts, middles = np.arange(-2, 3), np.arange(SIZE + 1)
    place = np.arange(SIZE)
    shown = ((place + shifts[:, None] >= 0) & (place + shifts[:, None] < SIZE)).astype(float)
    cut = (place >= middles[:, None] - 4) & (place < middles[:, None] + 4)
    covered = shown @ cut.T / SIZE  # shifts x middles
    expected = (shown.mean(1).mean()) ** 2 - covered.mean() ** 2
    kept = (augment(IMAGES, np.random.default_rng(0)) != 0).any(1).float().mean((1, 2))
    assert abs(kept.mean() - expected) < 4 * kept.std() / len(kept) ** 0.5


@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_are_those_of_finite_differences(channels):
    images = torch.rand(2, channels, 8, 8, dtype=torch.float64, requires_grad=True)
    call = lambda x: augment(x, np.random.default_rng(0))  # noqa: E731
    assert torch.autograd.gradcheck(call, (images,))
