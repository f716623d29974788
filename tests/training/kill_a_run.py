"""Train in child processes that are killed at random moments, and report what they left.

A child is a fork of this process, which has imported everything once, so that a kill costs a tenth
of a second and not seven. A moment is some saves after the child's start, and a random time after
that: a slow machine then kills at the same steps as a fast one. Prints one JSON object: the kills,
where they fell, what was found broken, and the SHA-256 of the final weights of each run.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import safetensors.torch
import torch

import dcgan_probe as dp
from dcgan_probe.storage import files
from dcgan_probe.training import figures
from dcgan_probe.training.loop import train
from dcgan_probe.training.recipe import Recipe
from dcgan_probe.training.trainer import Trainer

STEPS, SAVE_EVERY = 30, 3
CONFIG = dp.Config(size=16, g_width=2, d_width=2, z_size=4)


def trainer() -> Trainer:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (40, 3, 16, 16), dtype=torch.uint8, generator=random)
    return Trainer(CONFIG, Recipe(batch=8, ema=0.9), images)


def run(folder: Path) -> None:
    train(trainer(), folder, STEPS, SAVE_EVERY)


def forked(folder: Path) -> int:
    child = os.fork()
    if child == 0:
        try:
            run(folder)
            os._exit(0)
        finally:
            os._exit(1)
    return child


def broken(folder: Path) -> list[str]:
    """The files of a run that cannot be read whole; parts that wait to be swept are hidden."""
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name[0] != "."):
        try:
            if path.suffix == ".pt":
                torch.load(path, weights_only=True)
            elif path.suffix == ".safetensors":
                safetensors.torch.load_file(path)
            elif path.suffix == ".png":
                assert cv2.imread(str(path)) is not None
            else:
                [json.loads(line) for line in path.read_text().splitlines()]
        except Exception as error:
            found.append(f"{path.name}: {error!r}")
    return found


def after_saves(child: int, state: Path, saves: int) -> tuple[int, int]:
    """Wait until a child has saved so often; returns what waitpid says, 0 while it runs."""
    seen = changed(state)
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if changed(state) != seen:
            seen, saves = changed(state), saves - 1
        if done or saves <= 0:
            return done, status
        time.sleep(0.001)


def changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def main() -> None:
    folder, kills = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    trainer()
    figures.draw([{"step": 1, "generator": 0.0}], folder / "imported.png", "")
    start = time.perf_counter()
    os.waitpid(forked(folder / "unbroken"), 0)
    whole = time.perf_counter() - start
    rng = np.random.default_rng(0)
    report: dict = {"kills": 0, "steps": [], "broken": [], "left": [], "sha256": []}
    while report["kills"] < kills:
        home = folder / f"run{len(report['sha256'])}"
        done = 0
        while not done:
            child = forked(home)
            if report["kills"] < kills:
                saves = int(rng.integers(0, 4))
                done, status = after_saves(child, home / "state.pt", saves)
                if not done:
                    # Into the start, if nothing was saved; else into steps, or the next writing.
                    time.sleep(rng.uniform(0, whole * SAVE_EVERY / STEPS))
                    done, status = os.waitpid(child, os.WNOHANG)
            else:
                done, status = os.waitpid(child, 0)
            if not done:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                report["kills"] += 1
                report["broken"] += broken(home)
                state = home / "state.pt"
                at = torch.load(state, weights_only=True)["steps"] if state.exists() else 0
                report["steps"].append(at)
        assert os.waitstatus_to_exitcode(status) == 0
        report["sha256"].append(files.sha256(home / "checkpoint.safetensors"))
        report["left"] += [p.name for p in home.rglob("*-part")]
    report["unbroken"] = files.sha256(folder / "unbroken" / "checkpoint.safetensors")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
