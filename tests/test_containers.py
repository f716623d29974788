"""Whatever holds the images, they come out as they went in; what is damaged is one line."""

from __future__ import annotations

import errno
import gzip
import io
import os
import pickle
import struct
import sys
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy import io as matlab

from dcgan_probe.errors import InputError
from dcgan_probe.images import arrays, containers, lmdb_worker
from dcgan_probe.images import matlab as images_matlab
from dcgan_probe.images.containers import Container, Unreadable, is_image
from dcgan_probe.images.sources import ImageSource, open_container

RNG = np.random.default_rng(0)
FILES = {"b/2.png": b"two", "10.JPG": RNG.bytes(3000), "a.jpeg": b"", "b/c/1.webp": b"one" * 171}
NO_IMAGES = {
    "notes.txt": b"text",
    "labels.csv": b"a,b",
    "b/annotations.json": b"{}",
    "Thumbs.db": b"db",
    ".DS_Store": b"mac",
    ".hidden.png": b"hidden",
    "b/.cache/3.png": b"hidden",
    "__MACOSX/b/2.png": RNG.bytes(3000),
}
NAMES = sorted(FILES)


def folder(path: Path) -> Path:
    for name, data in (FILES | NO_IMAGES).items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def zipped(path: Path, files: dict[str, bytes] = FILES | NO_IMAGES, **options) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, mode: str, files: dict[str, bytes] = FILES | NO_IMAGES) -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def database(path: Path, entries: dict[bytes, bytes], subdir: bool = True) -> Path:
    lmdb = pytest.importorskip("lmdb", reason="the package lmdb is not installed")
    with (
        lmdb.open(str(path), map_size=1 << 26, subdir=subdir) as made,
        made.begin(write=True) as to,
    ):
        for key, value in entries.items():
            to.put(key, value)
    return path


def contents(container: Container) -> list[bytes | np.ndarray | Unreadable]:
    return list(container.entries(range(len(container.names))))


MAKERS = {
    "folder": folder,
    "stored.zip": zipped,
    "deflated.zip": lambda path: zipped(path, compression=zipfile.ZIP_DEFLATED),
    "plain.tar": lambda path: tarred(path, "w:"),
    "gz.tar": lambda path: tarred(path, "w:gz"),
    "bz2.tar": lambda path: tarred(path, "w:bz2"),
    "xz.tar": lambda path: tarred(path, "w:xz"),
    "lmdb": lambda path: database(path, {n.encode(): d for n, d in FILES.items()}),
}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("name", ["told_by_content", "misleading.png"])
def test_the_same_files_in_any_container(tmp_path, kind, name):
    container = open_container(MAKERS[kind](tmp_path / name))
    assert list(container.names) == NAMES
    assert contents(container) == [FILES[name] for name in NAMES]
    for index in (3, 0, 2, 1, 3):
        assert container.entry(index) == FILES[NAMES[index]]


def test_which_names_are_images():
    assert all(map(is_image, FILES))
    assert not any(map(is_image, NO_IMAGES))
    assert is_image("../up/a.png")


@pytest.mark.parametrize("kind", ["folder", "stored.zip", "plain.tar", "gz.tar"])
def test_nothing_but_other_files_is_no_images(tmp_path, kind):
    makers = {
        "folder": lambda path: path.mkdir(),
        "stored.zip": lambda path: zipped(path, NO_IMAGES),
        "plain.tar": lambda path: tarred(path, "w:", NO_IMAGES),
        "gz.tar": lambda path: tarred(path, "w:gz", NO_IMAGES),
    }
    makers[kind](tmp_path / "none")
    with pytest.raises(InputError, match=r"none: found no images, expected \.png"):
        open_container(tmp_path / "none")


@pytest.mark.parametrize("kind", ["stored.zip", "plain.tar"])
def test_names_that_lead_out_are_only_names(tmp_path, kind):
    files = {"/etc/a.png": b"absolute", "../../b.png": b"up"}
    make = zipped if kind == "stored.zip" else lambda path, files: tarred(path, "w:", files)
    container = open_container(make(tmp_path / kind, files))
    assert dict(zip(container.names, contents(container), strict=True)) == files
    assert os.listdir(tmp_path) == [kind]


