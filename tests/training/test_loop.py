"""A run saves, measures, goes on where it stopped, and says what goes wrong."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest
import torch
from filelock import FileLock

import dcgan_probe as dp
from dcgan_probe import metrics
from dcgan_probe.errors import InputError
from dcgan_probe.images.sources import to_range
from dcgan_probe.training import loop
from dcgan_probe.training.loop import BEST, CHECKPOINT, STATE, may_start, train
from dcgan_probe.training.recipe import Recipe
from dcgan_probe.training.record import Record
from dcgan_probe.training.trainer import Trainer

CONFIG = dp.Config(size=16, g_width=2, d_width=2, z_size=4)
IMAGES = torch.randint(
    0, 256, (40, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)
RECIPE = Recipe(batch=8, ema=0.9, seed=3)


def trainer(recipe: Recipe = RECIPE) -> Trainer:
    return Trainer(CONFIG, recipe, IMAGES)


def lines(folder: Path) -> list[dict]:
    """The measurements of a run, without the seconds, which no two runs share."""
    text = (folder / "metrics.jsonl").read_text()
    found = [json.loads(line) for line in text.splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in found]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a run that must be the same in two runs."""
    names = [p for p in folder.rglob("*") if p.suffix in (".safetensors", ".png")]
    return {str(p.relative_to(folder)): p.read_bytes() for p in names if p.name != "losses.png"}


@pytest.mark.parametrize("more", [{}, {"decay_steps": 25, "augment": True}])
def test_a_run_in_parts_leaves_what_an_unbroken_one_leaves(tmp_path, more):
    recipe = dataclasses.replace(RECIPE, **more)
    whole = train(trainer(recipe), tmp_path / "whole", steps=25, save_every=12)
    for steps in (3, 19, 25):
        parts = train(trainer(recipe), tmp_path / "parts", steps=steps, save_every=12)
    assert dataclasses.replace(parts, warnings=whole.warnings) == whole
    assert contents(tmp_path / "whole") == contents(tmp_path / "parts")
    assert lines(tmp_path / "whole") == lines(tmp_path / "parts")
    states = [torch.load(tmp_path / run / STATE, weights_only=True) for run in ("whole", "parts")]
    assert [s["steps"] for s in states] == [25, 25]
    for name in ("adam_g", "adam_d"):
        moments = [s[name]["state"] for s in states]
        for key in moments[0]:
            assert torch.equal(moments[0][key]["exp_avg_sq"], moments[1][key]["exp_avg_sq"])


def test_steps_beyond_the_decay_are_refused_before_the_first(tmp_path):
    decaying = trainer(dataclasses.replace(RECIPE, decay_steps=5))
    with pytest.raises(InputError, match="train: found 6 steps, expected at most 5"):
        train(decaying, tmp_path / "run", steps=6)
    assert decaying.steps == 0 and not (tmp_path / "run").exists()


def test_the_log_has_the_means_of_ten_steps(tmp_path):
    train(trainer(), tmp_path, steps=20, save_every=20)
    other = trainer()
    expected = [torch.stack([other.step() for _ in range(10)]).mean(dim=0) for _ in range(2)]
    found = [line for line in lines(tmp_path) if "generator" in line]
    assert [line["step"] for line in found] == [10, 20]
    for line, mean in zip(found, expected, strict=True):
        assert [line["discriminator"], line["generator"]] == pytest.approx(mean.tolist())


def test_the_best_state_is_kept_beside_the_last(tmp_path, monkeypatch):
    scores = iter([3.0, 1.0, 2.0])
    monkeypatch.setattr(
        loop.metrics, "sliced_wasserstein", lambda a, b, **_: {"mean": next(scores)}
    )
    outcome = train(trainer(), tmp_path, steps=6, save_every=2)
    assert outcome.best == (4, 1.0)
    best, last = (dp.checkpoints.load(tmp_path / name) for name in (BEST, CHECKPOINT))
    assert (best.info["steps"], last.info["steps"]) == (4, 6)
    assert best.info["sliced_wasserstein"] == {"mean": 1.0}


