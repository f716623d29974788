"""What ``dcgan-probe train`` does: read the images, train, draw the losses."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from dcgan_probe import figures
from dcgan_probe.errors import InputError
from dcgan_probe.networks import PRESETS
from dcgan_probe.session import choose_device
from dcgan_probe.sources import ImageSource
from dcgan_probe.training.loop import STATE, Recipe, Trainer, train


def run(
    folder: Path,
    seed: int,
    device: str,
    force: bool,
    data: Path,
    steps: int,
    preset: str,
    size: int | None,
    channels: int | None,
    g_width: int | None,
    d_width: int | None,
    batch: int,
    ema: float,
    save_every: int,
) -> None:
    """Train on the images of a folder or zip, or go on from the state that `folder` holds."""
    asked = {"size": size, "channels": channels, "g_width": g_width, "d_width": d_width}
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    config = dataclasses.replace(PRESETS[preset], **given)
    if folder.exists() and any(folder.iterdir()) and not (folder / STATE).exists() and not force:
        raise InputError(f"{folder}: holds no {STATE} to go on from, expected a new folder")
    source = ImageSource(data, config.size, config.channels)
    numbers = tqdm(range(len(source)), desc="reading images", leave=False, mininterval=0.5)
    images = torch.stack([torch.from_numpy(source.pixels(i)) for i in numbers])
    recipe = Recipe(batch=batch, ema=ema, seed=seed)
    trainer = Trainer(config, recipe, images, str(choose_device(device)))
    if force:
        (folder / STATE).unlink(missing_ok=True)
    with tqdm(total=steps, desc="training", mininterval=0.5) as bar:

        def progress(step: int, losses: dict[str, float]) -> None:
            bar.n = step
            bar.set_postfix({name: f"{value:.2f}" for name, value in losses.items()}, refresh=False)
            bar.update(0)

        info = {"data": f"{len(images)} images of {data.name}"}
        try:
            sha = train(trainer, folder, steps, save_every, info, progress)
        except KeyboardInterrupt:
            raise InputError(
                f"interrupted at step {trainer.steps}: run the same line to go on from the last "
                f"state saved in {folder}"
            ) from None
    figures.losses(folder / "losses.jsonl", folder / "losses.png")
    print(f"{folder / 'checkpoint.safetensors'}: SHA-256 {sha}, {trainer.steps} steps")
