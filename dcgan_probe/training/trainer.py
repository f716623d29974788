"""Both networks and their optimisers; one training step."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dcgan_probe import checkpoints, latents
from dcgan_probe.distributed import Ranks
from dcgan_probe.errors import InputError, brief
from dcgan_probe.networks.config import SINCE as NETWORK_SINCE
from dcgan_probe.networks.config import Config
from dcgan_probe.networks.dcgan import Discriminator, Generator, estimate_statistics, initialise
from dcgan_probe.training.augment import augment
from dcgan_probe.training.minibatches import Minibatches
from dcgan_probe.training.recipe import SINCE, Recipe

STATISTICS_BATCHES = 50
STATISTICS_BATCH = 128
R1_EVERY = 16  # steps; as Karras et al. (2020, appendix B) do, for speed
# Second words of the seeds, one for each use, so that no two uses share their draws; the order of
# the images and their flips have 1 and 3.
_STATISTICS, _LATENTS, _AUGMENT = 0, 2, 4
# What is augmented in a step, each with draws of its own.
_REAL, _FAKE, _JUDGED = 0, 1, 2


class Trainer:
    """Both networks, their optimisers and the count of steps done.

        >>> trainer = Trainer(PRESETS["torch"], Recipe(batch=64), images)
        >>> losses = trainer.step()  # discriminator, generator; nats

    images: N x channels x size x size uint8, in memory or mapped. data: what identifies them, kept
    in the state. compiled: run the networks through torch.compile. start: a checkpoint of this
    config with both networks, which training starts from; None starts from random weights. Adam's
    moments start from zero, as in any new training.

    With `Recipe.r1`, every 16th step adds 16 r1 / 2 times the mean squared norm of the score's
    gradient at the real images to the discriminator's loss (not to the loss that is returned).
    Source: Mescheder et al. (2018), equation 9; Karras et al. (2020), appendix B, for the 16.

    What happens at a step depends on the state and the number of the step alone: every draw has
    its own generator, seeded by the recipe's seed and that number. So there is no random state to
    save, and a resumed run does on the CPU what an unbroken one would have done.
    """

    def __init__(
        self,
        config: Config,
        recipe: Recipe,
        images: Tensor,
        ranks: Ranks | None = None,
        data: str = "",
        compiled: bool = False,
        start: checkpoints.Checkpoint | None = None,
    ):
        wanted = (config.channels, config.size, config.size)
        if images.dtype != torch.uint8 or tuple(images.shape[1:]) != wanted:
            kind = f"{images.dtype} {tuple(images.shape[1:])}"
            raise InputError(f"training images: found {kind}, expected torch.uint8 {wanted}")
        self.config = config
        self.recipe = recipe
        self.ranks = ranks or Ranks()
        self.data = data
        if recipe.batch % self.ranks.world or recipe.batch < 2 * self.ranks.world:
            raise InputError(
                f"recipe: batch: found {recipe.batch}, expected a multiple of the "
                f"{self.ranks.world} processes, with 2 images or more for each"
            )
        if recipe.r1 and compiled:
            # torch.compile has no second derivatives.
            raise InputError(f"recipe: r1: found {recipe.r1}, expected 0 with compile")
        self.device = self.ranks.device
        self.minibatches = Minibatches(
            images, recipe.batch, recipe.seed, self.device, recipe.leftover, self.ranks.world
        )
        self.steps = 0
        self.generator = Generator(config)
        self.discriminator = Discriminator(config)
        initialise(self.generator, recipe.seed)
        initialise(self.discriminator, recipe.seed + 1)
        self.start = ""  # SHA-256 of the checkpoint that training starts from
        if start is not None:
            self._start_from(start)
        # channels_last: the same numbers to rounding, and faster (benchmarks/results/training_*).
        for network in (self.generator, self.discriminator):
            network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.mean_generator = copy.deepcopy(self.generator).requires_grad_(False)
        self.adam_g, self.adam_d = (
            torch.optim.Adam(
                network.parameters(),
                recipe.rate,
                (recipe.beta1, 0.999),
                weight_decay=recipe.l2,
                fused=True,
            )
            for network in (self.generator, self.discriminator)
        )
        # What a step calls: the same weights, by way of the gradients' mean over processes where
        # weights are to be updated. The discriminator that judges for the generator is the plain
        # one: its gradients are unused.
        self._call_g: nn.Module = self.ranks.wrap(self.generator)
        self._call_d: nn.Module = self.ranks.wrap(self.discriminator)
        self._judge: nn.Module = self.discriminator
        self._draw: nn.Module = self.generator
        if compiled:
            # On CUDA, "reduce-overhead" replays each network as one CUDA graph. torch's own warm-up
            # run is a real step, so running statistics see every batch once. A smaller last
            # minibatch gets a graph of its own, so that the usual one stays of fixed shape.
            mode = "reduce-overhead" if self.device.type == "cuda" else "default"
            for name in ("_call_g", "_call_d", "_judge", "_draw"):
                setattr(self, name, torch.compile(getattr(self, name), mode=mode, dynamic=False))

    def step(self) -> Tensor:
        """One update of each network; returns the losses of D and G, 2 float32 on the device.

        Real and generated images pass the discriminator as separate batches, so that batch norm
        never mixes them.
        """
        self.generator.train()
        self.discriminator.train()
        for group in (*self.adam_g.param_groups, *self.adam_d.param_groups):
            group["lr"] = self.recipe.rate_at(self.steps)
        losses = self._paper() if self.recipe.name == "paper" else self._shared()
        self.steps += 1
        if self.recipe.ema:
            self._update_mean()
        return losses

    def _start_from(self, start: checkpoints.Checkpoint) -> None:
        for name, value in dataclasses.asdict(self.config).items():
            if (found := getattr(start.config, name, None)) != value:
                raise InputError(f"{start.name}: {name}: found {found!r}, expected {value!r}")
        for name, own in (("generator", self.generator), ("discriminator", self.discriminator)):
            trained = getattr(start, name)
            if trained is None:
                raise InputError(f"{start.name}: found no {name}, expected both networks")
            own.load_state_dict(trained.state_dict())
        self.start = start.sha256

    def _paper(self) -> Tensor:
        # The generator's turn comes first, and each turn has latents of its own.
        z_g, z_d = self._z(2)
        loss_g = self._update_g(self._generate(self._call_g, z_g))
        with torch.no_grad():
            fake = self._generate(self._draw, z_d)
        loss_d = self._update_d(fake)
        return torch.stack([loss_d, loss_g])

    def _shared(self) -> Tensor:
        (z,) = self._z(1)
        fake = self._generate(self._call_g, z)
        loss_d = self._update_d(fake.detach())
        loss_g = self._update_g(fake)
        return torch.stack([loss_d, loss_g])

    def _update_d(self, fake: Tensor) -> Tensor:
        penalised = self.recipe.r1 > 0 and self.steps % R1_EVERY == 0
        real = self._real().requires_grad_(penalised)
        scores = self._score(self._call_d, real, _REAL)
        loss = F.softplus(-scores).mean()
        loss = loss + F.softplus(self._score(self._call_d, fake, _FAKE)).mean()
        # Mescheder et al. (2018), equation 9. It is left out of the loss that is reported.
        penalty = R1_EVERY * self.recipe.r1 / 2 * _squared_slope(scores, real) if penalised else 0.0
        self.adam_d.zero_grad(set_to_none=True)
        (loss + penalty).backward()
        self.adam_d.step()
        return loss.detach()

    def _update_g(self, fake: Tensor) -> Tensor:
        self.discriminator.requires_grad_(False)  # its weights get no gradient they do not use
        loss = F.softplus(-self._score(self._judge, fake, _JUDGED)).mean()
        self.adam_g.zero_grad(set_to_none=True)
        loss.backward()
        self.adam_g.step()
        self.discriminator.requires_grad_(True)
        return loss.detach()

    def _generate(self, network: nn.Module, z: Tensor) -> Tensor:
        with self._arithmetic():
            return network(z)

    def _score(self, network: nn.Module, images: Tensor, use: int) -> Tensor:
        if self.recipe.augment:
            mine = self.ranks.rank
            draws = [self.recipe.seed, _AUGMENT, self.steps, use, mine]
            # Generated images come in bfloat16. Sums and products of them are coarser than those of
            # real images, and the discriminator would tell the two apart by that.
            images = augment(images.float(), np.random.default_rng(draws))
            images = images.contiguous(memory_format=torch.channels_last)
        with self._arithmetic():
            return network(images).float()

    def _arithmetic(self) -> torch.autocast:
        half = self.recipe.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=half)

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
        n = len(self.minibatches.images)
        chosen = rng.integers(n, size=(STATISTICS_BATCHES, STATISTICS_BATCH))
        estimate_statistics(discriminator, (self.minibatches.read(rows) for rows in chosen))
        about = {
            "steps": self.steps,
            "recipe": dataclasses.asdict(self.recipe),
            "images": n,
            "processes": self.ranks.world,
            **({"start_from": self.start} if self.start else {}),
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

    def state(self, extra: dict[str, Any]) -> bytes:
        """Everything that determines the steps to come, and the settings that led here.

        extra: what the loop around the steps wants to find again.
        """
        stream = io.BytesIO()
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        whole = {"settings": self.settings(), "steps": self.steps, **parts, "extra": extra}
        # torch notices no bit that flips in its file.
        torch.save({**whole, "checksum": _checksum(whole)}, stream)
        return stream.getvalue()

    def load_state(self, path: Path) -> dict[str, Any]:
        """Take up where a saved state left off, and return its `extra`.

        Raises InputError if it cannot be read or was made with other settings.
        """
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            if state.pop("checksum", None) not in (None, _checksum(state)):
                raise ValueError("other bytes than were written")
            # What older states do not hold.
            older: dict[str, object] = {
                f"network.{name}": usual for name, usual in NETWORK_SINCE.items()
            }
            older |= {f"recipe.{name}": usual for name, usual in SINCE.items()}
            older["start_from"] = ""
            saved = {**older, **state["settings"]}
        except Exception as error:
            raise InputError(
                f"{path}: found no training state that can be read: {brief(error)}"
            ) from error
        for name, value in self.settings().items():
            if saved.get(name) != value:
                raise InputError(
                    f"{path}: {name}: found {saved.get(name)!r}, expected {value!r} as asked for"
                )
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.steps = state["steps"]
        return state["extra"]

    @staticmethod
    def saved_recipe(path: Path) -> dict[str, Any]:
        """The members of the recipe that a saved state was made with; none if it is damaged.

        A damaged state is `load_state`'s to refuse.
        """
        try:
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            settings = dict(state["settings"])
        except Exception:
            return {}
        members = {
            name.removeprefix("recipe."): value
            for name, value in settings.items()
            if name.startswith("recipe.")
        }
        return SINCE | members

    def settings(self) -> dict[str, object]:
        """What a run must share with another to resume its state."""
        recipe = {f"recipe.{k}": v for k, v in dataclasses.asdict(self.recipe).items()}
        network = {f"network.{k}": v for k, v in dataclasses.asdict(self.config).items()}
        more = {"images": len(self.minibatches.images), "data": self.data, "start_from": self.start}
        return {**network, **recipe, **more, "processes": self.ranks.world}

    def parameters(self) -> Iterator[nn.Parameter]:
        """The weights of both networks."""
        yield from self.generator.parameters()
        yield from self.discriminator.parameters()

    def average_statistics(self) -> None:
        """Make the running statistics of batch norm the same in all processes."""
        for network in (self.generator, self.discriminator, self.mean_generator):
            self.ranks.average([b for b in network.buffers() if b.is_floating_point()])

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "mean_generator": self.mean_generator,
            "adam_g": self.adam_g,
            "adam_d": self.adam_d,
        }

    def _real(self) -> Tensor:
        """This process's part of the step's minibatch of images."""
        number = self.steps * self.recipe.minibatches + self.recipe.minibatches - 1
        mine = self.ranks.share(self.minibatches.size(number))
        flips = self.minibatches.flips(number)[mine] if self.recipe.flip else None
        return self.minibatches.read(self.minibatches.rows(number)[mine], flips)

    def _z(self, parts: int) -> list[Tensor]:
        """This process's part of the step's latents: for each of `parts` uses as many as the
        minibatch has images that it goes with."""
        seed = int(np.random.SeedSequence([self.recipe.seed, _LATENTS]).generate_state(1)[0])
        n = parts * self.recipe.batch
        z = latents.sample(self.config, n, seed, start=self.steps * n).to(self.device)
        return [
            part[self.ranks.share(self.minibatches.size(self.steps * parts + i))]
            for i, part in enumerate(z.split(self.recipe.batch))
        ]

    def _update_mean(self) -> None:
        # Early on the decay is smaller, so that the random first weights are soon forgotten.
        decay = min(self.recipe.ema, (1 + self.steps) / (10 + self.steps))
        mean, now = self.mean_generator.state_dict(), self.generator.state_dict()
        with torch.no_grad():
            for name, value in mean.items():
                if value.is_floating_point():
                    value.lerp_(now[name], 1 - decay)
                else:
                    value.copy_(now[name])


def _squared_slope(scores: Tensor, images: Tensor) -> Tensor:
    """Mean over the images of the squared norm of the scores' gradient, to be differentiated."""
    (slope,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return slope.float().square().sum(dim=(1, 2, 3)).mean()


def _checksum(value: Any) -> str:
    """SHA-256 of nested dicts and lists of tensors, numbers and text, as 64 hexadecimal digits."""
    sha = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, Mapping):
            for key, member in value.items():
                sha.update(repr(key).encode())
                add(member)
        elif isinstance(value, list | tuple):
            for member in value:
                add(member)
        elif isinstance(value, Tensor):
            flat = value.detach().cpu().contiguous().reshape(-1)
            sha.update(repr((tuple(value.shape), value.dtype)).encode())
            sha.update(flat.view(torch.uint8).numpy().data)
        else:
            sha.update(repr(value).encode())

    add(value)
    return sha.hexdigest()
