"""Read the images of a data set, with a progress bar and a line on those that were skipped."""

from __future__ import annotations

import sys
from pathlib import Path

from tqdm import tqdm

from dcgan_probe import terminal
from dcgan_probe.errors import InputError
from dcgan_probe.images import cache
from dcgan_probe.images.sources import ImageSource


def read(
    source: ImageSource,
    folder: Path | None,
    max_bad: float,
    keep: Path | None = None,
    show: bool = True,
) -> cache.CachedImages:
    """The decoded images of a source, see `cache.cached`; keep: a list as `dedup` writes it.

    Shows progress on a terminal, and says on stderr how many images were skipped and why the
    first was. Raises InputError as `cached` does, and for a list that cannot be read.
    """
    with tqdm(
        unit=" images",
        unit_scale=True,
        leave=False,
        disable=None if show and not terminal.current().quiet else True,
    ) as bar:

        def progress(what: str, done: int, total: int) -> None:
            bar.desc, bar.total, bar.n = what, total, done
            bar.update(0)

        names = None if keep is None else read_names(keep)
        found = cache.cached(source, folder=folder, keep=names, max_bad=max_bad, progress=progress)
    if found.skipped and show:
        name, reason = found.skipped[0]
        count = len(found.skipped)
        more = f" and {count - 1} more" if count > 1 else ""
        print(f"{source.path}: skipped {name}{more}: {reason}", file=sys.stderr)
    return found


def read_names(path: Path) -> list[str]:
    """The names in a list of images to keep, one a line, as ``dcgan-probe dedup`` writes it."""
    try:
        names = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    if not names:
        raise InputError(f"{path}: found no names, expected one of an image on each line")
    return names
