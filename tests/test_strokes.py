"""Strokes of a brush as regions of edits, shifts of latents, and paintings of several edits."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import dcgan_probe as dp
from dcgan_probe import hooks
from dcgan_probe.edits.donors import Donors
from dcgan_probe.edits.edit import read
from dcgan_probe.edits.painting import Painting
from dcgan_probe.edits.places import PlaceEdit
from dcgan_probe.edits.shift import Shift
from dcgan_probe.edits.strokes import Stroke, weights
from dcgan_probe.errors import InputError
from dcgan_probe.storage.json_values import Value

SHA = "ab" * 32


def slowly_reached(stroke: Stroke, grid: tuple[int, int], size: int) -> np.ndarray:
    """By walking along the way in small steps."""
    limit = max(stroke.radius, np.hypot(size / grid[0], size / grid[1]) / 2)
    way = np.array(stroke.points)
    steps = [way[:1]]
    steps += [a + (b - a) * np.linspace(0, 1, 2001)[:, None] for a, b in itertools.pairwise(way)]
    inside = np.zeros(grid, bool)
    for y in range(grid[0]):
        for x in range(grid[1]):
            centre = (x + 0.5) * size / grid[1], (y + 0.5) * size / grid[0]
            near = np.hypot(*(np.concatenate(steps) - centre).T).min()
            inside[y, x] = near <= limit + 1e-6
    return inside


@pytest.mark.parametrize("grid", [(8, 8), (16, 16), (32, 32)])
def test_a_stroke_reaches_what_a_slow_walk_along_it_reaches(grid):
    rng = np.random.default_rng(0)
    for _ in range(4):
        points = tuple(map(tuple, rng.uniform(-8, 72, (rng.integers(1, 5), 2)).tolist()))
        stroke = Stroke(points, float(rng.uniform(0.3, 20)))
        np.testing.assert_array_equal(stroke.reached(grid, 64), slowly_reached(stroke, grid, 64))


def test_the_smallest_brush_takes_in_the_location_under_it():
    for x, y in ((0, 0), (63.9, 63.9), (8, 8), (31.99, 32)):
        reached = Stroke(((x, y),), 0.1).reached((8, 8), 64)
        assert reached[min(int(y / 8), 7), min(int(x / 8), 7)]


def test_strokes_add_up_and_give_back():
    a, b = Stroke(((16, 16),), 8, 0.5), Stroke(((16, 16),), 4)
    gone = Stroke(((16, 16),), 4, 0.25, restores=True)
    at = (4, 4)
    assert weights([a], (16, 16), 64)[at] == 0.5
    assert weights([a, b], (16, 16), 64)[at] == 1
    assert weights([b, a], (16, 16), 64)[at] == 1
    assert weights([a, b, gone], (16, 16), 64)[at] == 0.75
    assert weights([gone], (16, 16), 64, np.ones((16, 16)))[at] == 0.75
    whole = replace(gone, strength=1.0, radius=100.0)
    assert not weights([a, b, whole], (16, 16), 64).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"points": []}, "expected 1 to 512 points"),
        ({"points": [[1]]}, "expected x and y"),
        ({"points": [[1, float("nan")]]}, "expected a finite number"),
        ({"points": [[1, 1e9]]}, "outside of any image"),
        ({"points": [[0, 0]] * 513}, "expected 1 to 512 points"),
        ({"radius": 0}, "radius: found 0"),
        ({"strength": 1.5}, "strength: found 1.5"),
        ({"restores": 1}, "expected true or false"),
    ],
)
def test_what_is_no_stroke_is_one_line(changes, message):
    value = {"points": [[1, 2]], "radius": 3, **changes}
    with pytest.raises(InputError, match=message):
        Stroke.read(Value(value, "request"))


def brushed(**changes) -> PlaceEdit:
    strokes = (Stroke(((10.0, 12.0), (18.0, 12.0)), 4.0),)
    begin = PlaceEdit(("16x16",), SHA, fill="clone", donors=Donors(0, (70,)), strokes=strokes)
    return replace(begin, **changes)


def test_outside_of_strokes_maps_come_back_bit_for_bit(session):
    z = session.latents(3)
    before = hooks.activations(session.generator, "16x16", z)
    for edit in (brushed(), brushed(fill="smooth", donors=None), brushed(fill="mix")):
        with session.editing(edit):
            after = hooks.activations(session.generator, "16x16", z)
        inside = torch.from_numpy(edit.strokes[0].reached((16, 16), 32))
        assert torch.equal(before[..., ~inside], after[..., ~inside])
        assert (before != after)[..., inside].any(1).float().mean() > 0.9  # but where both are 0


def test_what_is_computed_near_strokes_is_what_is_computed_everywhere(session):
    """A region is cut out of the maps before it is filled; a rectangle of all of it is not."""
    from dcgan_probe.edits.filling import fill

    z = session.latents(3)
    edit = brushed(strokes=(Stroke(((10, 12), (18, 14)), 4, 0.6), Stroke(((20, 20),), 3)))
    maps = hooks.activations(session.generator, "16x16", z)
    donor = hooks.activations(session.generator, "16x16", session.latents(1, start=70))
    share = torch.from_numpy(weights(edit.strokes, (16, 16), 32)).float().expand(3, -1, -1)
    logit = torch.logit(share).clamp(-12, 12)
    logit[share == 0] = -torch.inf
    wanted = fill(maps, logit, donor.expand_as(maps), "clone")
    with session.editing(edit):
        found = hooks.activations(session.generator, "16x16", z)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)


def test_a_restored_stroke_is_none(session):
    z = session.latents(2)
    gone = brushed(strokes=(*brushed().strokes, Stroke(((14, 12),), 20, restores=True)))
    with session.editing(gone):
        found = session.generate(z)
    assert torch.equal(found, session.generate(z))


def test_an_edit_at_an_earlier_layer_acts_through_one_that_is_older(session):
    z = session.latents(2)
    with session.editing(brushed(), dp.Selection("8x8", (0, 1, 2), SHA)):
        both = hooks.activations(session.generator, "16x16", z)
    with session.editing(dp.Selection("8x8", (0, 1, 2), SHA)):
        alone = hooks.activations(session.generator, "16x16", z)
    outside = torch.from_numpy(~brushed().strokes[0].reached((16, 16), 32))
    assert torch.equal(both[..., outside], alone[..., outside])


def test_donors_are_drawn_without_edits_of_regions_and_with_those_of_filters(session):
    everywhere = brushed(strokes=(Stroke(((16, 16),), 100),), donors=Donors(0, (71,)), fill="mix")
    put = brushed(strokes=(Stroke(((16, 16),), 100),), fill="mix")
    dropped = dp.Selection("8x8", (0, 1, 2), SHA)
    z, donor = session.latents(2), session.latents(1, start=70)
    with session.editing(dropped):
        wanted = session.generate(donor)
    with session.editing(dropped, everywhere, put):
        found = session.generate(z)
    torch.testing.assert_close(found, wanted.expand_as(found), atol=2e-4, rtol=0)


def test_a_shift_moves_latents_once(session):
    vector = torch.linspace(-1, 1, 8)
    shift = Shift(tuple(vector.tolist()), SHA)
    z = session.latents(3)
    wanted = session.generate(z + vector)
    with session.editing(shift):
        assert torch.equal(session.generate(z), wanted)
    # An edit that looks ahead runs the generator twice.
    seen = brushed(layers=("8x8", "16x16"))
    with session.editing(seen):
        wanted = session.generate(z + vector)
    with session.editing(shift, seen):
        assert torch.equal(session.generate(z), wanted)
    with (
        pytest.raises(InputError, match="found 3 numbers, expected 8"),
        session.editing(Shift((1.0, 2.0, 3.0), SHA)),
    ):
        pass


def painting() -> Painting:
    return Painting(
        (
            Shift((0.25,) * 8, SHA, {"sample": "0:0"}),
            dp.Selection("8x8", (1, 2), SHA, gains=(2.0, 2.0)),
            brushed(),
            brushed(fill="smooth", donors=None, strokes=(Stroke(((20, 20),), 4, 0.5),)),
            brushed(where=(4, 4, 12, 12), moved=(4, 0), strokes=()),
        ),
        SHA,
    )


def test_a_painting_is_its_edits_one_after_the_other(session, tmp_path):
    own = painting()
    own.write(tmp_path / "painting.json")
    again = read(tmp_path / "painting.json")
    assert again == own
    assert (
        json.loads((tmp_path / "painting.json").read_text())["format"] == "dcgan-probe/painting/1"
    )
    with session.editing(*own.edits):
        wanted = session.sample(5)
    with session.editing(again):
        assert torch.equal(session.sample(5), wanted)
        assert str(session.edits[0]) == "painting.json of 5 edits"
    assert own.layers == ("8x8", "16x16")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda v: v["edits"][0].update(format="x"), r"edits\[0\].format: found \"x\""),
        (lambda v: v["edits"][1].update(checkpoint="cd" * 32), "found cdcdcdcd, expected abababab"),
        (lambda v: v["edits"][2].update(strokes=[{"points": [[1, 2]]}]), r"strokes\[0\]"),
        (lambda v: v.update(edits=3), "expected a list"),
        (lambda v: v.pop("about"), 'found no "about"'),
    ],
)
def test_what_is_wrong_with_a_painting_is_one_line(tmp_path, damage, message):
    value = painting().to_dict()
    damage(value)
    path = tmp_path / "painting.json"
    path.write_text(json.dumps(value))
    with pytest.raises(InputError, match=message):
        read(path)
