"""Features of many images in a file that is mapped into memory, with what they are beside it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from dcgan_probe.errors import InputError
from dcgan_probe.images import sources
from dcgan_probe.images.sources import Images
from dcgan_probe.metrics.features import Layout
from dcgan_probe.storage import files

FORMAT = "dcgan-probe/features/1"
BATCH = 128

Progress = Callable[[Iterable[Tensor], str, int], Iterable[Tensor]]


@dataclass(frozen=True, eq=False)
class Features:
    """Features on the disk: what `stored` and `read` return.

    values: N x F float32, mapped read-only; a row an image. layout: what the columns are. about:
    of which network and which images they are, as JSON values.
    """

    path: Path
    values: np.memmap
    layout: Layout
    about: dict[str, Any]


def stored(
    path: str | os.PathLike[str],
    images: Images,
    compute: Callable[[Tensor], Tensor],
    layout: Layout,
    about: dict[str, Any],
    progress: Progress = lambda batches, noun, total: batches,
    force: bool = False,
) -> Features:
    """Compute features of images into a ``.npy`` file, or find them there already.

        >>> d = session.discriminator
        >>> names = features.layers(d)
        >>> written = stored("d.npy", images, lambda batch: features.extract(d, batch, names),
        ...                features.layout(d, names), {"sha256": session.checkpoint.sha256})
        >>> written.values.shape, written.values.dtype
        ((60000, 28672), dtype('float32'))

    compute: from n x C x size x size float32 in [-1, 1] to n x F. about: what the features depend
    on; a file that was written with the same layout and `about` is taken as it is. A new one takes
    its name only when it is whole; memory holds one batch. ``path`` with the ending ``.json`` holds
    layout and `about`. Raises InputError for a file that holds anything else, unless `force`; where
    the disk has no room; and for features that are not finite. None of these leaves a new file.
    """
    path = Path(path)
    if path.suffix != ".npy":
        raise InputError(f"{path}: found a name of another kind, expected one that ends in .npy")
    shape = (len(images), len(layout))
    whole = {
        "format": FORMAT,
        "shape": list(shape),
        "layers": list(layout.layers),
        "filters": list(layout.filters),
        "grid": layout.grid,
        "about": json.loads(json.dumps(about)),
    }
    beside = path.with_suffix(".json")
    if _described(beside) == whole and path.exists():
        return read(path)
    if path.exists() and not force:
        raise InputError(
            f"{path}: found other features, or a part, expected none (or --force to replace them)"
        )
    # Never a description beside features of another kind, wherever this is interrupted.
    beside.unlink(missing_ok=True)
    for part in path.parent.glob(f".{path.name}.*"):
        part.unlink(missing_ok=True)
    with files.new_file(path) as work:
        _check_room(path, shape)
        # Not through a map: a full disk is an error of write, but a signal in a map.
        with open(work, "wb") as file:
            npy.write_array_header_1_0(
                file, {"descr": "<f4", "fortran_order": False, "shape": shape}
            )
            batches = sources.batches(images, BATCH)
            for batch in progress(batches, "extracting", -(-len(images) // BATCH)):
                with torch.no_grad():
                    rows = compute(batch).float().cpu()
                if rows.shape != (len(batch), len(layout)):
                    raise ValueError(f"features of {tuple(rows.shape)}, expected {len(layout)}")
                if not rows.isfinite().all():
                    raise InputError(f"{path}: found NaN or infinite features, expected numbers")
                file.write(rows.contiguous().numpy().astype("<f4", copy=False).data)
    files.write_json(beside, whole)
    return read(path)


def read(path: str | os.PathLike[str]) -> Features:
    """Open features that `stored` wrote.

        >>> read("out/features.npy").layout.layers
        ('16x16', '8x8', '4x4')

    Raises InputError if the two files are not there, or do not fit each other.
    """
    path = Path(path)
    beside = path.with_suffix(".json")
    whole = _described(beside)
    if whole is None:
        raise InputError(f"{beside}: found no description of features, expected what wrote {path}")
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as features: {error}") from error
    layout = Layout(tuple(whole["layers"]), tuple(whole["filters"]), whole["grid"])
    expected = tuple(whole["shape"])
    if values.shape != expected or values.dtype != np.float32 or expected[1] != len(layout):
        shape = " x ".join(map(str, values.shape))
        raise InputError(
            f"{path}: found {values.dtype} {shape}, expected float32 "
            f"{' x '.join(map(str, expected))} as {beside.name} says"
        )
    return Features(path, values, layout, whole["about"])


def _described(beside: Path) -> dict[str, Any] | None:
    try:
        whole = json.loads(beside.read_bytes())
    except (OSError, ValueError):
        return None
    return whole if isinstance(whole, dict) and whole.get("format") == FORMAT else None


def _check_room(path: Path, shape: tuple[int, int]) -> None:
    needed = shape[0] * shape[1] * 4
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise InputError(
            f"{path}: found {free / 1e9:.1f} GB free on its disk, expected {needed / 1e9:.1f} for "
            f"{shape[0]} x {shape[1]} features"
        )
