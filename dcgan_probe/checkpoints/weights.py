"""Files of weights: detect the kind, check the claimed sizes, read the tensors.

What a file claims is checked before memory is taken for it, and nothing in it is executed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import torch
from torch import Tensor, nn

from dcgan_probe.errors import InputError
from dcgan_probe.storage import files

FLOATS = {"float32", "float16", "bfloat16", "float64"}
_KINDS = {
    b"PK\x03\x04": "zip",
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.": "torch",  # torch.save before 1.6
    b"\x93NUMPY": "npy",
}


class WeightFile(NamedTuple):
    """A file that was looked at, and what it holds; see `content`."""

    path: Path
    kind: str


# Formats of other libraries that no first bytes tell.
_LIBRARIES = {
    ".h5": "Keras",
    ".hdf5": "Keras",
    ".keras": "Keras",
    ".onnx": "ONNX",
    ".pb": "TensorFlow",
    ".index": "TensorFlow",
    ".meta": "TensorFlow",
    ".tflite": "TensorFlow",
    ".msgpack": "Flax",
    ".params": "MXNet",
}


def look_at(path: Path) -> WeightFile:
    """Find out what a file holds; raises as `content` does.

    >>> look_at(Path("netG.pth")).kind
    'zip'
    """
    return WeightFile(path, content(path))


def content(path: Path) -> str:
    """What a file holds, by its first bytes: "safetensors", "zip", "torch", "npy" or "pickle".

    Raises InputError for a file of any other kind, and names those that downloads leave behind.
    """
    if not path.is_file():
        other = "no regular file" if path.exists() else "no file"
        kind = "a folder" if path.is_dir() else other
        raise InputError(f"{path}: found {kind}, expected a file of weights")
    try:
        with open(path, "rb") as file:
            head = file.read(512)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    for begin, kind in _KINDS.items():
        if head.startswith(begin):
            return kind
    if head[8:9] == b"{":
        return "safetensors"
    if head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        return "pickle"
    raise InputError(f"{path}: found {_not_weights(path, head)}, expected a file of weights")


def library_of(path: Path) -> str:
    """Which other library a file is of, by its name; "" if that does not tell.

    >>> library_of(Path("model.ckpt-5.data-00000-of-00001"))
    'TensorFlow'
    """
    if path.name == "checkpoint" or ".data-0" in path.name:
        return "TensorFlow"
    return _LIBRARIES.get(path.suffix, "")


def _not_weights(path: Path, head: bytes) -> str:
    if not head:
        return "an empty file"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not yet replaced by its file (git lfs pull)"
    if head.startswith(b"\x89HDF"):
        return "an HDF5 file, as Keras writes"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return "an HTML page, probably a failed download"
    if library := library_of(path):
        return f"a file of {library}"
    for begin, what in {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"7z\xbc\xaf": "7z"}.items():
        if head.startswith(begin):
            return f"a {what} archive, to be unpacked first"
    if head[257:262] == b"ustar":
        return "a tar archive, to be unpacked first"
    return f"unknown content that begins with {head[:8]!r}"


def damaged(path: Path, error: Exception, expected: str) -> InputError:
    """The error for a file that a library could not read; it keeps the library's first line."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return InputError(
        f"{path}: found a damaged or truncated file ({reason:.160}), expected {expected}"
    )


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A safetensors file, mapped: the library checks its header's claims against its size."""
    try:
        with (
            files.utf8_name(path) as name,
            safetensors.safe_open(name, framework="pt") as file,
        ):
            yield file
    except safetensors.SafetensorError as error:
        raise damaged(path, error, "a whole safetensors file") from error


class Spec(NamedTuple):
    """What a file says of a tensor, before its memory is taken."""

    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.dtype} of shape {'x'.join(map(str, self.shape)) or '()'}"


def specs(tensors: Mapping[str, Tensor]) -> dict[str, Spec]:
    """Shape and type of each tensor."""
    return {
        name: Spec(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        for name, tensor in tensors.items()
    }


def specs_of(file: Any) -> dict[str, Spec]:
    """What an `opened` file says of its tensors; none of them is read."""
    words = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}
    by_name = {}
    names = file.keys()
    for name in names:
        part = file.get_slice(name)
        dtype = part.get_dtype()
        by_name[name] = Spec(tuple(part.get_shape()), words.get(dtype, dtype.replace("I", "int")))
    return by_name


def check_specs(
    where: object, held: Mapping[str, Spec], expected: Mapping[str, Spec], why: str = ""
) -> None:
    """Refuse tensors that are missing, too many, or of another shape or type.

    Any precision in `FLOATS` passes for another. why: ends the message where a shape is wrong.
    """
    for name, spec in expected.items():
        if name not in held:
            raise InputError(f"{where}: tensor {name}: found none, expected {spec}")
    for name, spec in held.items():
        place = f"{where}: tensor {name}"
        if name not in expected:
            raise InputError(f"{place}: found {spec}, expected no such tensor")
        wanted = expected[name]
        if spec.shape != wanted.shape:
            raise InputError(f"{place}: found {spec}, expected {wanted}{why}")
        if spec.dtype != wanted.dtype and not {spec.dtype, wanted.dtype} <= FLOATS:
            raise InputError(f"{place}: found {spec}, expected {wanted}")


def take(where: object, name: str, tensor: Tensor) -> Tensor:
    """A copy of a tensor, weights as float32; InputError if it holds NaN or infinity."""
    if not tensor.is_floating_point():
        return tensor.clone()
    tensor = tensor.detach().to(torch.float32, copy=True).contiguous()
    if not torch.isfinite(tensor).all():
        raise InputError(
            f"{where}: tensor {name}: found NaN or infinity, expected finite float32 numbers"
        )
    if name.endswith("running_var") and (tensor < 0).any():
        raise InputError(f"{where}: tensor {name}: found a variance below 0, expected none")
    return tensor


def fill(network: nn.Module, tensors: Mapping[str, Tensor]) -> Any:
    """Give a network without memory for weights (torch's "meta" device) these, and return it."""
    network.load_state_dict(dict(tensors), assign=True)
    return network
