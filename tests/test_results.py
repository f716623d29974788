"""Results as files: their schema, read back, shown, compared, in a notebook."""

from __future__ import annotations

import base64
import importlib
import json
import re
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import permutations
from pathlib import Path
from typing import Any

import jsonschema
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import dcgan_probe as dp
from dcgan_probe import results
from dcgan_probe.errors import InputError
from dcgan_probe.probes import sample
from dcgan_probe.report import page
from dcgan_probe.results import differences, loading
from dcgan_probe.results.result import Report
from dcgan_probe.storage import files


@dataclass(frozen=True)
class Drawn(dp.Result):
    """A result that says and draws what it is given."""

    said: str
    found: dict[str, Any]

    def values(self) -> dict[str, Any]:
        return self.found

    def draw(self, folder: Path) -> None:
        dp.figures.write_image(folder / "a&b.png", np.zeros((2, 2, 3), np.uint8))
        (folder / "more").mkdir()
        (folder / "more/table.csv").write_text("1,2")

    def __str__(self) -> str:
        return self.said


# One short line a probe; BOXES and IMAGES stand for files that the test makes.
LINES = {
    "ablate": ["--layer", "8x8", "--filters", "1"],
    "dissect": ["--boxes", "BOXES", "--n", "4"],
    "evaluate": ["--images", "IMAGES", "--n", "8"],
    "forget": ["--boxes", "BOXES"],
    "sample": ["--n", "2"],
    "visualize-d": ["--n", "12", "--k", "2"],
    "walk": ["--points", "3", "--steps", "3"],
    "turn": ["--from", "0:1", "--to", "0:2", "--n", "2", "--steps", "3"],
    "arithmetic": ["--draws", "2", "0:1 - 0:2 + 0:3"],
    "features": ["--images", "IMAGES"],
    "neighbours": ["--images", "IMAGES", "--n", "4"],
    "invert": ["--starts", "2", "--steps", "3", "IMAGE"],
}


@pytest.mark.parametrize("command", LINES)
def test_every_probes_result_is_of_the_schema(run, tmp_path, command):
    samples = dp.Session.open(tmp_path / "model.safetensors", device="cpu").sample(20)
    (tmp_path / "images").mkdir()
    for i, pixels in enumerate(dp.figures.pixels(samples)):
        dp.figures.write_image(tmp_path / f"images/{i}.png", pixels)
    files = {
        "BOXES": tmp_path / "boxes.json",
        "IMAGES": tmp_path / "images",
        "IMAGE": tmp_path / "images/0.png",
    }
    line = [files.get(word, word) for word in LINES[command]]
    run("--figure-format", "svg", command, *line)
    value = json.loads((tmp_path / "out" / command / "result.json").read_text())
    check = jsonschema.Draft202012Validator(results.schema())
    check.check_schema(results.schema())
    assert [error.message for error in check.iter_errors(value)] == []
    found = loading.load_result(tmp_path / "out" / command)
    assert found.to_dict() == value
    assert found.command == command
    assert found.changed() == {}
    on_disk = {p for p in (tmp_path / "out" / command).rglob("*") if p.is_file()}
    assert {found.folder / name for name in found.files} == on_disk - {found.path}
    # Every figure comes in every format; strips and samples are no figures.
    figures = {path.stem for path in found.pictures} - {"before", "after"}
    assert figures == {path.stem for path in found.folder.glob("*.svg")}


