"""Other people's DCGANs: state dicts of pytorch/examples, and the arrays of the paper's authors.

Both layouts number their layers, so names translate by arithmetic on the number of a block:

    pytorch/examples   main.0.weight, main.1.running_mean, ...    one file a network
    Newmu/dcgan_code   200_gen_params.jl_01.npy, ...              one file an array
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dcgan_probe import latents
from dcgan_probe.checkpoints import pickles
from dcgan_probe.checkpoints.checkpoint import Checkpoint, digest
from dcgan_probe.checkpoints.weights import (
    Spec,
    check_specs,
    content,
    damaged,
    fill,
    opened,
    specs,
    take,
)
from dcgan_probe.errors import InputError
from dcgan_probe.images.sources import Images, ImageSource
from dcgan_probe.networks.config import Config
from dcgan_probe.networks.dcgan import NETWORKS, empty, estimate_statistics

BATCHES = 100
BATCH = 128  # the authors' batch, whose statistics their networks were trained with

PYTORCH = "state dicts of https://github.com/pytorch/examples, dcgan"
AUTHORS = "https://github.com/Newmu/dcgan_code"

# Arrays whose origin is known, by `digest` of the generator's and then the discriminator's.
SVHN = "54e7f235ba08b74006f82d67b924adbd37f7f46c62833d80ec43c99a2f36dbf5"
PUBLISHED = {
    SVHN: f"{AUTHORS}, commit ee12b2d15a3856794b8dae77d1eb263c67c36e47, "
    "models/svhn_unsup_all_conv_dcgan_100z_gaussian_lr_0.0005_64mb",
}

_HALVING = " (feature maps halve with every layer of a generator, double in a discriminator)"

Facts = dict[str, dict[str, int]]


def read_pytorch_example(paths: Sequence[str | os.PathLike[str]]) -> Checkpoint:
    """Read the state dicts of a DCGAN that pytorch/examples, or a copy of its networks, trained.

        >>> checkpoint = read_pytorch_example(["netG_epoch_24.pth", "netD_epoch_24.pth"])
        >>> checkpoint.config.z_distribution
        'normal'

    paths: files of a generator, a discriminator, or both, as ``torch.save`` or safetensors wrote
    them. A state dict may lie in a dict (``{"netG": ..., "netD": ...}``), and its names may begin
    with ``module.``. Which network it is, and all sizes, follow from the shapes: images of 16 to
    256 pixels, strided kernels of 4 or 5, widths that double from layer to layer. Running
    statistics are those of the file.

    Raises InputError, one line, for all else. Source: pytorch/examples, dcgan/main.py.
    """
    files = [Path(path) for path in paths]
    where = " and ".join(map(str, files))
    states: dict[str, tuple[str, dict[str, Tensor]]] = {}
    for place, state in (found for path in files for found in _states(path)):
        part = "generator" if "main.1.weight" in state else "discriminator"
        if part in states:
            raise InputError(f"{place}: found a second {part}, expected at most one of each")
        states[part] = place, state
    facts = {part: _pytorch_facts(states[part], part) for part in NETWORKS if part in states}
    config = _config(where, facts, z_distribution="normal", norm_per_unit=False, norm_eps=1e-5)
    networks = {part: _pytorch_network(config, part, *states[part]) for part in states}
    info = {"source": PYTORCH, "statistics": "running statistics of the source"}
    return _checkpoint(config, networks, info, files[0].stem, files)


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
    config = _config(folder, facts, z_distribution="normal")
    networks = {part: _authors_network(config, part, folder, arrays[part]) for part in arrays}
    files = [path for part in paths.values() for path in part]
    info = _authors_info(folder, files)
    info["statistics"] = _estimate(config, networks, images)
    return _checkpoint(config, networks, info, folder.resolve().name, files)


def _checkpoint(
    config: Config, networks: dict[str, Any], info: dict[str, Any], name: str, files: list[Path]
) -> Checkpoint:
    parts = (networks.get("generator"), networks.get("discriminator"))
    return Checkpoint(config, *parts, info, name, digest(files))


def _config(where: object, facts: Facts, **fixed: Any) -> Config:
    """The config that the shapes of both networks lead to; they must agree."""
    merged: dict[str, Any] = {}
    for part, values in facts.items():
        for name, value in values.items():
            if merged.setdefault(name, value) != value:
                raise InputError(
                    f"{where}: {part}: {name}: found {value}, expected {merged[name]},"
                    " as in the generator"
                )
    # A network that is not there gets the width of the one that is: a Config has both.
    merged.setdefault("g_width", merged.get("d_width", 0))
    merged.setdefault("d_width", merged["g_width"])
    try:
        return Config(**merged, **fixed)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _facts(part: str, layers: int, kernel: tuple[int, ...]) -> dict[str, int]:
    """What the strided layers, and the shape of the one next to the image, say of a network."""
    width, channels, size, _ = kernel
    name = "g_width" if part == "generator" else "d_width"
    return {"size": 4 * 2**layers, "channels": channels, "kernel": size, name: width}


def _four(where: object, found: Mapping[str, Spec], name: str) -> tuple[int, ...]:
    """The shape of a tensor that must be a kernel."""
    spec = found.get(name)
    if spec is None or len(spec.shape) != 4:
        raise InputError(f"{where}: tensor {name}: found {spec or 'none'}, expected 4 dimensions")
    return spec.shape


def _fill(config: Config, part: str, tensors: dict[str, Tensor]) -> Any:
    """A network of tensors under our names; what is not there is as in a new batch norm."""
    network = empty(config, part)
    for name in network.state_dict():
        if name.endswith("num_batches_tracked"):
            tensors[name] = torch.tensor(0)
        elif name.endswith(("running_mean", "running_var")) and name not in tensors:
            like = tensors[f"{name.rsplit('.', 1)[0]}.weight"]
            tensors[name] = like.new_full(like.shape, float(name.endswith("var")))
    return fill(network, tensors)


# pytorch/examples


def _pytorch_facts(state: tuple[str, dict[str, Tensor]], part: str) -> dict[str, int]:
    where, found = state[0], specs(state[1])
    kernels = [
        int(match[1])
        for name, spec in found.items()
        if (match := re.fullmatch(r"main\.(\d{1,2})\.weight", name)) and len(spec.shape) == 4
    ]
    last = max(kernels, default=0)
    first, final = (_four(where, found, f"main.{number}.weight") for number in (0, last))
    if part == "generator":
        return _facts(part, last // 3, final) | {"z_size": first[0]}
    return _facts(part, (last + 1) // 3, first)


def _pytorch_layout(config: Config, part: str) -> dict[str, tuple[str, Spec]]:
    """Our name of each tensor -> its name and shape in a state dict of pytorch/examples."""
    layout = {}
    for ours, spec in specs(empty(config, part).state_dict()).items():
        block, module, leaf = ours.split(".")
        if leaf == "num_batches_tracked":
            continue
        i = config.layers(part).index(block)
        # Three modules a block (conv, norm, act), but no norm in the first of a discriminator.
        number = 3 * i + (module == "norm") - (part == "discriminator" and i > 0)
        if module == "linear":
            outputs, inputs = spec.shape
            shape = (inputs, outputs // 16) if part == "generator" else (outputs, inputs // 16)
            spec = Spec((*shape, 4, 4), spec.dtype)
        layout[ours] = f"main.{number}.{leaf}", spec
    return layout


def _pytorch_network(config: Config, part: str, where: str, state: dict[str, Tensor]) -> Any:
    layout = _pytorch_layout(config, part)
    state = {n: tensor for n, tensor in state.items() if not n.endswith("num_batches_tracked")}
    check_specs(where, specs(state), dict(layout.values()), _HALVING)
    tensors = {ours: take(where, theirs, state[theirs]) for ours, (theirs, _) in layout.items()}
    if part == "generator":
        # On a 1x1 input, a 4x4 deconvolution is a linear layer, stored inputs first.
        tensors["4x4.linear.weight"] = tensors["4x4.linear.weight"].flatten(1).T.contiguous()
    else:
        tensors["score.linear.weight"] = tensors["score.linear.weight"].flatten(1)
    return _fill(config, part, tensors)


def _states(path: Path) -> list[tuple[str, dict[str, Tensor]]]:
    """The state dicts in a file, each with its place for messages."""
    kind = content(path)
    if kind == "npy":
        raise InputError(f"{path}: found one .npy array, expected the folder of all of them")
    if kind == "safetensors":
        with opened(path) as file:
            names = file.keys()
            loaded = {name: file.get_tensor(name) for name in names}
    else:
        loaded = pickles.read(path)
    items = list(loaded.items()) if isinstance(loaded, Mapping) else []
    candidates = [(str(path), loaded), *((f"{path}: {key}", value) for key, value in items)]
    states = [(place, state) for place, value in candidates if (state := _plain(value))]
    if not states:
        keys = ", ".join(str(key) for key, _ in items[:3]) or "none"
        found = f"keys {keys}" if isinstance(loaded, Mapping) else f"a {type(loaded).__name__}"
        raise InputError(
            f"{path}: found {found:.200}, expected the state dict of a pytorch/examples dcgan"
            " (main.0.weight, ...) or a checkpoint of dcgan-probe"
        )
    return states


def _plain(value: Any) -> dict[str, Tensor]:
    """The tensors of a state dict, without the prefix of data parallelism; else nothing."""
    if not isinstance(value, Mapping):
        return {}
    state = {
        str(name).removeprefix("module."): tensor
        for name, tensor in value.items()
        if isinstance(tensor, Tensor)
    }
    return state if any(name.startswith("main.") for name in state) else {}


# The authors' arrays


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
        return _facts(part, (last - 1) // 3, _four(folder, found, name)) | {
            "z_size": first.shape[0]
        }
    return _facts(part, (last + 1) // 3, _four(folder, found, _numbered(name, 1)))


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
    check_specs(folder, _array_specs(arrays), dict(layout.values()), _HALVING)
    tensors = {}
    for ours, (theirs, _) in layout.items():
        values = torch.from_numpy(np.array(arrays[theirs], dtype=np.float32, order="C"))
        tensor = take(folder, theirs, values)
        if tensor.ndim == 4:
            tensor = tensor.flip(2, 3)
        elif tensor.ndim == 2:
            tensor = tensor.T.contiguous()
        tensors[ours] = tensor
    return _fill(config, part, tensors)


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
