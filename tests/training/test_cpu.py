"""Gradients by columns are those that torch itself computes."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import dcgan_probe as dp
from dcgan_probe.training import cpu


@pytest.mark.parametrize("kernel", [4, 5])
@pytest.mark.parametrize("columns", [1, 100_000, cpu.COLUMNS_BYTES])
@pytest.mark.parametrize("batch", [1, 5])
def test_the_gradients_of_a_convolution_are_those_of_torch(monkeypatch, kernel, columns, batch):
    monkeypatch.setattr(cpu, "COLUMNS_BYTES", columns)
    form = {"stride": 2, "padding": (kernel - 1) // 2, "bias": False}
    for plain, side in (
        (nn.Conv2d(16, 24, kernel, **form), 12),
        (nn.ConvTranspose2d(24, 16, kernel, output_padding=kernel % 2, **form), 6),
    ):
        faster = cpu.by_columns(copy.deepcopy(plain))
        assert type(faster) is not type(plain)
        x = torch.randn(batch, plain.in_channels, side, side)
        found = []
        for conv in (plain, faster):
            own = x.clone().requires_grad_()
            y = conv(own)
            y.backward(torch.linspace(-1, 1, y.numel()).view_as(y))
            found.append((y.detach(), own.grad, conv.weight.grad))
        for a, b in zip(*found, strict=True):
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_only_layers_that_gain_are_changed_and_weights_keep_their_names():
    config = dp.Config(size=32, g_width=16, d_width=16, z_size=8)
    network = dp.Discriminator(config)
    names = list(network.state_dict())
    cpu.by_columns(network)
    kinds = [type(m) is nn.Conv2d for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert kinds == [True, False, False]  # the first convolves an image
    assert list(network.state_dict()) == names


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(16, 16, 3),  # has a bias
        nn.Conv2d(16, 16, 3, bias=False, groups=2),
        nn.Conv2d(16, 16, 3, bias=False, dilation=2),
        nn.Conv2d(16, 16, (3, 1), bias=False),
        nn.Conv2d(16, 16, 3, bias=False, padding="same"),
        nn.Conv2d(3, 16, 3, bias=False),
    ],
)
def test_other_convolutions_stay_as_they_are(conv):
    assert type(cpu.by_columns(conv)) is nn.Conv2d


def test_keeping_memory_is_no_error_on_any_c_library(monkeypatch):
    monkeypatch.setattr(cpu.ctypes, "CDLL", lambda name: object())
    cpu.keep_memory()