def test_links_of_a_tar_are_no_images(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            link = tarfile.TarInfo(f"link{kind.decode()}.png")
            link.type, link.linkname = kind, "/etc/passwd"
            archive.addfile(link)
        archive.addfile(tarfile.TarInfo("a.png"))
    assert open_container(tmp_path / "a.tar").names == ["a.png"]


def test_of_two_entries_of_a_name_the_later_counts(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for data in (b"old", b"newer"):
            member = tarfile.TarInfo("a.png")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", b"old")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.png", b"newer")
    for kind in ("a.tar", "a.zip"):
        assert contents(open_container(tmp_path / kind)) == [b"newer"]


@pytest.mark.parametrize("kind", [k for k in MAKERS if k.endswith(("zip", "tar"))])
@pytest.mark.parametrize("share", [0.9, 0.5, 0.3])
def test_an_archive_that_is_cut_off_is_one_line(tmp_path, kind, share):
    data = MAKERS[kind](tmp_path / kind).read_bytes()
    if kind == "plain.tar":
        data = data.rstrip(b"\0")  # cut into files, not into the zeros that fill a tar up
    (tmp_path / kind).write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=rf"{kind}: found a damaged or cut off (zip|tar)"):
        open_container(tmp_path / kind)


def test_a_tar_cut_between_two_files_or_damaged_in_a_header_is_noticed(tmp_path):
    whole = tarred(tmp_path / "a.tar", "w:", {"a.png": b"a" * 512, "b.png": b"b" * 512})
    data = whole.read_bytes()
    for damaged in (data[:1024], data[:1100], data[:1024] + b"x" * 512 + data[1536:]):
        (tmp_path / "b.tar").write_bytes(damaged)
        with pytest.raises(InputError, match=r"b\.tar: found a damaged or cut off tar"):
            open_container(tmp_path / "b.tar")


