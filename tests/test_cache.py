"""Images are decoded once: found again by content, built by one, gone on with after a kill."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from dcgan_probe.errors import InputError
from dcgan_probe.images import cache
from dcgan_probe.images.cache import CachedImages, cached, default_folder
from dcgan_probe.images.sources import ImageSource
from dcgan_probe.storage import fingerprints
from dcgan_probe.storage.fingerprints import Fingerprint

COUNT = 60


def png(seed: int) -> bytes:
    image = np.random.default_rng(seed).integers(0, 256, (20, 24, 3), np.uint8)
    return cv2.imencode(".png", image)[1].tobytes()


def fill(folder: Path, count: int = COUNT) -> Path:
    for i in range(count):
        path = folder / f"{i % 3}" / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(i))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return fill(tmp_path / "data")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as old enough that their times can be trusted."""
    monkeypatch.setattr(fingerprints, "_YOUNG", -(10**12))


class Watch:
    """What a build says that it does."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, int]] = []

    def __call__(self, *call) -> None:
        self.calls.append(call)

    @property
    def did(self) -> set[str]:
        return {what for what, _, _ in self.calls}


def pixels_of(source: ImageSource) -> np.ndarray:
    return np.stack([source.pixels(i) for i in range(len(source))])


def build_folder(home: Path) -> Path:
    (folder,) = (p.parent for p in home.glob("*/pixels"))
    return folder


@pytest.mark.parametrize("channels", [1, 3])
def test_rows_are_the_images_of_the_source_in_order(data, home, channels):
    source = ImageSource(data, 16, channels)
    images = cached(source, folder=home)
    assert np.array_equal(images.pixels, pixels_of(source))
    assert list(images.names) == source.names
    assert images.skipped == ()
    assert not images.pixels.flags.writeable
    assert sorted(p.name for p in build_folder(home).iterdir() if p.name != "lock") == [
        "images.json",
        "pixels",
    ]


def test_chunks_and_tasks_leave_no_trace(data, home, monkeypatch):
    whole = cached(ImageSource(data, 16, 3), folder=home)
    monkeypatch.setattr(cache, "CHUNK", 7)
    monkeypatch.setattr(cache, "_TASK", 3)
    parts = cached(ImageSource(data, 16, 3), folder=home / "other")
    assert np.array_equal(whole.pixels, parts.pixels)
    assert parts.key == whole.key


def test_a_second_start_reads_nothing(data, home, at_rest, monkeypatch):
    first = cached(ImageSource(data, 16, 3), folder=home)
    watch = Watch()
    monkeypatch.setattr(
        "dcgan_probe.images.containers.Folder.entry", lambda *_: pytest.fail("it reads")
    )
    again = cached(ImageSource(data, 16, 3), folder=home, progress=watch)
    assert watch.calls == []
    assert again.key == first.key
    assert np.array_equal(again.pixels, first.pixels)


def test_files_that_are_still_warm_are_not_trusted_to_stay(data, home):
    cached(ImageSource(data, 16, 3), folder=home)
    watch = Watch()
    cached(ImageSource(data, 16, 3), folder=home, progress=watch)
    assert watch.did == {"hashing"}


def test_touched_or_moved_images_find_their_cache(data, home, at_rest):
    first = cached(ImageSource(data, 16, 3), folder=home)
    os.utime(data / "0" / "00.png", (1, 1))
    (data / "notes.txt").write_text("no image")
    watch = Watch()
    assert cached(ImageSource(data, 16, 3), folder=home, progress=watch).key == first.key
    assert watch.did == {"hashing"}
    assert watch.calls[-1][2] == len(png(0))  # only the one that was touched
    shutil.move(data, data.with_name("moved"))
    watch = Watch()
    moved = cached(ImageSource(data.with_name("moved"), 16, 3), folder=home, progress=watch)
    assert moved.key == first.key
    assert watch.did == {"hashing"}


def test_a_changed_image_does_not_even_if_size_and_date_are_set_back(data, home, at_rest):
    first = cached(ImageSource(data, 16, 3), folder=home)
    path = data / "0" / "00.png"
    before = path.stat()
    path.write_bytes(png(99).ljust(before.st_size, b"\0")[: before.st_size])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    other = cached(ImageSource(data, 16, 3), folder=home)
    assert other.key != first.key


def test_what_else_decides_on_the_pixels_is_in_the_key(data, home):
    keys = {
        cached(ImageSource(data, size, channels, limit), folder=home, keep=keep).key
        for size, channels, limit, keep in (
            (16, 3, None, None),
            (8, 3, None, None),
            (16, 1, None, None),
            (16, 3, 10, None),
            (16, 3, None, ["0/00.png", "0/03.png"]),
        )
    }
    assert len(keys) == 5
    renamed = data / "0" / "00a.png"
    (data / "0" / "00.png").rename(renamed)
    assert cached(ImageSource(data, 16, 3), folder=home).key not in keys


def test_an_archive_is_known_by_its_bytes(tmp_path, home):
    for name in ("a.zip", "b.zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for i in range(4):
                archive.writestr(zipfile.ZipInfo(f"{i}.png"), png(i))
    keys = {cached(ImageSource(tmp_path / n, 16, 3), folder=home).key for n in ("a.zip", "b.zip")}
    assert len(keys) == 1


def test_keep_takes_the_rows_it_names(data, home):
    source = ImageSource(data, 16, 3)
    names = [source.names[i] for i in (40, 3, 17)]
    images = cached(source, folder=home, keep=set(names))
    assert images.names == (source.names[3], source.names[17], source.names[40])
    assert np.array_equal(images.pixels, pixels_of(source)[[3, 17, 40]])


@pytest.mark.parametrize(
    ("keep", "told"),
    [
        (
            ["nobody.png"],
            r"found 1 names of no image among 1: nobody\.png, expected names of its 60",
        ),
        (["0/00.png", "b", "a"], r"found 2 names of no image among 3: a, b, expected"),
        ([], r"found 0 names of no image among 0, expected names of its 60 images, such as 0/00"),
    ],
)
def test_keep_must_name_images(data, home, keep, told):
    with pytest.raises(InputError, match=told):
        cached(ImageSource(data, 16, 3), folder=home, keep=keep)


def break_(data: Path, *numbers: int) -> None:
    for i in numbers:
        (data / f"{i % 3}" / f"{i:02d}.png").write_bytes(b"broken")


def test_images_that_do_not_decode_are_named_and_left_out(data, home):
    break_(data, 0, 30, 59)
    source = ImageSource(data, 16, 3)
    images = cached(source, folder=home)
    bad = ["0/00.png", "0/30.png", "2/59.png"]
    reason = "found 6 bytes that OpenCV cannot decode as an image"
    assert images.skipped == tuple((name, reason) for name in bad)
    assert list(images.names) == [name for name in source.names if name not in bad]
    good = [source.pixels(i) for i, name in enumerate(source.names) if name not in bad]
    assert np.array_equal(images.pixels, np.stack(good))
    assert cached(source, folder=home).skipped == images.skipped


def test_too_many_of_them_are_one_line_and_no_cache(data, home):
    break_(data, *range(0, 60, 6))
    source = ImageSource(data, 16, 3)
    told = (
        r"found 6 images that do not decode among the first \d+ of 60, expected at most 5: "
        r"0/00\.png: found 6 bytes .*; 0/06\.png: .*; 0/12\.png: "
    )
    for _ in range(2):
        with pytest.raises(InputError, match=told):
            cached(source, folder=home)
        assert not list(home.glob("*/images.json"))
    assert len(cached(source, folder=home, max_bad=0.2).skipped) == 10
    with pytest.raises(InputError, match="found 10 images that do not decode"):
        cached(source, folder=home)  # who asks for less is told, of a whole cache too


def test_none_may_be_bad_if_none_is_allowed(data, home):
    break_(data, 7)
    with pytest.raises(InputError, match="found 1 images that do not decode.*at most 0: 1/07"):
        cached(ImageSource(data, 16, 3), folder=home, max_bad=0)


def test_no_image_that_decodes_is_one_line(tmp_path, home):
    (tmp_path / "a.png").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"found no image that decodes: a\.png: found 6 bytes"):
        cached(ImageSource(tmp_path, 16, 3), folder=home)


def test_an_image_that_changes_while_it_is_read_spoils_the_build(data, home):
    def change(what: str, done: int, total: int) -> None:
        if (what, done) == ("decoding", 50):
            (data / "0" / "00.png").write_bytes(png(99))

    with pytest.raises(InputError, match=r"00\.png: changed while it was read"):
        cached(ImageSource(data, 16, 3), folder=home, progress=change)
    (data / "0" / "00.png").write_bytes(png(0))
    source = ImageSource(data, 16, 3)
    assert np.array_equal(cached(source, folder=home).pixels, pixels_of(source))


def test_a_folder_that_cannot_be_is_one_line(data, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file/cache.*cannot be"):
        cached(ImageSource(data, 16, 3), folder=tmp_path / "file" / "cache")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_whole_cache_may_be_read_only(data, home):
    first = cached(ImageSource(data, 16, 3), folder=home)
    for path in (home, *home.rglob("*")):
        path.chmod(0o555)
    try:
        assert cached(ImageSource(data, 16, 3), folder=home).key == first.key
        with pytest.raises(InputError, match="cannot be written"):
            cached(ImageSource(data, 8, 3), folder=home)
    finally:
        for path in (home, *home.rglob("*")):
            path.chmod(0o755)


def test_a_full_disk_is_one_line_and_the_build_goes_on_later(data, home, monkeypatch):
    monkeypatch.setattr(cache, "CHUNK", 8)
    monkeypatch.setattr(fingerprints, "_YOUNG", 10**18)  # an index without entries fits anywhere
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    source = ImageSource(data, 16, 3)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # 26 of 60 images
    try:
        with pytest.raises(InputError, match="cannot be written: File too large"):
            cached(source, folder=home)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(home.glob("*/images.json"))
    watch = Watch()
    assert np.array_equal(cached(source, folder=home, progress=watch).pixels, pixels_of(source))
    assert ("decoding", 25, 60) in watch.calls
    assert ("decoding", 24, 60) not in watch.calls


def test_rows_that_were_cut_off_are_noticed(data, home):
    cached(ImageSource(data, 16, 3), folder=home)
    rows = build_folder(home) / "pixels"
    os.truncate(rows, 1000)
    with pytest.raises(InputError, match=r"pixels: found 1000 bytes, expected 46080: delete"):
        cached(ImageSource(data, 16, 3), folder=home)


BUILD = """
    import sys, time
    from pathlib import Path
    from types import SimpleNamespace
    from dcgan_probe.images import cache
    from dcgan_probe.images.containers import Folder

    data, home, go = map(Path, sys.argv[1:])
    cache.CHUNK = 8
    images = Folder(data)
    # What an ImageSource is to the cache, without torch, which takes seconds to import.
    source = SimpleNamespace(path=data, size=16, channels=3, container=images, names=images.names)

    def progress(what, done, total):
        print(what, done, flush=True)
        while (what, done) == ("decoding", 30) and not go.exists():
            time.sleep(0.01)

    images = cache.cached(source, folder=home, progress=progress)
    print("key", images.key, flush=True)
