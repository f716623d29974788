"""Directions against scikit-learn and numpy, on untrained networks, and what names them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from test_axes import LABELS, WEIGHTS, Linear, Shown
from torch import nn

import dcgan_probe as dp
from dcgan_probe.errors import InputError
from dcgan_probe.latents.concepts import Concept, Concepts
from dcgan_probe.metrics.intervals import Interval
from dcgan_probe.probes import directions
from dcgan_probe.probes.directions import naming
from dcgan_probe.probes.directions.result import by_chance
from dcgan_probe.recognition import keeping


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(keeping, "SAMPLES", 300)


def opened(session, generator) -> dp.Session:
    checkpoint = dp.Checkpoint(session.config, generator.eval(), None, {}, "own", "cd" * 32)
    return dp.Session(checkpoint, seed=0, device="cpu")


def test_principal_directions_are_those_of_scikit_learn(session):
    found = directions.run(session, "pca", layer="8x8", n=60, components=4)
    z = session.latents(60)
    y = dp.hooks.activations(session.generator, "8x8", z).flatten(1).numpy()
    pca = PCA(4, svd_solver="full").fit(y)
    shares = [direction.share for direction in found.directions]
    assert shares == pytest.approx(pca.explained_variance_ratio_, rel=1e-4)
    coordinates = pca.transform(y) / pca.explained_variance_**0.5
    regression = LinearRegression().fit(coordinates, z.numpy())
    for direction, theirs in zip(found.directions, regression.coef_.T, strict=True):
        own = direction.z.numpy()
        np.testing.assert_allclose(own, np.sign(own @ theirs) * theirs, atol=1e-3)
    told = r2_score(z, regression.predict(coordinates), multioutput="variance_weighted")
    assert found.known["share_of_z"] == pytest.approx(told, abs=1e-4)
    assert (found.pixels[:, 2] == dp.figures.pixels(session.sample(1))).all()


@pytest.mark.parametrize(("transposed", "by_code"), [(False, False), (True, False), (True, True)])
def test_the_closed_form_has_the_eigenvectors_of_numpy(session, transposed, by_code):
    if transposed:
        first = nn.ConvTranspose2d(8, 4, 4)
        weights = first.weight.detach().numpy().reshape(8, -1)
        layers = nn.Sequential(nn.Unflatten(1, (8, 1, 1)), first, nn.Upsample(scale_factor=8))
        layers.append(nn.Conv2d(4, 3, 1))
        # z is reshaped by code, or by a module without weights.
        layers = Reshaped(layers[1:]) if by_code else nn.Sequential(layers, nn.Tanh())
    else:
        layers, weights = session.generator, session.generator.get_submodule("4x4.linear").weight
        weights = weights.detach().numpy().T
    found = directions.run(opened(session, layers), "sefa", components=3)
    spectrum, vectors = np.linalg.eigh(weights @ weights.T)
    shares = [direction.share for direction in found.directions]
    assert shares == pytest.approx(spectrum[::-1][:3] / spectrum.sum(), rel=1e-4)
    deviation = session.latents(300, seed=2).std()
    for direction, theirs in zip(found.directions, vectors.T[::-1], strict=False):
        own = direction.z.numpy() / float(deviation)
        np.testing.assert_allclose(own, np.sign(own @ theirs) * theirs, atol=1e-3)


class Reshaped(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, z):
        return torch.tanh(self.layers(z[:, :, None, None]))


def test_a_label_has_its_own_direction_and_its_name(session, tmp_path):
    own = opened(session, Shown())
    found = directions.run(own, "regression", classifier=Linear(), n=200, reach=1.0)
    assert (found.known["explained_labels"], found.known["of_labels"]) == (3, 4)
    by_label = dict(zip(found.known["labels"], found.directions, strict=True))
    # "two" alone: at right angles to "one", so along z[1]; noise has no direction.
    two = by_label["two"].z / by_label["two"].z.norm()
    assert torch.allclose(two, torch.eye(8)[1], atol=0.03)
    assert by_label["two"].name == "two"
    change = by_label["two"].changes["two"]
    z = own.latents(200, seed=1)
    ends = [(z + place * by_label["two"].z) @ WEIGHTS[1] for place in (-1, 1)]
    by_hand = (ends[1].sigmoid() - ends[0].sigmoid()).mean()
    assert change.value == pytest.approx(float(by_hand), abs=1e-3)
    assert change.low < change.value < change.high
    # The picture shows the sample in which the label changes by the median.
    by_sample = ends[1].sigmoid() - ends[0].sigmoid()
    seed, index = map(int, by_label["two"].sample.split(":"))
    assert seed == 1
    assert (by_sample >= by_sample[index] - 1e-5).sum() >= 100
    assert (by_sample <= by_sample[index] + 1e-5).sum() >= 100
    row = found.pixels[found.known["labels"].index("two")]
    assert (row[2] == dp.figures.pixels(own.generate(z[index : index + 1]))[0]).all()
    found.save(tmp_path / "directions")
    values = json.loads((tmp_path / "directions/result.json").read_text())
    assert values["named"] == 3
    assert set(values["r2"]) == set(LABELS)
    kept = dp.latents.read(tmp_path / "directions/directions.safetensors", own.config, "cd" * 32)
    assert torch.equal(kept[1:2], own.kept["direction2"])


def test_concepts_name_what_lies_near_them(session):
    own = opened(session, session.generator)
    middle = own.latents(300, seed=2).mean(0)
    towards = directions.run(own, "sefa", components=2).directions
    exemplar = tuple((middle - 0.9 * towards[0].z / towards[0].z.abs().max() / 2).tolist())
    concepts = Concepts("cd" * 32, {"near": Concept((exemplar,))})
    found = directions.run(own, "sefa", components=2, concepts=concepts).directions
    assert found[0].cosines["near"] == pytest.approx(1, abs=1e-4)  # turned to where it rises
    assert torch.allclose(found[0].z, -towards[0].z, atol=1e-6)
    assert found[0].changes is None


def test_a_name_needs_a_change_that_is_sure_and_a_cosine_beyond_chance():
    sure, small, unsure = (
        Interval(-0.4, -0.5, -0.3),
        Interval(0.05, 0.04, 0.06),
        Interval(0.3, -1, 1),
    )
    assert naming.named_by_change({"a": small, "b": sure}) == "b"
    assert naming.named_by_change({"a": small}) is None
    assert naming.named_by_change({"a": unsure}) is None
    assert naming.times(-1, sure) == Interval(0.4, 0.3, 0.5)
    random = np.random.default_rng(0).standard_normal((20000, 100))
    cosines = np.abs(random[:, 0]) / np.linalg.norm(random, axis=1)
    assert by_chance(100) == pytest.approx(np.quantile(cosines, 0.99), abs=0.01)
    assert naming.named_by_cosine({"a": -0.31, "b": 0.1}, 100) == "a"
    assert naming.named_by_cosine({"a": 0.24}, 100) is None


class Warped(nn.Module):
    """A first layer that is called linear and is not, or takes a changed z."""

    def __init__(self, changed):
        super().__init__()
        self.changed = changed
        self.first = nn.PReLU()
        self.linear = nn.Linear(8, 3072)

    def forward(self, z):
        seen = self.linear(z / z.norm(dim=1, keepdim=True)) if self.changed else self.first(z)
        seen = seen if self.changed else self.linear(seen)
        return torch.tanh(seen).view(-1, 3, 32, 32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "pca", "n": 4, "components": 4}, "found 4 latents for 4 components, expected at"),
        ({"by": "pca", "layer": "9x9"}, "unknown layer '9x9'"),
        ({"by": "pca", "n": 10**6}, "expected at most"),
        ({"by": "sefa", "layer": "4x4"}, "--by sefa: found --layer, expected it with --by pca"),
        ({"by": "sefa", "n": 5}, "--by sefa: found --n, expected none"),
        ({"by": "sefa", "components": 9}, "found 9 components of a z of 8 numbers"),
        ({"by": "regression"}, "--by regression: found no --classifier, expected one"),
        ({"by": "regression", "n": 9, "classifier": Linear()}, "found 9 samples of 8 numbers"),
        ({"by": "guess"}, "unknown way 'guess', expected one of: pca, sefa, regression"),
        ({"reach": 0}, "reach: found 0, expected more than 0"),
    ],
)
def test_what_cannot_be_found_is_refused(session, options, message):
    with pytest.raises(InputError, match=message):
        directions.run(session, **options)


def test_more_components_than_a_layer_has_are_refused(session):
    """The 4x4 layer before its norm is linear in the 8 numbers of z."""
    found = directions.run(session, "pca", layer="4x4.linear", n=60, components=8)
    assert min(direction.share for direction in found.directions) > 1e-4
    with pytest.raises(InputError, match="found 9 components of layer '4x4.linear', expected at"):
        directions.run(session, "pca", layer="4x4.linear", n=60, components=9)


def test_a_generator_without_maps_has_no_layer_to_begin_with():
    flat = nn.Sequential(nn.Linear(8, 3072), nn.Tanh(), nn.Unflatten(1, (3, 32, 32)))
    bare = dp.Session.from_modules(generator=flat, latent=(8, "normal"), device="cpu")
    with pytest.raises(InputError, match="generator: found no layer of feature maps"):
        directions.run(bare, "pca")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (False, r"sefa: found first layer first \(PReLU\), which is not linear"),
        (True, r"sefa: found first layer linear \(Linear\), which does not take z as it is"),
    ],
)
def test_a_first_layer_without_weights_in_closed_form_is_refused(session, changed, message):
    with pytest.raises(InputError, match=message):
        directions.run(opened(session, Warped(changed)), "sefa")


def test_it_is_one_of_the_chain_and_of_the_same_bytes_twice(run, tmp_path):
    folders = []
    for name in ("a", "b"):
        out = tmp_path / name
        line = ["--out", out, "ablate", "--layer", "8x8", "--filters", "1"]
        line += ["directions", "--n", "40", "--components", "3"]
        run(*line, "turn", "--axis", "direction2", "--n", "2", "--steps", "3")
        folders.append(out)
    for path in ("directions/directions.png", "directions/directions.safetensors", "turn/turn.png"):
        assert (folders[0] / path).read_bytes() == (folders[1] / path).read_bytes()
    held = json.loads((folders[0] / "turn/result.json").read_text())
    assert held["axis"] == "along direction2"
    file = folders[0] / "directions/directions.safetensors"
    run("--out", tmp_path / "c", "turn", "--axis", f"{file}:2", "--n", "2", "--steps", "3")
    again = json.loads((tmp_path / "c/turn/result.json").read_text())
    assert again["length_of_axis"] == held["length_of_axis"]


def test_what_is_known_of_the_classifier_is_in_the_result(session):
    found = directions.run(session, "sefa", components=1, reach=0.5, classifier=Linear())
    assert found.values()["about_classifier"] == Linear.about
    assert directions.run(session, "sefa", components=1).values()["about_classifier"] is None