def test_an_encrypted_zip_is_refused(tmp_path):
    path = zipped(tmp_path / "a.zip", {"a.png": b"a", "b.png": b"b"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.png: found an encrypted entry.*1 of 2 are"):
        open_container(path)


def test_an_entry_that_fails_its_checksum_costs_only_itself(tmp_path):
    path = zipped(tmp_path / "a.zip", {"a.png": b"aaaaaaaa", "b.png": b"b"})
    path.write_bytes(path.read_bytes().replace(b"aaaaaaaa", b"aaaaXaaa"))
    bad, good = contents(open_container(path))
    assert str(bad) == "cannot be read: Bad CRC-32 for file 'a.png'"
    assert good == b"b"


def test_an_entry_without_a_name_is_no_image(tmp_path):
    """zipfile itself looks at the last character of every name."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", b"png")
        archive.writestr("b", "x")
    whole = path.read_bytes()
    # In the central directory, where names are taken from: "b" becomes a comment of one byte.
    at = whole.rindex(b"PK\x01\x02")
    entry = bytearray(whole[at:])
    entry[28:30], entry[32:34] = b"\0\0", b"\1\0"
    path.write_bytes(whole[:at] + bytes(entry))
    container = open_container(path)
    assert (container.names, container.taken()) == (["a.png"], "took 1 of 2: 1 without an ending")


def test_a_zip_bomb_is_read_no_further_than_it_declares(tmp_path, monkeypatch):
    monkeypatch.setattr(containers, "MAX_ENTRY", 1 << 20)
    path = zipped(
        tmp_path / "a.zip",
        {"a.png": bytes(8 << 20), "b.png": bytes(8 << 20)},
        compression=zipfile.ZIP_DEFLATED,
    )
    data = bytearray(path.read_bytes())
    second = data.rindex(b"PK\x01\x02")
    data[second + 24 : second + 28] = struct.pack("<I", 1000)  # what it unpacks to, it says
    path.write_bytes(data)
    container = open_container(path)
    tracemalloc.start()
    openly, by_lie = contents(container)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
    assert str(openly) == "claims 8388608 bytes, more than the 1048576 allowed"
    assert "Bad CRC-32" in str(by_lie)


@pytest.mark.parametrize("mode", ["gz", "bz2", "xz"])
def test_a_compressed_tar_whose_checksum_fails_is_noticed(tmp_path, mode):
    path = tarred(tmp_path / "a.tar", f"w:{mode}", {"a.png": RNG.bytes(30000)})
    data = bytearray(path.read_bytes())
    data[15000] ^= 1  # deflate leaves random bytes as they are: it would unpack
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.tar: found a damaged or cut off tar"):
        open_container(path)


def test_a_tar_bomb_does_not_fill_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(containers, "MAX_ENTRY", 1 << 20)
    path = tarred(tmp_path / "a.tar", "w:gz", {f"{i}.png": bytes(1 << 20) for i in range(8)})
    with pytest.raises(InputError, match=r"a\.tar: found more than 100 times its size unpacked"):
        open_container(path)


def test_a_tar_whose_long_name_is_a_bomb_is_refused(tmp_path):
    member = tarfile.TarInfo("long")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    path = tmp_path / "a.tar"
    path.write_bytes(member.tobuf() + bytes(10240))
    with pytest.raises(InputError, match="damaged or cut off tar.*a header of a mebibyte"):
        open_container(path)


@pytest.mark.parametrize("data", [b"", b"text", bytes(600), b"GIF89a" + bytes(600)])
def test_a_file_of_another_kind_is_refused(tmp_path, data):
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(InputError, match="found a file of another kind, expected a folder or zip"):
        open_container(tmp_path / "a")


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match="found no regular file"):
        open_container(tmp_path / "pipe.png")
    with pytest.raises(InputError, match="found no images"):
        open_container(tmp_path)  # and it does not wait for the pipe either


IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 6, 3), np.uint8)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    "array",
    [IMAGES, IMAGES[..., :1], IMAGES[..., 0], np.asfortranarray(IMAGES)],
    ids=["NHWC", "NHW1", "NHW", "Fortran"],
)
def test_an_npz_gives_its_one_array_of_images(tmp_path, save, array):
    save(tmp_path / "a.npz", labels=np.arange(5), floats=np.zeros((5, 8, 6, 3)), x=array)
    container = open_container(tmp_path / "a.npz")
    assert container.names[:2] == ["x[00000000]", "x[00000001]"]
    assert np.array_equal(np.stack(contents(container)), array)
    assert np.array_equal(container.entry(3), array[3])


def test_channels_may_come_first(tmp_path):
    np.savez(tmp_path / "a.npz", IMAGES.transpose(0, 3, 1, 2))
    assert np.array_equal(np.stack(contents(open_container(tmp_path / "a.npz"))), IMAGES)


def test_an_npz_with_no_array_of_images_or_two_says_what_it_has(tmp_path):
    np.savez(tmp_path / "two.npz", x=IMAGES, y=IMAGES, z=np.arange(3))
    with pytest.raises(InputError, match=r"found x \(uint8 5 x 8 x 6 x 3\), y \(uint8 .*one array"):
        open_container(tmp_path / "two.npz")
    np.savez(tmp_path / "none.npz", z=np.zeros((2, 3)))
    with pytest.raises(InputError, match=r"none\.npz: found z \(float64 2 x 3\), expected one"):
        open_container(tmp_path / "none.npz")


class Evil:
    def __reduce__(self):
        return os.abort, ()


def test_a_pickle_in_an_npz_is_not_executed(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([Evil()], object))
    with pytest.raises(InputError, match=r"found x \(object 1\)"):
        open_container(tmp_path / "a.npz")


def npy(shape: tuple[int, ...], data: bytes) -> bytes:
    stream = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + data


@pytest.mark.parametrize("shape", [(10**6, 10**6, 10**6), (5, 8, 7), (5, 8, 5)])
def test_an_npz_that_claims_what_it_does_not_hold_is_refused(tmp_path, shape):
    path = zipped(tmp_path / "a.npz", {"x.npy": npy(shape, bytes(5 * 8 * 6))})
    with pytest.raises(InputError, match=r"x\.npy: found a claim of \d+ bytes, expected the 368"):
        open_container(path)


def test_an_npz_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "MAX_ENTRY", 1 << 20)
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((8, 1 << 10, 1 << 10), np.uint8))
    with pytest.raises(InputError, match="found a claim of 8388736 bytes in a file of"):
        open_container(tmp_path / "a.npz")


def test_a_damaged_npz_is_one_line(tmp_path):
    path = zipped(tmp_path / "a.npz", {"x.npy": b"\x93NUMPY\x01\x00\x76"})
    with pytest.raises(InputError, match=r"x\.npy: found no whole header"):
        open_container(path)
    path, images = tmp_path / "b.npz", RNG.integers(0, 256, (40, 64, 64), np.uint8)
    np.savez_compressed(path, x=images)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"b\.npz: x: cannot be read"):
        open_container(tmp_path / "b.npz").entry(0)


@pytest.mark.parametrize("compressed", [True, False])
def test_the_matlab_files_of_svhn(tmp_path, compressed):
    images = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 7), np.uint8)
    variables = {"X": images, "y": np.arange(7)[:, None]}
    matlab.savemat(tmp_path / "a.mat", variables, do_compression=compressed)
    container = open_container(tmp_path / "a.mat")
    assert container.names[6] == "X[00000006]"
    assert np.array_equal(np.stack(contents(container), axis=3), images)


def test_other_matlab_files_are_refused(tmp_path):
    matlab.savemat(tmp_path / "y.mat", {"y": np.arange(7.0)[:, None], "X": np.zeros((2, 2))})
    with pytest.raises(
        InputError, match=r"found y \(double 7 x 1\), X \(double 2 x 2\), expected X"
    ):
        open_container(tmp_path / "y.mat")
    (tmp_path / "new.mat").write_bytes(
        b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + b"\x89HDF"
    )
    with pytest.raises(
        InputError, match=r"new\.mat: found HDF5 \(MATLAB 7\.3\), expected MATLAB 5"
    ):
        open_container(tmp_path / "new.mat")
    matlab.savemat(tmp_path / "cut.mat", {"X": np.zeros((32, 32, 3, 7), np.uint8)})
    (tmp_path / "cut.mat").write_bytes((tmp_path / "cut.mat").read_bytes()[:5000])
    with pytest.raises(InputError, match=r"cut\.mat: found a damaged MATLAB file"):
        open_container(tmp_path / "cut.mat").entry(0)


def test_an_lmdb_of_many_keys_whole_or_as_a_bare_file(tmp_path):
    rng = np.random.default_rng(0)
    entries = {rng.bytes(20).hex().encode(): rng.bytes(50 + i % 3000) for i in range(5000)}
    entries[b"\xff\xfe"] = b"a key that is no text"
    whole = database(tmp_path / "lmdb", entries)
    expected = [entries[key] for key in sorted(entries)]
    for path in (whole, whole / "data.mdb"):
        container = open_container(path)
        assert contents(container) == expected
        assert list(container.entries([4999, 3, 5000])) == [expected[i] for i in (4999, 3, 5000)]


def test_values_of_an_lmdb_come_in_batches_that_memory_can_hold(tmp_path, monkeypatch):
    monkeypatch.setattr("dcgan_probe.images.lmdb.MAX_ENTRY", 3 << 20)
    monkeypatch.setattr(containers, "MAX_ENTRY", 3 << 20)
    entries = {b"%02d" % i: bytes([i]) * (1 << 20) for i in range(20)}
    entries[b"20"] = bytes((3 << 20) + 1)
    container = open_container(database(tmp_path / "lmdb", entries))
    *good, bad = contents(container)
    assert good == list(entries.values())[:-1]
    assert str(bad) == "claims 3145729 bytes, more than the 3145728 allowed"
    assert container.entry(4) == entries[b"04"]
    assert len(container._values(list(range(20)))) == lmdb_worker.BATCH_BYTES >> 20 < 20


def test_an_lmdb_that_kills_its_reader_is_one_line(tmp_path):
    entries = {b"%04d" % i: bytes(1000) for i in range(1000)}
    data = database(tmp_path / "lmdb", entries) / "data.mdb"
    whole = data.read_bytes()
    data.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        InputError, match=r"lmdb: found a damaged LMDB \(reading it ended in SIGBUS"
    ):
        contents(open_container(tmp_path / "lmdb"))
    for seed in range(10):
        rng = np.random.default_rng(seed)
        broken = np.frombuffer(whole, np.uint8).copy()
        broken[rng.integers(8192, len(whole), 5000)] = rng.integers(0, 256, 5000)
        data.write_bytes(broken)
        try:
            contents(open_container(tmp_path / "lmdb"))
        except InputError as error:
            assert "\n" not in str(error)


def test_a_pipe_to_a_dead_reader_of_an_lmdb_breaks_on_windows_too(tmp_path, monkeypatch):
    container = open_container(database(tmp_path / "lmdb", {b"a": b"b"}))
    container._child.kill()

    def on_windows(_pipe, _keys):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(lmdb_worker, "write_keys", on_windows)
    with pytest.raises(
        InputError, match=r"lmdb: found a damaged LMDB \(reading it ended in SIGKILL"
    ):
        container.entry(0)


def test_what_only_looks_like_an_lmdb_is_one_line(tmp_path):
    pytest.importorskip("lmdb", reason="the package lmdb is not installed")
    (tmp_path / "data.mdb").write_bytes(bytes(16) + struct.pack("<I", 0xBEEFC0DE) + bytes(20000))
    for path in (tmp_path, tmp_path / "data.mdb"):
        with pytest.raises(InputError, match=r"found no LMDB that can be read: \w*Error:"):
            open_container(path)


def test_without_the_package_lmdb_it_is_named(tmp_path, monkeypatch):
    (tmp_path / "data.mdb").write_bytes(b"")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install lmdb"):
        open_container(tmp_path)


def test_names_of_any_bytes_are_told(tmp_path):
    (tmp_path / os.fsdecode(b"\xff.png")).write_bytes(b"no image")
    with pytest.raises(InputError) as told:
        ImageSource(tmp_path, 16, 3).read([0])
    assert r"\udcff.png: found 8 bytes" in str(told.value)
    str(told.value).encode()


def counted(path: Path) -> tuple[list[str], dict[str, int]]:
    container = open_container(path)
    assert all(isinstance(data, bytes) for data in contents(container))
    return list(container.names), dict(container.left_out)


def test_a_folder_follows_links_and_counts_what_it_leaves_out(tmp_path, capsys):
    for name in ("all/a/1.png", "all/a/2.gif", "all/a/3.xcf", "elsewhere/4.ppm", "all/README"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"data")
    (tmp_path / "all/b").symlink_to("../elsewhere")
    (tmp_path / "all/5.jfif").symlink_to("a/1.png")
    (tmp_path / "all/a/gone.png").symlink_to("/gone/x.png")
    (tmp_path / "elsewhere/up").symlink_to("../all")
    (tmp_path / "all/a/self.png").symlink_to("self.png")
    os.mkfifo(tmp_path / "all/pipe.png")
    names, left_out = counted(tmp_path / "all")
    assert names == ["5.jfif", "a/1.png", "a/2.gif", "b/4.ppm"]
    assert left_out == {
        ".xcf": 1,
        "without an ending": 1,
        "links that lead nowhere": 1,
        "links to a folder above": 1,
        "special files": 1,
        "unreadable": 1,
    }
    ImageSource(tmp_path / "all", 8, 3)
    assert "all: took 4 of 10: 1 .xcf, 1 links that lead nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["w:", "w:gz"])
def test_links_of_a_tar_are_what_they_lead_to(tmp_path, mode):
    for name in ("in/a.png", "in/data.bin", "in/c/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    os.link(tmp_path / "in/a.png", tmp_path / "in/hard.png")
    os.link(tmp_path / "in/data.bin", tmp_path / "in/other.jpg")
    for link, target in {
        "soft.png": "hard.png",
        "c/up.png": "../a.png",
        "again": "c",
        "gone.png": "nothing.png",
        "round.png": "round.png",
        "out.png": "../../etc/passwd",
    }.items():
        (tmp_path / "in" / link).symlink_to(target)
    with tarfile.open(tmp_path / "a.tar", mode) as archive:
        archive.add(tmp_path / "in", ".")
    container = open_container(tmp_path / "a.tar")
    found = dict(zip(container.names, contents(container), strict=True))
    assert found == {
        "./a.png": b"in/a.png",
        "./hard.png": b"in/a.png",
        "./other.jpg": b"in/data.bin",
        "./soft.png": b"in/a.png",
        "./c/1.png": b"in/c/1.png",
        "./c/up.png": b"in/a.png",
        "./again/1.png": b"in/c/1.png",
    } | {k: v for k, v in found.items() if k == "./again/up.png"}
    assert container.left_out["links that lead nowhere"] == 3
    assert container.left_out[".bin"] == 1


def test_links_of_a_zip_are_what_they_lead_to(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("in/a.png", b"image")
        for name, target in {"in/link.png": "a.png", "in/gone.png": "b.png", "all": "in"}.items():
            link = zipfile.ZipInfo(name)
            link.external_attr = 0o120777 << 16
            archive.writestr(link, target)
    names, left_out = counted(tmp_path / "a.zip")
    assert names == ["all/a.png", "in/a.png", "in/link.png"]
    assert left_out == {"links that lead nowhere": 1}


def test_images_beside_an_lmdb_are_counted(tmp_path):
    path = database(tmp_path / "lmdb", {b"1": b"one"})
    (path / "a.png").write_bytes(b"image")
    assert open_container(path).left_out == {"images beside the LMDB": 1}


def test_a_limit_is_a_draw_over_all_and_says_so(tmp_path, capsys):
    for i in range(60):
        name = f"{'ab'[i // 30]}/{i:02d}.png"
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(bytes([i]))
    source = ImageSource(tmp_path / "in", 8, 3, limit=20, seed=5)
    assert str(source) == "20 of 60 images of in"
    assert "in: took 20 of 60 images, drawn by seed 5" in capsys.readouterr().err
    assert source.names == sorted(source.names)
    of_a = sum(name.startswith("a/") for name in source.names)
    assert 4 <= of_a <= 16  # outside of this range 2 of 1,000 seeds
    for i, name in enumerate(source.names):
        (data,) = source.container.entries([i])
        assert name.endswith(f"/{data[0]:02d}.png")
        assert list(source.container.files([i])) == [name]
    assert ImageSource(tmp_path / "in", 8, 3, 20, 5).names == source.names
    assert ImageSource(tmp_path / "in", 8, 3, 20, 6).names != source.names
    assert str(ImageSource(tmp_path / "in", 8, 3, 60)) == "60 images of in"


def idx(path: Path, array: np.ndarray) -> Path:
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wb") as file:
        file.write(head + array.tobytes())
    return path


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"])
def test_the_idx_of_mnist(tmp_path, name):
    array = RNG.integers(0, 256, (7, 9, 8), np.uint8)
    container = open_container(idx(tmp_path / name, array))
    assert len(container.names) == 7
    assert all(map(np.array_equal, contents(container), array))
    labels = idx(tmp_path / name.replace("images-idx3", "labels-idx1"), array[:, 0, 0])
    with pytest.raises(InputError, match="found idx of 1 axes, expected images"):
        open_container(labels)
    if not name.endswith(".gz"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-1])
        with pytest.raises(InputError, match=r"found 519 bytes, expected 520 for 7 x 9 x 8"):
            open_container(tmp_path / name)


@pytest.mark.parametrize("shape", [(64, 64, 3), (64, 64, 4), (3, 64, 64), (5, 3, 64, 3)])
def test_axes_that_may_be_read_in_two_ways_are_refused(tmp_path, shape):
    np.savez(tmp_path / "a.npz", x=np.zeros(shape, np.uint8))
    with pytest.raises(InputError, match=r"a\.npz: found x \(uint8 "):
        open_container(tmp_path / "a.npz")


def test_one_of_several_arrays_is_named_behind_the_path(tmp_path):
    arrays = {k: RNG.integers(0, 256, (n, 8, 6), np.uint8) for k, n in (("train", 5), ("test", 4))}
    np.savez(tmp_path / "mnist.npz", **arrays, y=np.arange(5))
    with pytest.raises(InputError, match=r"expected one array.*mnist\.npz:train takes that"):
        open_container(tmp_path / "mnist.npz")
    container = open_container(tmp_path / "mnist.npz:test")
    assert all(map(np.array_equal, contents(container), arrays["test"]))
    with pytest.raises(InputError, match="unknown array 'valid', expected one of: train, test, y"):
        open_container(tmp_path / "mnist.npz:valid")
    with pytest.raises(InputError, match=r"found y \(int64 5\), expected uint8"):
        open_container(tmp_path / "mnist.npz:y")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"PAR1" + bytes(100), "found Parquet: save its images as files"),
        (b"\x28\xb5\x2f\xfd" + bytes(100), "found a file compressed by zstd: decompress it by"),
        (pickle.dumps({b"data": 1}), "found a pickle, which could execute code"),
        (b"\x93NUMPY\x01\x00" + bytes(100), r"found a single \.npy: save its array with numpy"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "found one image: put images in a folder"),
    ],
)
def test_other_data_sets_are_refused_with_the_way(tmp_path, data, told):
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(InputError, match=told):
        open_container(tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("lmdb/data.mdb", r"there are 1 \.mdb\); an LMDB is read where it is unpacked"),
        ("cifar-10-batches-py/data_batch_1", "pickles of CIFAR.*could execute code.*numpy.savez"),
        ("train-00000.parquet", r"1 \.parquet\); Parquet: save its images"),
    ],
)
def test_an_archive_of_no_images_says_what_to_do_with_what_is_there(tmp_path, name, told):
    with pytest.raises(InputError, match=told):
        open_container(zipped(tmp_path / "a.zip", {name: b"data"}))


def header(name: bytes, kind: bytes, size: int) -> bytes:
    """A header of a tar that says any size, also one below 0."""
    data = bytearray(tarfile.TarInfo(name.decode()).tobuf(tarfile.USTAR_FORMAT))
    data[124:136] = b"%011o\0" % size if size >= 0 else b"\xff" * 4 + struct.pack(">q", size)
    data[156:157] = kind
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data)
    return bytes(data)


def extended(records: bytes) -> bytes:
    body = b"%d %s\n" % (len(records) + 4, records)
    return header(b"pax", b"x", len(body)) + body.ljust(-(-len(body) // 512) * 512, b"\0")


@pytest.fixture
def python_recursion():
    """The recursion limit of a new process, which torch.compile raises."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.parametrize(
    "blocks",
    [
        header(b"b.png", b"0", -1024),
        header(b"pax", b"x", -1024),
        extended(b"size=-1536"),
        extended(b"GNU.sparse.size=abc"),
        extended(b"GNU.sparse.map=a,b"),
        extended(b"path=a.png") * 3000,
    ],
    ids=["size", "extended", "pax-size", "sparse-size", "sparse-map", "chain"],
)
def test_a_tar_with_a_header_that_lies_is_one_line(tmp_path, python_recursion, blocks):
    image = header(b"a.png", b"0", 5) + b"image".ljust(512, b"\0")
    (tmp_path / "a.tar").write_bytes(image + blocks + image + bytes(1024))
    with pytest.raises(InputError, match="found a damaged or cut off tar"):
        open_container(tmp_path / "a.tar")


def test_a_full_disk_is_not_a_damaged_tar(tmp_path, monkeypatch):
    tarred(tmp_path / "a.tar", "w:gz")

    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(containers, "TemporaryFile", Full)
    with pytest.raises(InputError, match="cannot be written: No space left.*room to unpack"):
        open_container(tmp_path / "a.tar")


def test_a_matlab_file_that_unpacks_beyond_measure_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "train_32x32.mat"
    matlab.savemat(path, {"X": np.zeros((32, 32, 3, 500), np.uint8)}, do_compression=True)
    assert len(open_container(path).names) == 500
    monkeypatch.setattr(images_matlab, "MAX_ENTRY", 1 << 20)
    with pytest.raises(InputError, match="found more than 20 times its size unpacked"):
        open_container(path)


def test_a_temporary_folder_without_room_is_named(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, images=np.zeros((4, 8, 8, 3), np.uint8))

    class Full(io.BytesIO):
        def write(self, block):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(arrays, "TemporaryFile", Full)
    with pytest.raises(InputError, match="No space left on device, expected room to unpack"):
        open_container(path).entry(0)