def test_the_last_state_is_the_best_until_one_is_measured(tmp_path):
    assert train(trainer(), tmp_path, steps=3, save_every=5).best is None
    assert (tmp_path / BEST).read_bytes() == (tmp_path / CHECKPOINT).read_bytes()
    assert train(trainer(), tmp_path, steps=6, save_every=5).best is not None
    assert dp.checkpoints.load(tmp_path / BEST).info["steps"] == 5


def test_the_distance_is_that_of_the_saved_checkpoint_to_training_images(tmp_path):
    train(trainer(), tmp_path, steps=2, save_every=2)
    checkpoint = dp.checkpoints.load(tmp_path / CHECKPOINT)
    samples = dp.Session(checkpoint, seed=0, device="cpu").sample(40)
    expected = metrics.sliced_wasserstein(samples, to_range(IMAGES), projections=128)
    (found,) = (line for line in lines(tmp_path) if "swd_mean" in line)
    assert found["swd_mean"] == pytest.approx(expected["mean"], rel=1e-4)


def test_samples_after_epochs_one_and_five_stand_side_by_side(tmp_path):
    # The paper's recipe takes two minibatches of 8 a step: 40 images are 2.5 steps.
    train(trainer(), tmp_path, steps=12, save_every=100)
    assert (tmp_path / "samples/epoch_1.png").exists()
    assert not (tmp_path / "epochs.png").exists()
    train(trainer(), tmp_path, steps=13, save_every=100)
    sheet = cv2.imread(str(tmp_path / "samples/epoch_5.png"))
    assert sheet.shape == (8 * 16, 8 * 16, 3)
    assert cv2.imread(str(tmp_path / "epochs.png")).shape[1] > 2 * 8 * 16


def test_losses_that_are_not_finite_stop_the_run_and_name_the_good_state(tmp_path):
    train(trainer(), tmp_path, steps=3)
    before = (tmp_path / STATE).read_bytes()
    broken = trainer()
    step = broken.step

    def breaks() -> torch.Tensor:
        if broken.steps == 4:
            with torch.no_grad():
                broken.generator[0].linear.weight[0, 0] = float("nan")
        return step()

    broken.step = breaks
    with pytest.raises(InputError) as error:
        train(broken, tmp_path, steps=20)
    assert "step 5: found losses" in str(error.value)
    assert f"the state of step 3 in {tmp_path / STATE} is good" in str(error.value)
    assert (tmp_path / STATE).read_bytes() == before


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    broken = trainer()
    with torch.no_grad():
        broken.discriminator[0].conv.weight[0, 0, 0, 0] = float("inf")
    with pytest.raises(InputError, match="step 1: found weights .* no state was saved before"):
        train(broken, tmp_path, steps=1)
    assert [p.name for p in tmp_path.iterdir()] == [".lock"]


def test_a_damaged_state_is_refused_and_left_alone(tmp_path):
    (tmp_path / STATE).write_bytes(b"no state")
    with pytest.raises(InputError, match=r"state\.pt: found no training state"):
        train(trainer(), tmp_path, steps=2)
    assert (tmp_path / STATE).read_bytes() == b"no state"


