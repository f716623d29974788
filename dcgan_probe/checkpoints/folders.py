"""Read folders of other libraries: state dicts of both networks, or arrays."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

from dcgan_probe.checkpoints import authors, state_dicts
from dcgan_probe.checkpoints.checkpoint import Checkpoint
from dcgan_probe.checkpoints.facts import NOTHING, Facts
from dcgan_probe.checkpoints.weights import library_of, look_at
from dcgan_probe.errors import InputError
from dcgan_probe.images.sources import Images

SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".pkl", ".safetensors")


def read_folder(
    folder: Path, facts: Facts = NOTHING, images: str | os.PathLike[str] | Images | None = None
) -> Checkpoint:
    """Read the newest state dicts in a folder, or the arrays that the paper's authors published.

        >>> read_folder(Path("training")).remarks[0]  # doctest: +SKIP
        'training: took netD_epoch_24.pth, netG_epoch_24.pth, not 48 older files'

    Of files whose names differ in a number only, the highest is taken, and a remark says so.
    Raises InputError as `state_dicts.read_state_dicts` and `authors.read_authors` do.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror or error}") from error
    if not paths:
        _check_foreign(folder)
        return authors.read_authors(folder, images, facts)
    newest: dict[str, Path] = {}
    for path in sorted(paths, key=_numbers):
        newest[re.sub(r"\d+", "", path.name)] = path
    taken = sorted(newest.values())
    files = [look_at(path) for path in taken]
    checkpoint = state_dicts.read_files(files, facts, images, some=True)
    names = ", ".join(path.name for path in taken)
    older = len(paths) - len(taken)
    remark = f"{folder}: took {names}" + (f", not {older} older files" if older else "")
    name = folder.resolve().name
    return replace(checkpoint, name=name, remarks=(remark, *checkpoint.remarks))


def _check_foreign(folder: Path) -> None:
    """Refuse a folder that another library wrote, by its name, and one without files of weights."""
    names = sorted(path for path in folder.iterdir() if path.is_file())
    for path in names:
        if library := library_of(path):
            raise InputError(
                f"{folder}: found files of {library} ({path.name}), expected state dicts, such as "
                "netG.pth"
            )
    if not any(path.suffix == ".npy" for path in names):
        raise InputError(
            f"{folder}: found no files of weights, expected state dicts ({', '.join(SUFFIXES)}) or "
            f"arrays of {authors.AUTHORS}"
        )


def _numbers(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path.name)]
