"""Open a checkpoint, whatever holds it: find out what a name or a path is, and hand it on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dcgan_probe.checkpoints import (
    authors,
    fixtures,
    huggingface,
    modules,
    native,
    pytorch_example,
)
from dcgan_probe.checkpoints.checkpoint import Checkpoint
from dcgan_probe.checkpoints.weights import WeightFile, look_at
from dcgan_probe.errors import InputError, unknown
from dcgan_probe.images.sources import Images


def load(name_or_path: str | os.PathLike[str]) -> Checkpoint:
    """Open a checkpoint: one that ships, by name, or a file, a folder, or one of the hub.

        >>> checkpoint = load("svhn")
        >>> checkpoint.generator(torch.zeros(1, 100)).shape
        torch.Size([1, 3, 32, 32])

    What a path holds is told from its content: our own format, as a file or in the layout of the
    hub, or anything that `convert` takes. ``hub:org/name`` is fetched, see `huggingface`.
    A name that ships goes before a path; write ``./svhn`` for a file of that name. Weights of
    another precision become float32. Nothing in a file is executed, and every name, shape and
    type is checked against the network before its memory is taken. Only ``package.module:factory``
    runs code, that of the factory: see `modules.load`.

    Raises InputError: one line with the file, the place in it, what was found, what was expected.
    """
    name = str(name_or_path)
    if name in fixtures.shipped():
        return native.read_own(fixtures.folder() / name / "checkpoint.safetensors", name)
    if name.startswith(huggingface.PREFIX):
        return huggingface.load(name)
    path = Path(name_or_path)
    if not os.path.exists(path):
        if modules.is_factory(name):
            return modules.load(name)
        raise unknown(
            "checkpoint",
            name,
            [
                *fixtures.shipped(),
                "the path of a file or folder",
                "hub:org/name",
                "package.module:factory",
            ],
        )
    if huggingface.is_layout(path):
        return huggingface.read(path)
    if path.is_dir():
        return authors.read_authors(path)
    file = look_at(path)
    return native.read_own(path, path.stem) if native.is_own(file) else _read([file])


def convert(
    paths: Sequence[str | os.PathLike[str]],
    images: str | os.PathLike[str] | Images | None = None,
) -> Checkpoint:
    """Read other people's checkpoints, the ones that `pytorch_example` and `authors` know.

        >>> checkpoint = convert(["netG_epoch_24.pth", "netD_epoch_24.pth"])
        >>> sha = save(checkpoint, "mine.safetensors")

    paths: one or two state dicts of pytorch/examples' dcgan, or one folder of the authors'
        ``.npy`` arrays.
    images: for the authors' discriminator, whose files hold no batch-norm statistics: real
        ones, what `sources.ImageSource` opens. Without it the generator's own images are taken.

    Raises InputError as `load` does.
    """
    given = [Path(path) for path in paths]
    if len(given) == 1 and given[0].is_dir():
        return authors.read_authors(given[0], images)
    files = [look_at(path) for path in given]
    for file in files:
        if native.is_own(file):
            raise InputError(f"{file.path}: found a checkpoint of dcgan-probe, expected another's")
    if images is not None:
        raise InputError(f"{given[0]}: found images given, expected none: its statistics are known")
    return _read(files)


def _read(files: Sequence[WeightFile]) -> Checkpoint:
    return pytorch_example.read_files(files)
