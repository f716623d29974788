"""Arrays of MATLAB 5 files are those that scipy reads, and no file crashes the reader."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from scipy import io, sparse

from dcgan_probe.errors import InputError
from dcgan_probe.images import matlab

RNG = np.random.default_rng(0)
TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
TYPES += ("float32", "float64")  # type: ignore[assignment]
ARRAYS = {f"a_{kind}": (RNG.random((3, 4, 2)) * 100).astype(kind) for kind in TYPES}
ARRAYS["one"] = np.array([[7]], np.uint8)  # so short that it lies in the tag
ARRAYS["a" * 31] = np.arange(5.0)[:, None]
OTHERS = {
    "text": "some words",
    "cells": np.array([1, "b"], object),
    "fields": {"a": 1, "b": np.zeros(3)},
    "sparse": sparse.eye(3).tocsc(),
    "truth": np.array([True, False]),
    "complex": np.array([1 + 2j, 3]),
}


@pytest.mark.parametrize("compressed", [True, False])
def test_arrays_are_those_of_scipy(tmp_path, compressed):
    path = tmp_path / "a.mat"
    io.savemat(path, {**ARRAYS, **OTHERS}, do_compression=compressed)
    found = matlab.variables(path)
    listed = {name: (shape, kind) for name, shape, kind in io.whosmat(path)}
    listed["complex"] = ((1, 2), "complex")  # by scipy "double"
    listed["text"] = ((1, 10), "char")  # by scipy the shape of an array of one text
    assert {v.name: (v.shape, v.kind) for v in found.values()} == listed
    expected = io.loadmat(path)
    for name in ARRAYS:
        array = matlab.read(path, name)
        assert array.dtype == expected[name].dtype, name
        np.testing.assert_array_equal(array, expected[name])
    for name in OTHERS:
        with pytest.raises(InputError, match=rf"a\.mat: {name}: found .*, expected numbers"):
            matlab.read(path, name)
    with pytest.raises(InputError, match=r"a\.mat: found no other, expected it"):
        matlab.read(path, "other")


def test_numbers_are_those_of_their_class_however_they_are_stored(tmp_path):
    """MATLAB writes doubles that are whole as bytes; a Mac of old wrote the large end first."""
    for order, mark in (("<", b"IM"), (">", b"MI")):
        tag = struct.Struct(f"{order}II")
        whole = tag.pack(6, 8) + tag.pack(6, 0) + tag.pack(5, 8) + struct.pack(f"{order}ii", 3, 1)
        whole += (
            tag.pack(1, 1) + b"y".ljust(8, b"\0") + tag.pack(2, 3) + bytes([9, 0, 255, *[0] * 5])
        )
        head = b"MATLAB 5.0".ljust(124) + struct.pack(f"{order}H", 0x100) + mark
        path = tmp_path / "a.mat"
        path.write_bytes(head + tag.pack(14, len(whole)) + whole)
        np.testing.assert_array_equal(io.loadmat(path)["y"], [[9.0], [0.0], [255.0]])
        array = matlab.read(path, "y")
        assert array.dtype == np.float64
        np.testing.assert_array_equal(array, [[9.0], [0.0], [255.0]])


def test_the_last_padding_may_be_missing(tmp_path):
    path = tmp_path / "a.mat"
    x = np.arange(13, dtype=np.uint8)[:, None]
    io.savemat(path, {"x": x})
    data = path.read_bytes()
    assert data.endswith(bytes(3))
    for missing in (0, 1, 3):
        packed = zlib.compress(data[128 : len(data) - missing])
        path.write_bytes(data[:128] + struct.pack("<II", 15, len(packed)) + packed)
        np.testing.assert_array_equal(matlab.read(path, "x"), x)
    packed = zlib.compress(data[128:] + b"x")
    path.write_bytes(data[:128] + struct.pack("<II", 15, len(packed)) + packed)
    with pytest.raises(InputError, match="another end than that of its array"):
        matlab.read(path, "x")


def test_a_type_of_numbers_that_does_not_exist_is_refused(tmp_path):
    """scipy looks it up behind the end of a table, and may crash."""
    path = tmp_path / "a.mat"
    io.savemat(path, {"X": np.arange(100, dtype=np.uint8)[:, None]})
    data = bytearray(path.read_bytes())
    place = data.index(struct.pack("<II", 2, 100))
    data[place : place + 4] = (0xFFFF).to_bytes(4, "little")  # no type of numbers
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"damaged MATLAB file \(100 bytes of kind 65535"):
        matlab.read(path, "X")


def test_damage_within_what_is_compressed_is_noticed(tmp_path):
    path = tmp_path / "a.mat"
    io.savemat(path, {"X": RNG.integers(0, 256, (40, 40), np.uint8)}, do_compression=True)
    data = bytearray(path.read_bytes())
    data[-2] ^= 1  # of the checksum
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"damaged MATLAB file \(.*incorrect data check"):
        matlab.read(path, "X")
    io.savemat(path, {"X": np.zeros((2, 2)), "Y": np.zeros((2, 2))})
    data = path.read_bytes().replace(b"Y", b"X", 1)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"\(two variables of one name\)"):
        matlab.variables(path)
