"""Near-duplicates of a set of images: find them, write which images to keep, draw the groups."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from dcgan_probe import figures, terminal
from dcgan_probe.dedup import autoencoder, hashing
from dcgan_probe.errors import InputError, option
from dcgan_probe.images import cache
from dcgan_probe.images.sources import ImageSource
from dcgan_probe.session import choose_device
from dcgan_probe.storage import files, json_values
from dcgan_probe.training import dataset

FORMAT = "dcgan-probe/dedup/1"
FILE, PICTURE = WRITTEN = ("dedup.json", "duplicates.png")
ROWS = 8  # of the picture, for the largest groups and for the least alike; twice as many at random
COLUMNS = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Duplicates:
    """What `find` returns.

    groups: indices of duplicates, see `hashing.groups`; the first of each is kept.
    alike: `dedup.likeness` of each group; chance: `dedup.chance_likeness` of the set.
    usage: of the units of the code. warnings: why not to believe the groups, in words.
    """

    n: int
    groups: list[np.ndarray]
    alike: np.ndarray
    chance: float
    usage: hashing.Usage
    warnings: list[str]

    @property
    def dropped(self) -> np.ndarray:
        """Indices of the images to drop, ascending."""
        return np.sort(np.concatenate([np.empty(0, int), *(g[1:] for g in self.groups)]))

    def __str__(self) -> str:
        dropped = len(self.dropped)
        line = f"{self.title()}: {dropped} dropped, {self.n - dropped} kept"
        return "\n".join([*self.warnings, line])

    def title(self) -> str:
        """How many groups there are, in words."""
        count = len(self.groups)
        return f"{count} group{'s'[: count != 1]} of near-duplicates among {self.n} images"


def find(
    pixels: np.ndarray,
    settings: autoencoder.Settings,
    device: str | torch.device = "cpu",
    within: int = 0,
) -> Duplicates:
    """Train the autoencoder on the images and group those with equal codes.

        >>> print(find(pixels, Settings(seed=3)))
        2 groups of near-duplicates among 10000 images: 2 dropped, 9998 kept

    pixels: N x 3 x 32 x 32 uint8. within: see `hashing.groups`. Raises InputError as `dedup.fit`
    does.
    """
    model = autoencoder.fit(pixels, settings, device, _progress("training"))
    codes = autoencoder.codes(model, pixels, _progress("coding"))
    return group_codes(pixels, codes, settings.seed, within)


def group_codes(pixels: np.ndarray, codes: np.ndarray, seed: int, within: int = 0) -> Duplicates:
    """Group codes, and look at the pixels for whether to believe the groups."""
    groups, used = hashing.groups(codes, within), hashing.usage(codes)
    alike, chance = autoencoder.likeness(pixels, groups), autoencoder.chance_likeness(pixels, seed)
    told = autoencoder.warnings(len(pixels), groups, alike, chance, used)
    return Duplicates(len(pixels), groups, alike, chance, used, told)


def run(
    folder: Path,
    device: str,
    force: bool,
    data: Path,
    to: Path,
    settings: autoencoder.Settings,
    within: int = 0,
    cache_folder: Path | None = None,
    max_bad: float = 0.01,
) -> Duplicates:
    """Write the names of the images to keep into `to`, what was found into `folder`.

    Raises InputError for outputs that are there already, without `force`; for data that cannot be
    read, or holds fewer than two images; for an interruption.
    """
    # Killed between its two writes, the same line writes both again, the same bytes.
    force = force or not os.path.lexists(to) and _is_half(folder, to, data, settings, within)
    files.check_free(folder, force, WRITTEN)
    if to.is_dir() or to.exists() and not force:
        raise InputError(f"{to}: already exists, expected a new file (or {option('force')})")
    if to.exists() and not _wrote(folder, to):
        raise InputError(
            f"{to}: found a file that {folder / FILE} does not name as its list; it is left "
            "unchanged, expected another name"
        )
    chosen = choose_device(device)
    try:
        images = dataset.read(ImageSource(data, autoencoder.SIZE, 3), cache_folder, max_bad)
        _check_names(images.names, data)
        if len(images.names) < 2:
            raise InputError(f"{data}: found one image, expected at least two to compare")
        duplicates = find(images.pixels, settings, chosen, within)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "interrupted: nothing was written; images decoded so far are in the cache, the "
            "autoencoder starts again"
        ) from None
    with files.new_folder(folder, force, WRITTEN) as work:
        values = _values(duplicates, images, data, settings, within, chosen)
        files.write_json(work / FILE, {**values, "list": to.name})
        if duplicates.groups:
            line = f"{data.name} ({images.key[:8]}), seed {settings.seed}"
            draw(work / PICTURE, duplicates, images.pixels, line, settings.seed)
    dropped = set(duplicates.dropped.tolist())
    kept = (name for i, name in enumerate(images.names) if i not in dropped)
    files.write_text(to, "".join(f"{name}\n" for name in kept))
    return duplicates


def _wrote(folder: Path, to: Path) -> bool:
    """Whether a list is that of the result in a folder; older results do not say."""
    try:
        file = json_values.read_own(folder / FILE, "duplicates", FORMAT)
    except InputError:
        return False
    return "list" not in file or file["list"].found == to.name


def _is_half(
    folder: Path, to: Path, data: Path, settings: autoencoder.Settings, within: int
) -> bool:
    """Whether a folder is what the same line wrote before it was killed, without its list."""
    try:
        file = json_values.read_own(folder / FILE, "duplicates", FORMAT)
        made = file["made_with"]
        asked = {**dataclasses.asdict(settings), "within": within}
        return (
            file["list"].found == to.name
            and made["settings"].found == asked
            and made["data"]["name"].found == data.name
        )
    except InputError:
        return False


def draw(path: Path, duplicates: Duplicates, pixels: np.ndarray, source: str, seed: int) -> None:
    """Draw groups to look at: the largest, the least alike, and some at random.

    A row is a group: the image that is kept, and the first of those that are dropped.
    """
    shown = _shown(duplicates, seed)
    columns = min(COLUMNS, max(len(duplicates.groups[number]) for _, number in shown))
    sheet = np.full((len(shown), columns, autoencoder.SIZE, autoencoder.SIZE, 3), 255, np.uint8)
    rows = []
    for i, (why, number) in enumerate(shown):
        group = duplicates.groups[number][:columns]
        sheet[i, : len(group)] = pixels[group].transpose(0, 2, 3, 1)
        rows.append(
            f"{why}\ngroup {number}: {len(duplicates.groups[number])} images\n"
            f"correlation {duplicates.alike[number]:.2f}"
        )
    figures.draw(
        path,
        duplicates.title(),
        [figures.Block("kept", sheet[:, :1]), figures.Block("dropped", sheet[:, 1:])],
        rows,
        f"Groups by their number in dedup.json, with the least correlation of pixels with the "
        f"image that is kept; of random pairs one in a hundred exceeds {duplicates.chance:.2f}. "
        f"The random rows tell how many groups are wrong: count those whose images you would not "
        f"call duplicates. {source}. {' '.join(duplicates.warnings)}",
    )


def _shown(duplicates: Duplicates, seed: int) -> list[tuple[str, int]]:
    """Which groups are drawn, and why; none twice."""
    numbers = range(len(duplicates.groups))
    by_size = sorted(numbers, key=lambda i: -len(duplicates.groups[i]))
    by_likeness = sorted(numbers, key=lambda i: float(duplicates.alike[i]))
    at_random = np.random.default_rng(seed).permutation(len(numbers)).tolist()
    shown: dict[int, str] = {}
    # Random ones first: what is taken from them would bias the count.
    for why, order, most in (
        ("random", at_random, 2 * ROWS),
        ("largest", by_size, ROWS),
        ("least alike", by_likeness, ROWS),
    ):
        for number in [i for i in order if i not in shown][:most]:
            shown[number] = why
    return [(why, number) for number, why in shown.items()]


def _values(
    duplicates: Duplicates,
    images: cache.CachedImages,
    data: Path,
    settings: autoencoder.Settings,
    within: int,
    device: torch.device,
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "made_with": {
            "dcgan_probe": metadata.version("dcgan-probe"),
            "torch": torch.__version__,
            "device": str(device),
            "threads": torch.get_num_threads(),
            "settings": {**dataclasses.asdict(settings), "within": within},
            "data": {"name": data.name, "key": images.key, "skipped": images.skipped},
        },
        "images": duplicates.n,
        "kept": duplicates.n - len(duplicates.dropped),
        "dropped": len(duplicates.dropped),
        "warnings": duplicates.warnings,
        "usage": dataclasses.asdict(duplicates.usage),
        "chance_correlation": duplicates.chance,
        "groups": [
            {
                "kept": images.names[group[0]],
                "dropped": [images.names[i] for i in group[1:]],
                "correlation": float(alike),
            }
            for group, alike in zip(duplicates.groups, duplicates.alike, strict=True)
        ],
    }


def _check_names(names: Iterable[str], data: Path) -> None:
    for name in names:
        if name.splitlines() != [name] or name.encode(errors="ignore").decode() != name:
            raise InputError(f"{data}: found the name {name!r}, expected one line of Unicode")


def _progress(name: str) -> Callable[[Iterable[int]], Iterable[int]]:
    quiet = terminal.current().quiet or None  # None: no bar where stderr is not a terminal
    return lambda items: tqdm(items, desc=name, leave=False, disable=quiet)
