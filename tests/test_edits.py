"""A selection is a file that another command line takes up again."""

from __future__ import annotations

import json

import pytest

import dcgan_probe as dp
from dcgan_probe.errors import InputError

SELECTION = dp.Selection("8x8", (1, 5), "ab" * 32, {"rule": "weight > 0"})


def test_round_trip(tmp_path):
    SELECTION.write(tmp_path / "selection.json")
    assert dp.Selection.read(tmp_path / "selection.json") == SELECTION


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"format": "other"}, "format: found 'other', expected 'dcgan-probe/selection/1'"),
        ({"filters": 3}, "filters: found int, expected list"),
        ({"filters": [1, "x"]}, r"filters\[1\]: found 'x', expected a filter number"),
        ({"filters": [True]}, r"filters\[0\]: found True, expected a filter number"),
        ({"filters": [-1]}, r"filters\[0\]: found -1, expected a filter number"),
        ({"layer": None}, "layer: found NoneType, expected str"),
    ],
)
def test_a_file_with_something_wrong_names_it(tmp_path, change, found):
    path = tmp_path / "selection.json"
    SELECTION.write(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=f"^{path}: {found}$"):
        dp.Selection.read(path)


@pytest.mark.parametrize("text", ["", "{", "[1]", "<html>", "[" * 100_000])
def test_a_file_that_is_none_is_refused(tmp_path, text):
    path = tmp_path / "selection.json"
    path.write_text(text)
    with pytest.raises(InputError, match=f"^{path}: .*found .*expected"):
        dp.Selection.read(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.json: cannot be read: No such file"):
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


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (
            dp.Selection("8x8", (0,), "cd" * 32),
            r"found filters of checkpoint cdcdcdcd, expected .*abab",
        ),
        (dp.Selection("9x9", (0,), "ab" * 32), "unknown layer '9x9', expected one of: 4x4, 8x8"),
        (dp.Selection("8x8", (0, 99), "ab" * 32), "layer '8x8': found filter 99, expected 0 to 7"),
    ],
)
def test_a_selection_that_does_not_fit_is_refused_at_once(session, selection, message):
    plain = session.sample(2)
    with pytest.raises(InputError, match=message):
        session.edit(selection)
    assert session.edits == []
    assert (session.sample(2) == plain).all()
