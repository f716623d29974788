"""What goes wrong is found in losses and samples that are known to be wrong."""

from __future__ import annotations

import pytest
import torch

from dcgan_probe.errors import InputError
from dcgan_probe.training.health import Health, spread


def losses(discriminator: float, n: int = 50) -> torch.Tensor:
    return torch.tensor([[discriminator, 3.0]]).repeat(n, 1)


def test_a_discriminator_that_has_won_is_said_once_until_it_is_over():
    health = Health()
    assert health.losses(50, losses(0.001)) == []  # 50 steps are no window yet
    (message,) = health.losses(100, losses(0.001))
    assert "step 100" in message
    assert "0.0010 nats" in message
    assert health.losses(150, losses(0.001)) == []
    assert health.losses(200, losses(1.0)) == []
    assert health.losses(250, losses(1.0)) == []
    assert health.losses(300, losses(0.001)) == []
    assert len(health.losses(350, losses(0.001))) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_step_of_a_loss_that_is_not_finite_is_named(value):
    found = losses(1.0, 10)
    found[6, 1] = value
    with pytest.raises(InputError, match=r"step 37: found losses 1\.0 .* and (nan|inf)"):
        Health().losses(40, found)


def test_samples_that_are_nearly_equal_are_a_collapse():
    random = torch.Generator().manual_seed(0)
    real = torch.rand(64, 3, 16, 16, generator=random) * 2 - 1
    health = Health()
    assert health.samples(1, real.flip(0), real) == []
    equal = real[:1].repeat(64, 1, 1, 1) + 0.02 * torch.randn(real.shape, generator=random)
    (message,) = health.samples(2, equal, real)
    assert "step 2: the generator has collapsed" in message
    assert health.samples(3, equal, real) == []


def test_spread_is_the_deviation_of_images_from_their_mean():
    images = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 4, 4)
    assert spread(images) == 1.0
    assert spread(images[:1]) == 0.0
