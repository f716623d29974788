"""Small networks that every test may use, and the folder of data that some compare with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

import dcgan_probe as dp

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Decoded images of tests stay out of the user's cache."""
    os.environ["DCGAN_PROBE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def config() -> dp.Config:
    return dp.Config(size=32, g_width=4, d_width=4, z_size=8)


@pytest.fixture
def generator(config: dp.Config) -> torch.nn.Module:
    network = dp.networks.initialise(dp.Generator(config), seed=0)
    return _alive(network, dp.latents.sample(config, 64, seed=0))


@pytest.fixture
def discriminator(config: dp.Config) -> torch.nn.Module:
    network = dp.networks.initialise(dp.Discriminator(config), seed=1)
    images = torch.rand(64, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return _alive(network, images)


@pytest.fixture
def session(
    config: dp.Config, generator: dp.Generator, discriminator: dp.Discriminator
) -> dp.Session:
    """A session on an untrained network, whose pictures mean nothing but whose arithmetic does."""
    checkpoint = dp.Checkpoint(config, generator, discriminator, {}, "untrained", "ab" * 32)
    return dp.Session(checkpoint, seed=0, device="cpu")


def _alive(network: torch.nn.Module, inputs: torch.Tensor) -> torch.nn.Module:
    """Weights large enough that no output is lost in rounding, and statistics to go with them."""
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "norm" not in name:
                weight.mul_(5)
    dp.networks.estimate_statistics(network, [inputs])
    return network
