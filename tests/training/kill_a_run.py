"""Train in child processes that are killed at random moments, and report what they left.

A child is a fork of this process, which has imported torch once, so that a kill costs a tenth of
a second and not three. Prints one JSON object: the kills, where they fell, what was found broken,
and the SHA-256 of the final weights of each run.
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
from dcgan_probe.training.loop import train
from dcgan_probe.training.recipe import Recipe
from dcgan_probe.training.trainer import Trainer

STEPS, SAVE_EVERY = 30, 3
CONFIG = dp.Config(size=16, g_width=2, d_width=2, z_size=4)


def run(folder: Path) -> None:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (40, 3, 16, 16), dtype=torch.uint8, generator=random)
    train(Trainer(CONFIG, Recipe(batch=8, ema=0.9), images), folder, STEPS, SAVE_EVERY)


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


def main() -> None:
    folder, kills = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
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
                # Some moments of every run fall into its start, its steps, its writing.
                time.sleep(rng.uniform(0, 0.3 * whole))
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
        report["sha256"].append(dp.files.sha256(home / "checkpoint.safetensors"))
        report["left"] += [p.name for p in home.rglob("*.part")]
    report["unbroken"] = dp.files.sha256(folder / "unbroken" / "checkpoint.safetensors")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