def test_two_trainings_do_not_share_a_folder(tmp_path):
    lock = loop.FileLock(tmp_path / ".lock")
    with lock, pytest.raises(InputError, match="found another training at work in it"):
        train(trainer(), tmp_path, steps=1)
    train(trainer(), tmp_path, steps=1)


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX's")
def test_a_full_disk_ends_it_with_one_line_and_the_last_state_whole(tmp_path):
    train(trainer(), tmp_path, steps=2)
    before = (tmp_path / STATE).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The kernel refuses to write any file past this size, as it does past the end of a disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) - 1, hard))
    try:
        with pytest.raises(InputError) as error:
            train(trainer(), tmp_path, steps=4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(error.value) == f"{tmp_path / STATE}: cannot be written: File too large"
    assert (tmp_path / STATE).read_bytes() == before
    assert not list(tmp_path.rglob("*-part"))
    assert train(trainer(), tmp_path, steps=4).steps == 4


UNWRITABLE = """
import os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_loop import trainer, train
from dcgan_probe.errors import InputError
folder = Path({folder!r})
train(trainer(), folder, steps=2)
folder.chmod(0o555)
if os.geteuid() == 0:
    os.seteuid(65534)  # rights do not bind root
try:
    train(trainer(), folder, steps=4)
except InputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="rights of a folder are POSIX's")
def test_a_folder_without_write_access_is_refused_before_the_first_step(tmp_path):
    folder = tmp_path / "run"
    script = UNWRITABLE.format(tests=str(Path(__file__).parent), folder=str(folder))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    folder.chmod(0o755)
    assert done.stdout == f"{folder}: cannot be written: Permission denied\n", done.stderr
    assert torch.load(folder / STATE, weights_only=True)["steps"] == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_its_step_and_saves(tmp_path, number):
    whole = train(trainer(), tmp_path / "whole", steps=9, save_every=4)
    asked = trainer()
    step = asked.step

    def signalled() -> torch.Tensor:
        if asked.steps == 5:
            os.kill(os.getpid(), number)
        return step()

    asked.step = signalled
    handler = signal.getsignal(number)
    outcome = train(asked, tmp_path / "parts", steps=9, save_every=4)
    assert (outcome.steps, outcome.stopped) == (6, number.name)
    assert signal.getsignal(number) is handler
    again = train(trainer(), tmp_path / "parts", steps=9, save_every=4)
    assert again.sha256 == whole.sha256
    assert contents(tmp_path / "whole") == contents(tmp_path / "parts")


def test_what_goes_wrong_is_said_while_it_happens(tmp_path):
    lost = trainer()
    with torch.no_grad():  # a discriminator that is right about everything, and cannot learn
        lost.discriminator.score.linear.weight.zero_()
    lost.step = lambda: setattr(lost, "steps", lost.steps + 1) or torch.tensor([1e-4, 9.0])
    said: list[tuple[int, str]] = []
    outcome = train(
        lost, tmp_path, steps=130, save_every=200, warn=lambda m: said.append((lost.steps, m))
    )
    assert [step for step, _ in said] == [100]
    assert "the discriminator has won" in said[0][1]
    assert outcome.warnings == (said[0][1],)
    assert [line["step"] for line in lines(tmp_path) if "warning" in line] == [100]


def test_tensorboard_events_hold_what_was_measured(tmp_path):
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train(trainer(), tmp_path, steps=20, save_every=10, tensorboard=True)
    events = reading.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    scalars = events.Tags()["scalars"]
    assert {"discriminator", "generator", "swd_mean", "swd_16"} <= set(scalars)
    written = [line["generator"] for line in lines(tmp_path) if "generator" in line]
    assert [e.value for e in events.Scalars("generator")] == pytest.approx(written)
    assert events.Tags()["images"] == ["samples"]


def test_events_of_a_training_that_was_killed_are_whole_when_it_is_resumed(tmp_path, monkeypatch):
    """The end of their file is missing, and the clock has gone back a year."""
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = tmp_path / "tensorboard"
    folder.mkdir()
    (folder / "events.out.tfevents.1.mine").touch()
    train(trainer(), tmp_path, steps=20, save_every=10, tensorboard=True)
    (killed,) = folder.glob("*.dcgan-probe")
    killed.write_bytes(killed.read_bytes()[: killed.stat().st_size // 3])
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 365 * 24 * 3600)
    train(trainer(), tmp_path, steps=40, save_every=10, tensorboard=True)
    events = reading.EventAccumulator(str(folder), size_guidance={"images": 0})
    events.Reload()
    seen = [(event.step, event.value) for event in events.Scalars("generator")]
    noted = [(line["step"], line["generator"]) for line in lines(tmp_path) if "generator" in line]
    assert [step for step, _ in seen] == [10, 20, 30, 40]
    assert [value for _, value in seen] == pytest.approx([value for _, value in noted])
    assert [event.step for event in events.Images("samples")] == [10, 20, 30, 40]
    assert (folder / "events.out.tfevents.1.mine").exists()


def test_a_picture_that_cannot_be_drawn_costs_no_step(tmp_path, monkeypatch):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(trainer(), whole, steps=20, save_every=10)

    def fail(*arguments: object) -> None:
        raise InputError("picture: cannot be drawn")

    for name in ("samples", "draw"):
        with monkeypatch.context() as patched:
            patched.setattr(Record, name, fail)
            with pytest.raises(InputError, match="cannot be drawn"):
                train(trainer(), broken, steps=20, save_every=10)
    assert (broken / STATE).exists()
    train(trainer(), broken, steps=20, save_every=10)
    assert contents(broken) == contents(whole)


def test_a_folder_of_a_training_killed_before_its_first_save_may_be_trained_into(tmp_path):
    run = tmp_path / "run"
    assert may_start(run)
    (run / "samples").mkdir(parents=True)
    assert may_start(run)
    for name in (
        ".lock",
        ".state.pt.ab12cd34.dcgan-probe-part",
        "samples/epoch_1.png",
        "metrics.jsonl",
    ):
        (run / name).write_bytes(b"")
    assert may_start(run)
    (run / ".lock").unlink()
    assert not may_start(run)  # somebody else's metrics
    (run / ".lock").write_bytes(b"")
    (run / CHECKPOINT).write_bytes(b"")  # whose state was deleted: worth keeping
    assert not may_start(run)
    (run / STATE).write_bytes(b"")
    assert may_start(run)


@pytest.mark.parametrize("line", ["3", "[]", "{}", '{"step": "1"}', '{"step": 1, "generator": {}}'])
def test_damaged_measurements_are_one_line(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_text(f'{{"step": 1, "generator": 0.5}}\n{line}\n')
    with pytest.raises(InputError, match=r"metrics\.jsonl: found a damaged file"):
        Record(tmp_path, steps=3)


def test_force_removes_the_record_of_an_earlier_training_and_nothing_else(tmp_path):
    pytest.importorskip("tensorboard")
    old, new = tmp_path / "old", tmp_path / "new"
    train(trainer(), old, steps=27, save_every=5, tensorboard=True)
    assert (old / "epochs.png").exists()
    kept = [old / "samples" / "mine.png", old / "losses.csv", old / "tensorboard" / "mine"]
    for path in kept:
        path.write_text("mine")
    for folder in (old, new):
        train(trainer(), folder, steps=3, save_every=3, force=True)
    assert {path.read_text() for path in kept} == {"mine"}
    files = [{p.relative_to(at) for p in at.rglob("*") if p.is_file()} for at in (old, new)]
    assert files[0] - {path.relative_to(old) for path in kept} == files[1]
    assert contents(new).items() <= contents(old).items()


def test_force_leaves_a_training_that_is_at_work_alone(tmp_path):
    train(trainer(), tmp_path, steps=3)
    before = (tmp_path / STATE).read_bytes()
    with FileLock(tmp_path / ".lock"), pytest.raises(InputError, match="another training at work"):
        train(trainer(), tmp_path, steps=3, force=True)
    assert (tmp_path / STATE).read_bytes() == before


def test_no_steps_are_refused(tmp_path):
    with pytest.raises(InputError, match="steps: found 0, expected at least 1"):
        train(trainer(), tmp_path / "run", steps=0)


def test_a_measured_save_makes_its_checkpoint_once(tmp_path, monkeypatch):
    made = []
    own = trainer()
    checkpoint = own.checkpoint
    monkeypatch.setattr(own, "checkpoint", lambda info: made.append(info) or checkpoint(info))
    train(own, tmp_path / "run", steps=4, save_every=2)
    assert len(made) == 2


def test_images_that_judge_a_training_are_spaced_over_all_of_them(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "JUDGED", 30)
    seen = []

    def recorded(fake, real, **options):
        seen.append(real)
        return {"16": 1.0, "mean": 1.0}

    monkeypatch.setattr(metrics, "sliced_wasserstein", recorded)
    train(trainer(), tmp_path / "run", steps=1, save_every=1)
    rows = [int((to_range(IMAGES) == image).flatten(1).all(1).nonzero()) for image in seen[0]]
    assert rows == [i * 40 // 30 for i in range(30)] and rows[-1] == 38
