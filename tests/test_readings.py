"""What each probe brings to the report: found beside its command, with every number it names."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import strangers

import dcgan_probe as dp
from dcgan_probe import plugins
from dcgan_probe.errors import InputError
from dcgan_probe.report import page
from dcgan_probe.report.reading import Reading, discover, interpret, key_numbers

NO_RESULT = {"label", "paint", "report"}  # commands that answer without a folder of results
SUM = "smiling_long - neutral_long + neutral_short"
# Lines with options other than the defaults, and the key numbers that each leaves out. BOXES and
# IMAGES stand for files that the test makes; of two runs of a probe the last is read.
LINES: dict[str, list[tuple[list[str], set[str]]]] = {
    "ablate": [
        (["--layer", "8x8", "--filters", "1-3", "--gain", "2"], {"inside", "outside", "lifted"}),
        (
            ["--layer", "8x8", "--filters", "1-3", "--where", "8,8,20,20"],
            {"mean change", "lifted"},
        ),
        (
            ["--layer", "8x8", "--filters", "1", "ablate", "--undo"],
            {"mean change", "inside", "outside"},
        ),
    ],
    "arithmetic": [(["--exemplars", "5", "--draws", "4", "--classifier", "faces", SUM], set())],
    "concepts": [
        (["--classifier", "faces", "--n", "40", "--shows", "smile", "suggest", "x"], set())
    ],
    "directions": [(["--by", "sefa", "--components", "3", "--reach", "2"], set())],
    "dissect": [(["--boxes", "BOXES", "--n", "4", "--layer", "16x16", "--top", "2"], set())],
    "evaluate": [(["--images", "IMAGES", "--n", "8"], set())],
    "features": [
        (["--images", "IMAGES", "--labels", "folders", "--grid", "2", "--c", "1"], set()),
    ],
    "forget": [
        (
            ["--boxes", "BOXES", "--select", "top", "--k", "2", "--replace", "mean"]
            + ["--layer", "16x16", "--judge", "boxes", "--controls", "2", "--n", "16"],
            set(),
        ),
    ],
    "invert": [(["--starts", "2", "--steps", "3", "--name", "mine", "IMAGE"], set())],
    "neighbours": [
        (["--images", "IMAGES", "--held-out", "OTHERS", "--n", "20"], set()),
        (
            ["--images", "IMAGES", "--held-out", "OTHERS", "--n", "20", "--in", "pixels"],
            {"in features"},
        ),
    ],
    "put": [
        (
            ["--boxes", "BOXES", "--at", "16,12,32,32", "--layer", "16x16", "--fill", "clone"]
            + ["--judge", "boxes", "--n", "16"],
            set(),
        ),
    ],
    "sample": [(["--n", "3", "--numbered"], set())],
    "turn": [(["--from", "0:1", "--to", "0:2", "--n", "2", "--steps", "3", "--reach", "2"], set())],
    "visualize-d": [
        (["--n", "12", "--k", "2", "--filters", "0-3", "--rule", "strict"], set()),
    ],
    "walk": [
        (["--points", "3", "--steps", "4", "--way", "linear"], {"mean step, spherical"}),
        (["--points", "3", "--steps", "4", "--way", "spherical"], {"mean step, linear"}),
    ],
}
FACES = {"arithmetic", "concepts"}  # they need a classifier of what the samples show


def probes() -> dict[str, Reading | None]:
    found = plugins.find(only_ours=True)
    return {name: discover(point.module) for name, (point,) in found.items()}


def test_every_probe_brings_its_reading():
    assert {name for name, reading in probes().items() if reading is None} == NO_RESULT
    assert set(LINES) == set(probes()) - NO_RESULT


@pytest.mark.parametrize(
    ("probe", "line", "left_out"),
    [(probe, *case) for probe, cases in LINES.items() for case in cases],
)
def test_every_key_number_is_there(run, tmp_path, monkeypatch, probe, line, left_out):
    monkeypatch.setattr("dcgan_probe.probes.arithmetic.trials.POOL", 600)
    samples = dp.Session.open(tmp_path / "model.safetensors", device="cpu").sample(60)
    pixels = dp.figures.pixels(samples)
    for name, first in (("images/a", 0), ("images/b", 20), ("others", 40)):
        (tmp_path / name).mkdir(parents=True)
        for i, image in enumerate(pixels[first : first + 20]):
            dp.figures.write_image(tmp_path / name / f"{i}.png", image)
    files = {
        "BOXES": tmp_path / "boxes.json",
        "IMAGES": tmp_path / "images",
        "IMAGE": tmp_path / "images/a/0.png",
        "OTHERS": tmp_path / "others",
    }
    model = ["--model", "faces"] if probe in FACES else []
    run(*model, probe, *(files.get(word, word) for word in line))
    *_, folder = sorted(path.parent for path in (tmp_path / "out").glob("*/result.json"))
    values = json.loads((folder / "result.json").read_text())
    reading = probes()[probe]
    assert reading is not None
    numbers = dict(key_numbers(reading, values))
    assert reading.key.keys() - numbers.keys() == left_out
    assert all(numbers.values())
    assert reading.finding is not None and reading.finding(values)
    assert reading.finding({"images": []}) != ""  # of another version: no exception


@pytest.mark.parametrize("probe", LINES)
def test_each_key_number_is_there_on_one_of_the_lines(probe):
    reading = probes()[probe]
    assert reading is not None
    assert not set(reading.key).intersection(*(left_out for _, left_out in LINES[probe]))


def test_each_way_to_forget_has_its_own_reading():
    left = {"area_left": {"value": 0.1, "low": 0.0, "high": 0.2}}
    filters = interpret("forget", {"fresh_samples": [{"chosen": left, "random": left}]}, [])
    places = {"by": "places", "fresh_samples": [{"erased": left, "random": left}]}
    erased = interpret("forget", places, [])
    assert filters.reading is not None and erased.reading is not None
    assert "filter" not in erased.reading.how + erased.reading.doubt
    assert "as many random filters" in filters.reading.how
    assert [heading for heading, _ in filters.key][-1] == "area left by random filters"
    assert [heading for heading, _ in erased.key][-1] == "area left at other samples' places"


BRIGHT = """
from dcgan_probe.report.charts import Chart, Mark
from dcgan_probe.report.reading import Reading

