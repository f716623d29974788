"""Read the arrays that the paper's authors published: one .npy file an array.

The arrays are numbered, ``200_gen_params.jl_01.npy``, ..., so names translate by arithmetic on the
number of a block.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dcgan_probe import latents
from dcgan_probe.checkpoints.assembly import (
    HALVING,
    as_checkpoint,
    fill_empty,
    kernel_shape,
    merge_facts,
    read_facts,
)
from dcgan_probe.checkpoints.checkpoint import Checkpoint, digest
from dcgan_probe.checkpoints.weights import Spec, check_specs, content, damaged, specs, take
from dcgan_probe.errors import InputError
from dcgan_probe.images.sources import Images, ImageSource
from dcgan_probe.networks.config import Config
from dcgan_probe.networks.dcgan import empty, estimate_statistics

BATCHES = 100
BATCH = 128  # the authors' batch, whose statistics their networks were trained with

AUTHORS = "https://github.com/Newmu/dcgan_code"

# Arrays whose origin is known, by `digest` of the generator's and then the discriminator's.
SVHN = "54e7f235ba08b74006f82d67b924adbd37f7f46c62833d80ec43c99a2f36dbf5"
PUBLISHED = {
    SVHN: f"{AUTHORS}, commit ee12b2d15a3856794b8dae77d1eb263c67c36e47, "
    "models/svhn_unsup_all_conv_dcgan_100z_gaussian_lr_0.0005_64mb",
}


def read_authors(
    folder: str | os.PathLike[str], images: str | os.PathLike[str] | Images | None = None
) -> Checkpoint:
    """Read the arrays that the paper's authors published: generator, discriminator or both.

        >>> checkpoint = read_authors("svhn_dcgan")
        >>> checkpoint.config.size, checkpoint.config.z_distribution
        (32, 'normal')

    folder: holds ``*_gen_params.jl_NN.npy`` and ``*_discrim_params.jl_NN.npy``. Theano's kernels
    are true convolutions, so both spatial axes are flipped. The authors' code kept no batch-norm
    statistics; they are estimated here, the generator's over 100 batches of 128 latents of
    seed 0, the discriminator's over the generator's images of these latents, or over up to 100
    batches of 128 of `images`: what `sources.ImageSource` opens, or anything with the methods of
    `sources.Images`.

    Raises InputError, one line, for anything else in the folder, and for a discriminator that
    comes without a generator and without images. Source: Newmu/dcgan_code.
    """
    folder = Path(folder)
    paths = _authors_paths(folder)
    if "generator" not in paths and images is None:
        raise InputError(
            f"{folder}: found a discriminator without a generator, expected images for its"
            " batch-norm statistics (--images), or the generator's arrays beside it"
        )
    arrays = {part: {path.name: _array(path) for path in paths[part]} for part in paths}
    facts = {part: _authors_facts(folder, part, arrays[part]) for part in arrays}
    config = merge_facts(folder, facts, z_distribution="normal")
    networks = {part: _authors_network(config, part, folder, arrays[part]) for part in arrays}
    files = [path for part in paths.values() for path in part]
    info = _authors_info(folder, files)
    info["statistics"] = _estimate(config, networks, images)
    return as_checkpoint(config, networks, info, folder.resolve().name, files)


def _authors_paths(folder: Path) -> dict[str, list[Path]]:
    """The arrays of each network that is there, in the order of their numbers."""
    pattern = re.compile(r"(?:(\d+)_)?(gen|discrim)_params\.jl_\d\d\.npy")
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror or error}") from error
    matches = [match for name in names if (match := pattern.fullmatch(name))]
    if not matches:
        raise InputError(
            f"{folder}: found no *_gen_params.jl_NN.npy and no *_discrim_params.jl_NN.npy,"
            f" expected arrays of {AUTHORS}"
        )
    epochs = {match[1] for match in matches}
    if len(epochs) > 1:
        listed = ", ".join(sorted(map(str, epochs)))
        raise InputError(f"{folder}: found arrays of epochs {listed}, expected those of one")
    kinds = {"generator": "gen", "discriminator": "discrim"}
    paths = {part: [folder / m[0] for m in matches if m[2] == kind] for part, kind in kinds.items()}
    return {part: found for part, found in paths.items() if found}


def _array(path: Path) -> np.ndarray:
    """An array, mapped, so that its shape is known before its memory is taken."""
    kind = content(path)
    if kind != "npy":
        raise InputError(f"{path}: found a {kind} file, expected a .npy array")
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # numpy raises all sorts on a damaged header
        raise damaged(path, error, "a whole .npy array of floats") from error


def _array_specs(arrays: Mapping[str, np.ndarray]) -> dict[str, Spec]:
    return {name: Spec(array.shape, array.dtype.name) for name, array in arrays.items()}


def _numbered(name: str, number: int) -> str:
    return f"{name[: -len('NN.npy')]}{number:02d}.npy"


def _authors_facts(folder: Path, part: str, arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    found = _array_specs(arrays)
    name = max(arrays)
    last = int(name[-6:-4])
    if part == "generator":
        first = found.get(_numbered(name, 1))
        if first is None or len(first.shape) != 2:
            raise InputError(
                f"{folder}: tensor {_numbered(name, 1)}: found {first or 'none'},"
                " expected 2 dimensions"
            )
        return read_facts(part, (last - 1) // 3, kernel_shape(folder, found, name)) | {
            "z_size": first.shape[0]
        }
    return read_facts(part, (last + 1) // 3, kernel_shape(folder, found, _numbered(name, 1)))


def _authors_layout(config: Config, part: str, name: str) -> dict[str, tuple[str, Spec]]:
    """Our name of each tensor -> the file and shape of the authors' array."""
    layout = {}
    for ours, spec in specs(empty(config, part).state_dict()).items():
        block, module, leaf = ours.split(".")
        if module == "norm" and leaf not in ("weight", "bias"):
            continue
        i = config.layers(part).index(block)
        # Three arrays a block (kernel, gain, bias), but one in the first of a discriminator.
        number = 1 + 3 * i - 2 * (part == "discriminator" and i > 0)
        number += 0 if module != "norm" else 1 if leaf == "weight" else 2
        shape = spec.shape[::-1] if module == "linear" else spec.shape
        layout[ours] = _numbered(name, number), Spec(shape, spec.dtype)
    return layout


