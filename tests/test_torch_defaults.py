"""What a notebook sets for all of torch: results are the same, or one line says what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import dcgan_probe as dp
from dcgan_probe.attribution.guided import GuidedBackprop
from dcgan_probe.errors import InputError
from dcgan_probe.probes import forget, invert, sample, visualize_d
from dcgan_probe.probes.forget import gates
from dcgan_probe.probes.invert import search


def windows() -> dp.Boxes:
    drawn = tuple(dp.Box(i, "window", 4, 4, 20, 16 + i) for i in range(6))
    return dp.Boxes(drawn, tuple(range(8)), (32, 32), seed=0)


PROBES = {
    "visualize-d": lambda session: visualize_d.run(session, n=12, filters=[0, 3], k=2),
    "invert": lambda session: invert.run(session, session.sample(1)[0], starts=2, steps=3),
    "gates": lambda session: forget.run(
        session, windows(), layer="8x8", select="gates", controls=1, n=8
    ),
}


@pytest.mark.parametrize("name", PROBES)
def test_gradients_may_be_off(session, name, monkeypatch):
    monkeypatch.setattr(gates, "STEPS", 5)
    monkeypatch.setattr(search, "CANDIDATES", 32)
    expected = PROBES[name](session).values()
    with torch.no_grad():
        np.testing.assert_equal(PROBES[name](session).values(), expected)


def test_a_default_type_that_changes_what_is_drawn_is_refused(session):
    torch.set_default_dtype(torch.float64)
    try:
        for use in (lambda: sample.run(session, 2), lambda: dp.Session(session.checkpoint)):
            with pytest.raises(InputError, match="^torch: found the default dtype float64, exp"):
                use()
    finally:
        torch.set_default_dtype(torch.float32)
    with (
        torch.device("meta"),
        pytest.raises(InputError, match="^torch: found the default device meta, expected cpu"),
    ):
        sample.run(session, 2)


def test_neurons_are_guided_in_the_type_of_the_network():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.ReLU())
    x, at = torch.randn(2, 3, 8, 8), [torch.tensor([each, 1]) for each in (0, 1, 2, 3)]
    expected = GuidedBackprop(network.eval()).attribute_neurons(x, "3", *at)
    found = GuidedBackprop(network.double()).attribute_neurons(x.double(), "3", *at)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.float(), expected)


def test_networks_are_not_opened_in_inference_mode():
    generator = nn.Sequential(nn.Linear(4, 48), nn.Unflatten(1, (3, 4, 4)), nn.Tanh())
    with torch.inference_mode(), pytest.raises(InputError, match="inference_mode around it"):
        dp.Session.from_modules(generator=generator, latent=4, device="cpu")
