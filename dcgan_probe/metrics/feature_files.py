"""Features of many images in a memory-mapped file, with a description next to it."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from dcgan_probe.errors import InputError, brief, option, parsing
from dcgan_probe.images import sources
from dcgan_probe.images.sources import Images
from dcgan_probe.metrics.features import Layout
from dcgan_probe.storage import files, json_values

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
    its name only when it is whole; memory holds one batch. ``path`` with ``.json`` behind it holds
    layout, `about` and a checksum. force: replace other features, or a part. Raises InputError for
    features of another kind without `force`, and for a file that no run of `stored` wrote, with it
    or without; where the disk has no room; and for features that are not finite. None of these
    leaves a new file.
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
    before = _described(path)
    if before is not None and _same(before, whole) and path.exists():
        return read(path)
    _check_replaceable(path, before, force)
    with files.new_file(path) as work:
        _check_room(path, shape)
        checksum = 0
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
                data = rows.contiguous().numpy().astype("<f4", copy=False)
                checksum = zlib.crc32(data.data, checksum)
                file.write(data.data)
        if _described(path) != before:
            raise InputError(f"{path}: another command has written it meanwhile")
        # Before the features take their name: killed here, the same line starts again.
        files.write_json(files.beside(path, ".json"), {**whole, "crc32": checksum})
    return read(path)


def read(path: str | os.PathLike[str]) -> Features:
    """Open features that `stored` wrote.

        >>> read("out/features.npy").layout.layers
        ('16x16', '8x8', '4x4')

    Raises InputError if either file is missing or damaged, or they do not fit each other.
    """
    path = Path(path)
    whole = _described(path)
    if whole is None:
        beside = files.beside(path, ".json")
        raise InputError(f"{beside}: found no description of features, expected what wrote {path}")
    try:
        with files.open_regular(path, "features"):
            values = np.load(path, mmap_mode="r", allow_pickle=False)
    except InputError:
        raise
    except Exception as error:  # numpy evaluates the header as a literal, which may be anything
        raise InputError(f"{path}: cannot be read as features: {brief(error)}") from error
    with parsing(files.beside(path, ".json"), "what wrote the features"):
        layout = Layout(tuple(whole["layers"]), tuple(whole["filters"]), whole["grid"])
        expected, about = tuple(whole["shape"]), whole["about"]
        columns = len(layout)
    if values.shape != expected or values.dtype != np.float32 or expected[1:] != (columns,):
        shape = " x ".join(map(str, values.shape))
        raise InputError(
            f"{path}: found {values.dtype} {shape}, expected float32 "
            f"{' x '.join(map(str, expected))} as its description says"
        )
    if "crc32" in whole and whole["crc32"] != _checksum(values):  # older descriptions have none
        raise InputError(
            f"{path}: found other bytes than were written, expected features without a fault: "
            "delete it and run again"
        )
    return Features(path, values, layout, about)


def _checksum(values: np.memmap) -> int:
    checksum = 0
    for start in range(0, len(values), BATCH):
        checksum = zlib.crc32(np.ascontiguousarray(values[start : start + BATCH]).data, checksum)
    return checksum


def _described(path: Path) -> dict[str, Any] | None:
    """The description of features: in a file that is ours by name, or was by content."""
    for beside in (files.beside(path, ".json"), path.with_suffix(".json")):
        try:
            whole = json_values.load(beside, "features").found
        except InputError:
            continue
        if isinstance(whole, dict) and whole.get("format") == FORMAT:
            return whole
    return None


def _same(before: dict[str, Any], whole: dict[str, Any]) -> bool:
    return {name: value for name, value in before.items() if name != "crc32"} == whole


def _check_replaceable(path: Path, before: dict[str, Any] | None, force: bool) -> None:
    """Refuse what is there, unless it is shown to be features and may be replaced."""
    beside = files.beside(path, ".json")
    json_values.check_replaceable(beside, FORMAT)
    if not os.path.lexists(path):
        return
    if before is None:
        raise InputError(
            f"{path}: found a file and no {beside.name} that says it is features; it is left "
            "unchanged, expected another name"
        )
    if not force:
        raise InputError(
            f"{path}: found other features, or a part, expected none (or {option('force')} to "
            "replace them)"
        )


def _check_room(path: Path, shape: tuple[int, int]) -> None:
    needed = shape[0] * shape[1] * 4
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise InputError(
            f"{path}: found {free / 1e9:.1f} GB free on its disk, expected {needed / 1e9:.1f} for "
            f"{shape[0]} x {shape[1]} features"
        )
