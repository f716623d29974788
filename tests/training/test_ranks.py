"""Two processes train as one: each on its own images, all with the same weights."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dcgan_probe.distributed import Ranks, joined
from dcgan_probe.errors import InputError
from dcgan_probe.training.recipe import Recipe
from dcgan_probe.training.trainer import Trainer

sys.path.insert(0, str(Path(__file__).parent))
from two_ranks import CONFIG, R1, STEPS, images, trainer  # noqa: E402

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ALONE = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def ranks(tmp_path_factory) -> list[dict]:
    folder = tmp_path_factory.mktemp("ranks")
    script = str(Path(__file__).parent / "two_ranks.py")
    done = subprocess.run(
        [*TORCHRUN, script, str(folder)], env=ALONE, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("recipe", ["paper", "shared"])
def test_all_processes_hold_the_same_weights_and_statistics(ranks, recipe):
    a, b = (rank[recipe] for rank in ranks)
    for part in ("generator", "discriminator", "mean_generator"):
        assert a[part].keys() == b[part].keys()
        for name, value in a[part].items():
            assert torch.equal(value, b[part][name]), name
    assert not torch.equal(a["losses"], b["losses"])


def test_the_images_of_a_minibatch_are_dealt_out_without_overlap(ranks):
    whole = trainer("paper", Ranks())
    for step in range(STEPS):
        whole.steps = step
        minibatch = whole._real()
        dealt = [rank["paper"]["seen"][step] for rank in ranks]
        assert torch.equal(torch.stack(dealt, dim=1).flatten(0, 1), minibatch)


def test_two_processes_do_what_one_does_with_the_mean_of_two_gradients(ranks):
    """The shared recipe by hand: each half of the batch normalised by itself, one update."""
    own = trainer("shared", Ranks())
    g, d = own.generator.train(), own.discriminator.train()
    for own.steps in range(STEPS):
        (z,), real = own._z(1), own._real()
        halves = [(z[rank::2], real[rank::2]) for rank in range(2)]
        fakes = [g(z) for z, _ in halves]
        pairs = zip(fakes, halves, strict=True)
        losses = [
            F.softplus(-d(real)).mean() + F.softplus(d(fake.detach())).mean()
            for fake, (_, real) in pairs
        ]
        if own.steps == 0:  # R1's every 16th step
            for half, (_, real) in enumerate(halves):
                real.requires_grad_()
                slope = torch.autograd.grad(d(real).sum(), real, create_graph=True)[0]
                losses[half] = (
                    losses[half] + 16 * R1 / 2 * slope.flatten(1).norm(dim=1).pow(2).mean()
                )
        own.adam_d.zero_grad()
        (sum(losses) / 2).backward()
        own.adam_d.step()
        loss = sum(F.softplus(-d(fake)).mean() for fake in fakes) / 2
        own.adam_g.zero_grad()
        own.adam_d.zero_grad()
        loss.backward()
        own.adam_g.step()
    for part in ("generator", "discriminator"):
        for name, value in getattr(own, part).named_parameters():
            torch.testing.assert_close(
                ranks[0]["shared"][part][name], value, atol=2e-5, rtol=1e-3, msg=name
            )


@pytest.mark.parametrize("device", ["cuda:1", "cuda:0", "mps"])
def test_one_gpu_is_not_shared_by_several_processes(device, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    with joined(device) as alone:
        assert alone.device == torch.device(device)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(InputError, match=f"^device {device}: found one GPU for 2 processes"):
        joined(device).__enter__()


def test_a_batch_that_cannot_be_dealt_out_is_refused():
    with pytest.raises(InputError, match="batch: found 9, expected a multiple of the 2 processes"):
        Trainer(CONFIG, Recipe(batch=9), images(), Ranks(0, 2))


def command(data: Path, out: Path, *more: str) -> list[str]:
    network = ["--size", "16", "--g-width", "2", "--d-width", "2", "--batch", "8"]
    line = ["--device", "cpu", "--out", str(out), "train", "--images", str(data), *network]
    return [*TORCHRUN, "-m", "dcgan_probe", *line, *more]


@pytest.fixture
def data(tmp_path) -> Path:
    np.savez(tmp_path / "noise.npz", images=images().permute(0, 2, 3, 1).numpy())
    return tmp_path / "noise.npz"


def test_torchrun_trains_and_goes_on_with_one_writer(tmp_path, data, monkeypatch):
    environment = {**ALONE, "DCGAN_PROBE_CACHE": str(tmp_path / "cache")}
    for steps in ("4", "6"):
        done = subprocess.run(
            command(data, tmp_path / "out", "--steps", steps, "--save-every", "4"),
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("checkpoint.safetensors: SHA-256") == 1
    assert f"{steps} steps" in done.stdout
    # One process is another training: its batch norm sees other batches.
    alone = [sys.executable, "-m", "dcgan_probe", *command(data, tmp_path / "out")[8:]]
    done = subprocess.run(
        [*alone, "--steps", "8"], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert "processes: found 2, expected 1 as asked for" in done.stderr


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the processes in /proc")
def test_a_process_that_dies_ends_the_job_and_is_named(tmp_path, data):
    environment = {**ALONE, "DCGAN_PROBE_CACHE": str(tmp_path / "cache")}
    out = tmp_path / "out"
    job = subprocess.Popen(
        command(data, out, "--steps", "100000", "--save-every", "5"),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        state = out / "train" / "state.pt"
        for _ in range(600):
            if state.exists() or job.poll() is not None:
                break
            time.sleep(0.1)
        children = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
        os.kill(int(children[1]), signal.SIGKILL)
        _, errors = job.communicate(timeout=60)
    finally:
        job.kill()
    assert job.returncode != 0
    assert f"Signal 9 (SIGKILL) received by PID {children[1]}" in errors
    assert torch.load(state, weights_only=True)["steps"] >= 5
