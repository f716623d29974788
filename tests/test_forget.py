"""forget is the paper's section 6.3.1, checked against the same written out another way."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import dcgan_probe as dp
from dcgan_probe.errors import InputError
from dcgan_probe.probes import forget
from dcgan_probe.probes._regression import cells_of, fit, held_out_accuracy, maps_of


@pytest.fixture(scope="module")
def rooms() -> dp.Session:
    return dp.Session.open("rooms", device="cpu")


@pytest.fixture(scope="module")
def result(rooms):
    return forget.run(rooms, dp.Boxes.read(forget.shipped_boxes(rooms)), controls=4)


def boxes(n: int = 6, **changes) -> dp.Boxes:
    drawn = tuple(dp.Box(i, "window", 4, 4, 20, 24) for i in range(n))
    given = {"seed": 0, "checkpoint": "ab" * 32, "source": "windows.json"} | changes
    return dp.Boxes(drawn, tuple(range(8)), (32, 32), **given)


def test_weights_are_those_of_scikit_learn_on_the_places_that_the_paper_names(session):
    drawn = boxes()
    found = forget.run(session, drawn, layer="8x8", controls=1)
    with torch.no_grad():
        maps = session.generator[1](session.generator[0](session.latents(8, seed=0))).numpy()
    inside = drawn.mask((8, 8))
    rng = np.random.default_rng(session.seed)
    rows, targets = [], []
    for i in range(6):
        places = [(y, x) for y in range(8) for x in range(8)]
        ins = [p for p in places if inside[(i, *p)]]
        outs = np.array([k for k, p in enumerate(places) if not inside[(i, *p)]])
        outs = [places[k] for k in rng.choice(outs, len(ins), replace=False)]
        rows += [maps[i, :, y, x] for y, x in ins + outs]
        targets += [1] * len(ins) + [0] * len(outs)
    expected = LogisticRegression(max_iter=1000).fit(np.array(rows), targets).coef_[0]
    np.testing.assert_allclose(found.weights, expected, rtol=1e-3, atol=1e-4)
    assert found.selection.filters == tuple(np.flatnonzero(expected > 0))
    assert found.cells == 6 * 20


def test_a_filter_that_lights_up_in_boxes_is_found_and_held_out():
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(20, 5, 8, 8)).astype(np.float32)
    inside = np.zeros((20, 8, 8), bool)
    inside[:, 2:5, 2:5] = True
    maps[:, 3][inside] += 4
    maps[:, 1][inside] -= 4
    cells = cells_of(maps, inside, seed=0)
    assert len(cells.inside) == 2 * inside.sum()
    assert cells.inside.mean() == 0.5
    weights = fit(cells.activations, cells.inside).weights
    assert weights.argmax() == 3
    assert weights.argmin() == 1
    assert min(held_out_accuracy(cells)) > 0.95


def test_accuracy_on_noise_is_chance_because_it_is_held_out():
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(20, 300, 4, 4)).astype(np.float32)
    inside = np.zeros((20, 4, 4), bool)
    inside[:, :2] = True
    cells = cells_of(maps, inside, seed=0)
    model = fit(cells.activations, cells.inside)
    assert ((model.logit(cells.activations) > 0) == cells.inside).mean() > 0.9
    assert 0.4 < np.mean(held_out_accuracy(cells)) < 0.6


def test_places_outside_come_from_the_same_images():
    maps = np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1) * np.ones((4, 1, 4, 4), np.float32)
    inside = np.zeros((4, 4, 4), bool)
    inside[[1, 3], 0] = True
    cells = cells_of(maps, inside, seed=0)
    assert cells.activations[:, 0].tolist() == cells.images.tolist()
    for i in (1, 3):
        assert cells.inside[cells.images == i].sum() == 4
        assert (~cells.inside[cells.images == i]).sum() == 4


def test_the_change_is_that_of_the_edit_in_force(session):
    drawn = boxes()
    found = forget.run(session, drawn, layer="8x8", controls=2)
    z = session.latents(8, seed=0)
    before = session.generate(z)
    with session.editing(found.selection):
        difference = (session.generate(z) - before).abs().mean(dim=1).numpy()
    inside = drawn.mask((32, 32))
    assert found.change.inside == pytest.approx(difference[inside].mean(), rel=1e-4)
    assert found.change.outside == pytest.approx(difference[~inside].mean(), rel=1e-4)
    assert len({change.inside for change in found.random}) == 2


def test_new_samples_are_none_that_boxes_were_drawn_on(session):
    found = forget.run(session, boxes(), controls=1)
    new = dp.figures.pixels(session.generate(session.latents(forget.SHOWN, start=8)))
    assert np.array_equal(found.pictures.before, new)
    assert "samples 8 to 19 of seed 0" in found.pictures.fresh


def test_latents_of_a_file_are_those_of_the_seed(session, tmp_path):
    np.save(tmp_path / "z.npy", session.latents(8, seed=0).numpy())
    by_seed = forget.run(session, boxes(), controls=1)
    in_file = boxes(seed=None, latents="z.npy", source=str(tmp_path / "windows.json"))
    by_file = forget.run(session, in_file, controls=1)
    assert np.array_equal(by_seed.weights, by_file.weights)


def test_without_a_shape_that_fits_latents_are_refused(session, tmp_path):
    np.save(tmp_path / "z.npy", np.zeros((8, 3), np.float32))
    in_file = boxes(seed=None, latents="z.npy", source=str(tmp_path / "windows.json"))
    with pytest.raises(InputError, match=r"z\.npy: found float32 \(8, 3\), expected float32 N x 8"):
        forget.run(session, in_file)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"checkpoint": "cd" * 32}, {}, "cdcdcdcd"),
        ({}, {"label": "door"}, "window"),
        ({}, {"layer": "9x9"}, "unknown layer '9x9'"),
        ({}, {"layer": "4x4.linear"}, "layer '4x4.linear': found 1-d values, expected maps"),
    ],
)
def test_what_does_not_fit_is_refused(session, changes, options, message):
    with pytest.raises(InputError, match=message):
        forget.run(session, boxes(**changes), **options)


def test_boxes_that_hold_no_place_or_all_of_them_are_refused(session):
    small = replace(boxes(), boxes=(dp.Box(0, "window", 1, 1, 3, 3),))
    with pytest.raises(InputError, match="windows.json: layer '4x4': found no place inside a box"):
        forget.run(session, small, layer="4x4")
    whole = replace(boxes(), boxes=(dp.Box(0, "window", 0, 0, 32, 32),))
    with pytest.raises(InputError, match="layer '4x4': found no place outside the boxes"):
        forget.run(session, whole, layer="4x4")


def test_boxes_between_the_cells_are_counted(session):
    drawn = (*boxes().boxes, dp.Box(0, "window", 1, 1, 3, 3))
    found = forget.run(session, replace(boxes(), boxes=drawn), layer="4x4", controls=1)
    assert found.unresolved == 1
    assert "1 of 7 boxes hold no cell of this layer" in str(found)


def test_a_regression_that_did_not_converge_says_so_at_the_top(session, monkeypatch):
    monkeypatch.setattr("dcgan_probe.probes._regression.MAX_ITERATIONS", 1)
    found = forget.run(session, boxes(), controls=1)
    assert not found.converged
    assert str(found).startswith("THE REGRESSION DID NOT CONVERGE")


def test_no_hook_is_left_on_the_generator(session):
    forget.run(session, boxes(), controls=1)
    assert not any(part._forward_hooks for part in session.generator.modules())


def test_what_ships_has_at_least_52_boxes_on_150_samples(rooms):
    shipped = dp.Boxes.read(forget.shipped_boxes(rooms))
    assert shipped.n == 150
    assert len(shipped.boxes) >= 52
    shipped.check(rooms.checkpoint.sha256)


def test_windows_of_the_rooms_are_where_the_filters_change_most(rooms, result):
    """A weak claim on purpose: inside more than outside, by more than the mean random set."""
    ratio = result.change.inside / result.change.outside
    random = [change.inside / change.outside for change in result.random]
    assert ratio > 2
    assert ratio > np.mean(random)
    assert min(result.accuracy) > 0.8


def test_a_saved_result_is_whole(result, tmp_path):
    result.save(tmp_path / "forget")
    assert {p.name for p in (tmp_path / "forget").iterdir()} == {
        "forget.png",
        "where.png",
        "selection.json",
        "result.json",
    }
    saved = json.loads((tmp_path / "forget/result.json").read_text())
    assert saved["filters_dropped"] == len(result.selection.filters)
    assert dp.Selection.read(tmp_path / "forget/selection.json") == result.selection


def test_the_second_highest_convolution_layer():
    assert forget.default_layer(dp.Config(size=64)) == "16x16"
    assert forget.default_layer(dp.Config(size=32)) == "8x8"
    assert forget.default_layer(dp.Config(size=16)) == "8x8"


def test_maps_stream_in_batches(session):
    z = session.latents(70)
    with torch.no_grad():
        whole = session.generator[1](session.generator[0](z))
    torch.testing.assert_close(maps_of(session, z, "8x8"), whole)
