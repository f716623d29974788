"""Read the arrays that the paper's authors published: one .npy file for each array.

The arrays are numbered, ``200_gen_params.jl_01.npy``, ..., so names translate by arithmetic on the
number of a block.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dcgan_probe.checkpoints import statistics
from dcgan_probe.checkpoints.assembly import build, chain_tensors, describe
from dcgan_probe.checkpoints.checkpoint import Checkpoint, digest
from dcgan_probe.checkpoints.facts import NOTHING, Facts
from dcgan_probe.checkpoints.geometry import Step, Way
from dcgan_probe.checkpoints.structure import Norm, StoredLayer, StoredNetwork, check_chain
from dcgan_probe.checkpoints.weights import Spec, check_specs, content, damaged, fill, specs, take
from dcgan_probe.errors import InputError
from dcgan_probe.images.sources import Images
from dcgan_probe.networks.chain_config import ChainConfig
from dcgan_probe.networks.config import Config
from dcgan_probe.networks.dcgan import empty

AUTHORS = "https://github.com/Newmu/dcgan_code"

# Arrays whose origin is known, by `digest` of the generator's and then the discriminator's.
SVHN = "54e7f235ba08b74006f82d67b924adbd37f7f46c62833d80ec43c99a2f36dbf5"
PUBLISHED = {
    SVHN: f"{AUTHORS}, commit ee12b2d15a3856794b8dae77d1eb263c67c36e47, "
    "models/svhn_unsup_all_conv_dcgan_100z_gaussian_lr_0.0005_64mb",
}


# Ends the message where a width is wrong.
HALVING = " (feature maps halve with every layer of a generator, double in a discriminator)"


def read_authors(
    folder: str | os.PathLike[str],
    images: str | os.PathLike[str] | Images | None = None,
    facts: Facts = NOTHING,
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
    `sources.Images`. facts: only z is taken, the rest is known.

    Raises InputError, one line, for anything else in the folder, and for a discriminator that
    comes without a generator and without images. Source: Newmu/dcgan_code.
    """
    folder = Path(folder)
    other = facts.said().keys() - {"z"}
    if other:
        raise InputError(
            f"{folder}: found {', '.join(sorted(other))} said of it, expected z at most"
        )
    paths = _authors_paths(folder)
    if "generator" not in paths and images is None:
        raise InputError(
            f"{folder}: found a discriminator without a generator, expected images for its"
            " batch-norm statistics (convert --images), or the generator's arrays beside it"
        )
    arrays = {part: {path.name: _array(path) for path in paths[part]} for part in paths}
    files = [path for part in paths.values() for path in part]
    z = facts.z or ("uniform" if _kernels(arrays) == {3} else "normal")
    config: Config | ChainConfig
    if _kernels(arrays) == {3}:
        config, networks = _read_three(folder, arrays, z)
    else:
        shapes = {part: _authors_facts(folder, part, arrays[part]) for part in arrays}
        config = _config(folder, shapes, z_distribution=z)
        networks = {part: _authors_network(config, part, folder, arrays[part]) for part in arrays}
    info = _authors_info(folder, files)
    info["statistics"] = statistics.estimate(config, networks, images)
    sha = digest(files)
    if facts.z is not None:
        sha = hashlib.sha256(f"{sha} z {z}".encode()).hexdigest()
    remark = f"{folder}: opened as arrays of {AUTHORS}; batch-norm statistics estimated"
    if facts.z is None and info["source"] not in PUBLISHED.values():
        remark += f"; assumed: z {z}. Override with --z (of --model or convert)"
    parts = (networks.get("generator"), networks.get("discriminator"))
    return Checkpoint(config, *parts, info, folder.resolve().name, sha, (remark,))


def _kernels(arrays: Mapping[str, Mapping[str, np.ndarray]]) -> set[int]:
    """Sizes of all kernels."""
    return {a.shape[-1] for part in arrays.values() for a in part.values() if a.ndim == 4}


def _read_three(
    folder: Path, arrays: Mapping[str, Mapping[str, np.ndarray]], z: str
) -> tuple[ChainConfig, dict[str, Any]]:
    """The layout of imagenet_gan_pretrain_128f_relu_lrelu_7l_3x3_256z: two layers a resolution.

    Kernels of 3 and padding 1; of the generator's (transposed) convolutions the first, third, ...
    have stride 2, of the discriminator's convolutions the second, fourth, ....
    Source: Newmu/dcgan_code, imagenet/load_pretrained.py.
    """
    networks = {part: _layers(folder, part, arrays[part]) for part in arrays}
    ways = {}
    for part, network in networks.items():
        ups = part == "generator"
        steps = []
        for i, layer in enumerate(network.layers):
            strided = i % 2 == 1
            more = int(ups and strided)
            steps.append(Step() if layer.kind == "linear" else Step(1 + strided, 1, more))
        size = 4 * 2 ** sum(step.stride == 2 for step in steps)
        ways[part] = Way(tuple(steps), size, 0)
    g, d = networks.get("generator"), networks.get("discriminator")
    up, down = ways.get("generator"), ways.get("discriminator")
    config = describe(g, d, up, down, Facts(z=z, eps=1e-8), str(folder))
    tensors = {part: chain_tensors(config, network) for part, network in networks.items()}
    return config, {part: build(config, part, tensors[part]) for part in networks}


