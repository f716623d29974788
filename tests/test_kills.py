"""Killed at any moment, a command leaves a whole result or none, and the same line then ends."""

from __future__ import annotations

import dataclasses
import functools
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch

import dcgan_probe as dp
from dcgan_probe import checkpoints
from dcgan_probe.boxes.boxes import Box, Boxes
from dcgan_probe.cli.group import main
from dcgan_probe.dedup import duplicates
from dcgan_probe.edits.painting import Painting
from dcgan_probe.errors import InputError
from dcgan_probe.label.work import BoxWork
from dcgan_probe.latents.concepts import Concept, Concepts
from dcgan_probe.metrics import feature_files
from dcgan_probe.paint.opening import prepare
from dcgan_probe.results.loading import load_result
from dcgan_probe.storage import json_values
from dcgan_probe.storage.json_values import Value

KILLS = 50
CONFIG = dp.Config(size=32, g_width=4, d_width=4, z_size=8)


class Line(NamedTuple):
    """words: of a command line. writes: what it leaves. check: raise for what is not whole."""

    words: str
    writes: tuple[str, ...]
    check: Callable[[Path], object]


def _result(path: Path) -> None:
    assert load_result(path).changed() == {}


def _features(path: Path) -> None:
    try:
        feature_files.read(path)
    except InputError as error:  # killed between the two: found out, and never taken for whole
        assert "other bytes" in str(error)


def _duplicates(path: Path) -> None:
    json_values.read_own(path / "dedup.json", "duplicates", duplicates.FORMAT)
    assert cv2.imread(str(path / "duplicates.png")) is not None


