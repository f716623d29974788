"""Small networks and a command line on them, and the folder of data that some compare with."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

import dcgan_probe as dp
from dcgan_probe.cli.group import main

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """What a test draws without a seed of its own does not depend on those before it."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="session")
def heeded_interrupt() -> None:
    """Let what tests start see Ctrl-C, which a shell ignores for background commands."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture
def model(
    tmp_path: Path, config: dp.Config, generator: dp.Generator, discriminator: dp.Discriminator
) -> Path:
    """The file of an untrained checkpoint, and boxes on its samples beside it."""
    path = tmp_path / "model.safetensors"
    sha = dp.checkpoints.save(dp.Checkpoint(config, generator, discriminator), path)
    boxes = tuple(dp.Box(i, "window", 4, 4, 20, 24) for i in range(6))
    dp.Boxes(boxes, tuple(range(8)), (32, 32), seed=0, checkpoint=sha).write(
        tmp_path / "boxes.json"
    )
    return path


@pytest.fixture
def invoke(model: Path, tmp_path: Path) -> Callable[..., Result]:
    """A command line on `model`; it must end with the exit code `expect`."""

    def invoke(*arguments: object, expect: int = 0) -> Result:
        given = ["--model", model, "--out", tmp_path / "out", "--device", "cpu", *arguments]
        result = CliRunner().invoke(main, [str(a) for a in given])
        assert result.exit_code == expect, result.output
        return result

    return invoke


@pytest.fixture
def run(invoke: Callable[..., Result]) -> Callable[..., str]:
    """As `invoke`; returns what was printed."""
    return lambda *arguments, expect=0: invoke(*arguments, expect=expect).output


def _alive(network: torch.nn.Module, inputs: torch.Tensor) -> torch.nn.Module:
    """Weights large enough that no output is lost in rounding, and statistics to go with them."""
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "norm" not in name:
                weight.mul_(5)
    dp.networks.estimate_statistics(network, [inputs])
    return network
