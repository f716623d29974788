"""Train on a set of images as ``dcgan-probe train`` does, from path to output folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from dcgan_probe import checkpoints, distributed, terminal
from dcgan_probe.checkpoints.checkpoint import Checkpoint
from dcgan_probe.checkpoints.loading import FACTORY
from dcgan_probe.errors import InputError
from dcgan_probe.images.sources import ImageSource
from dcgan_probe.networks.arithmetic import multiplies_bfloat16
from dcgan_probe.networks.config import PRESETS, Config
from dcgan_probe.training import cpu, dataset
from dcgan_probe.training.loop import BEST, CHECKPOINT, STATE, Outcome, may_start, train
from dcgan_probe.training.recipe import Recipe
from dcgan_probe.training.trainer import Trainer

UNSAID = ("batch", "l2", "leftover")  # of a recipe, where the command line says nothing


@dataclasses.dataclass(frozen=True)
class Trained:
    """What `launch` returns.

    data: the images in words. first: whether this process, of several, wrote the files.
    """

    folder: Path
    outcome: Outcome
    data: str
    first: bool

    def to_dict(self) -> dict[str, Any]:
        outcome = self.outcome
        file = str(self.folder / CHECKPOINT)
        return {"file": file, "sha256": outcome.sha256, "stopped": outcome.stopped}

    def __str__(self) -> str:
        outcome = self.outcome
        lines = [
            f"{self.folder / CHECKPOINT}: SHA-256 {outcome.sha256}, {outcome.steps} steps on "
            f"{self.data}"
        ]
        if outcome.best is not None:
            step, distance = outcome.best
            measured = f"step {step}, sliced Wasserstein distance {distance:.2f}"
            lines.append(f"{self.folder / BEST}: {measured}")
        if outcome.stopped:
            lines.append(f"stopped by {outcome.stopped}: rerun the command to resume")
        return "\n".join(lines)


def _open(start_from: str) -> Checkpoint:
    """The checkpoint to start from; its refusal without the way that takes any network."""
    try:
        return checkpoints.load(start_from)
    except InputError as error:
        raise InputError(str(error).removesuffix(f"; {FACTORY}")) from error


def launch(
    folder: Path,
    seed: int,
    device: str,
    force: bool,
    data: Path,
    steps: int | None,
    epochs: int | None,
    preset: str | None,
    start_from: str | None,
    network: dict[str, int | None],
    recipe: dict[str, Any],
    precision: str,
    keep: Path | None,
    cache_folder: Path | None,
    max_bad: float,
    save_every: int,
    compiled: bool,
    tensorboard: bool,
) -> Trained:
    """Train on a set of images, or resume from the state that `folder` holds.

    start_from: name or path of a checkpoint whose networks training starts from. preset: by default
    the checkpoint's config, or "paper" without one. network: members of the preset's `Config` to
    replace, where they are not None. recipe: those of
    the `Recipe`, where they are not None; a training that is resumed otherwise takes batch, l2 and
    leftover from its state. Raises InputError as `train` does, for images that cannot be read, and
    for a folder that holds something else.
    """
    if (steps is None) == (epochs is None):
        raise InputError("train: found both or none of --steps and --epochs, expected one")
    members: dict[str, Any] = {name: value for name, value in network.items() if value is not None}
    start = _open(start_from) if start_from else None
    base = start.config if start and preset is None else PRESETS[preset or "paper"]
    if not isinstance(base, Config):
        raise InputError(
            f"{start_from}: found a network of another architecture, expected that of a preset"
        )
    config = dataclasses.replace(base, **members)
    if not force and not may_start(folder):
        raise InputError(
            f"{folder}: found files but no {STATE} to resume from, expected a new folder"
        )
    cpu.keep_memory()
    with distributed.joined(device) as own:
        if precision == "auto":
            precision = "bfloat16" if own.device.type == "cuda" else "float32"
        on_cpu = own.device.type == "cpu"
        if precision == "bfloat16" and on_cpu and not multiplies_bfloat16(own.device):
            terminal.note(
                "train: this CPU computes bfloat16 in software, which can take 20 times as long as "
                "float32"
            )
        said = {name: value for name, value in recipe.items() if value is not None}
        if not force and (folder / STATE).exists():
            # What is not said is as it was: older trainings had no L2 decay and larger batches.
            saved = Trainer.saved_recipe(folder / STATE)
            said = {name: saved[name] for name in UNSAID if name in saved} | said
        full = Recipe(precision=precision, seed=seed, **said)
        source = ImageSource(data, config.size, config.channels)
        images = dataset.read(source, cache_folder, max_bad, keep, own.first)
        # Mapped again by torch, which has no read-only tensors: privately, so the file stays.
        file = str(images.pixels.filename)
        flat = torch.from_file(file, False, images.pixels.size, dtype=torch.uint8)
        pixels = flat.view(images.pixels.shape)
        trainer = Trainer(config, full, pixels, own, images.key, compiled, start)
        if steps is None:
            assert epochs is not None
            steps = -(-epochs * trainer.minibatches.per_epoch // full.minibatches)
        about = {"data": f"{len(images.names)} images of {data.name}", "data_key": images.key}
        with tqdm(
            total=steps * full.batch,
            desc="training",
            unit=" images",
            unit_scale=True,
            mininterval=0.5,
            disable=not own.first or terminal.current().quiet or None,  # None: off a terminal too
        ) as bar:

            def progress(step: int, losses: dict[str, float] | None) -> None:
                if losses is None:  # where it starts: images seen before do not count for the rate
                    bar.initial = bar.n = step * full.batch
                    return
                shown = {name[0].upper(): f"{value:.2f}" for name, value in losses.items()}
                bar.set_postfix(shown, refresh=False)
                bar.update(step * full.batch - bar.n)

            outcome = train(
                trainer, folder, steps, save_every, about, tensorboard, progress, bar.write, force
            )
            bar.update(outcome.steps * full.batch - bar.n)
        return Trained(folder, outcome, str(about["data"]), own.first)