def _layers(folder: Path, part: str, arrays: Mapping[str, np.ndarray]) -> StoredNetwork:
    """The arrays as layers: kernels, each with the gain and bias of its norm behind it."""
    layers: list[StoredLayer] = []
    norms: list[Tensor] = []
    for name in sorted(arrays):
        if arrays[name].dtype.kind != "f":
            raise InputError(
                f"{folder}: tensor {name}: found {arrays[name].dtype.name}, expected float32"
            )
        tensor = torch.from_numpy(np.array(arrays[name], dtype=np.float32, order="C"))
        if tensor.dim() == 4:
            kind = "deconv" if part == "generator" else "conv"
            layers.append(StoredLayer(name, kind, tensor.flip(2, 3), None))
        elif tensor.dim() == 2:
            layers.append(StoredLayer(name, "linear", tensor.T.contiguous(), None))
        elif tensor.dim() == 1 and layers:
            norms.append(tensor)
            if len(norms) == 2:
                gain, bias = norms
                new = {"running_mean": torch.zeros_like(gain), "running_var": torch.ones_like(gain)}
                values = {"weight": gain, "bias": bias, **new}
                layers[-1] = replace(layers[-1], norm=Norm(name, values, len(gain)))
                norms = []
        else:
            shape = "x".join(map(str, tensor.shape))
            raise InputError(f"{folder}: tensor {name}: found {shape}, expected a kernel or a norm")
    return StoredNetwork(part, str(folder), check_chain(part, layers, str(folder)))


def _config(where: object, shapes: Mapping[str, dict[str, int]], **fixed: Any) -> Config:
    """The config that the shapes of both networks lead to; they must agree."""
    merged: dict[str, Any] = {}
    for part, values in shapes.items():
        for name, value in values.items():
            if merged.setdefault(name, value) != value:
                raise InputError(
                    f"{where}: {part}: {name}: found {value}, expected {merged[name]},"
                    " as in the generator"
                )
    # A missing network gets the width of the one that is: a Config has both.
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


def _four(where: object, tensors: Mapping[str, Spec], name: str) -> tuple[int, ...]:
    """The shape of a tensor that must be a kernel."""
    spec = tensors.get(name)
    if spec is None or len(spec.shape) != 4:
        raise InputError(f"{where}: tensor {name}: found {spec or 'none'}, expected 4 dimensions")
    return spec.shape


def _fill(config: Config, part: str, tensors: dict[str, Tensor]) -> Any:
    """A network of tensors under our names; missing ones are as in a new batch norm."""
    network = empty(config, part)
    for name in network.state_dict():
        if name.endswith("num_batches_tracked"):
            tensors[name] = torch.tensor(0)
        elif name.endswith(("running_mean", "running_var")) and name not in tensors:
            like = tensors[f"{name.rsplit('.', 1)[0]}.weight"]
            tensors[name] = like.new_full(like.shape, float(name.endswith("var")))
    return fill(network, tensors)


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
            f"{folder}: found no *_gen_params.jl_NN.npy and no state dicts (.pth, ...),"
            f" expected arrays of {AUTHORS}"
        )
    epochs = {match[1] for match in matches}
    if len(epochs) > 1:
        listed = ", ".join(sorted(map(str, epochs)))
        raise InputError(f"{folder}: found arrays of epochs {listed}, expected those of one")
    kinds = {"generator": "gen", "discriminator": "discrim"}
    paths = {part: [folder / m[0] for m in matches if m[2] == kind] for part, kind in kinds.items()}
    return {part: arrays for part, arrays in paths.items() if arrays}


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
    tensors = _array_specs(arrays)
    name = max(arrays)
    last = int(name[-6:-4])
    if part == "generator":
        first = tensors.get(_numbered(name, 1))
        if first is None or len(first.shape) != 2:
            raise InputError(
                f"{folder}: tensor {_numbered(name, 1)}: found {first or 'none'},"
                " expected 2 dimensions"
            )
        return _facts(part, (last - 1) // 3, _four(folder, tensors, name)) | {
            "z_size": first.shape[0]
        }
    return _facts(part, (last + 1) // 3, _four(folder, tensors, _numbered(name, 1)))


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
