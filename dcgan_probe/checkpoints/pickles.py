"""Read files of ``torch.save`` without executing pickles.

Such a file is a program for a small machine, the pickle. It is first read as text, without running
it, to see that it names nothing but tensors and claims no more bytes than the file has; only then
``torch.load(weights_only=True)`` opens it.
"""

from __future__ import annotations

import collections
import io
import pickletools
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch

from dcgan_probe.checkpoints.weights import WeightFile, damaged
from dcgan_probe.errors import InputError

_STORAGES = {
    "torch.ByteStorage": 1,
    "torch.CharStorage": 1,
    "torch.BoolStorage": 1,
    "torch.HalfStorage": 2,
    "torch.BFloat16Storage": 2,
    "torch.ShortStorage": 2,
    "torch.FloatStorage": 4,
    "torch.IntStorage": 4,
    "torch.DoubleStorage": 8,
    "torch.LongStorage": 8,
}

_NAMES = {
    "collections.OrderedDict",
    "torch.Size",
    "torch.device",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    *_STORAGES,
}
# What numbers and settings beside the weights are pickled as. torch knows how to make numpy's; the
# others are made into an empty dict, see `_Settings`.
_NUMPY = {
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "_codecs.encode",
    *(f"numpy.dtypes.{kind}DType" for kind in ("Float64", "Float32", "Int64", "Int32", "Bool")),
}
_SETTINGS = {
    "argparse.Namespace",
    "easydict.EasyDict",
    "lightning.fabric.utilities.data.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "types.SimpleNamespace",
}


# Tensors that are not dense float32, by a part of what they are pickled as.
_KINDS = {
    "Complex": "complex",
    "sparse": "sparse",
    "qtensor": "quantized",
    "QInt": "quantized",
    "QUInt": "quantized",
    "meta_tensor": "empty (meta)",
    "tensor_v3": "float8 or other unusual",
}
_MARK = -1
_MAX_DEPTH = 100  # of values in values; a state dict has a handful
_MAX_INSTRUCTIONS = 5_000_000  # some thirty a tensor
_SHARED = 4  # names that may share weights, on average
_SMALL = 64 << 20  # bytes that are never too many


class _Settings(dict[str, object]):
    """A stand-in for settings that were saved next to weights; it discards them."""

    def __setstate__(self, state: object) -> None:
        pass