def test_a_result_gives_its_figures_to_matplotlib(session, tmp_path):
    result = sample.run(session, n=3)
    figure = result.figure()
    figure.savefig(tmp_path / "mine.png", dpi=100)
    result.save(tmp_path / "saved")
    mine, saved = (dp.figures.read_image(tmp_path / n) for n in ("mine.png", "saved/sheet.png"))
    assert mine.shape == saved.shape and (mine == saved).all()
    assert list(result.figures()) == ["sheet"]
    assert plt.get_fignums() == []
    with pytest.raises(InputError, match="SampleSheet: unknown figure 'a', expected one of: sheet"):
        result.figure("a")
    with pytest.raises(InputError, match=r"Drawn: found no figure"):
        Drawn(session.made_with(), "said", {}).figure()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("format",), "dcgan-probe/result/2"),
        (("made_with", "seed"), -1),
        (("made_with", "checkpoint", "sha256"), "ab"),
        (("files",), {"../x.png": "ab" * 32}),
        (("files",), {"x.png": "ab"}),
        (("summary",), None),
    ],
)
def test_the_schema_refuses_what_is_wrong(session, tmp_path, place, value):
    Drawn(session.made_with(), "said", {}).save(tmp_path / "a")
    whole = json.loads((tmp_path / "a/result.json").read_text())
    jsonschema.validate(whole, results.schema())
    inner = whole
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(whole, results.schema())


