"""Read the images of a data set, with a progress bar; report skipped images in one line."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from dcgan_probe import terminal
from dcgan_probe.errors import InputError
from dcgan_probe.images import cache
from dcgan_probe.images.sources import ImageSource
from dcgan_probe.storage import files

MAX_LIST = 1_000_000_000  # bytes


def read(
    source: ImageSource,
    folder: Path | None,
    max_bad: float,
    keep: Path | None = None,
    show: bool = True,
) -> cache.CachedImages:
    """The decoded images of a source, see `cache.cached`; keep: a list as `dedup` writes it.

    Shows progress on a terminal, and says on stderr how many images were taken of how many, how
    many were skipped and why the first was, and how many are completely transparent. Raises
    InputError as `cached` does, and for a list that cannot be read.
    """
    with tqdm(
        unit=" images",
        unit_scale=True,
        leave=False,
        disable=None if show and not terminal.current().quiet else True,
    ) as bar:

        def progress(stage: str, done: int, total: int) -> None:
            bar.desc, bar.total, bar.n = stage, total, done
            bar.update(0)

        names = None if keep is None else read_names(keep)
        images = cache.cached(source, folder=folder, keep=names, max_bad=max_bad, progress=progress)
    if show:
        _tell(source, images)
    return images


def _tell(source: ImageSource, images: cache.CachedImages) -> None:
    terminal.note(f"{source.path}: took {len(images.names)} of {len(source)} images")
    if images.skipped:
        name, reason = images.skipped[0]
        terminal.note(f"{source.path}: skipped {_first(name, len(images.skipped))}: {reason}")
    if images.transparent:
        names = _first(images.transparent[0], len(images.transparent))
        terminal.note(f"{source.path}: completely transparent, taken as white: {names}")


def _first(name: str, count: int) -> str:
    return f"{name} and {count - 1} more" if count > 1 else name


def read_names(path: Path) -> list[str]:
    """The names in a list of images to keep, as ``dcgan-probe dedup`` writes it."""
    try:
        text = files.read_bytes(path, "a list of images", MAX_LIST).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    names = [line for line in text.splitlines() if line]
    if not names:
        raise InputError(f"{path}: found no names, expected one of an image on each line")
    return names
