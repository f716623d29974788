"""What lands on stdout and what on stderr, for a person, a pipe and a shell that completes."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest
import strangers
from click.testing import CliRunner

import dcgan_probe as dp
from dcgan_probe import terminal
from dcgan_probe.cli.group import main
from dcgan_probe.storage import files

BIN = Path(sys.executable).parent


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_results_go_to_stdout_and_nothing_to_stderr(invoke):
    done = invoke("sample", "--n", 2)
    assert done.stdout.startswith("2 samples\nwrote ")
    assert done.stderr == ""


def test_json_is_one_line_a_command_and_what_was_saved(invoke, tmp_path):
    done = invoke("--json", "sample", "--n", 2, "ablate", "--layer", "8x8", "--filters", 1)
    printed = lines(done.stdout)
    assert [each["made_with"]["command"] for each in printed] == ["sample", "ablate"]
    for each in printed:
        saved = tmp_path / "out" / each["made_with"]["command"] / "result.json"
        assert each == json.loads(saved.read_text())


def test_what_a_stranger_prints_is_not_between_the_json(invoke, tmp_path, monkeypatch):
    noisy = strangers.PROBE.replace("    session.report", "    print('loud')\n    session.report")
    strangers.install(tmp_path / "site", "loud", {"loud_a.py": noisy}, loud="loud_a:probe")
    monkeypatch.syspath_prepend(tmp_path / "site")
    done = invoke("--json", "loud")
    assert lines(done.stdout)[0]["made_with"]["command"] == "loud"
    assert done.stderr == "loud\n"


@pytest.fixture
def images(model, tmp_path) -> Path:
    """A folder of samples to train on."""
    (tmp_path / "images").mkdir()
    for i, pixels in enumerate(dp.figures.pixels(dp.Session.open(model).sample(12))):
        dp.figures.write_image(tmp_path / f"images/{i}.png", pixels)
    return tmp_path / "images"


def test_every_command_of_ours_answers_in_json(invoke, tmp_path, images):
    small = ["--size", 16, "--batch", 4, "--g-width", 4, "--d-width", 4, "--steps", 1]
    (train,) = lines(invoke("--json", "train", "--images", images, *small).stdout)
    assert train["sha256"] == files.sha256(train["file"])
    assert train["stopped"] is None
    (new,) = lines(invoke("--json", "new-probe", "mine", "--to", tmp_path / "mine").stdout)
    assert new["files"] == sorted(path.name for path in (tmp_path / "mine").iterdir())
    invoke("sample", "--n", 2)
    (report,) = lines(invoke("--json", "report").stdout)
    assert Path(report["report"]).exists()
    saved = tmp_path / "out/sample"
    (shown,) = lines(invoke("--json", "show", saved).stdout)
    assert shown == json.loads((saved / "result.json").read_text())
    (compared,) = lines(invoke("--json", "diff", saved, saved).stdout)
    assert compared["differences"] == []


def test_a_mistake_is_on_stderr_under_json_too(invoke, tmp_path):
    done = invoke("--json", "convert", "--to", tmp_path / "x.safetensors", "none.pth", expect=2)
    assert done.stdout == ""
    assert done.stderr.startswith("Error: none.pth")
    assert done.stderr.count("\n") == 1


def test_quiet_says_nothing_but_mistakes(invoke, tmp_path):
    done = invoke("--quiet", "sample", "--n", 2)
    assert (done.stdout, done.stderr) == ("", "")
    assert (tmp_path / "out/sample/result.json").exists()
    assert "already holds results" in invoke("--quiet", "sample", "--n", 2, expect=2).stderr
    done = invoke("--quiet", "--json", "--force", "sample", "--n", 2)
    assert len(lines(done.stdout)) == 1
    assert done.stderr == ""


def test_a_training_shows_no_progress_off_a_terminal(invoke, images):
    small = ["--size", 16, "--batch", 4, "--g-width", 4, "--d-width", 4, "--steps", 1]
    said = invoke("train", "--images", images, *small).stderr
    assert said == f"{images}: took 12 of 12 images\n"


@pytest.mark.parametrize("quiet", [True, False])
def test_quiet_shows_no_progress(session, quiet, monkeypatch):
    @click.command()
    @click.pass_context
    def probe(context):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        terminal.begin(context, as_json=False, quiet=quiet, verbose=False, only_ours=False)
        assert list(session.progress(range(3), "counting")) == [0, 1, 2]

    done = CliRunner().invoke(probe, [], catch_exceptions=False)
    assert ("counting" in done.stderr) is not quiet


def test_verbose_says_what_is_done_and_where_a_mistake_was_found(invoke):
    done = invoke("--verbose", "sample", "--n", 2)
    assert done.stdout.startswith("2 samples\n")
    said = [re.sub(r"^ *\d+\.\d\d s  ", "", line) for line in done.stderr.splitlines()]
    assert said[0].startswith("opened model (")
    assert said[1:] == ["sample: starts", "sample: computed, now draws", "sample: written"]
    done = invoke("--verbose", "--force", "visualize-d", "--layer", "no", expect=2)
    assert "Traceback" in done.stderr
    assert done.stderr.endswith("expected one of: 16x16, 8x8, 4x4, score\n")


def test_the_line_is_recorded_without_where_its_results_go(invoke, tmp_path):
    invoke("--seed", 3, "--force", "--quiet", "sample", "--n", "2")
    made = json.loads((tmp_path / "out/sample/result.json").read_text())["made_with"]
    model = tmp_path / "model.safetensors"
    assert made["line"] == f"dcgan-probe --model {model} --seed 3 --device cpu sample --n 2"
    assert made["command"] == "sample"


def test_files_on_the_line_are_recorded_with_their_hashes(invoke, tmp_path):
    boxes = tmp_path / "windows.json"
    sha = files.sha256(tmp_path / "model.safetensors")
    drawn = tuple(dp.Box(i, "window", 4, 4, 20, 24) for i in range(6))
    dp.Boxes(drawn, tuple(range(8)), (32, 32), seed=0, checkpoint=sha).write(boxes)
    invoke("ablate", "--layer", "8x8", "--filters", 1)
    edit = tmp_path / "out/ablate/selection.json"
    invoke("--edit", edit, "forget", "--boxes", boxes, "--layer", "16x16")
    made = json.loads((tmp_path / "out/forget/result.json").read_text())["made_with"]
    assert [(each["option"], each["file"]) for each in made["inputs"]] == [
        ("--edit", "selection.json"),
        ("--boxes", "windows.json"),
    ]
    assert made["inputs"][1]["sha256"] == files.sha256(boxes)


def test_text_that_the_terminal_cannot_show_is_no_error(invoke, tmp_path):
    invoke("sample", "--n", 1)
    saved = tmp_path / "out/sample"
    values = json.loads((saved / "result.json").read_text(encoding="utf-8"))
    (saved / "result.json").write_text(json.dumps({**values, "summary": "1 窓"}), encoding="utf-8")
    shown = {}
    for encoding in ("cp1251", "cp1252"):  # of Windows in Russian and in English
        for words in (["evaluate", "--help"], ["show", saved]):
            line = [BIN / "dcgan-probe", *words]
            environment = {**os.environ, "PYTHONIOENCODING": encoding}
            done = subprocess.run(line, env=environment, capture_output=True, check=False)
            assert (done.returncode, done.stderr) == (0, b"")
            shown[encoding, words[0]] = done.stdout
    assert rb"Fr\xe9chet" in shown["cp1251", "evaluate"]
    assert b"Fr\xe9chet" in shown["cp1252", "evaluate"]
    assert rb"1 \u7a93" in shown["cp1251", "show"]


def test_a_script_has_no_line(session):
    assert terminal.describe_command() == {"command": None, "line": None, "inputs": []}
    assert session.made_with()["line"] is None


def complete(shell: str, words: str, at: int, **environment: str) -> str:
    done = subprocess.run(
        [BIN / "dcgan-probe"],
        env={
            **os.environ,
            **environment,
            "_DCGAN_PROBE_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": words,
            # fish gives the word itself
            "COMP_CWORD": words.split(" ")[at] if shell == "fish" else str(at),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_commands_and_options_are_completed(shell):
    assert "sample" in complete(shell, "dcgan-probe sa", 1)
    assert "visualize-d" in complete(shell, "dcgan-probe sample vis", 2)
    assert "train" not in complete(shell, "dcgan-probe sample vis", 2)
    assert "--layer" in complete(shell, "dcgan-probe dissect --la", 2)
    assert "--no-plugins" in complete(shell, "dcgan-probe --no", 1)
    assert "rooms" in complete(shell, "dcgan-probe --model roo", 2)
    assert "cuda" in complete(shell, "dcgan-probe --device cu", 2)


@pytest.mark.parametrize(
    ("command", "option", "names"),
    [
        ("forget", "--judge", {"boxes", "cells", "rooms", "bright"}),
        ("dissect", "--judge", {"boxes", "cells", "rooms", "bright"}),
        ("arithmetic", "--classifier", {"faces"}),
        ("turn", "--classifier", {"faces"}),
        ("concepts", "--classifier", {"faces"}),
    ],
)
def test_detectors_and_classifiers_are_completed_by_name(tmp_path, command, option, names):
    hanging = {"hanging.py": "import time; time.sleep(600)"}
    strangers.install(tmp_path, "stranger", hanging, "detectors", bright="hanging:bright")
    words = f"dcgan-probe {command} {option} "
    found = complete("bash", words, 3, PYTHONPATH=str(tmp_path)).split()
    # Files first: what stands before them is forgotten by the script of bash.
    assert (found[0], set(found[1:])) == ("file,", {f"plain,{name}" for name in names})
    assert "plain,bright" not in complete("bash", f"{words}r", 3, PYTHONPATH=str(tmp_path))


def test_options_of_a_plugin_are_completed_in_silence(tmp_path):
    noise = "import sys; print('loud'); print('loud', file=sys.stderr)\n"
    modules = {
        "noisy_a.py": noise + strangers.PROBE,
        "raising_c.py": noise + "raise KeyError",
        "leaving_a.py": noise + "sys.exit('no GPU')",
        "stopped_a.py": noise + "raise KeyboardInterrupt",
    }
    points = {name.partition("_")[0]: f"{name[:-3]}:probe" for name in modules}
    strangers.install(tmp_path, "stranger", modules, **points)
    for name in points:
        found = complete("bash", f"dcgan-probe {name} --", 2, PYTHONPATH=str(tmp_path))
        assert found.split() == (["plain,--n", "plain,--help"] if name == "noisy" else [])
        following = complete("bash", f"dcgan-probe {name} sam", 2, PYTHONPATH=str(tmp_path))
        assert following.split() == ["plain,sample"]


def test_completion_shows_help_and_survives_broken_plugins(tmp_path):
    site = str(tmp_path / "site")
    strangers.install(
        tmp_path / "site",
        "stranger",
        {"hanging.py": "import time; time.sleep(600)", "raising.py": "raise KeyError"},
        hanging="hanging:probe",
        raising="raising:probe",
    )
    for before in ("", "sample "):
        at = 1 + bool(before)
        found = complete("fish", f"dcgan-probe {before}dis", at, PYTHONPATH=site)
        assert found.startswith("plain,dissect\tFind which filters of a layer")
        found = complete("bash", f"dcgan-probe {before}", at, PYTHONPATH=site)
        assert {"plain,hanging", "plain,raising", "plain,train"} <= set(found.split())
    complete("bash", "dcgan-probe raising --", 2, PYTHONPATH=site)


# How each is started without anybody's settings, and what it must have done before our line.
SHELLS = {
    "bash": (["--norc", "-i"], ":"),
    "zsh": (["-f", "-i"], "autoload -U compinit && compinit -D"),
    "fish": (["-i"], ":"),
}
PAGE = Path(__file__).resolve().parent.parent / "docs/terminal.md"
DOCUMENTED = dict(re.findall(r"```sh\n# (\w+), .*\n(.*)\n```", PAGE.read_text(encoding="utf-8")))


@pytest.mark.parametrize("shell", SHELLS)
def test_the_tab_key_completes_in_a_real_shell(shell, tmp_path):
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    options, before = SHELLS[shell]
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "HOME": str(tmp_path), "TERM": "xterm"}
    on_a_terminal = [sys.executable, "-c", "import pty, sys; pty.spawn(sys.argv[1:])"]
    with subprocess.Popen(
        [*on_a_terminal, program, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        env=environment,
    ) as terminal:
        try:
            line = f"{before}; {DOCUMENTED[shell]}; echo do''ne\n"
            assert "done" in typed(terminal, line, until="done")
            shown = typed(terminal, "dcgan-probe forg\t--sel\t", until=r"forget.*--select")
            assert re.search(r"forget.*--select", shown, re.DOTALL), shown
            shown = typed(terminal, "\x15dcgan-probe --model roo\t", until="--model.*roo.*ms")
            assert re.search("--model.*roo.*ms", shown, re.DOTALL), shown
        finally:
            terminal.kill()  # its end of the terminal closes, and with it the shell


def typed(terminal: subprocess.Popen[bytes], keys: str, until: str) -> str:
    """What a terminal shows after keys, until that is there or half a minute has passed."""
    terminal.stdin.write(keys.encode())
    terminal.stdin.flush()
    shown, end = "", time.monotonic() + 30
    while not re.search(until, shown, re.DOTALL) and time.monotonic() < end:
        if select.select([terminal.stdout], [], [], 1)[0]:
            shown += os.read(terminal.stdout.fileno(), 4096).decode(errors="replace")
    return shown


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_names_that_are_not_utf_8_are_recorded_and_drawn(tmp_path):
    folder = tmp_path / "ph\udcffotos$$"
    folder.mkdir()
    for i in range(6):
        pixels = np.random.default_rng(i).integers(0, 256, (32, 32, 3), np.uint8)
        dp.figures.write_image(folder / f"{i}.png", pixels)
    words = ["--model", "svhn", "--out", tmp_path / "out", "visualize-d", "--images", folder]
    words += ["--filters", "0", "--k", "1"]
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exit_code == 0, done.output
    (saved,) = (tmp_path / "out").rglob("result.json")
    assert r"ph\udcffotos$$" in dp.load_result(saved).made_with["line"]


def test_a_file_that_text_names_is_recorded_too(tmp_path):
    for name in ("windows.json", "rooms"):
        (tmp_path / name).write_text(name)
    options = [click.Option([f"--{name}"]) for name in ("where", "axis", "judge", "model", "at")]
    context = click.Context(click.Command("ablate", params=options))
    boxes = str(tmp_path / "windows.json")
    context.params = {"where": boxes, "axis": f"{boxes}:2", "judge": str(tmp_path / "rooms")}
    context.params |= {"model": boxes, "at": "x" * 5000 + ".json"}
    sha = files.sha256(boxes)
    assert list(terminal._inputs(context)) == [
        {"option": option, "file": "windows.json", "sha256": sha}
        for option in ("--where", "--axis")
    ]
