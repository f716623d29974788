"""The command as a user meets it: help, chains, mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import click
import cv2
import numpy as np
import pytest
from click.testing import CliRunner

import dcgan_probe as dp
from dcgan_probe import plugins
from dcgan_probe.cli.group import folder_name, main
from dcgan_probe.errors import InputError
from dcgan_probe.session import choose_device
from dcgan_probe.storage import files

COMMANDS = [
    *("ablate", "arithmetic", "concepts", "convert", "dedup", "diff", "dissect", "evaluate"),
    *("features", "forget", "invert", "label", "neighbours", "new-probe", "paint", "plugins"),
    *("put", "report", "sample", "show", "train", "turn", "visualize-d", "walk"),
]


NUMBERED = ("sample", "sample-2", "sample-3")


def read(path: Path) -> dict:
    return json.loads(path.read_text())


@pytest.mark.parametrize("command", [[], *([c] for c in COMMANDS)])
def test_help_imports_nothing_heavy(command):
    code = (
        f"import sys; sys.argv = ['dcgan-probe', *{command}, '--help']\n"
        "from dcgan_probe.cli.group import main\n"
        "try: main()\n"
        "except SystemExit as end: code = end.code\n"
        "heavy = {'torch', 'captum', 'sklearn', 'matplotlib', 'cv2', 'numpy'} & set(sys.modules)\n"
        "sys.exit(code or ', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage: dcgan-probe" in done.stdout


def test_importing_the_package_costs_no_torch():
    code = (
        "import sys, dcgan_probe; sys.exit('torch' in sys.modules or dcgan_probe.__doc__ is None)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_is_there():
    assert all(getattr(dp, name) is not None for name in dp.__all__)


def test_help_lists_our_commands_with_their_first_lines():
    output = CliRunner().invoke(main, ["--help"]).output
    for command in COMMANDS:
        assert f"  {command}" in output
    assert "Make the generator forget" in output


def test_results_go_by_model_and_a_repeat_gets_a_number(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run_here(*words):
        done = CliRunner().invoke(main, ["--model", str(model), *words])
        assert done.exit_code == 0, done.output
        return done.output

    run_here("sample", "--n", "2", "sample", "--n", "3")
    folder = tmp_path / "out" / model.stem
    first = (folder / "sample/result.json").read_bytes()
    assert f"wrote out/{model.stem}/sample-3" in run_here("--report", "sample", "--n", "4")
    run_here("report")
    assert (folder / "sample/result.json").read_bytes() == first
    assert [len(read(folder / name / "result.json")["images"]) for name in NUMBERED] == [2, 3, 4]
    assert sorted(path.name for path in folder.glob("*.html")) == ["report-2.html", "report.html"]
    run_here("--force", "sample", "--n", "5")
    assert len(read(folder / "sample/result.json")["images"]) == 5


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("rooms", "rooms"),
        ("runs/netG_epoch_24.pth", "netG_epoch_24"),
        ("hub:org/bedrooms", "bedrooms"),
        ("my_gan.build:generator", "my_gan.build.generator"),
        ("out/train", "train-model"),
    ],
)
def test_the_folder_of_results_is_named_for_the_model(given, name):
    assert folder_name(given) == name


def test_options_may_stand_behind_a_fixed_number_of_arguments(run):
    refused = run("arithmetic", "left - right", "--draws", "4", "sample", expect=2)
    assert "left" in refused and "--draws" not in refused  # read, and there is no such concept
    assert "'--draws': 'x'" in run("arithmetic", "left", "--draws", "x", "sample", expect=2)


def test_h_is_help():
    assert CliRunner().invoke(main, ["sample", "-h"]).output.startswith("Usage: ")


def test_all_probes_are_listed_and_imported_when_asked_for():
    from dcgan_probe import probes

    assert {"forget", "sample", "visualize_d"} <= set(dir(probes))
    assert callable(probes.sample.run)


def test_a_session_says_what_it_is(model):
    session = dp.Session.open(model, seed=3)
    text = repr(session)
    assert text.startswith(f"Session({model.stem} ({session.checkpoint.sha256[:8]}), generator")
    assert text.endswith("images, seed 3, cpu)")


@pytest.mark.parametrize("device", ["cuda:1", "mps", "tpu", "cuda:x"])
def test_a_device_that_is_not_there_is_refused_in_one_line(device, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(InputError, match=r"device '?(cuda:1|mps|tpu|cuda:x)"):
        choose_device(device)


def test_python_m_is_the_same_command():
    done = subprocess.run(
        [sys.executable, "-m", "dcgan_probe", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert metadata.version("dcgan-probe") in done.stdout


def test_sample_names_its_files_by_checkpoint_seed_and_index(run, model, tmp_path):
    run("--seed", 3, "sample", "--n", 3)
    sha = files.sha256(model)
    names = sorted(p.name for p in (tmp_path / "out/sample/images").iterdir())
    assert names == [f"{sha[:8]}_seed3_{i:04d}.png" for i in range(3)]
    found = read(tmp_path / "out/sample/result.json")
    assert found["made_with"]["checkpoint"] == {"name": "model", "sha256": sha}
    assert found["made_with"]["seed"] == 3


def test_what_forget_edits_stays_edited_for_the_commands_after_it(run, tmp_path):
    run("sample", "--n", 4, "forget", "--boxes", tmp_path / "boxes.json", "sample", "--n", 4)
    out = tmp_path / "out"
    plain, edited = out / "sample", out / "sample-2"
    assert read(plain / "result.json")["made_with"]["edits"] == []
    selection = read(out / "forget/selection.json")
    edits = read(edited / "result.json")["made_with"]["edits"]
    assert edits == [{"layer": selection["layer"], "filters": selection["filters"]}]
    names = [p.name for p in (plain / "images").iterdir()]
    assert len(names) == 4
    assert any(
        (plain / "images" / n).read_bytes() != (edited / "images" / n).read_bytes() for n in names
    )


def test_a_selection_can_be_taken_up_by_another_command_line(run, tmp_path):
    run("forget", "--boxes", tmp_path / "boxes.json", "sample", "--n", 2)
    (tmp_path / "out/sample").rename(tmp_path / "in_chain")
    run("--edit", tmp_path / "out/forget/selection.json", "sample", "--n", 2)
    for path in (tmp_path / "in_chain/images").iterdir():
        assert (tmp_path / "out/sample/images" / path.name).read_bytes() == path.read_bytes()


def test_the_same_line_twice_writes_the_same_bytes(run, tmp_path):
    line = ["visualize-d", "--n", 12, "--k", 2, "forget", "--boxes", tmp_path / "boxes.json"]
    run(*line)
    (tmp_path / "out").rename(tmp_path / "first")
    run(*line)
    first = {p.relative_to(tmp_path / "first"): p for p in (tmp_path / "first").rglob("*.*")}
    again = {p.relative_to(tmp_path / "out"): p for p in (tmp_path / "out").rglob("*.*")}
    assert first.keys() == again.keys()
    assert len(first) == 8
    for name, path in first.items():
        assert path.read_bytes() == again[name].read_bytes(), name


def test_results_are_not_overwritten_without_force(run, tmp_path):
    run("sample", "--n", 2)
    before = (tmp_path / "out/sample/result.json").read_bytes()
    output = run("sample", "--n", 3, expect=2)
    assert output.count("\n") == 1
    assert "out/sample: already holds results, expected a new folder (or --force)" in output
    assert (tmp_path / "out/sample/result.json").read_bytes() == before
    run("--force", "sample", "--n", 3)
    assert len(read(tmp_path / "out/sample/result.json")["images"]) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["fly"],
            "unknown command 'fly', expected one of: ablate, ",
        ),
        (["forgett"], "unknown command 'forgett', did you mean forget?"),
        (["--model", "no", "sample"], "unknown checkpoint 'no', expected one of: "),
        (["forget", "--boxes", "none.json"], "none.json"),
        (["forget", "--boxes", "BOXES", "--object", "door"], "window"),
        (
            ["forget", "--boxes", "BOXES", "--layer", "9x9"],
            "unknown layer '9x9', expected one of: 4x4",
        ),
        (["forget"], "no boxes ship with model, expected --boxes FILE"),
        (["visualize-d", "--layer", "64x64"], "unknown layer '64x64', expected one of: 16x16"),
        (["visualize-d", "--filters", "0-"], "--filters: found '0-', expected all, or numbers"),
        (["visualize-d", "--filters", "3-1"], "--filters: found '3-1', expected all, or numbers"),
        (["visualize-d", "--filters", "1" * 5000], "expected all, or numbers like 3,17,40-52"),
        (
            ["visualize-d", "--n", "9", "--filters", "0-999999999"],
            "layer '4x4': found filter 16, expected 0 to 15",
        ),
        (
            ["visualize-d", "--n", "9", "--filters", "99"],
            "layer '4x4': found filter 99, expected 0 to",
        ),
        (["visualize-d", "--n", "3"], "found 3 images, expected at least 5"),
        (["visualize-d", "--images", "no.zip"], "no.zip: found nothing, expected a folder or zip"),
        (["--edit", "none.json", "sample"], "none.json: found no such file, expected a file of "),
        (["convert", "--to", "x.safetensors", "no.pth"], "no.pth"),
        (["train", "--images", "no.zip", "--steps", "1"], "no.zip: found nothing"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(run, tmp_path, arguments, message):
    given = [str(tmp_path / "boxes.json") if a == "BOXES" else a for a in arguments]
    output = run(*given, expect=2)
    assert message in output
    assert output.count("\n") == 1, output
    assert not (tmp_path / "x.safetensors").exists()
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("line", "place"),
    [
        (["show", "X", "--json"], "--json goes before the command: dcgan-probe --json show"),
        (
            ["sample", "--seed", "3"],
            "--seed goes before the command: dcgan-probe --seed ... sample",
        ),
    ],
)
def test_an_option_in_the_wrong_place_is_told_where_it_stands(run, line, place):
    assert run(*line, expect=2) == f"Error: {place}\n"


def test_an_option_that_no_command_has_is_none(run):
    assert "No such option '--drows'" in run("arithmetic", "left", "--drows", "4", expect=2)
    assert "No such option '--n'" in run("sample", "--", "--n", "4", expect=2)
    assert "Did you mean '--n'?" in run("sample", "--nn", "4", expect=2)


def test_cuda_without_a_gpu_is_refused_in_one_line(run, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    output = run("--device", "cuda", "sample", expect=2)
    assert output == "Error: device cuda: found no CUDA GPU that torch can use, expected one\n"


def test_convert_writes_our_format_and_refuses_to_overwrite(run, tmp_path, generator):
    import torch

    config = dp.Config(
        size=32,
        g_width=4,
        kernel=4,
        z_size=8,
        z_distribution="normal",
        norm_per_unit=False,
        norm_eps=1e-5,
    )
    ours = dp.networks.initialise(dp.Generator(config), seed=0)
    dp.networks.estimate_statistics(ours, [dp.latents.sample(config, 64, seed=0)])
    weights = dict(ours.state_dict())
    state = {}
    first = weights.pop("4x4.linear.weight")
    state["main.0.weight"] = first.view(16, 4, 4, 8).permute(3, 0, 1, 2)
    place = {"conv": 0, "norm": 1}
    for name, tensor in weights.items():
        block, part, key = name.split(".")
        at = 3 * [n for n, _ in ours.named_children()].index(block) + place[part]
        state[f"main.{at}.{key}"] = tensor
    torch.save(state, tmp_path / "netG.pth")
    to = tmp_path / "mine.safetensors"
    run("convert", "--to", to, tmp_path / "netG.pth")
    z = torch.randn(2, 8)
    with torch.no_grad():
        torch.testing.assert_close(dp.checkpoints.load(to).generator(z), ours.eval()(z))
    before = to.read_bytes()
    assert "already exists" in run("convert", tmp_path / "netG.pth", "--to", to, expect=2)
    assert to.read_bytes() == before


@pytest.fixture
def small_training(tmp_path) -> list[object]:
    images = tmp_path / "images"
    images.mkdir()
    rng = np.random.default_rng(0)
    for i in range(10):
        dp.figures.write_image(images / f"{i}.png", rng.integers(0, 256, (16, 16, 3), np.uint8))
    line = ["train", "--images", images, "--size", 16, "--batch", 5, "--ema", 0.9]
    return [*line, "--g-width", 4, "--d-width", 4]


def test_train_makes_a_checkpoint_that_probes_take_up(tmp_path, run, small_training):
    line = small_training
    assert "2 steps" in run(*line, "--steps", 2)
    assert "3 steps" in run(*line, "--steps", 3)
    out = tmp_path / "out/train"
    written = {p.name for p in out.iterdir()}
    assert written == {
        *(".lock", "state.pt", "checkpoint.safetensors", "best.safetensors"),
        *("metrics.jsonl", "losses.png", "samples"),
    }
    run("--model", out / "checkpoint.safetensors", "sample", "--n", 2)
    output = run(*line, "--steps", 4, "--preset", "torch", expect=2)
    assert "state.pt: network.kernel: found 5, expected 4 as asked for" in output


def test_what_training_cannot_start_from_comes_without_the_advice_for_other_networks(
    run, small_training
):
    picture = next(small_training[2].iterdir())
    output = run(*small_training, "--steps", 1, "--start-from", picture, expect=2)
    assert output.endswith("expected a file of weights\n")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("has", [False, True])
def test_train_says_where_bfloat16_is_slow(precision, has, run, small_training, monkeypatch):
    monkeypatch.setattr("dcgan_probe.training.launch.multiplies_bfloat16", lambda device: has)
    output = run(*small_training, "--steps", 1, "--precision", precision)
    said = "this CPU computes bfloat16 in software" in output
    assert said == (precision == "bfloat16" and not has)


def test_a_probe_outside_of_the_command_says_so():
    @click.command()
    @plugins.pass_session
    def alone(session):
        pass

    result = CliRunner().invoke(alone, [])
    assert result.exit_code == 2
    assert "runs under the command dcgan-probe" in result.output


@pytest.mark.parametrize("name", ["classifiers", "concepts", "features", "sources", "svm"])
def test_a_moved_module_is_found_and_warns(name):
    with pytest.warns(DeprecationWarning, match=f"dcgan_probe.{name} is now dcgan_probe"):
        assert getattr(dp, name).__name__.endswith(f".{name}")


def test_figure_formats_hold_for_a_line_and_others_are_refused(run, tmp_path):
    run("--figure-format", "pdf", "--figure-zoom", 2, "sample", "--n", 1)
    assert (tmp_path / "out/sample/sheet.pdf").read_bytes().startswith(b"%PDF")
    large = cv2.imread(str(tmp_path / "out/sample/sheet.png"))
    run("--force", "sample", "--n", 1)
    small = cv2.imread(str(tmp_path / "out/sample/sheet.png"))
    assert large.shape == (2 * small.shape[0], 2 * small.shape[1], 3)
    assert not (tmp_path / "out/sample/sheet.pdf").exists()
    assert "'eps' is not one of 'pdf', 'svg'" in run("--figure-format", "eps", "sample", expect=2)
    assert "5 is not in the range 1<=x<=4" in run("--figure-zoom", 5, "sample", expect=2)
    run("--force", "--figure-columns", 2, "sample", "--n", 6)
    narrow = cv2.imread(str(tmp_path / "out/sample/sheet.png"))
    run("--force", "sample", "--n", 6)
    wide = cv2.imread(str(tmp_path / "out/sample/sheet.png"))
    assert narrow.shape[0] > wide.shape[0]  # three rows, not one