def _authors_network(
    config: Config, part: str, folder: Path, arrays: Mapping[str, np.ndarray]
) -> Any:
    layout = _authors_layout(config, part, max(arrays))
    check_specs(folder, _array_specs(arrays), dict(layout.values()), HALVING)
    tensors = {}
    for ours, (theirs, _) in layout.items():
        values = torch.from_numpy(np.array(arrays[theirs], dtype=np.float32, order="C"))
        tensor = take(folder, theirs, values)
        if tensor.ndim == 4:
            tensor = tensor.flip(2, 3)
        elif tensor.ndim == 2:
            tensor = tensor.T.contiguous()
        tensors[ours] = tensor
    return fill_empty(config, part, tensors)


def _authors_info(folder: Path, paths: list[Path]) -> dict[str, Any]:
    layout = f"arrays in the layout of {AUTHORS}"
    info: dict[str, Any] = {"source": PUBLISHED.get(digest(paths), layout)}
    epoch = paths[0].name.partition("_")[0]
    if epoch.isdecimal():
        info["epoch"] = int(epoch)
    license = folder / "LICENSE"
    if license.is_file():
        with open(license, encoding="utf-8", errors="replace") as file:
            lines = [line.strip() for line in file.read(1000).splitlines()]
        info["license"] = ", ".join([line for line in lines if line][:2])
    return info


def _estimate(
    config: Config,
    networks: Mapping[str, Any],
    images: str | os.PathLike[str] | Images | None,
) -> str:
    """Set the batch-norm statistics of both networks, and say in words how."""
    z = latents.sample(config, BATCHES * BATCH, seed=0).split(BATCH)
    words = []
    if "generator" in networks:
        estimate_statistics(networks["generator"], z)
        words.append(f"generator: means over {BATCHES} batches of {BATCH} latents of seed 0")
    if "discriminator" in networks:
        batches: Iterator[Tensor]
        if images is None:
            batches = (networks["generator"](batch) for batch in z)
            what = f"{BATCHES} batches of {BATCH} images of the generator, of the same latents"
        else:
            if isinstance(images, str | os.PathLike):
                images = ImageSource(images, config.size, config.channels)
            rows = _drawn(len(images))
            batches = (images.read(batch) for batch in rows)
            what = f"{len(rows)} batches of {len(rows[0])} real images"
        estimate_statistics(networks["discriminator"], batches)
        words.append(f"discriminator: means over {what}")
    return "; ".join(words)


def _drawn(n: int) -> list[list[int]]:
    """Up to 100 whole batches of numbers below n, in random order; one smaller batch if need be."""
    order = np.random.default_rng(0).permutation(n)[: BATCHES * BATCH].tolist()
    if n < BATCH:
        return [order]
    return [order[i : i + BATCH] for i in range(0, len(order) - BATCH + 1, BATCH)]
