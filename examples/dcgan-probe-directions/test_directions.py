"""Directions against scikit-learn, on an untrained network; the command, in a chain."""

from __future__ import annotations

import json

import dcgan_probe_directions as directions
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

import dcgan_probe as dp
from dcgan_probe.cli.group import main


@pytest.fixture
def model(tmp_path):
    config = dp.Config(size=32, g_width=4, d_width=4, z_size=8)
    generator = dp.networks.initialise(dp.Generator(config), seed=0)
    with torch.no_grad():
        for name, weight in generator.named_parameters():
            if "norm" not in name:
                weight.mul_(5)  # else the untrained network draws grey
    dp.networks.estimate_statistics(generator, [dp.latents.sample(config, 64, seed=0)])
    dp.checkpoints.save(dp.Checkpoint(config, generator, None), tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def test_directions_are_those_of_a_principal_component_analysis_and_a_regression(model):
    session = dp.Session.open(model, seed=3, device="cpu")
    found = directions.run(session, layer="8x8", n=60, components=4)
    z = session.latents(60)
    y = dp.hooks.activations(session.generator, "8x8", z).flatten(1).numpy()
    pca = PCA(4, svd_solver="full").fit(y)
    assert found.explained == pytest.approx(pca.explained_variance_ratio_, rel=1e-4)
    coordinates = pca.transform(y) / pca.explained_variance_**0.5
    regression = LinearRegression().fit(coordinates, z.numpy())
    for ours, theirs in zip(found.z.numpy(), regression.coef_.T, strict=True):
        sign = np.sign(ours @ theirs)
        np.testing.assert_allclose(ours, sign * theirs, atol=1e-3)
    told = r2_score(z, regression.predict(coordinates), multioutput="variance_weighted")
    assert found.r2 == pytest.approx(told, abs=1e-4)
    assert (found.pixels[:, 3] == dp.figures.pixels(session.sample(1))).all()


def test_a_mistake_is_told_in_a_line(model):
    session = dp.Session.open(model, device="cpu")
    with pytest.raises(dp.InputError, match="found 4 latents for 4 components, expected at"):
        directions.run(session, n=4, components=4)
    with pytest.raises(dp.InputError, match="unknown layer '9x9'"):
        directions.run(session, layer="9x9", n=9)
    with pytest.raises(dp.InputError, match="expected at most"):
        directions.run(session, n=10**6)


def test_it_is_one_of_the_chain_and_of_the_same_bytes_twice(model, tmp_path):
    def once(out):
        line = ["--model", model, "--device", "cpu", "--out", out, "ablate", "--layer", "8x8"]
        line += ["--filters", "1", "directions", "--n", "40", "--components", "3"]
        done = CliRunner().invoke(main, [str(word) for word in line])
        assert done.exit_code == 0, done.output
        return {path.name: path.read_bytes() for path in (out / "directions").iterdir()}

    first = once(tmp_path / "a")
    assert first.keys() == {"directions.png", "directions.npy", "result.json"}
    assert len(json.loads(first["result.json"])["made_with"]["edits"]) == 1
    assert once(tmp_path / "b") == first
    assert np.load(tmp_path / "a/directions/directions.npy").shape == (3, 8)
