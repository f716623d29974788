"""A patch of another hue is seen, light and shade are not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dcgan_probe.metrics.intervals import Interval
from dcgan_probe.recognition.masks import grown
from dcgan_probe.recognition.patches import Patches

SIZE, PLACE = 64, (slice(24, 40), slice(24, 40))


def walls(n: int, seed: int) -> Tensor:
    """Rough walls of one colour each, lit from one side, with a picture somewhere; in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    colours = torch.rand(n, 3, 1, 1, generator=generator) * 0.5 + 0.3
    slope = torch.rand(n, 1, 1, 1, generator=generator) * 0.8 - 0.4
    images = colours * (1 + slope * torch.linspace(-1, 1, SIZE)).expand(n, 3, SIZE, SIZE)
    images = images + 0.03 * torch.randn(images.shape, generator=generator)
    for image in images:
        y, x = torch.randint(0, SIZE - 8, (2,), generator=generator).tolist()
        image[:, y : y + 8, x : x + 8] = torch.rand(3, 1, 1, generator=generator)
    return images * 2 - 1


@pytest.fixture
def patches() -> Patches:
    mask = torch.zeros(20, SIZE, SIZE, dtype=torch.bool)
    mask[:, *PLACE] = True
    return Patches(mask, walls(80, seed=1), torch.zeros(80, 8, 8), seed=0)


def measured(patches: Patches, images: Tensor) -> float:
    return patches.measure(images, torch.arange(len(images)), resamples=50).value


def test_other_walls_are_as_usual(patches):
    assert abs(measured(patches, walls(20, seed=2)) - 0.5) < 0.15


def test_a_patch_of_another_hue_is_seen(patches):
    images = walls(20, seed=2)
    images[:, :, *PLACE] = images[:, :, *PLACE].flip(1)
    assert measured(patches, images) > 0.9


def test_a_shadow_is_not(patches):
    images = walls(20, seed=2)
    images[:, :, *PLACE] = (images[:, :, *PLACE] + 1) * 0.8 - 1
    assert measured(patches, images) < 0.7


def test_samples_that_show_the_object_say_nothing_of_what_is_usual():
    mask = torch.zeros(2, SIZE, SIZE, dtype=torch.bool)
    mask[:, *PLACE] = True
    everywhere = Patches(mask, walls(8, seed=1), torch.ones(8, 8, 8), seed=0)
    assert math.isnan(measured(everywhere, walls(2, seed=2)))


def test_grey_images_are_compared_by_their_brightness(patches):
    grey = walls(80, seed=1).mean(1, keepdim=True)
    mask = torch.zeros(20, SIZE, SIZE, dtype=torch.bool)
    mask[:, *PLACE] = True
    of_grey = Patches(mask, grey, torch.zeros(80, 8, 8), seed=0)
    images = walls(20, seed=2).mean(1, keepdim=True)
    images[:, :, *PLACE] += 0.8
    assert measured(of_grey, images) > 0.9


def test_a_mask_grows_by_pixels_on_all_sides():
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[0, 4, 4] = True
    assert grown(mask, 2)[0].nonzero().tolist() == [
        [y, x] for y in range(2, 7) for x in range(2, 7)
    ]


def test_equal_colours_are_as_usual():
    mask = torch.zeros(4, 32, 32, dtype=torch.bool)
    mask[:, 8:16, 8:16] = True
    black = torch.full((20, 1, 32, 32), -1.0)  # such as the ground of a digit
    patches = Patches(mask, black, torch.zeros(20, 8, 8), seed=0)
    assert patches.measure(black[:4], torch.arange(4), 100) == Interval(0.5, 0.5, 0.5)
