"""The state that the commands of one line, or the cells of a notebook, share."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from dcgan_probe import checkpoints, latents, terminal
from dcgan_probe.boxes.boxes import Boxes
from dcgan_probe.checkpoints import fixtures, modules
from dcgan_probe.checkpoints.adapters import unwrapped
from dcgan_probe.checkpoints.checkpoint import Checkpoint, checksum
from dcgan_probe.checkpoints.modules import Latent
from dcgan_probe.edits.edit import Edit
from dcgan_probe.errors import InputError, printable, unknown
from dcgan_probe.images.sources import Images, ImageSource, Samples, batches
from dcgan_probe.latents.concepts import Concepts, find
from dcgan_probe.results.result import FILE, Report, Result, written
from dcgan_probe.storage import files

BATCH = 64
CONCEPTS = "concepts.json"  # in the current folder, where `concepts add` writes
DEVICES = ("auto", "cpu", "cuda", "cuda:N", "mps")
T = TypeVar("T")
# The active edits of a generator: sessions of one module share them.
_EDITS: WeakKeyDictionary[nn.Module, dict[object, Edit]] = WeakKeyDictionary()


def _check_defaults() -> None:
    """Refuse defaults of torch that change what probes draw, or the type that they compute in."""
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    if dtype != torch.float32:
        name = str(dtype).removeprefix("torch.")
        raise InputError(f"torch: found the default dtype {name}, expected float32")
    if device.type != "cpu":
        raise InputError(
            f"torch: found the default device {device}, expected cpu: networks and images are "
            "moved to the device of the session"
        )


def _modes(network: nn.Module) -> list[bool]:
    return [part.training for part in network.modules()]


def choose_device(name: str) -> torch.device:
    """Choose the device to compute on; "auto" is CUDA where there is a GPU, else the CPU.

    >>> choose_device("cpu")
    device(type='cpu')

    name: "auto", "cpu", "cuda", "cuda:1" for the second GPU, or "mps" for Apple's. Raises
    InputError for another name, and for a device that this machine does not have.
    """
    kind, _, number = name.partition(":")
    if name not in DEVICES[:3] and name != "mps" and not (kind == "cuda" and number.isdecimal()):
        raise unknown("device", name, DEVICES)
    if kind == "cuda":
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if gpus <= int(number or 0):
            found = f"{gpus} CUDA GPUs" if gpus else "no CUDA GPU that torch can use"
            expected = f"cuda:0 to cuda:{gpus - 1}" if gpus else "one"
            raise InputError(f"device {name}: found {found}, expected {expected}")
    if name == "mps" and not torch.backends.mps.is_available():
        raise InputError("device mps: found no GPU of Apple's that torch can use, expected one")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


class Session:
    """A checkpoint on a device, with a seed and active edits.

        >>> session = Session.open("rooms", seed=3)
        >>> session.sample(4).shape
        torch.Size([4, 3, 64, 64])

    Probes use its `generator`, `discriminator`, `sample` and `latents`.

    out: folder for results, each in a sub-folder; a repeated command gets a number.
    force: overwrite results of earlier sessions. numbered: keep them, and use the next number.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        seed: int = 0,
        device: str = "auto",
        out: str | os.PathLike[str] | None = None,
        force: bool = False,
        numbered: bool = False,
    ):
        _check_defaults()
        self.checkpoint = checkpoint
        self.config = checkpoint.config
        self.seed = seed
        self.device = choose_device(device)
        self.out = None if out is None else Path(out)
        self.force = force
        self.numbered = numbered
        self._lasting: list[tuple[Edit, ExitStack]] = []
        self._folders: list[Path] = []
        self.kept: dict[str, Tensor] = {}
        for network in (checkpoint.generator, checkpoint.discriminator):
            if network is not None:
                # Probes ask for gradients of images, never of weights.
                network.to(self.device)
                network.eval()
                network.requires_grad_(False)
        self._states = {role: checksum(part) for role, part in self._networks()}
        self._modes = {role: _modes(part) for role, part in self._networks()}
        # By the context, of which there is only one: the same edit may be active twice.
        self._active: dict[object, Edit] = {}
        if checkpoint.generator is not None:
            self._active = _EDITS.setdefault(unwrapped(checkpoint.generator), self._active)
        for edit in self.edits:
            terminal.note(f"{checkpoint.name}: another session edits this generator: {edit}")

    def __repr__(self) -> str:
        checkpoint = self.checkpoint
        networks = [name for name in ("generator", "discriminator") if getattr(checkpoint, name)]
        edits = "; ".join(map(str, self.edits))
        return (
            f"Session({checkpoint.name} ({checkpoint.sha256[:8]}), {' and '.join(networks)} of "
            f"{self.config.channels}x{self.config.size}x{self.config.size} images, seed "
            f"{self.seed}, {self.device}{f', edited: {edits}' if edits else ''})"
        )

    @classmethod
    def open(
        cls,
        model: str | os.PathLike[str] = "rooms",
        seed: int = 0,
        device: str = "auto",
        **facts: Any,
    ) -> Session:
        """Open a checkpoint that ships, by name, or a file, a folder, the hub or code.

        facts: facts that a third-party file does not record, such as ``z="uniform"``;
        see `checkpoints.Facts`. Assumptions are reported on stderr.

        Raises InputError as `checkpoints.load` does, and for a missing device.

        >>> Session.open("svhn").config.size
        32
        """
        return cls(checkpoints.load(model, checkpoints.Facts(**facts)), seed, device)

    @classmethod
    def from_modules(
        cls,
        generator: nn.Module | None = None,
        discriminator: nn.Module | None = None,
        latent: Latent | None = None,
        image: tuple[int, int, int] | None = None,
        name: str | None = None,
        seed: int = 0,
        device: str = "auto",
        images: str = "[-1, 1]",
        label: int | tuple[int, int] | None = None,
        statistics: str = "file",
    ) -> Session:
        """Open any networks: a generator of images from z, a discriminator, or both.

        >>> g = nn.Sequential(nn.Linear(8, 48), nn.Unflatten(1, (3, 4, 4)), nn.Tanh())
        >>> Session.from_modules(generator=g, latent=8).sample(2).shape
        torch.Size([2, 3, 4, 4])

        generator: N x z_size float32 to N x 1 or 3 x S x S in [-1, 1]. discriminator: images to one
        tensor with a row for each. They are not copied, but put in eval mode, frozen, and moved to
        the device. Wrappers of ``torch.compile``, DataParallel and DDP are removed. latent: z_size
        of a standard normal z; or (z_size, "uniform") on [-1, 1]; or a function of n and a numpy
        random generator that returns n x z_size. image: channels, height and width, only without a
        generator. name: in captions and results. images: range and order of colours of both
        networks, such as "[0, 1]" or "[-1, 1] BGR". label: the class, for a conditional
        generator(z, label), or (class, number of classes) for a one-hot vector. statistics:
        "estimate" estimates those of batch norm on samples.

        A generator that takes z as N x z_size x 1 x 1 is detected. Layers are found by running both
        networks once. The checkpoint's SHA-256 is that of the file that `convert` would write, if
        it can hold the networks, and otherwise that of classes, state dicts and latents. Boxes and
        edits are tied to it. Remarks are printed on stderr. Raises InputError for networks that do
        not take or give this, that are not float32, compiled in part, or TorchScript, and where an
        output depends on the batch or on noise.
        """
        checkpoint = modules.checkpoint(
            generator, discriminator, latent, image, name, images, label, statistics
        )
        for remark in checkpoint.remarks:
            terminal.note(remark)
        return cls(checkpoint, seed, device)

    @property
    def generator(self) -> nn.Module:
        """The generator; InputError if there is none, and if its training mode was changed."""
        if self.checkpoint.generator is None:
            raise InputError(f"{self.checkpoint.name}: found no generator, expected one")
        _check_defaults()
        self._check_mode("generator", self.checkpoint.generator)
        return self.checkpoint.generator

    @property
    def discriminator(self) -> nn.Module:
        """The discriminator; raises as `generator` does."""
        if self.checkpoint.discriminator is None:
            raise InputError(f"{self.checkpoint.name}: found no discriminator, expected one")
        _check_defaults()
        self._check_mode("discriminator", self.checkpoint.discriminator)
        return self.checkpoint.discriminator

    def latents(self, n: int, seed: int | None = None, start: int = 0) -> Tensor:
        """n x z_size float32 latents of a seed (the session's if none is given)."""
        _check_defaults()
        seed = self.seed if seed is None else seed
        return latents.sample(self.config, n, seed, start)

    def sample(self, n: int, seed: int | None = None) -> Tensor:
        """Images of the first n latents of a seed, with the active edits.

        Returns n x channels x size x size float32 in [-1, 1], on the CPU.
        """
        return self.generate(self.latents(n, seed))

    def generate(self, z: Tensor | np.ndarray) -> Tensor:
        """Images of latents, n x z_size, with the active edits; as `sample` returns them.

        Raises InputError for latents of another shape, and for NaN or infinite numbers.
        """
        z = latents.check(z, self.config, "generate")
        parts = [batch.cpu() for batch in batches(Samples(self.generator, z), BATCH)]
        size, channels = self.config.size, self.config.channels
        return torch.cat(parts) if parts else torch.empty(0, channels, size, size)

    def images(self, path: str | Path | None, n: int) -> Images:
        """At most n images of a source, drawn by the seed; n samples if path is None."""
        if path is None:
            return Samples(self.generator, self.latents(n))
        return ImageSource(path, self.config.size, self.config.channels, n, self.seed)

    @property
    def edits(self) -> list[Edit]:
        """The active edits, in the order in which they were made; also of other sessions.

        A module that is open in several sessions is edited in all of them.
        """
        return list(self._active.values())

    @contextmanager
    def editing(self, *edits: Edit) -> Iterator[None]:
        """Edit the generator inside the ``with``.

            >>> with session.editing(without_windows, stronger):
            ...     session.sample(8)

        Edits compose in the given order. For an edit by any function, use `hooks.edit` on
        `session.generator`: the session follows it, but results do not record it. Raises InputError
        for an edit of another checkpoint, and for one that names a layer, a filter or a region that
        the generator does not have.
        """
        with ExitStack() as stack:
            for edit in edits:
                stack.enter_context(self._edited(edit))
            yield

    def edit(self, edit: Edit) -> None:
        """Edit the generator until `undo` or `close`; raises as `editing` does."""
        with ExitStack() as stack:
            stack.enter_context(self._edited(edit))
            self._lasting.append((edit, stack.pop_all()))

    def undo(self) -> Edit:
        """Remove the last edit of `edit` and return it; InputError if there is none."""
        if not self._lasting:
            raise InputError("undo: found no active edit, expected one")
        edit, stack = self._lasting.pop()
        stack.close()
        return edit

    def read_boxes(self, path: Boxes | str | os.PathLike[str] | None = None) -> Boxes:
        """Read boxes from a file, or those that ship with the checkpoint.

        Boxes are returned unchanged. Raises InputError as `Boxes.read` does, and if no file is
        given and none ships.
        """
        if isinstance(path, Boxes):
            return path
        path = path or fixtures.shipped_boxes(self.checkpoint.name)
        if path is None:
            raise InputError(f"no boxes ship with {self.checkpoint.name}, expected --boxes FILE")
        return Boxes.read(path, image_size=(self.config.size, self.config.size))

    def read_concepts(self, path: str | os.PathLike[str] | None = None) -> Concepts | None:
        """Read concepts from a file; by default those that ship and those of ``concepts.json``.

        ``concepts.json`` in the current folder is where `concepts add` writes; its concepts
        replace shipped ones of the same name. A file there that cannot be read, or is of another
        checkpoint, is left out, and reported on stderr. Returns None if there are no concepts.
        Raises InputError as `Concepts.read` does, and for a named file of another checkpoint.
        """
        if path is not None:
            return self._concepts_of(path)
        path = fixtures.shipped_concepts(self.checkpoint.name)
        shipped = None if path is None else self._concepts_of(path)
        if not os.path.isfile(CONCEPTS):
            return shipped
        try:
            added = self._concepts_of(CONCEPTS)
        except InputError as error:
            terminal.note(f"{error}; left out")
            return shipped
        terminal.note(f"{CONCEPTS}: concepts {', '.join(added.named)}")
        named = {**(shipped.named if shipped else {}), **added.named}
        return Concepts(added.checkpoint, named, added.source)

    def _concepts_of(self, path: str | os.PathLike[str]) -> Concepts:
        concepts = Concepts.read(path)
        own = self.checkpoint.sha256
        if concepts.checkpoint != own:
            raise InputError(
                f"{path}: checkpoint: found concepts of {concepts.checkpoint[:8]}, expected those "
                f"of {self.checkpoint.name} ({own[:8]})"
            )
        return concepts

    def find_latents(
        self, text: str, concepts: Concepts | None, exemplars: int | None = None
    ) -> Tensor:
        """The latents of "seed:index", of a name from `keep`, or of a concept, n x z_size float32.

            >>> Session.open("faces").find_latents("3:17", None).shape
            torch.Size([1, 100])

        exemplars: take only the first N of a concept. Raises InputError for another text, and
        as `Concepts.latents` does.
        """
        return find(text, self.config, concepts, self.kept, exemplars)

    def keep(self, name: str, z: Tensor | np.ndarray) -> None:
        """Name latents for later commands, m x z_size float32; replaces an existing name.

        Raises InputError as `generate` does.
        """
        self.kept[name] = latents.check(z, self.config, name).detach().cpu()

    def close(self) -> None:
        """Remove all edits of `edit`."""
        while self._lasting:
            self.undo()

    @contextmanager
    def _edited(self, edit: Edit) -> Iterator[None]:
        own = self.checkpoint.sha256
        if edit.checkpoint != own:
            where, made = edit.source or "edit", ", ".join(edit.layers)
            raise InputError(
                f"{where}: layer {made}: found {edit.changes} of checkpoint "
                f"{edit.checkpoint[:8]}, expected those of {self.checkpoint.name} ({own[:8]})"
            )
        context = edit.on(self.generator, self.config)
        with context:
            self._active[context] = edit
            try:
                yield
            finally:
                del self._active[context]

    def _networks(self) -> list[tuple[str, nn.Module]]:
        parts = {
            "generator": self.checkpoint.generator,
            "discriminator": self.checkpoint.discriminator,
        }
        return [(role, part) for role, part in parts.items() if part is not None]

    def _check_mode(self, role: str, network: nn.Module) -> None:
        """Refuse a network that was put in training mode: batch norms would learn from samples."""
        if _modes(network) != self._modes[role]:
            raise InputError(
                f"{self.checkpoint.name}: {role}: found training mode, set after the session was "
                f"opened, expected {role}.eval()"
            )

    def _check_unchanged(self) -> None:
        """Refuse networks whose owner trained on: a result would name the former ones."""
        for role, network in self._networks():
            self._check_mode(role, network)
            if checksum(network) != self._states[role]:
                raise InputError(
                    f"{self.checkpoint.name}: {role}: found weights or buffers that were changed "
                    "after the session was opened, expected those of "
                    f"{self.checkpoint.sha256[:8]}: open another session"
                )

    def made_with(self, **options: Any) -> dict[str, Any]:
        """What a result records to be reproducible; `options` are those of the probe.

        >>> Session.open("rooms", seed=3).made_with(n=4)["options"]
        {'n': 4}

        On a command line also the line and the hashes of its files, see
        `terminal.describe_command`. No time and no path, so the same line writes the same bytes.
        Raises InputError if weights, buffers or the training mode of a network were changed after
        the session was opened: its hash is that of another network.
        """
        self._check_unchanged()
        return {
            **terminal.describe_command(),
            "dcgan_probe": metadata.version("dcgan-probe"),
            "torch": torch.__version__,
            "numpy": metadata.version("numpy"),
            "python": platform.python_version(),
            "device": str(self.device),
            "threads": torch.get_num_threads(),
            "checkpoint": {
                "name": printable(self.checkpoint.name),
                "sha256": self.checkpoint.sha256,
            },
            "seed": self.seed,
            "edits": [edit.change() for edit in self.edits],
            "edits_in_words": [printable(str(edit)) for edit in self.edits],
            "options": options,
        }

    def caption(self) -> str:
        """The line under every figure: checkpoint, first digits of its hash, seed, edits."""
        seed = f"seed\N{NO-BREAK SPACE}{self.seed}"  # no line of a figure is a number alone
        line = f"{self.checkpoint.name} ({self.checkpoint.sha256[:8]}), {seed}"
        return ", ".join([line, *map(str, self.edits)])

    def progress(self, items: Iterable[T], what: str, total: int | None = None) -> Iterable[T]:
        """Show progress over items: in a notebook, or on stderr if it is a terminal.

        Not with --quiet. A notebook shows what takes over a second, as a line of text that
        disappears at the end.
        """
        line: Any = terminal.notebook_line()
        silent = terminal.current().quiet or (None if line is None else False)
        delay, width = (0, None) if line is None else (1, 80)
        return tqdm(
            items, what, total, leave=False, file=line, disable=silent, delay=delay, ncols=width
        )

    def start(self, command: str) -> None:
        """Reserve the folder of a command, before any work is done."""
        if self.out is None:
            raise InputError("this session has no output folder, expected Session(out=...)")
        folder = next(
            each
            for each in files.numbered(self.out / command)
            if each not in self._folders and not (self.numbered and os.path.lexists(each))
        )
        files.check_free(folder, self.force, written(folder))
        self._folders.append(folder)
        terminal.log(f"{folder.name}: starts")

    @property
    def folder(self) -> Path:
        """The folder of the last started command; InputError without one."""
        if not self._folders:
            raise InputError("session: found no command that started, expected result.save(FOLDER)")
        return self._folders[-1]

    def save(self, result: Result) -> None:
        """Save the result of the started command, and print it."""
        folder = self.folder
        terminal.log(f"{folder.name}: computed, now draws")
        result.save(folder, self.force)
        terminal.log(f"{folder.name}: written")
        values = json.loads((folder / FILE).read_text(encoding="utf-8"))
        names = ", ".join(sorted(path.name for path in folder.iterdir()))
        terminal.answer(values, f"{result}\nwrote {folder}: {names}")

    def report(self, values: dict[str, Any]) -> None:
        """Save and print plain values, for a probe without pictures."""
        self.save(Report(self.made_with(), values))