def charts(values, selections):
    yield Chart("A chart", "x", "y", (Mark(0, values["brightness"], "the mark"),))

READING = Reading("How to read bright.", "When to doubt bright.",
                  {"twice": lambda values: 2 * values["brightness"], "plain": "brightness"},
                  {"bright": "what is on it"}, charts)
"""


@pytest.fixture
def site(tmp_path, monkeypatch) -> Path:
    """A folder of installed packages; what is imported from it is forgotten."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if name.startswith("bright_"):
            del sys.modules[name]


def html(tmp_path: Path) -> str:
    folder = tmp_path / "results/bright"
    folder.mkdir(parents=True)
    whole = {"format": "dcgan-probe/result/1", "made_with": {"command": "bright"}}
    (folder / "result.json").write_text(json.dumps(whole | {"brightness": 0.25}))
    return page.html(tmp_path / "results")


@pytest.mark.parametrize(
    ("modules", "target"),
    [
        ({"bright_a.py": strangers.PROBE + BRIGHT}, "bright_a:probe"),
        (
            {"bright_b/__init__.py": "", "bright_b/command.py": strangers.PROBE}
            | {"bright_b/reading.py": BRIGHT},
            "bright_b.command:probe",
        ),
    ],
)
def test_another_packages_reading_is_found(site, tmp_path, modules, target):
    strangers.install(site, "stranger", modules, bright=target)
    text = html(tmp_path)
    for said in ("How to read bright.", "When to doubt bright.", "twice", "0.5", "the mark"):
        assert said in text


def test_a_probe_without_a_reading_is_shown_with_its_summary(site, tmp_path):
    strangers.install(site, "stranger", {"bright_c.py": strangers.PROBE}, bright="bright_c:probe")
    text = html(tmp_path)
    assert "Mean brightness of n samples." in text
    assert "How to read it" not in text
    assert "Doubt:" not in text and "Known doubts" not in text


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("raise SystemExit('no GPU')", "bright_d: cannot be imported: SystemExit: no GPU"),
        ("READING = 3", "bright_d.READING: found int, expected a Reading"),
        (
            BRIGHT.replace('"plain": ', '"none": lambda values: values["gone"], "plain": '),
            "KeyError",
        ),
        (BRIGHT.replace('values["brightness"], "the', 'float("nan"), "the'), "ValueError"),
        (BRIGHT.replace('(Mark(0, values["brightness"], "the mark"),)', "()"), "ValueError"),
    ],
)
def test_a_broken_reading_of_another_package_costs_only_itself(site, tmp_path, source, fault):
    strangers.install(
        site, "stranger", {"bright_d.py": strangers.PROBE + source}, bright="bright_d:probe"
    )
    text = html(tmp_path)
    assert "0.25" in text
    assert "Doubt:" in text
    assert "reading of stranger: " in text
    assert fault in text
    assert "How to read it" not in text


def test_what_goes_wrong_in_a_reading_that_ships_is_raised(monkeypatch):
    broken = Reading("", "", {"gone": lambda values: values["gone"]})
    monkeypatch.setattr("dcgan_probe.probes.sample.READING", broken)
    with pytest.raises(KeyError):
        interpret("sample", {}, [])


def test_a_command_that_is_not_installed_has_no_reading():
    assert interpret("gone", {}, []).reading is None
    with pytest.raises(InputError, match="nowhere_to_be.reading: cannot be imported"):
        discover("nowhere_to_be.found")
