"""A selection is a file that another command line takes up again."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import dcgan_probe as dp
from dcgan_probe.errors import InputError

SHA = "ab" * 32
SELECTION = dp.Selection("8x8", (1, 5), SHA, {"rule": "weight > 0"})
EVERYTHING = dp.Selection(
    "8x8", (1, 5), SHA, {}, gains=(0.5, 2.0), values=(0.0, -1.25), where=(4, 0, 20.5, 32)
)


@pytest.mark.parametrize("selection", [SELECTION, EVERYTHING])
def test_round_trip(tmp_path, selection):
    selection.write(tmp_path / "selection.json")
    assert dp.Selection.read(tmp_path / "selection.json") == selection


def test_a_file_of_dropped_filters_is_as_it_was_before_there_were_other_edits(tmp_path):
    SELECTION.write(tmp_path / "selection.json")
    before = {"format": "dcgan-probe/selection/1", "layer": "8x8", "filters": [1, 5]}
    before |= {"checkpoint": SHA, "about": {"rule": "weight > 0"}}
    assert (tmp_path / "selection.json").read_text() == json.dumps(before, indent=1) + "\n"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"format": "other"}, "format: found 'other', expected 'dcgan-probe/selection/1'"),
        ({"filters": 3}, "filters: found 3, expected a list"),
        ({"filters": [1, "x"]}, r'filters\[1\]: found "x", expected a whole number from 0 to \d+'),
        ({"filters": [True]}, r"filters\[0\]: found true, expected a whole number from 0 to \d+"),
        ({"filters": [-1]}, r"filters\[0\]: found -1, expected a whole number from 0 to \d+"),
        ({"filters": [1, 5, 1]}, r"filters\[2\]: found 1, expected each filter once"),
        ({"layer": None}, "layer: found null, expected text"),
        ({"about": []}, "about: found a list of 0, expected an object"),
        ({"gains": [1]}, "gains: found a list of 1, expected 2 numbers, one for each filter"),
        ({"values": [1, float("nan")]}, r"values\[1\]: found NaN, expected a finite number"),
        ({"gains": [0.5, "1"]}, r'gains\[1\]: found "1", expected a number'),
        ({"where": [1, 2, 3]}, "where: found a list of 3, expected four numbers x0, y0, x1, y1"),
        (
            {"where": [9, 2, 3, 4]},
            "where: found 9,2,3,4, expected x0,y0,x1,y1 with 0 <= x0 < x1 .*",
        ),
        ({"where": [-1, 2, 3, 4]}, "where: found -1,2,3,4, expected x0,y0,x1,y1 with 0 <= x0 .*"),
        ({"where": [0, 0, float("inf"), 4]}, r"where\[2\]: found Infinity, expected a finite .*"),
    ],
)
def test_a_file_with_something_wrong_names_it(tmp_path, change, found):
    path = tmp_path / "selection.json"
    SELECTION.write(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=f"^{path}: {found}$"):
        dp.Selection.read(path)


def test_an_edit_from_a_script_is_checked_as_one_of_a_file_is():
    with pytest.raises(
        InputError, match="^selection: gains: found a list of 1, expected 2 numbers"
    ):
        dp.Selection("8x8", (1, 5), SHA, gains=(1.0,))


@pytest.mark.parametrize(
    "filters",
    [
        np.array([1, 5]),
        torch.tensor([1, 5]),
        list(torch.tensor([1, 5])),
        tuple(np.array([1, 5])),
        range(1, 9, 4),
    ],
)
def test_filters_may_be_numbers_of_numpy_and_torch(filters):
    edit = dp.Selection("8x8", filters, SHA, gains=np.array([0.5, 2]), values=torch.ones(2))
    assert edit == dp.Selection("8x8", (1, 5), SHA, gains=(0.5, 2.0), values=(1.0, 1.0))
    assert json.loads(json.dumps(edit.to_dict()))["filters"] == [1, 5]


@pytest.mark.parametrize("filters", [np.array([True, False]), torch.tensor([1.5]), "15"])
def test_masks_and_fractions_are_no_filters(filters):
    with pytest.raises(InputError, match="^selection: filters"):
        dp.Selection("8x8", filters, SHA)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "2 filters of 8x8 dropped"),
        ({"filters": (3,)}, "1 filter of 8x8 dropped"),
        ({"gains": (0.5, 0.5)}, "2 filters of 8x8 at 0.5"),
        ({"gains": (0.0, 0.75)}, "2 filters of 8x8 at 0 to 0.75"),
        ({"values": (1.0, 2.5)}, "2 filters of 8x8 replaced by 1 to 2.5"),
        (
            {"values": (1.0, 2.5), "about": {"replaced_by": "their mean"}},
            "2 filters of 8x8 replaced by their mean",
        ),
        ({"gains": (2.0, 2.0), "values": (1.0, 1.0)}, "2 filters of 8x8 at 2 around 1"),
        ({"where": (10, 8, 30.5, 25)}, "2 filters of 8x8 dropped inside 10,8,30.5,25"),
    ],
)
def test_an_edit_in_a_few_words(given, words):
    assert (
        str(dp.Selection(**({"layer": "8x8", "filters": (1, 5), "checkpoint": SHA} | given)))
        == words
    )


@pytest.mark.parametrize("text", ["", "{", "[1]", "<html>", "[" * 100_000])
def test_a_file_that_is_none_is_refused(tmp_path, text):
    path = tmp_path / "selection.json"
    path.write_text(text)
    with pytest.raises(InputError, match=f"^{path}: .*found .*expected"):
        dp.Selection.read(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.json: found no such file"):
        dp.Selection.read(tmp_path / "none.json")


def test_an_edit_is_in_force_inside_the_with_and_gone_after(session):
    plain = session.sample(3)
    with session.editing(SELECTION):
        assert session.edits == [SELECTION]
        edited = session.sample(3)
        assert "2 filters of 8x8 dropped" in session.caption()
        assert session.made_with()["edits"] == [{"layer": "8x8", "filters": [1, 5]}]
    assert (edited != plain).any()
    assert (session.sample(3) == plain).all()
    assert session.edits == []


def test_what_is_recorded_of_an_edit_makes_it_again(session):
    with session.editing(EVERYTHING):
        edited = session.sample(3)
        (recorded,) = session.made_with()["edits"]
        assert "2 filters of 8x8 at 0.5 to 2 around" in session.caption()
    recorded = json.loads(json.dumps(recorded))
    with session.editing(dp.Selection(**recorded, checkpoint=SHA)):
        assert (session.sample(3) == edited).all()


def test_a_region_is_the_cells_whose_centre_lies_in_it(session):
    edit = dp.Selection("8x8", (2,), SHA, values=(9.0,), where=(6, 3, 16, 32))
    with session.editing(edit), dp.hooks.record(session.generator, "8x8") as seen:
        session.sample(2)
    centres = torch.arange(8) * 4 + 2
    x, y = (centres >= 6) & (centres < 16), (centres >= 3) & (centres < 32)
    inside = y[:, None] & x
    assert 0 < inside.sum() < 64
    assert torch.equal(seen["8x8"][:, 2] == 9, inside.expand(2, -1, -1))


def test_an_edit_is_gone_after_an_exception(session):
    plain = session.sample(2)
    with pytest.raises(KeyError), session.editing(SELECTION):
        raise KeyError
    assert (session.sample(2) == plain).all()


def test_edits_for_good_compose_until_the_session_closes(session):
    plain = session.sample(2)
    session.edit(SELECTION)
    session.edit(dp.Selection("16x16", (0,), "ab" * 32))
    assert len(session.edits) == 2
    both = session.sample(2)
    assert (both != plain).any()
    session.close()
    assert (session.sample(2) == plain).all()
    assert session.edits == []


def test_undo_lifts_the_last_edit_and_no_other(session):
    plain = session.sample(2)
    other = dp.Selection("16x16", (0,), SHA)
    session.edit(SELECTION)
    first = session.sample(2)
    session.edit(other)
    session.edit(SELECTION)
    assert session.edits == [SELECTION, other, SELECTION]
    assert session.undo() is SELECTION
    assert session.edits == [SELECTION, other]
    assert session.undo() is other
    assert (session.sample(2) == first).all()
    session.undo()
    assert (session.sample(2) == plain).all()
    with pytest.raises(InputError, match="^undo: found no active edit, expected one$"):
        session.undo()


def test_undo_leaves_alone_what_is_in_force_inside_of_a_with(session):
    other = dp.Selection("16x16", (0,), SHA)
    session.edit(other)
    with session.editing(SELECTION):
        assert session.undo() is other
        assert session.edits == [SELECTION]
    assert session.edits == []


def test_two_edits_of_one_layer_compose_in_their_order(session):
    high = dp.Selection("8x8", (1,), SHA, values=(3.0,))
    half = dp.Selection("8x8", (1,), SHA, gains=(0.5,))
    for order, expected in (((high, half), 1.5), ((half, high), 3.0)):
        with session.editing(*order), dp.hooks.record(session.generator, "8x8") as seen:
            session.sample(2)
        assert (seen["8x8"][:, 1] == expected).all()


def test_units_of_a_layer_without_places_can_be_edited(session):
    plain = session.sample(2)
    with session.editing(dp.Selection("4x4.linear", tuple(range(16)), SHA)):
        assert (session.sample(2) != plain).any()


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (
            dp.Selection("8x8", (0,), "cd" * 32),
            r"found filters of checkpoint cdcdcdcd, expected .*abab",
        ),
        (dp.Selection("9x9", (0,), "ab" * 32), "unknown layer '9x9', expected one of: 4x4, 8x8"),
        (dp.Selection("8x8", (0, 99), "ab" * 32), "layer '8x8': found filter 99, expected 0 to 7"),
        (
            dp.Selection("8x8", (0,), SHA, where=(0, 0, 40, 8)),
            "^region 0,0,40,8: found x1 = 40, expected at most 32, the width of the image$",
        ),
        (
            dp.Selection("8x8", (0,), SHA, where=(0, 0, 8, 33), source="a.json"),
            "^a.json: region 0,0,8,33: found y1 = 33, expected at most 32, the height of the",
        ),
        (
            dp.Selection("4x4", (0,), SHA, where=(8, 8, 12, 12)),
            "^region 8,8,12,12: found no location of layer '4x4' with its centre inside, expected "
            "layer 8x8, the coarsest that has one$",
        ),
        (
            dp.Selection("4x4", (0,), SHA, where=(8, 8, 8.2, 8.2)),
            "^region 8,8,8.2,8.2: found no location of layer '4x4' .*, expected a larger one$",
        ),
        (
            dp.Selection("4x4.linear", (0,), SHA, where=(0, 0, 8, 8)),
            "^region 0,0,8,8: layer '4x4.linear': found values without places, expected maps$",
        ),
    ],
)
def test_a_selection_that_does_not_fit_is_refused_at_once(session, selection, message):
    plain = session.sample(2)
    with pytest.raises(InputError, match=message):
        session.edit(selection)
    assert session.edits == []
    assert (session.sample(2) == plain).all()
