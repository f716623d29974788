"""Decode with OpenCV, without the messages that libraries inside of it print on stderr."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Lock
from typing import Any

import cv2
import numpy as np


def imdecode(data: bytes, flag: int) -> np.ndarray | None:
    """Decode an image file as ``cv2.imdecode`` does; None for data that it cannot decode.

        >>> imdecode(b"no image", cv2.IMREAD_COLOR) is None
        True

    libjpeg and libpng print warnings about damaged files, and OpenCV cannot stop them. With glibc
    they are discarded here; elsewhere they reach stderr.
    """
    if not data:
        return None
    with discarded_messages():
        image: Any = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    return image


def discarded_messages() -> AbstractContextManager[None]:
    """Discard what C libraries print on stderr inside the ``with``, in any thread."""
    return _C_STDERR.discarded()


class _CStderr:
    """The variable ``stderr`` of the C library, which only functions such as fprintf write to.

    File descriptor 2 does not change. Python writes to the descriptor, so that no message of its
    own, in any thread, is lost.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0  # threads that decode now
        self._nowhere: int | None = None
        self._original: int | None = None
        # In glibc it is a variable that a program may set; in musl, for one, it is a constant.
        self._variable = (
            ctypes.c_void_p.in_dll(ctypes.CDLL(None), "stderr") if _is_glibc() else None
        )

    @contextmanager
    def discarded(self) -> Iterator[None]:
        """Discard what is written to it, until the last of the threads that ask for it is done."""
        if self._variable is None:
            yield
            return
        with self._lock:
            if not self._users:
                self._nowhere = self._nowhere or _open_nowhere()
                self._original = self._variable.value
                self._variable.value = self._nowhere or self._original
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._variable.value = self._original


def _is_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError, OSError):  # Windows; macOS; musl
        return False


def _open_nowhere() -> int | None:
    """A FILE that discards what is written; None where there is none, as without /dev."""
    fopen = ctypes.CDLL(None).fopen
    fopen.restype = ctypes.c_void_p
    nowhere: int | None = fopen(os.devnull.encode(), b"we")
    return nowhere


_C_STDERR = _CStderr()
