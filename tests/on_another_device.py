"""Tests on a stand-in for another device, which `test_devices` runs: see `other_device`."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.distributed as dist
from other_device import DEVICE, Mixed, Mode
from torch import nn

import dcgan_probe as dp
from dcgan_probe.checkpoints import modules
from dcgan_probe.distributed import Ranks
from dcgan_probe.edits.donors import Donors
from dcgan_probe.edits.places import PlaceEdit
from dcgan_probe.metrics import distances
from dcgan_probe.networks.config import Config
from dcgan_probe.networks.dcgan import Discriminator, Generator, initialise
from dcgan_probe.training.minibatches import Minibatches


@pytest.fixture(scope="module")
def pair() -> tuple[nn.Module, nn.Module]:
    config = Config(size=16, g_width=4, d_width=4, z_size=8, kernel=4, norm_per_unit=False)
    return initialise(Generator(config), seed=0), initialise(Discriminator(config), seed=1)


def test_the_stand_in_refuses_to_mix(pair):
    network = copy.deepcopy(pair[0]).eval()
    with Mode(), torch.no_grad():
        z = torch.zeros(2, 8)
        there = network.to(DEVICE)
        assert there(z.to(DEVICE)).device == DEVICE
        with pytest.raises(Mixed, match="aten::mm"):
            there(z)


@pytest.mark.parametrize("statistics", ["file", "estimate"])
def test_modules_of_a_device_are_opened_as_those_of_the_cpu_are(pair, statistics, monkeypatch):
    monkeypatch.setattr("dcgan_probe.checkpoints.statistics.BATCHES", 2)
    g, d = (copy.deepcopy(each) for each in pair)
    given = {"latent": (8, "uniform"), "statistics": statistics}
    here = modules.checkpoint(copy.deepcopy(g), copy.deepcopy(d), **given)
    with Mode():
        there = modules.checkpoint(g.to(DEVICE), d.to(DEVICE), **given)
        assert next(there.generator.parameters()).device == DEVICE
    assert there.sha256 == here.sha256


def test_images_of_a_device_are_compared(pair):
    images = torch.rand(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with Mode():
        found = distances.ms_ssim(*(each.to(DEVICE) for each in images)).cpu()
    torch.testing.assert_close(found, distances.ms_ssim(*images))


@pytest.mark.parametrize("fill", ["smooth", "clone", "recolour"])
def test_edits_of_a_device_are_those_of_the_cpu(pair, fill, monkeypatch):
    checkpoint = dp.Checkpoint(pair[0].config, copy.deepcopy(pair[0]), None, sha256="ab" * 32)
    donors = None if fill == "smooth" else Donors(0, (5, 6, 7))
    region = (2.0, 2.0, 10.0, 10.0)
    edits = [
        dp.Selection("8x8", (0, 1), "ab" * 32, values=(1.0, 0.3), where=region),
        PlaceEdit(("4x4", "8x8"), "ab" * 32, where=region, fill=fill, donors=donors),
    ]
    here = dp.Session(checkpoint, device="cpu")
    with here.editing(*edits):
        right = here.sample(2)
    monkeypatch.setattr("dcgan_probe.session.choose_device", lambda name: DEVICE)
    with Mode():
        there = dp.Session(checkpoint)
        with there.editing(*edits):
            torch.testing.assert_close(there.sample(2), right)


def test_minibatches_are_on_the_device():
    images = torch.arange(9 * 3 * 16 * 16).to(torch.uint8).view(9, 3, 16, 16)
    flips = np.array([True, False])
    here, there = (Minibatches(images, 2, 0, each) for each in (torch.device("cpu"), DEVICE))
    with Mode():
        found = there.read(there.rows(0), flips)
        assert found.device == DEVICE
        torch.testing.assert_close(found.cpu(), here.read(here.rows(0), flips))


def test_processes_average_on_their_device(monkeypatch):
    asked = []
    monkeypatch.setattr(dist, "all_reduce", lambda tensor: asked.append(tensor.device))
    with Mode():
        tensors = [torch.ones(2) * 3, (torch.ones(2) * 5).to(DEVICE)]
        Ranks(0, 2, DEVICE).average(tensors)
        assert [each.cpu().tolist() for each in tensors] == [[1.5, 1.5], [2.5, 2.5]]
    assert asked == [DEVICE, DEVICE]