MODEL = "--model tiny.safetensors --device cpu"
LINES = {
    "sample": Line(f"{MODEL} --out out --force sample --n 40", ("out/sample",), _result),
    "features": Line(
        f"{MODEL} --out out --force features --images images --to f.npy", ("f.npy",), _features
    ),
    "walk": Line(f"{MODEL} --out out --force walk --points 2 --video mp4", ("out/walk",), _result),
    "report": Line(f"{MODEL} --out out --force sample --n 8 report", ("out/sample",), _result),
    "convert": Line(
        "--force convert state.pth --to made.safetensors", ("made.safetensors",), checkpoints.load
    ),
    "concepts": Line(
        f"{MODEL} concepts add left 0:1 0:2 --concepts c.json", ("c.json",), Concepts.read
    ),
    "arithmetic": Line(
        f"{MODEL} --out out --force arithmetic --concepts named.json up+down",
        ("out/arithmetic",),
        _result,
    ),
    "directions": Line(
        f"{MODEL} --out out --force directions --n 40 --components 2 --concepts named.json",
        ("out/directions",),
        _result,
    ),
    "neighbours": Line(
        f"{MODEL} --out out --force neighbours --images images --held-out others --n 20 --cells 1",
        ("out/neighbours",),
        _result,
    ),
    "forget": Line(
        f"{MODEL} --out out --force forget --boxes boxes.json --n 16 --controls 1 --judge boxes",
        ("out/forget",),
        _result,
    ),
    "put": Line(
        f"{MODEL} --out out --force put --boxes boxes.json --at 8,8,22,24 --n 16 --judge boxes",
        ("out/put",),
        _result,
    ),
    "dedup": Line(
        "--out out --force dedup --images images --to keep.txt", ("out/dedup",), _duplicates
    ),
    "train": Line(
        "--out out --device cpu train --images images --size 32 --g-width 4 --d-width 4 --batch 4 "
        "--steps 6 --save-every 2",
        ("out/train/checkpoint.safetensors",),
        checkpoints.load,
    ),
}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    generator = dp.networks.initialise(dp.Generator(CONFIG), seed=0)
    discriminator = dp.networks.initialise(dp.Discriminator(CONFIG), seed=1)
    for network, batch in (
        (generator, dp.latents.sample(CONFIG, 64, seed=0)),
        (discriminator, torch.rand(64, 3, 32, 32) * 2 - 1),
    ):
        dp.networks.dcgan.estimate_statistics(network, [batch])
    checkpoint = dp.Checkpoint(CONFIG, generator, discriminator, {})
    checkpoints.save(checkpoint, tmp_path / "tiny.safetensors")
    torch.save(_example(), tmp_path / "state.pth")
    sha = checkpoints.load(tmp_path / "tiny.safetensors").sha256
    named = {"up": Concept(("0:3", "0:4", "0:6")), "down": Concept(("0:5", "0:7", "0:8"))}
    Concepts(sha, named).write(tmp_path / "named.json")
    drawn = tuple(Box(i, "window", 4, 4, 18, 20) for i in range(20))
    Boxes(drawn, tuple(range(30)), (32, 32), 0, None, sha, "").write(tmp_path / "boxes.json")
    for name, first in (("images", 0), ("others", 100)):
        (tmp_path / name).mkdir()
        for i in range(12 if first == 0 else 20):
            image = np.random.default_rng(first + i % 11).integers(0, 256, (32, 32, 3), np.uint8)
            cv2.imwrite(str(tmp_path / name / f"{i:02d}.png"), image)
    for mine in (".f.npy.backup", "f.json", ".c.json.ab12cd34.part", ".sample.old"):
        (tmp_path / mine).write_text("mine")
    monkeypatch.setenv("DCGAN_PROBE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(duplicates.autoencoder.Settings, "__init__", _quick)
    return tmp_path


def _quick(self, seed: int = 0, **_: object) -> None:
    fields = {"noise": 0.5, "dropout": 0.2, "steps": 20, "batch": 8, "rate": 1e-3, "seed": seed}
    for name, value in fields.items():
        object.__setattr__(self, name, value)


def _example() -> dict[str, torch.Tensor]:
    shapes = {0: (5, 6, 4, 4), 3: (6, 3, 4, 4), 6: (3, 3, 4, 4)}
    state = {f"main.{i}.weight": torch.rand(s) for i, s in shapes.items()}
    for i, n in ((1, 6), (4, 3)):
        for key in ("weight", "bias", "running_mean", "running_var"):
            state[f"main.{i}.{key}"] = torch.rand(n) + 0.1
    return state


def _start(work: Callable[[], object], folder: Path) -> int:
    """A process that has everything imported already, so that kills come while it works."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.chdir(folder)
        nowhere = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(nowhere, 1), os.dup2(nowhere, 2)
        work()
    except SystemExit as error:
        os._exit(error.code if isinstance(error.code, int) else 0)
    finally:
        os._exit(99)


def _end(words: str, folder: Path) -> float:
    began = time.perf_counter()
    _, status = os.waitpid(_start(lambda: main(words.split()), folder), 0)
    assert os.waitstatus_to_exitcode(status) == 0, (folder / "log").read_text()[-2000:]
    return time.perf_counter() - began


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
@pytest.mark.parametrize("name", LINES)
def test_what_is_killed_leaves_a_whole_result_or_none(name, folder):
    line = LINES[name]
    mine = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    took = _end(line.words, folder)
    if name != "train":  # which has nothing left to do
        took = _end(line.words, folder)  # once more: now all is imported and decoded
    rng = np.random.default_rng(0)
    killed = whole = 0
    for number in range(KILLS):
        if name == "train" and number % 5 == 0:  # else it would be resumed at its end
            for left in (folder / "out/train").rglob("*"):
                left.unlink() if left.is_file() else None
        pid = _start(lambda: main(line.words.split()), folder)
        time.sleep(rng.uniform(0, took))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        killed += os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        for written in line.writes:
            if (folder / written).exists():
                line.check(folder / written)
                whole += 1
            else:
                # --force exchanges: there is always one. Features are two files, see _features.
                assert name in ("features", "train"), written
    _end(line.words, folder)
    for written in line.writes:
        line.check(folder / written)
    assert {path: path.read_bytes() for path in mine} == mine
    left = [path for path in folder.rglob("*dcgan-probe-part") if "cache" not in path.parts]
    assert not left, "what killed writers left is swept by the last"
    print(f"{name}: {killed} of {KILLS} killed, {whole} whole results found")
    assert killed > KILLS // 2


def _label(folder: Path, done: int) -> None:
    """As the page of `label` does: a box on one sample after another, saved after each."""
    work = BoxWork(folder / "drawn.json", 1000, (32, 32), 0, "ab" * 32)
    for i in range(done, 1000):
        box = {"label": "window", "x0": 1, "y0": 1, "x1": 20, "y1": 9}
        work.change(Value({"image": i, "looked": True, "boxes": [box]}, "request"))
        (folder / "saved").write_text(str(i + 1))


def _labelled(folder: Path) -> int:
    return len(Boxes.read(folder / "drawn.json").boxes)


def _paint(folder: Path, done: int) -> None:
    """As the page of `paint` does: a slider moved on and on, saved each time."""
    session = dp.Session.open(str(folder / "tiny.safetensors"), device="cpu")
    work = prepare(session, folder / "painting.json").work
    for i in range(done, 1000):
        work.history.push(dataclasses.replace(work.history.now, walk=("0:9", (i + 1) / 1000)))
        work.write()
        (folder / "saved").write_text(str(i + 1))


def _painted(folder: Path) -> int:
    return round(1000 * Painting.read(folder / "painting.json").about["walk"]["at"])


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
@pytest.mark.parametrize(
    "work, count", [(_label, _labelled), (_paint, _painted)], ids=["label", "paint"]
)
def test_of_a_page_that_is_killed_nothing_saved_is_lost(work, count, folder):
    rng = np.random.default_rng(0)
    work(folder, 998)  # all is imported
    for name in ("drawn.json", "painting.json"):
        (folder / name).unlink(missing_ok=True)
    (folder / "saved").write_text("0")
    counts = [0]
    for _ in range(KILLS):
        pid = _start(functools.partial(work, folder, counts[-1]), folder)
        while _told(folder) <= counts[-1]:  # opening takes longer than to save many times
            assert os.waitpid(pid, os.WNOHANG) == (0, 0), (folder / "log").read_text()
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.02))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        counts.append(count(folder))
        assert max(_told(folder), counts[-2]) <= counts[-1]


def _told(folder: Path) -> int:
    """How far a killed process had come when it was told that all was saved."""
    return int((folder / "saved").read_text() or 0)
