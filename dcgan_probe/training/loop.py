"""The training loop: measure, save, resume, stop."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from dcgan_probe import checkpoints, latents, metrics
from dcgan_probe.checkpoints import Checkpoint
from dcgan_probe.errors import InputError, at_least
from dcgan_probe.images.sources import Samples, batches, to_range
from dcgan_probe.storage import files
from dcgan_probe.training import interrupt
from dcgan_probe.training.health import Health
from dcgan_probe.training.record import EPOCHS, METRICS, SAMPLES, SIDE_BY_SIDE, Record, clear
from dcgan_probe.training.trainer import Trainer

STATE, CHECKPOINT, BEST = "state.pt", "checkpoint.safetensors", "best.safetensors"
LOCK = ".lock"
LOG_EVERY = 10
SHOWN = 64
# Samples and training images that the best state is judged by.
JUDGED = 512
# A quarter of the published number: the same distance with more spread, which one seed keeps from
# step to step.
PROJECTIONS = 128


@dataclass(frozen=True)
class Outcome:
    """How far a training came. sha256: of the checkpoint of its last step.

    best: the step with the least sliced Wasserstein distance and that distance, of those measured.
    stopped: the signal that ended it before its last step, if one did. warnings: of this run.
    """

    steps: int
    sha256: str
    best: tuple[int, float] | None
    stopped: str | None
    warnings: tuple[str, ...]


def train(
    trainer: Trainer,
    folder: Path,
    steps: int,
    save_every: int = 500,
    info: dict[str, Any] | None = None,
    tensorboard: bool = False,
    progress: Callable[[int, dict[str, float] | None], None] = lambda step, losses: None,
    warn: Callable[[str], None] = lambda message: None,
    force: bool = False,
) -> Outcome:
    """Train up to `steps`, saving as it goes; if the folder holds a state, resume from it.

        >>> train(Trainer(config, Recipe(), images), Path("run"), steps=1000).steps
        1000

    Writes into folder: ``state.pt`` (to resume from) and ``checkpoint.safetensors`` at every save,
    ``best.safetensors`` (the least sliced Wasserstein distance of the saves every `save_every`
    steps; the last state until there is one), ``metrics.jsonl``,
    ``losses.png``, and under ``samples/`` the images of the same 64 latents at every save and
    after epochs 1 and 5. SIGINT and SIGTERM end it after the step that is under way, saved.
    progress: called with the step that training starts from, and every tenth step with the mean
    losses of ten. warn: called with what Health finds. force: start from step 0, and remove the
    state, the measurements and the pictures of an earlier training; its checkpoints stay until the
    first save.

    Raises InputError for losses or weights that are not finite, naming the last good state, for
    files that cannot be written, and for steps beyond the recipe's decay; the existing state is
    left unchanged.
    """
    at_least(1, steps=steps, save_every=save_every)
    last = trainer.recipe.decay_steps
    if last and steps > last:
        raise InputError(
            f"train: found {steps} steps, expected at most {last}, where the rate reaches 0"
        )
    stopped = None
    with _alone(folder, trainer.ranks.first), interrupt.awaited() as stop:
        if force and trainer.ranks.first:
            _clear(folder)
        trainer.ranks.wait()
        run = _Run(trainer, folder, info or {}, tensorboard, warn)
        progress(trainer.steps, None)
        while trainer.steps < steps and stopped is None:
            losses = run.step()
            if losses is not None:
                progress(trainer.steps, losses)
            if trainer.ranks.any(stop.signal is not None):
                stopped = stop.signal.name if stop.signal else "another process's signal"
            due = trainer.steps % save_every == 0
            if due or trainer.steps == steps or stopped:
                run.save(measure=due)
    if run.best is None and trainer.ranks.first:
        # No save was measured yet: the last state is the best there is.
        files.write_bytes(folder / BEST, (folder / CHECKPOINT).read_bytes())
    trainer.ranks.wait()
    sha = files.sha256(folder / CHECKPOINT)
    return Outcome(trainer.steps, sha, run.best, stopped, tuple(run.warnings))


def may_start(folder: Path) -> bool:
    """Whether a folder may be trained into: it is new, holds a state, or only what precedes one.

    A training that was killed before its first save leaves its lock, its log, the samples after
    an epoch, and what was half-written.
    """
    if not folder.is_dir() or (folder / STATE).exists():
        return not folder.exists() or folder.is_dir()
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    early = {METRICS, SIDE_BY_SIDE, *(f"{SAMPLES}/epoch_{epoch}.png" for epoch in EPOCHS)}
    others = {
        name
        for name in names - early - {LOCK}
        if not files.is_part(Path(name)) and not name.startswith("tensorboard/")
    }
    return not names or (LOCK in names and not others)


def _clear(folder: Path) -> None:
    """Remove the state of an earlier training, and then its record; the first save has the rest."""
    try:
        (folder / STATE).unlink(missing_ok=True)
        clear(folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot be cleared: {error.strerror or error}") from error


@contextmanager
def _alone(folder: Path, first: bool) -> Iterator[None]:
    """Keep other trainings out of a folder, and clear away what a killed one left half-written."""
    if not first:
        yield
        return
    lock = FileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(
            f"{folder}: found another training at work in it, expected a folder of its own"
        ) from error
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror or error}") from error
    try:
        for part in (folder, folder / SAMPLES):
            files.sweep(part)
        yield
    finally:
        lock.release()


class _Run:
    """One call of `train`: what it keeps between steps."""

    def __init__(
        self,
        trainer: Trainer,
        folder: Path,
        info: dict[str, Any],
        tensorboard: bool,
        warn: Callable[[str], None],
    ):
        self.trainer = trainer
        self.folder = folder
        self.info = info
        self.warn = warn
        self.warnings: list[str] = []
        self.health = Health()
        self.pending: list[Tensor] = []
        self.best: tuple[int, float] | None = None
        self.seconds = 0.0
        self.saved = 0
        self.record: Record | None = None
        due: dict[str, Any] | None = None
        if (folder / STATE).exists():
            extra = trainer.load_state(folder / STATE)
            self.pending = [torch.tensor(row, device=trainer.device) for row in extra["pending"]]
            self.best = tuple(extra["best"]) if extra["best"] else None
            self.seconds = extra["seconds"]
            self.health.load_state(extra["health"])
            self.saved = trainer.steps
            due = extra.get("due")
        caption = f"{info.get('data', 'images')}, seed {trainer.recipe.seed}"
        if trainer.ranks.first:
            self.record = Record(folder, trainer.steps, caption, tensorboard)
        self.shown = latents.sample(trainer.config, SHOWN, seed=0)
        if due is not None and self.record is not None:
            self._write_rest(due, self.record)  # a killed process may not have come to it

    def step(self) -> dict[str, float] | None:
        """One step; every tenth returns the mean losses of ten."""
        start = time.perf_counter()
        self.pending.append(self.trainer.step())
        losses = None
        if self.trainer.steps % LOG_EVERY == 0:
            losses = self._log()
        self.seconds += time.perf_counter() - start
        self._after_epoch()
        return losses

    def save(self, measure: bool) -> None:
        """Write everything, the state first: from it all else can be written again."""
        trainer = self.trainer
        trainer.average_statistics()
        finite = all(torch.isfinite(p).all() for p in trainer.parameters())
        if trainer.ranks.any(not finite):
            raise InputError(
                f"training: step {trainer.steps}: found weights that are not finite, expected "
                f"finite ones; {self._last_good()}"
            )
        if self.record is not None:
            checkpoint = trainer.checkpoint(self.info)
            best = self._measure(self.record, checkpoint) if measure else None
            pictures = [f"{trainer.steps:06d}"] if measure else []
            self._write(self.record, {"pictures": pictures, "best": best}, checkpoint)
        self.saved = trainer.steps

    def _write(
        self, record: Record, due: dict[str, Any], checkpoint: Checkpoint | None = None
    ) -> None:
        record.save()
        extra = {
            "pending": [losses.tolist() for losses in self.pending],
            "best": self.best,
            "seconds": self.seconds,
            "health": self.health.state(),
            "due": due,
        }
        files.write_bytes(self.folder / STATE, self.trainer.state(extra))
        self._write_rest(due, record, checkpoint)

    def _write_rest(
        self, due: dict[str, Any], record: Record, checkpoint: Checkpoint | None = None
    ) -> None:
        """Write what follows from the state: checkpoints, and last the pictures that are due.

        due: `pictures`, names of samples to draw, and `best`, the distances of a state that is the
        best so far, or None. checkpoint: of this state, if it was made already.
        """
        trainer = self.trainer
        checkpoint = checkpoint or trainer.checkpoint(self.info)
        checkpoints.save(checkpoint, self.folder / CHECKPOINT)
        if due["best"] is not None:
            about = {**checkpoint.info, "sliced_wasserstein": due["best"]}
            checkpoints.save(dataclasses.replace(checkpoint, info=about), self.folder / BEST)
        record.draw()
        for name in due["pictures"]:
            record.samples(name, trainer.samples(self.shown), trainer.steps)

    def _measure(self, record: Record, checkpoint: Checkpoint) -> dict[str, float] | None:
        """Judge the generator as it is to be saved; its distances if it is the best so far."""
        trainer, steps = self.trainer, self.trainer.steps
        generator = checkpoint.generator
        assert generator is not None
        images = trainer.minibatches.images
        n = min(JUDGED, len(images))
        z = latents.sample(trainer.config, n, seed=0)
        fake = torch.cat([b.cpu() for b in batches(Samples(generator, z), SHOWN)])
        spaced = torch.arange(n, device=images.device) * len(images) // n
        real = to_range(images[spaced].cpu())
        distances = metrics.sliced_wasserstein(fake, real, projections=PROJECTIONS)
        named = {f"swd_{scale}": value for scale, value in distances.items()}
        record.note(steps, seconds=round(self.seconds, 1), **named)
        self._warn(self.health.samples(steps, fake[:SHOWN], real[:SHOWN]))
        if self.best is not None and distances["mean"] >= self.best[1]:
            return None
        self.best = steps, distances["mean"]
        return distances

    def _log(self) -> dict[str, float]:
        losses = torch.stack(self.pending).cpu()
        self.pending = []
        mean = losses.mean(dim=0)
        self.trainer.ranks.average([mean])
        try:
            warnings = self.health.losses(self.trainer.steps, losses)
        except InputError as error:
            raise InputError(f"{error}; {self._last_good()}") from None
        self._warn(warnings)
        named = dict(zip(("discriminator", "generator"), mean.tolist(), strict=True))
        if self.record is not None:
            self.record.note(self.trainer.steps, **named)
        return named

    def _after_epoch(self) -> None:
        trainer = self.trainer
        each = trainer.recipe.minibatches
        if self.record is None:
            return
        for epoch in EPOCHS:
            end = epoch * trainer.minibatches.per_epoch
            if (trainer.steps - 1) * each < end <= trainer.steps * each:
                name = f"epoch_{epoch}"
                try:
                    self.record.samples(name, trainer.samples(self.shown), trainer.steps)
                except Exception:
                    # The steps are worth more than their picture, which is drawn on resuming.
                    if trainer.ranks.world == 1:
                        self._write(self.record, {"pictures": [name], "best": None})
                    raise

    def _warn(self, messages: list[str]) -> None:
        for message in messages:
            self.warnings.append(message)
            self.warn(message)
            if self.record is not None:
                self.record.note(self.trainer.steps, warning=message)

    def _last_good(self) -> str:
        if not self.saved:
            return "no state was saved before"
        return f"the state of step {self.saved} in {self.folder / STATE} is good"
