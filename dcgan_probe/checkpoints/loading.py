"""Open a checkpoint: find out what a name or path is, and call its reader."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dcgan_probe import terminal
from dcgan_probe.checkpoints import (
    fixtures,
    folders,
    huggingface,
    modules,
    native,
    state_dicts,
)
from dcgan_probe.checkpoints.checkpoint import Checkpoint
from dcgan_probe.checkpoints.facts import NOTHING, Facts
from dcgan_probe.checkpoints.weights import look_at
from dcgan_probe.errors import InputError, unknown
from dcgan_probe.images.sources import Images

FACTORY = "package.module:factory opens any network: docs/any-gan.md"


def load(name_or_path: str | os.PathLike[str], facts: Facts = NOTHING) -> Checkpoint:
    """Open a checkpoint: one that ships, by name, or a file, a folder, or one of the hub.

        >>> checkpoint = load("svhn")
        >>> checkpoint.generator(torch.zeros(1, 100)).shape
        torch.Size([1, 3, 32, 32])

    The kind of a path is recognised by content: our own format, as a file or in the layout of the
    hub, or anything that `convert` takes. ``hub:org/name`` is fetched, see `huggingface`.
    A name that ships goes before a path; write ``./svhn`` for a file of that name. Weights of
    another precision become float32. Nothing in a file is executed, and every name, shape and
    type is checked against the network before its memory is taken. Only ``package.module:factory``
    runs code, that of the factory: see `modules.load`.

    facts: what is known of another library's file that it does not hold; a checkpoint of
    dcgan-probe and a factory say all themselves. Assumptions are reported on stderr, and in the
    checkpoint's remarks.

    Raises InputError: one line with the file, the place in it, what was found, what was expected.
    """
    name = str(name_or_path)
    path = Path(name_or_path)
    if name not in fixtures.shipped() and os.path.exists(path):
        return _say(_open(path, facts))
    if facts != NOTHING:
        raise _known(name, facts)
    if name in fixtures.shipped():
        return native.read_own(fixtures.folder() / name / "checkpoint.safetensors", name)
    if name.startswith(huggingface.PREFIX):
        return huggingface.load(name)
    if modules.is_factory(name):
        return _say(modules.load(name))
    known = [*fixtures.shipped(), "the path of a file or folder", "hub:org/name"]
    error = unknown("checkpoint", name, known)
    raise InputError(f"{error}; found no file or folder of this name; {FACTORY}")


def _open(path: Path, facts: Facts) -> Checkpoint:
    """A checkpoint of a path that is there."""
    if path.is_dir():
        if huggingface.is_layout(path):
            if facts != NOTHING:
                raise _known(path, facts)
            return huggingface.read(path)
        with _mentioning_the_factory():
            return folders.read_folder(path, facts)
    with _mentioning_the_factory():
        file = look_at(path)
    if not native.is_own(file):
        with _mentioning_the_factory():
            return state_dicts.read_files([file], facts)
    if facts != NOTHING:
        raise _known(path, facts)
    return native.read_own(path, path.stem)


@contextmanager
def _mentioning_the_factory() -> Iterator[None]:
    """End a refusal of another library's file with the way that takes any network."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{error}; {FACTORY}") from error


def _say(checkpoint: Checkpoint) -> Checkpoint:
    for remark in checkpoint.remarks:
        terminal.note(remark)
    return checkpoint


def _known(name: object, facts: Facts) -> InputError:
    listed = ", ".join(f"{key} {value}" for key, value in facts.said().items())
    return InputError(f"{name}: found {listed} said of it, expected nothing: it says all itself")


def convert(
    paths: Sequence[str | os.PathLike[str]],
    images: str | os.PathLike[str] | Images | None = None,
    facts: Facts = NOTHING,
) -> Checkpoint:
    """Read checkpoints of other libraries, the ones that `state_dicts` and `authors` know.

        >>> checkpoint = convert(["netG_epoch_24.pth", "netD_epoch_24.pth"])
        >>> sha = save(checkpoint, "mine.safetensors")

    paths: one or two files of state dicts, or one folder of such or of the authors' ``.npy``
        arrays.
    images: for a discriminator whose files hold no batch-norm statistics: real ones, what
        `sources.ImageSource` opens. Without it the generator's own images are taken.
    facts: what the files do not hold.

    Raises InputError as `load` does.
    """
    locations = [Path(path) for path in paths]
    if len(locations) == 1 and locations[0].is_dir():
        with _mentioning_the_factory():
            return _say(folders.read_folder(locations[0], facts, images))
    with _mentioning_the_factory():
        files = [look_at(path) for path in locations]
    for file in files:
        if native.is_own(file):
            raise InputError(f"{file.path}: found a checkpoint of dcgan-probe, expected another's")
    with _mentioning_the_factory():
        return _say(state_dicts.read_files(files, facts, images))
