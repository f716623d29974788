import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan_probe import latents
from dcgan_probe.errors import InputError
from dcgan_probe.networks.config import Config

UNIFORM = Config(z_size=7)
NORMAL = Config(z_size=7, z_distribution="normal")


@settings(max_examples=25, deadline=None)
@given(start=st.integers(0, 2100), n=st.integers(0, 1100), seed=st.integers(0, 3))
def test_a_latent_is_named_by_seed_and_index(start, n, seed):
    whole = latents.sample(NORMAL, 3300, seed)
    part = latents.sample(NORMAL, n, seed, start)
    assert part.shape == (n, 7)
    assert torch.equal(part, whole[start : start + n])


def test_uniform_latents_fill_minus_one_to_one():
    z = latents.sample(UNIFORM, 20_000, seed=0)
    assert z.dtype == torch.float32
    assert z.min() >= -1
    assert z.max() <= 1
    assert z.min() < -0.999
    assert z.max() > 0.999
    assert abs(z.mean().item()) < 0.01
    assert abs(z.std().item() - 3**-0.5) < 0.01


def test_normal_latents_are_standard_normal():
    z = latents.sample(NORMAL, 20_000, seed=0)
    assert z.dtype == torch.float32
    assert abs(z.mean().item()) < 0.01
    assert abs(z.std().item() - 1) < 0.01
    assert z.abs().max() > 3


def test_seeds_and_blocks_are_independent():
    first, second = (latents.sample(NORMAL, 2 * latents.BLOCK, seed) for seed in (0, 1))
    for a, b in [(first, second), (first[: latents.BLOCK], first[latents.BLOCK :])]:
        correlation = torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]
        assert abs(correlation.item()) < 0.05


def test_sampling_leaves_torch_s_own_random_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    latents.sample(NORMAL, 10, seed=0)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("wrong", [{"n": -1}, {"start": -1}, {"seed": -1}])
def test_numbers_below_zero_are_refused(wrong):
    with pytest.raises(InputError, match="expected none below 0"):
        latents.sample(NORMAL, **{"n": 1, "seed": 0, "start": 0, **wrong})


def test_a_seed_that_would_repeat_another_is_refused():
    """numpy reads a seed of 2^32 + 5 as the two numbers 5 and 1."""
    assert len(latents.sample(NORMAL, 1, 2**32 - 1)) == 1
    with pytest.raises(InputError, match=r"found seed 4294967301, expected at most 4294967295"):
        latents.sample(NORMAL, 1, 2**32 + 5)
