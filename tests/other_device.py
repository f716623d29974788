"""A stand-in for a GPU, on machines without one: it computes on the CPU and refuses to mix devices.

    with Mode():
        network.to(DEVICE)(z.to(DEVICE))     # a tensor of the CPU beside these raises Mixed

Tensors say that they are on a device of their own, as those of a GPU do, and cannot be read by
numpy. What torch lets meet, such as single numbers and indices of the CPU, may meet here too.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

_setup_privateuseone_for_python_backend("standin")
DEVICE = torch.device("standin:0")
_COPIES = ("aten::_to_copy", "aten::copy_")
_INDEXING = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")


class Mixed(RuntimeError):
    """Tensors of two devices met."""


class There(Tensor):
    """A tensor on the device; `inner` has its numbers."""

    @staticmethod
    def __new__(cls, inner: Tensor) -> There:
        about = {"strides": inner.stride(), "storage_offset": inner.storage_offset()}
        return Tensor._make_wrapper_subclass(
            cls, inner.shape, dtype=inner.dtype, device=DEVICE, **about
        )

    def __init__(self, inner: Tensor):
        self.inner = inner

    def __repr__(self) -> str:
        return f"There({self.inner!r})"

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError("numpy reads no tensor of another device")

    __array__ = numpy

    def tolist(self) -> Any:
        return self.inner.tolist()

    def __getitem__(self, index: Any) -> Tensor:
        return super().__getitem__(_as_tensors(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(_as_tensors(index), value)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


class Mode(TorchDispatchMode):
    """Inside the ``with``, tensors can be made on the device and moved there."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # to be skipped it would be imported, which takes seconds

    def __enter__(self):
        self.patched = contextlib.ExitStack()
        for name in ("as_tensor", "tensor"):  # torch fills these without dispatching
            plain = getattr(torch, name)
            setattr(torch, name, _first_on_the_cpu(plain))
            self.patched.callback(setattr, torch, name, plain)
        return super().__enter__()

    def __exit__(self, *error):
        self.patched.close()
        return super().__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        values, _ = tree_flatten((args, kwargs))
        if _is_there(kwargs.get("device")) or any(isinstance(each, There) for each in values):
            return _run(func, args, kwargs)
        return func(*args, **kwargs)


def _run(func, args, kwargs):
    values, _ = tree_flatten((args, kwargs))
    there = [each for each in values if isinstance(each, There)]
    here = [each for each in values if isinstance(each, Tensor) and not isinstance(each, There)]
    name, wanted = func.name().split(".")[0], kwargs.get("device")
    if there and any(each.dim() for each in here) and name not in (*_COPIES, *_INDEXING):
        raise Mixed(f"{name}: {[each.shape for each in there]} and here {[x.shape for x in here]}")
    if name in _INDEXING and not isinstance(args[0], There):
        raise Mixed(f"{name}: a tensor of the CPU by indices of the device")
    if name.startswith("aten::index_put") and args[2].dim() and not isinstance(args[2], There):
        raise Mixed(f"{name}: values of the CPU")
    plain_args, plain = tree_map(
        lambda each: each.inner if isinstance(each, There) else each, (args, kwargs)
    )
    if wanted is not None:
        plain = {**plain, "device": torch.device("cpu")}
    found = func(*plain_args, **plain)
    if name == "aten::copy_":
        return args[0]
    goes = bool(there) if wanted is None else _is_there(wanted)
    same = {id(each.inner): each for each in there}

    def told(each: Any) -> Any:
        if not goes or not isinstance(each, Tensor) or name == "aten::_local_scalar_dense":
            return each
        return same.get(id(each)) if id(each) in same else There(each)

    return tree_map(told, found)


def _is_there(device: Any) -> bool:
    return device is not None and torch.device(device).type == DEVICE.type


def _as_tensors(index: Any) -> Any:
    """Lists in an index as tensors, which torch makes without dispatching."""

    def one(part: Any) -> Any:
        return torch.tensor(part, dtype=torch.long) if isinstance(part, list) else part

    return tuple(map(one, index)) if isinstance(index, tuple) else one(index)


def _first_on_the_cpu(plain):
    def make(data, *args, device=None, **kwargs):
        if not _is_there(device):
            return plain(data, *args, device=device, **kwargs)
        return plain(data, *args, **kwargs).to(DEVICE)

    return make