def read(file: WeightFile) -> Any:
    """What ``torch.save`` put in a file, on the CPU.

        >>> torch.save({"weight": torch.zeros(3)}, "example.pth")
        >>> read(weights.look_at(Path("example.pth")))
        {'weight': tensor([0., 0., 0.])}

    Nothing in the file is executed, and no more memory is taken than the file is long. Raises
    InputError, one line, for a file that holds anything but tensors in dicts and lists, that is
    damaged, or that claims more than it holds.
    """
    path, kind = file
    checks = {"zip": _check_zip, "torch": _check_legacy, "pickle": _check_bare}
    if kind not in checks:
        raise InputError(f"{path}: found {kind}, expected a file of torch.save")
    try:
        checks[kind](path)
        scalar = type(np.float64(0)).__reduce__(np.float64(0))[0]  # the function that makes one
        kinds = [type(np.dtype(kind)) for kind in ("f8", "f4", "i8", "i4", "?")]
        numpy: list[Any] = [np.dtype, *kinds]
        numpy += [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
        settings = [(_Settings, name) for name in _SETTINGS]
        with warnings.catch_warnings(), torch.serialization.safe_globals([*numpy, *settings]):
            warnings.simplefilter("ignore")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
        _check_tensors(path, loaded)
        return loaded
    except InputError:
        raise
    except Exception as error:  # torch, zipfile and pickletools raise all sorts on a damaged file
        raise damaged(path, error, "a whole file of torch.save") from error


def _check_tensors(path: Path, loaded: Any) -> None:
    """Refuse tensors that are far larger than what is stored of them: copies would fill memory.

    Values that hold themselves, or each other over and over, are refused too: to follow them would
    never end.
    """
    claimed, values, count = 0, [loaded], 0
    while values:
        value = values.pop()
        if isinstance(value, dict | list | tuple):
            count += len(value)
            if count > _MAX_INSTRUCTIONS:
                raise InputError(
                    f"{path}: found values that hold themselves, or more than {_MAX_INSTRUCTIONS} "
                    "of them, expected a state dict"
                )
            values += value.values() if isinstance(value, dict) else value
        elif isinstance(value, torch.Tensor):
            claimed += value.numel() * value.element_size()
    # Some names share weights, as copies do; a thousand that do are made for nothing but this.
    most = _SHARED * path.stat().st_size + _SMALL
    if claimed > most:
        raise InputError(
            f"{path}: found a claim of {claimed} bytes in tensors, expected at most {most} of a "
            f"file of {path.stat().st_size}"
        )


def _check_zip(path: Path) -> None:
    """Refuse a file of torch.save that asks for more memory than the bytes it holds."""
    with zipfile.ZipFile(path) as archive:
        members = {member.filename: member for member in archive.infolist()}
        if any(name.endswith("/constants.pkl") for name in members):
            raise InputError(
                f"{path}: found a TorchScript archive, whose code is not run, expected a file of"
                " torch.save(state_dict)"
            )
        if "model.weights.h5" in members:
            raise InputError(f"{path}: found a file of Keras, expected torch.save(state_dict)")
        for name, member in members.items():
            if member.compress_type != zipfile.ZIP_STORED:
                raise InputError(
                    f"{path}: {name}: found a compressed member, expected stored ones,"
                    " as torch.save writes them"
                )
        claimed = sum(member.file_size for member in archive.infolist())
        _check_claim(path, claimed, path.stat().st_size)
        pickles = [name for name in members if name.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1:
            raise InputError(
                f"{path}: found a zip without data.pkl, expected a file of torch.save(state_dict)"
            )
        root = pickles[0].removesuffix("data.pkl")
        for key, claimed in _storages(path, io.BytesIO(archive.read(pickles[0]))):
            held = members.get(f"{root}data/{key}")
            _check_claim(f"{path}: data/{key}", claimed, held.file_size if held else 0)


def _check_legacy(path: Path) -> None:
    """The same for the format before torch 1.6: five pickles, then the bytes of the storages."""
    with open(path, "rb") as file:
        claims = dict(claim for _ in range(5) for claim in _storages(path, file))
    _check_claim(path, sum(claims.values()), path.stat().st_size)


def _check_bare(path: Path) -> NoReturn:
    with open(path, "rb") as file:
        collections.deque(_storages(path, file), maxlen=0)  # raises if it names a class
    raise InputError(f"{path}: found a pickle, expected torch.save(model.state_dict(), ...)")


def _check_claim(where: object, claimed: int, held: int) -> None:
    if claimed > held:
        raise InputError(
            f"{where}: found a claim of {claimed} bytes, expected no more than the {held} it holds"
        )


def _storages(path: Path, file: Any) -> Iterator[tuple[str, int]]:
    """Key and bytes of each storage that a pickle asks for; read as text, nothing is run.

    Raises InputError if the pickle names anything that is not part of a tensor or a dict.
    """
    depths = _Depths(path)
    recent: collections.deque[Any] = collections.deque(maxlen=8)
    memo: dict[Any, Any] = {}
    for op, argument, _ in pickletools.genops(file):
        depths.take(op, argument)
        if op.name in ("GLOBAL", "INST", "STACK_GLOBAL"):
            dotted = str(argument).replace(" ", ".")
            name = f"{recent[-2]}.{recent[-1]}" if op.name == "STACK_GLOBAL" else dotted
            if name not in _NAMES | _NUMPY | _SETTINGS:
                raise InputError(f"{path}: {_unexpected(name)}")
            recent.append(name)
        elif op.name == "BINPERSID":
            yield _storage(path, list(recent))
            recent.append(op)
        elif op.name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if argument is None else argument] = recent[-1]
        elif op.name in ("BINGET", "LONG_BINGET"):
            recent.append(memo.get(argument))
        else:
            recent.append(op.name if argument is None else argument)


def _unexpected(name: str) -> str:
    """What a pickle names that a state dict of float numbers does not hold."""
    for part, kind in _KINDS.items():
        if name.startswith("torch.") and part in name:
            return f"found {kind} tensors ({name:.100}), expected dense ones of float32"
    return f"holds a pickled {name:.100}, expected a state dict; save model.state_dict()"


class _Depths:
    """How deep the values on a pickle's stack are nested, told without making them.

    Python takes the hash of a key that is a tuple in C, one call within another: of one that is
    nested 200,000 deep it overflows the stack of the process.
    """

    def __init__(self, path: Path):
        self.path = path
        self.stack: list[int] = []
        self.memo: dict[Any, int] = {}
        self.count = 0

    def take(self, op: pickletools.OpcodeInfo, argument: Any) -> None:
        """Follow one instruction; InputError for too many of them, or values nested too deeply."""
        self.count += 1
        if self.count > _MAX_INSTRUCTIONS:
            raise InputError(
                f"{self.path}: found a pickle of more than {_MAX_INSTRUCTIONS} instructions, "
                "expected a state dict"
            )
        if op.name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
            return
        if op.name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memo.get(argument, 0))
            return
        taken = self._pop(op)
        if op.name.startswith(("APPEND", "SETITEM", "ADDITEMS", "BUILD")):
            depth = max(taken[0], 1 + max(taken[1:], default=0))
        else:
            depth = 1 + max(taken) if taken else 0
        if depth > _MAX_DEPTH:
            raise InputError(
                f"{self.path}: found values nested more than {_MAX_DEPTH} deep, expected a state "
                "dict"
            )
        mark = [_MARK] if op.name == "MARK" else [depth] * len(op.stack_after)
        self.stack += mark

    def _pop(self, op: pickletools.OpcodeInfo) -> list[int]:
        """What an instruction takes off the stack, the lowest first."""
        names = [each.name for each in op.stack_before]
        if "mark" not in names:
            count = len(names)
            taken = self.stack[len(self.stack) - count :] if count else []
            del self.stack[len(self.stack) - count :]
            return taken
        below = names.index("mark")
        taken = []
        while (depth := self.stack.pop()) != _MARK:
            taken.append(depth)
        under = self.stack[len(self.stack) - below :] if below else []
        del self.stack[len(self.stack) - below :]
        return under + taken[::-1]


def _storage(path: Path, recent: list[Any]) -> tuple[str, int]:
    """Key and bytes of the storage that the last values of a pickle stand for."""
    if recent[-2:] == ["NONE", "TUPLE"]:
        del recent[-2]  # the format before torch 1.6 adds a view
    match recent[-7:]:
        case ["MARK", "storage", kind, str(key), str(), int(count), "TUPLE"] if (
            kind in _STORAGES and count >= 0
        ):
            return key, count * _STORAGES[kind]
    raise InputError(f"{path}: found tensors packed in an unknown way, expected torch.save's")