def test_a_value_cannot_take_a_name_of_the_format(session, tmp_path):
    wrong = Drawn(session.made_with(), "said", {"files": 3})
    with pytest.raises(dp.InputError, match="Drawn: found a value named 'files', expected none of"):
        wrong.save(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_loaded_result_knows_its_pictures_and_what_was_changed(session, tmp_path):
    Drawn(session.made_with(n=3), "two\nlines", {"x": 1.5}).save(tmp_path / "a")
    found = loading.load_result(tmp_path / "a/result.json")
    assert found.values == {"x": 1.5}
    assert found.made_with == session.made_with(n=3)
    assert found.pictures == (tmp_path / "a/a&b.png",)
    assert found.files["a&b.png"] == files.sha256(tmp_path / "a/a&b.png")
    assert "not as written" not in str(found)
    (tmp_path / "a/a&b.png").write_bytes(b"other")
    (tmp_path / "a/more/table.csv").unlink()
    assert found.changed() == {"a&b.png": "changed", "more/table.csv": "missing"}
    shown = str(found)
    assert shown.endswith("\n\ntwo\nlines")
    assert re.search(r"^options: +n 3$", shown, re.MULTILINE)
    assert re.search(r"^files: +a&b.png, more/ \(1 files\)$", shown, re.MULTILINE)
    assert "a&b.png (changed), more/table.csv (missing)" in shown


def test_what_is_shown_does_not_steer_the_terminal(session, tmp_path):
    Drawn(session.made_with(), "a\x1b[2Jb", {}).save(tmp_path / "a")
    assert "\x1b" not in str(loading.load_result(tmp_path / "a"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "result.json: found an empty file, expected JSON"),
        ("{", "result.json: line 1, column 2: found broken or cut-off JSON"),
        ("[]", "result.json: format: found None, expected 'dcgan-probe/result/1'"),
        ('{"format": "dcgan-probe/dedup/1"}', "format: found 'dcgan-probe/dedup/1', expected"),
        ('{"format": "dcgan-probe/result/1"}', 'found no "made_with", expected it beside'),
    ],
)
def test_a_bad_file_is_told_in_a_line(run, tmp_path, text, message):
    path = tmp_path / "result.json"
    path.write_text(text)
    for output in (run("show", path, expect=2), run("diff", path, path, expect=2)):
        assert message in output
        assert output.count("\n") == 1
    assert "none/result.json" not in run("show", tmp_path / "none", expect=2)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("made_with", "seed"), "1", 'made_with.seed: found "1", expected a whole number'),
        (("made_with", "torch"), None, "made_with.torch: found null, expected text"),
        (("made_with", "checkpoint"), [], "made_with.checkpoint: found a list of 0, expected"),
        (("made_with", "inputs"), [{"option": "--x"}], 'made_with.inputs[0]: found no "file"'),
        (("summary",), 3, "summary: found 3, expected text"),
        (("files",), {"a.png": 3}, 'files["a.png"]: found 3, expected text'),
        (("files",), {"../a.png": "ab"}, "files: found '../a.png', expected a file below"),
        (("files",), {"/etc/passwd": "ab"}, "files: found '/etc/passwd', expected a file below"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(session, tmp_path, place, value, message):
    Drawn(session.made_with(), "said", {}).save(tmp_path / "a")
    path = tmp_path / "a/result.json"
    whole = json.loads(path.read_text())
    inner = whole
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path.write_text(json.dumps(whole))
    with pytest.raises(dp.InputError, match=re.escape(message)):
        loading.load_result(path)


def test_show_prints_what_the_command_printed(run, tmp_path):
    printed = run("--seed", 2, "sample", "--n", 3).splitlines()[0]
    shown = run("show", tmp_path / "out/sample").splitlines()
    assert shown[-1] == printed == "3 samples"
    assert [line for line in shown if line.startswith("seed")] == ["seed:           2"]


def test_diff_says_what_was_run_differently_and_what_came_out(run, tmp_path):
    run("--seed", 1, "visualize-d", "--n", 12)
    (tmp_path / "out").rename(tmp_path / "a")
    run("--seed", 1, "visualize-d", "--n", 12)
    (tmp_path / "out").rename(tmp_path / "b")
    run("--seed", 2, "visualize-d", "--n", 12)
    a, b, c = (tmp_path / name / "visualize-d" for name in ("a", "b", "out"))
    assert run("diff", a, b) == "no differences\n"
    output = run("diff", a, c, expect=1)
    assert "made_with:" in output
    assert "  seed: 1 -> 2 (+1, +1 of it)" in output
    assert "values:" in output
    assert re.search(r"^  filters.png: \"[0-9a-f]{8}\" -> \"[0-9a-f]{8}\"$", output, re.MULTILINE)


def test_differences_are_those_of_the_leaves(session, tmp_path):
    one = {"x": 1, "same": [1, {"y": 2}], "list": [1, 2], "gone": None, "kind": 1, "word": "a"}
    two = {"x": 1.5, "same": [1.0, {"y": 2}], "list": [1, 3, 4], "new": 0, "kind": True}
    for name, values in (("a", one), ("b", {**two, "word": "b"})):
        Drawn(session.made_with(), "said", values).save(tmp_path / name)
    first, second = (loading.load_result(tmp_path / name) for name in ("a", "b"))
    found = differences.differences(first, second)
    assert {each.place: (each.a, each.b, each.change) for each in found} == {
        "x": (1, 1.5, 0.5),
        "list[1]": (2, 3, 1),
        "list[2]": (None, 4, None),
        "gone": (None, None, None),
        "new": (None, 0, None),
        "kind": (1, True, None),
        "word": ("a", "b", None),
    }
    assert {each.part for each in found} == {"values"}
    assert str(found[0]) == "x: 1 -> 1.5 (+0.5, +0.5 of it)"


def test_numbers_too_large_to_subtract_are_only_named():
    numbers = (10**400, 10**400 + 1, 1e308, -1e308, 10**300, -(10**300), 2, 1.5)
    for a, b in permutations(numbers, 2):
        found = differences.Difference("values", "x", a, b)
        large = max(abs(a), abs(b)) > 1e300
        assert found.change == (None if large else b - a)
        assert str(found).endswith(" of it)") != large
        json.dumps(found.to_dict(), allow_nan=False)


class Page(HTMLParser):
    """Text and pictures of a page, by a parser that is not ours."""

    def __init__(self, page: str):
        super().__init__()
        self.text, self.images = "", []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ("pre", "img")
        if tag == "img":
            self.images.append(dict(attrs))


def test_a_notebook_shows_a_result_with_its_pictures(session, tmp_path):
    said = "<script>alert('x')</script> & more"
    result = Drawn(session.made_with(), said, {})
    result.save(tmp_path / "a")
    loaded = loading.load_result(tmp_path / "a")
    for shown, text in ((result, said), (loaded, str(loaded))):
        page = Page(shown._repr_html_())
        assert page.text.strip() == text
        (image,) = page.images
        assert image["alt"] == "a&b.png"
        head, data = image["src"].split(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(data) == (tmp_path / "a/a&b.png").read_bytes()


def test_a_notebook_does_not_show_the_halves_of_a_picture_again(tmp_path):
    paths = [tmp_path / f"{name}.png" for name in ("ablate", "after", "before")]
    for path in paths:
        dp.figures.write_image(path, np.zeros((2, 2, 3), np.uint8))
    both, alone = (Page(results.as_html("said", some)) for some in (paths, paths[1:]))
    assert [image["alt"] for image in both.images] == ["ablate.png"]
    assert [image["alt"] for image in alone.images] == ["after.png", "before.png"]


def test_ipython_shows_the_text_where_it_has_no_html(session):
    formatters = pytest.importorskip("IPython.core.formatters", reason="comes with the docs extra")
    result = Drawn(session.made_with(), "two\nlines", {})
    shown, _ = formatters.DisplayFormatter(active_types=["text/plain", "text/html"]).format(result)
    assert shown == {"text/plain": "two\nlines", "text/html": result._repr_html_()}


def test_ipython_shows_a_figure_without_pyplot(session, tmp_path):
    formatters = pytest.importorskip("IPython.core.formatters", reason="comes with the docs extra")
    result = sample.run(session, n=3)
    shown, _ = formatters.DisplayFormatter(active_types=["image/png"]).format(result.figure())
    (tmp_path / "shown.png").write_bytes(shown["image/png"])
    result.save(tmp_path / "saved")
    mine, saved = (dp.figures.read_image(tmp_path / n) for n in ("shown.png", "saved/sheet.png"))
    assert np.array_equal(mine, saved)


@pytest.mark.parametrize(
    ("probe", "arguments", "message"),
    [
        ("sample", {"n": 0}, "n: found 0, expected at least 1"),
        ("turn", {"start": "0:1", "end": "0:2", "n": 0}, "n: found 0, expected at least 1"),
        ("turn", {"start": "0:1", "end": "0:2", "reach": 0}, "reach: found 0, expected more than"),
        ("walk", {"ways": ()}, "ways: found 0, expected at least 1"),
        ("walk", {"exemplars": 0}, "exemplars: found 0, expected at least 1"),
        ("arithmetic", {"expression": "0:1", "draws": 1}, "draws: found 1, expected at least 2"),
        ("visualize_d", {"k": 0}, "k: found 0, expected at least 1"),
        ("forget", {"boxes": None, "controls": 0}, "controls: found 0, expected at least 1"),
        ("forget", {"boxes": None, "left": 1.0}, "left: found 1, expected more than 0 and less"),
    ],
)
def test_a_script_that_asks_for_nothing_is_told_so(session, probe, arguments, message):
    run = importlib.import_module(f"dcgan_probe.probes.{probe}").run
    with pytest.raises(InputError, match=message):
        run(session, **arguments)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (float("nan"), "Drawn: a: found nan, expected a finite number or None"),
        ([1, {"b": np.float32(3)}], r"Drawn: a\[1\].b: found a float32, expected text, a number"),
        ({3, 4}, "Drawn: a: found a set, expected"),
        (Path("x"), "Drawn: a: found a PosixPath, expected"),
        ({1: 2}, "Drawn: a: found a name 1, expected text"),
    ],
)
def test_a_value_that_is_no_json_is_named_before_anything_is_drawn(session, tmp_path, value, said):
    with pytest.raises(InputError, match=said):
        Drawn(session.made_with(), "said", {"a": value}).save(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_could_not_be_read_back_is_not_written(session, tmp_path):
    @dataclass(frozen=True)
    class Links(Drawn):
        def draw(self, folder):
            (folder / "up").symlink_to("..")

    @dataclass(frozen=True)
    class Own(Drawn):
        def draw(self, folder):
            (folder / "result.json").write_text("{}")

    made = session.made_with()
    for result, said in (
        (Links(made, "said", {}), "Links: drew a link, up"),
        (Own(made, "said", {}), "Own: drew a file of the format's, result.json"),
        (Drawn({}, "said", {}), 'Drawn: made_with: found no "command"'),
    ):
        with pytest.raises(InputError, match=said):
            result.save(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_force_writes_over_results_and_over_nothing_else(session, tmp_path):
    result = Drawn(session.made_with(), "said", {})
    result.save(tmp_path / "out")
    result.save(tmp_path / "out", force=True)
    (tmp_path / "out/notes.txt").write_text("mine")
    with pytest.raises(InputError, match="out: found notes.txt, which this command did not"):
        result.save(tmp_path / "out", force=True)
    assert (tmp_path / "out/notes.txt").read_text() == "mine"


def test_a_session_of_a_script_says_how_results_are_saved(session):
    with pytest.raises(InputError, match=r"expected result.save\(FOLDER\)"):
        session.report({"a": 1})


def test_no_samples_have_the_shape_of_samples(session):
    assert session.sample(0).shape == (0, 3, 32, 32)


def test_a_result_says_with_how_many_threads_it_was_made(tmp_path, session):
    made = session.made_with()
    assert made["threads"] == torch.get_num_threads()
    results.Report(made, {"brightness": 0.5}).save(tmp_path / "new")
    assert "cpu, 1 thread" in str(results.load_result(tmp_path / "new"))
    del made["threads"]  # as older versions wrote it
    results.Report(made, {"brightness": 0.5}).save(tmp_path / "old")
    assert "thread" not in str(results.load_result(tmp_path / "old"))


def test_a_table_of_a_result_is_a_data_frame(session, tmp_path):
    pandas = pytest.importorskip("pandas")
    rows = [{"filter": f, "left": {"value": f / 2, "low": 0.0}} for f in range(3)]
    methods = {"mean": {"share": 0.5}, "one": {"share": 0.25}}
    values = {"label": "lamp", "objects": [{"filters": rows}], "methods": methods}
    result = Drawn(session.made_with(), "said", values)
    frame = result.to_frame()
    assert list(frame.columns) == ["filter", "left.value", "left.low"]
    assert frame["left.value"].tolist() == [0.0, 0.5, 1.0]
    assert result.to_frame("objects").shape == (1, 1)
    by_method = result.to_frame("methods")
    assert by_method.loc["one", "share"] == 0.25 and by_method.index.name == "methods"
    result.save(tmp_path / "a")
    pandas.testing.assert_frame_equal(loading.load_result(tmp_path / "a").to_frame(), frame)
    plain = Drawn(session.made_with(), "said", {"change": {"inside": 0.5}}).to_frame()
    assert plain.to_dict("records") == [{"change.inside": 0.5}]
    with pytest.raises(
        InputError,
        match="Drawn: unknown table 'x', expected one of: objects, objects.0.filters, methods$",
    ):
        result.to_frame("x")


def test_without_pandas_there_is_one_line(session, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match="found no package pandas, .* pip install pandas$"):
        Drawn(session.made_with(), "said", {}).to_frame()


@pytest.mark.parametrize(
    ("numbers", "texts"),
    [
        ([0.49, 0.4061], ["0.490", "0.406"]),
        ([9.994, 17.2], ["10.0", "17.2"]),
        ([1234.5, 3.21], ["1234", "3"]),
        ([0.0, 0.0], ["0.00", "0.00"]),
        ([-0.0012, 0.0001], ["-0.00120", "0.00010"]),
        ([float("nan"), 14.69, 8.62], ["nan", "14.7", "8.6"]),
    ],
)
def test_numbers_to_be_compared_have_as_many_decimals(numbers, texts):
    assert results.align_decimals(numbers) == texts


def test_a_result_of_absurd_names_and_numbers_is_no_bug(session, tmp_path):
    plain = {"score": 3, "share": {"value": 1, "low": 0, "high": 2}}
    Report(session.made_with(), plain).save(tmp_path / "a" / "one")
    path = tmp_path / "a" / "one" / "result.json"
    values = json.loads(path.read_text())
    before = loading.load_result(path)
    for name in ("a\0b", "x" * 5000):
        path.write_text(json.dumps({**values, "files": {name: "ab"}}))
        with pytest.raises(InputError, match="expected a file below its folder"):
            loading.load_result(path)
    huge = {"score": 10**400, "share": {"value": 10**400, "low": 0, "high": 2}}
    path.write_text(json.dumps({**values, **huge}))
    found = differences.differences(before, loading.load_result(path))
    assert [str(each).split(":")[0] for each in found] == ["score", "share.value"]
    assert "10000" in page.html(tmp_path / "a")
