"""The training loop: the paper's recipe, seeded, and resumable from its last saved state."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dcgan_probe import checkpoints, figures, files, latents
from dcgan_probe.errors import InputError
from dcgan_probe.networks import (
    Config,
    Discriminator,
    Generator,
    estimate_statistics,
    initialise,
)
from dcgan_probe.sources import to_range

STATE = "state.pt"
STATISTICS_BATCHES = 50
STATISTICS_BATCH = 128
# Second words of the seeds, one for each use, so that no two uses share their draws.
_STATISTICS, _ORDER, _LATENTS = range(3)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; the defaults are the paper's.

    batch: images in a minibatch. rate, beta1: of Adam, for both networks.
    ema: decay of the running mean of the generator's weights that is saved in place of the last
        weights; 0 saves the last weights, as the paper does.
    seed: of the initial weights, the order of the images and every z.

    Source: section 4; the order of updates and the separate batches from the authors' code.
    """

    batch: int = 128
    rate: float = 2e-4
    beta1: float = 0.5
    ema: float = 0.0
    seed: int = 0


class Trainer:
    """Both networks, their optimisers and the count of steps done.

        >>> trainer = Trainer(PRESETS["torch"], Recipe(batch=64), images)
        >>> losses = trainer.step()

    images: N x channels x size x size uint8, held in memory.

    What happens at a step depends on the state and the number of the step alone: every draw has
    its own generator, seeded by the recipe's seed and that number. So there is no random state to
    save, and a resumed run does on the CPU what an unbroken one would have done.
    """

    def __init__(self, config: Config, recipe: Recipe, images: Tensor, device: str = "cpu"):
        wanted = (config.channels, config.size, config.size)
        if images.dtype != torch.uint8 or tuple(images.shape[1:]) != wanted:
            found = f"{images.dtype} {tuple(images.shape[1:])}"
            raise InputError(f"training images: found {found}, expected torch.uint8 {wanted}")
        if len(images) < recipe.batch:
            raise InputError(
                f"training images: found {len(images)}, expected at least a batch of {recipe.batch}"
            )
        self.config = config
        self.recipe = recipe
        self.images = images
        self.device = torch.device(device)
        self.steps = 0
        self.generator = Generator(config)
        self.discriminator = Discriminator(config)
        initialise(self.generator, recipe.seed)
        initialise(self.discriminator, recipe.seed + 1)
        # channels_last: the same numbers to rounding, a fifth more steps a second on CPUs.
        for network in (self.generator, self.discriminator):
            network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.mean_generator = copy.deepcopy(self.generator).requires_grad_(False)
        betas = (recipe.beta1, 0.999)
        self.adam_g = torch.optim.Adam(self.generator.parameters(), recipe.rate, betas)
        self.adam_d = torch.optim.Adam(self.discriminator.parameters(), recipe.rate, betas)

    def step(self) -> dict[str, float]:
        """One update of the discriminator and one of the generator; returns their losses.

        The paper's code updates one of the two with each minibatch, in turn: a step is one turn
        of each. Real and generated images pass the discriminator as separate batches, so that
        batch norm never mixes them.
        """
        self.generator.train()
        self.discriminator.train()
        real = self._real(self._order())
        z_d, z_g = self._z()
        with torch.no_grad():
            fake = self.generator(z_d)
        loss_d = F.softplus(-self.discriminator(real)).mean()
        loss_d = loss_d + F.softplus(self.discriminator(fake)).mean()
        self.adam_d.zero_grad(set_to_none=True)
        loss_d.backward()
        self.adam_d.step()

        self.discriminator.requires_grad_(False)  # its weights get no gradient they do not use
        loss_g = F.softplus(-self.discriminator(self.generator(z_g))).mean()
        self.adam_g.zero_grad(set_to_none=True)
        loss_g.backward()
        self.adam_g.step()
        self.discriminator.requires_grad_(True)

        self.steps += 1
        self._update_mean()
        losses = {"discriminator": loss_d.item(), "generator": loss_g.item()}
        if not all(np.isfinite(value) for value in losses.values()):
            raise InputError(f"training: step {self.steps}: found losses {losses}, expected finite")
        return losses

    def checkpoint(self, info: dict | None = None) -> checkpoints.Checkpoint:
        """The networks as they are to be probed: in eval mode, with estimated statistics.

        Statistics are means over 50 batches of 128, of latents for the generator and of training
        images for the discriminator, drawn with the recipe's seed.
        """
        source = self.mean_generator if self.recipe.ema else self.generator
        generator = copy.deepcopy(source).requires_grad_(True)
        discriminator = copy.deepcopy(self.discriminator)
        z = latents.sample(self.config, STATISTICS_BATCHES * STATISTICS_BATCH, self.recipe.seed)
        estimate_statistics(generator, z.to(self.device).split(STATISTICS_BATCH))
        rng = np.random.default_rng([self.recipe.seed, _STATISTICS])
        chosen = rng.integers(len(self.images), size=(STATISTICS_BATCHES, STATISTICS_BATCH))
        estimate_statistics(discriminator, (self._real(rows) for rows in chosen))
        about = {
            "steps": self.steps,
            "recipe": dataclasses.asdict(self.recipe),
            "images": len(self.images),
            "statistics": f"means over {STATISTICS_BATCHES} batches of {STATISTICS_BATCH}: "
            "latents (generator), training images (discriminator)",
        }
        return checkpoints.Checkpoint(
            self.config, generator, discriminator, {**about, **(info or {})}
        )

    def samples(self, z: Tensor) -> Tensor:
        """Images of latents as training stands: the averaged weights, the statistics of this batch.

        Returns N x channels x size x size float32 in [-1, 1], on the CPU.
        """
        generator = copy.deepcopy(self.mean_generator if self.recipe.ema else self.generator)
        with torch.no_grad():
            return generator.train()(z.to(self.device)).cpu()

    def state(self) -> bytes:
        """Everything that determines the steps to come, and the settings that led here."""
        stream = io.BytesIO()
        torch.save({"settings": self._settings(), "steps": self.steps, **self._parts()}, stream)
        return stream.getvalue()

    def load_state(self, path: Path) -> None:
        """Take up where a saved state left off; InputError if it was made with other settings."""
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            saved = state["settings"]
        except Exception as error:
            raise InputError(
                f"{path}: found no training state that can be read: {error}"
            ) from error
        for name, value in self._settings().items():
            if saved.get(name) != value:
                raise InputError(
                    f"{path}: {name}: found {saved.get(name)!r}, expected {value!r} as asked for"
                )
        for name, part in self._modules().items():
            part.load_state_dict(state[name])
        self.steps = state["steps"]

    def _modules(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "mean_generator": self.mean_generator,
            "adam_g": self.adam_g,
            "adam_d": self.adam_d,
        }

    def _parts(self) -> dict[str, object]:
        return {name: part.state_dict() for name, part in self._modules().items()}

    def _settings(self) -> dict[str, object]:
        settings = {**dataclasses.asdict(self.config), **dataclasses.asdict(self.recipe)}
        return {**settings, "images": len(self.images)}

    def _real(self, rows: np.ndarray) -> Tensor:
        return to_range(self.images[torch.from_numpy(rows)].to(self.device))

    def _order(self) -> np.ndarray:
        """Rows of this step's minibatch: every epoch is a new order of all images."""
        per_epoch = len(self.images) // self.recipe.batch
        epoch, place = divmod(self.steps, per_epoch)
        rng = np.random.default_rng([self.recipe.seed, _ORDER, epoch])
        order = rng.permutation(len(self.images))
        return order[place * self.recipe.batch : (place + 1) * self.recipe.batch]

    def _z(self) -> tuple[Tensor, Tensor]:
        """This step's latents, for the discriminator's update and for the generator's."""
        seed = int(np.random.SeedSequence([self.recipe.seed, _LATENTS]).generate_state(1)[0])
        first = self.steps * 2 * self.recipe.batch
        z = latents.sample(self.config, 2 * self.recipe.batch, seed, start=first).to(self.device)
        return z[: self.recipe.batch], z[self.recipe.batch :]

    def _update_mean(self) -> None:
        # Early on the decay is smaller, so that the random first weights are soon forgotten.
        decay = min(self.recipe.ema, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            pairs = zip(self.mean_generator.parameters(), self.generator.parameters(), strict=True)
            for mean, now in pairs:
                mean.lerp_(now, 1 - decay)


def train(
    trainer: Trainer,
    folder: Path,
    steps: int,
    save_every: int = 500,
    info: dict | None = None,
    progress: Callable[[int, dict[str, float]], None] = lambda step, losses: None,
) -> str:
    """Train up to `steps`, saving as it goes, and return the SHA-256 of the final checkpoint.

        >>> train(Trainer(config, Recipe(), images), Path("run"), steps=1000)

    Writes into folder: ``state.pt`` (to resume from), ``losses.jsonl``, a grid of 64 samples of
    the same latents at every save, and ``checkpoint.safetensors`` at every save. If the folder
    holds a state, training goes on from there.
    """
    state = folder / STATE
    log = folder / "losses.jsonl"
    lines: list[str] = []
    if state.exists():
        trainer.load_state(state)
        lines = log.read_text().splitlines()[: trainer.steps]
    shown = latents.sample(trainer.config, 64, seed=0)
    sha = ""
    while trainer.steps < steps:
        losses = trainer.step()
        lines.append(json.dumps({"step": trainer.steps, **losses}))
        progress(trainer.steps, losses)
        if trainer.steps % save_every == 0 or trainer.steps == steps:
            name = f"samples_{trainer.steps:06d}.png"
            figures.write_image(
                folder / name, figures.tile(figures.pixels(trainer.samples(shown)), 8, zoom=2)
            )
            files.write_text(log, "\n".join(lines) + "\n")
            sha = checkpoints.save(trainer.checkpoint(info), folder / "checkpoint.safetensors")
            files.write_bytes(state, trainer.state())
    return sha or files.sha256(folder / "checkpoint.safetensors")