"""


def start(data: Path, home: Path, go: Path) -> subprocess.Popen[str]:
    line = [sys.executable, "-c", textwrap.dedent(BUILD), *map(str, (data, home, go))]
    return subprocess.Popen(line, stdout=subprocess.PIPE, text=True)


def until(process: subprocess.Popen[str], said: str) -> list[str]:
    lines = []
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    for line in process.stdout:
        lines.append(line.strip())
        if lines[-1] == said:
            watchdog.cancel()
            return lines
    pytest.fail(f"it ended without {said!r}: {lines}")


def test_a_build_that_was_killed_goes_on_after_its_last_chunk(data, home, tmp_path):
    break_(data, 3, 33)
    with start(data, home, tmp_path / "never") as process:
        until(process, "decoding 30")
        process.send_signal(signal.SIGKILL)
    state = json.loads((build_folder(home) / "progress.json").read_text())
    assert (state["seen"], state["rows"]) == (24, 22)
    assert not (build_folder(home) / "images.json").exists()
    with open(build_folder(home) / "pixels", "ab") as rows:
        rows.write(b"what a killed build wrote and nothing counts")
    watch = Watch()
    went_on = cached(ImageSource(data, 16, 3), folder=home, progress=watch)
    assert [done for what, done, _ in watch.calls if what == "decoding"] == list(range(25, 61))
    unbroken = cached(ImageSource(data, 16, 3), folder=home / "other")
    for name in ("pixels", "images.json"):
        files = (build_folder(f) / name for f in (home, home / "other"))
        assert len({path.read_bytes() for path in files}) == 1
    assert went_on.names == unbroken.names


def test_of_two_at_once_one_builds_and_the_other_waits(data, home, tmp_path):
    go = tmp_path / "go"
    with start(data, home, go) as builder:
        first = until(builder, "decoding 30")
        with start(data, home, go) as other:
            waited = until(other, "waiting 0")
            go.touch()
            outputs = [
                first + builder.stdout.read().splitlines(),
                waited + other.stdout.read().splitlines(),
            ]
    built = [sum(line.startswith("decoding") for line in lines) for lines in outputs]
    assert built == [COUNT, 0]
    assert outputs[0][-1] == outputs[1][-1]
    assert outputs[0][-1].startswith("key ")


def test_the_default_folder_is_what_the_environment_says(monkeypatch, data, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("DCGAN_PROBE_CACHE", raising=False)
    assert cache.default_folder() == tmp_path / "xdg" / "dcgan-probe"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.default_folder() == Path.home() / ".cache" / "dcgan-probe"
    monkeypatch.setenv("DCGAN_PROBE_CACHE", str(tmp_path / "own"))
    images = cached(ImageSource(data, 16, 3))
    assert isinstance(images, CachedImages)
    assert build_folder(tmp_path / "own").name.startswith(images.key[:32])


def test_a_fingerprint_reads_again_only_what_changed(tmp_path, at_rest):
    paths = {}
    for name in ("a", "b"):
        paths[name] = tmp_path / name
        paths[name].write_bytes(name.encode() * 10)
    first = Fingerprint(tmp_path, paths, tmp_path / "cache").sha256
    time.sleep(0.02)  # so that the clock of the file system moves on
    paths["b"].write_bytes(b"c" * 10)
    watch = Watch()
    assert Fingerprint(tmp_path, paths, tmp_path / "cache", watch).sha256 != first
    assert watch.calls == [("hashing", 10, 10)]
    swapped = {"a": paths["b"], "b": paths["a"]}
    paths["b"].write_bytes(b"b" * 10)
    assert Fingerprint(tmp_path, swapped, tmp_path / "cache").sha256 != first
    assert Fingerprint(tmp_path, paths, tmp_path / "cache").sha256 == first


def test_a_clock_that_goes_back_only_costs_time(tmp_path, monkeypatch):
    """Files then are of the future: they are read each time, and what changes is seen."""
    now = time.time_ns()
    monkeypatch.setattr(fingerprints.time, "time_ns", lambda: now - 365 * 24 * 3600 * 10**9)
    paths = {"a": tmp_path / "a"}
    paths["a"].write_bytes(b"a" * 10)
    first = Fingerprint(tmp_path, paths, tmp_path / "cache").sha256
    before = paths["a"].stat()
    paths["a"].write_bytes(b"b" * 10)
    os.utime(paths["a"], ns=(before.st_atime_ns, before.st_mtime_ns))
    watch = Watch()
    assert Fingerprint(tmp_path, paths, tmp_path / "cache", watch).sha256 != first
    assert watch.calls == [("hashing", 10, 10)]


@pytest.mark.parametrize("text", ["{", "[]", '{"a.png": 3}', '{"a.png": [1, 2, 3, 4]}', "\0"])
def test_a_damaged_memory_of_hashes_only_costs_time(tmp_path, text):
    (tmp_path / "a.png").write_bytes(b"data")
    fresh = Fingerprint(tmp_path, {"a.png": tmp_path / "a.png"}, None).sha256
    assert Fingerprint(tmp_path, {"a.png": tmp_path / "a.png"}, tmp_path / "c").sha256 == fresh
    (index,) = (tmp_path / "c").rglob("*.json")
    index.write_text(text)
    assert Fingerprint(tmp_path, {"a.png": tmp_path / "a.png"}, tmp_path / "c").sha256 == fresh


def test_without_a_home_the_line_names_the_variable(monkeypatch):
    def lost() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("DCGAN_PROBE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lost)
    with pytest.raises(InputError, match="found no home folder.*DCGAN_PROBE_CACHE"):
        default_folder()


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"seen": "3", "rows": 1, "skipped": [], "transparent": []}']
)
def test_a_damaged_account_of_a_build_is_one_line_or_begun_again(data, home, text):
    whole = cached(ImageSource(data, 16, 3), folder=home)
    (account,) = home.rglob("images.json")
    kept = account.read_bytes()
    account.write_text(text)
    with pytest.raises(InputError, match=r"images\.json: "):
        cached(ImageSource(data, 16, 3), folder=home)
    account.rename(account.with_name("progress.json"))  # as if it had been killed
    again = cached(ImageSource(data, 16, 3), folder=home)
    assert np.array_equal(again.pixels, whole.pixels)
    assert account.read_bytes() == kept


def test_a_bit_that_flips_in_the_cache_is_noticed(data, tmp_path):
    """In the rows, in what is said of them, and in rows that a killed build had come to."""
    photographs = ImageSource(data, 16, 3)
    images = cache.cached(photographs, folder=tmp_path)
    home = Path(images.pixels.filename).parent
    for name, line in (("pixels", "found other bytes"), ("images.json", "another checksum")):
        whole = (home / name).read_bytes()
        flipped = bytearray(whole)
        place = len(whole) // 2 if name == "pixels" else whole.index(b'"rows": ') + 8
        flipped[place] ^= 1
        (home / name).write_bytes(flipped)
        with pytest.raises(InputError, match=line):
            cache.cached(photographs, folder=tmp_path)
        (home / name).write_bytes(whole)
    # As if it had been killed after the last row.
    state = fingerprints.read_json(home / "images.json")
    (home / "images.json").unlink()
    fingerprints.write_json(home / "progress.json", state)
    held = bytearray((home / "pixels").read_bytes())
    held[5] ^= 1
    (home / "pixels").write_bytes(held)
    assert (cache.cached(photographs, folder=tmp_path).pixels == images.pixels[:]).all()
