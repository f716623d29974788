"""Files and folders are written whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dcgan_probe.errors import InputError
from dcgan_probe.storage import files, json_values


def test_a_folder_takes_its_name_only_when_all_is_written(tmp_path):
    with files.new_folder(tmp_path / "out") as work:
        files.write_text(work / "a.txt", "a")
        assert not (tmp_path / "out").exists()
    assert [p.name for p in tmp_path.rglob("*")] == ["out", "a.txt"]


def test_a_failure_leaves_what_was_there(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old.txt").write_text("old")
    with (
        pytest.raises(ZeroDivisionError),
        files.new_folder(out, force=True, own={"old.txt"}) as work,
    ):
        files.write_text(work / "new.txt", "new")
        raise ZeroDivisionError
    assert [p.name for p in tmp_path.rglob("*")] == ["out", "old.txt"]


def test_force_replaces_the_whole_folder(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old.txt").write_text("old")
    own = {"old.txt"}
    refused = pytest.raises(InputError, match="already holds results")
    with refused, files.new_folder(out, own=own):
        pass
    with files.new_folder(out, force=True, own=own) as work:
        files.write_text(work / "new.txt", "new")
    assert [p.name for p in tmp_path.rglob("*")] == ["out", "new.txt"]


def test_a_folder_is_renamed_where_no_folder_takes_anothers_name(tmp_path, monkeypatch):
    def on_windows(source, target, replace=os.replace):
        if Path(target).is_dir():
            raise PermissionError(13, "Access is denied")
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", on_windows)
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    test_force_replaces_the_whole_folder(tmp_path)


@pytest.mark.parametrize("failing", [1, 2])
def test_a_folder_that_cannot_be_renamed_stays(tmp_path, monkeypatch, failing):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/old.txt").write_text("old")
    calls = []

    def in_use(source, target, replace=os.replace):  # as on Windows, while a file in it is open
        calls.append(source)
        if len(calls) == failing:
            raise PermissionError(13, "Access is denied")
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", in_use)
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    with (
        pytest.raises(InputError, match="out: cannot be written: Access is denied$"),
        files.new_folder(tmp_path / "out", force=True, own={"old.txt"}) as work,
    ):
        (work / "new.txt").write_text("new")
    assert [p.name for p in tmp_path.rglob("*")] == ["out", "old.txt"]


@pytest.mark.parametrize("other", ["thesis.tex", ".git/HEAD", "deep/er/notes.txt", "link"])
def test_force_replaces_nothing_that_somebody_else_wrote(tmp_path, other):
    out = tmp_path / "out"
    (out / other).parent.mkdir(parents=True)
    (out / "old.txt").write_text("old")
    if other == "link":
        (out / other).symlink_to(tmp_path)
    else:
        (out / other).write_text("mine")
    line = f"out: found {other}, which this command did not write, expected a new folder"
    for force in (False, True):
        refused = pytest.raises(InputError, match=line)
        with refused, files.new_folder(out, force=force, own={"old.txt"}):
            pass
    assert (out / "old.txt").read_text() == "old"
    assert (out / other).exists()


def test_a_link_to_a_folder_stays_one(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/old.txt").write_text("old")
    (tmp_path / "link").symlink_to("real")
    with files.new_folder(tmp_path / "link", force=True, own={"old.txt"}) as work:
        files.write_text(work / "new.txt", "new")
    assert (tmp_path / "link").is_symlink()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "real"]
    assert [p.name for p in (tmp_path / "real").iterdir()] == ["new.txt"]


@pytest.mark.parametrize("path", ["a" * 300, "a\0b", "file/out"])
def test_a_folder_that_cannot_be_made_is_refused_before_any_work(tmp_path, path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="cannot be written"):
        files.check_free(tmp_path / path)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_file_in_place_of_a_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="out: found a file, expected a folder"):
        files.check_free(tmp_path / "out", force=True)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(InputError, match=r"a\.txt: cannot be written: No space left on device"):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_refuses_what_json_cannot_hold(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "a.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_the_later_of_two_commands_into_one_folder_is_refused(tmp_path):
    with (
        pytest.raises(InputError, match="already holds results"),
        files.new_folder(tmp_path / "out", own={"a.txt"}) as late,
    ):
        (late / "a.txt").write_text("late")
        with files.new_folder(tmp_path / "out", own={"a.txt"}) as early:
            (early / "a.txt").write_text("early")
    assert (tmp_path / "out" / "a.txt").read_text() == "early"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_link_to_a_file_stays_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link.txt").symlink_to("elsewhere/real.txt")
    files.write_text(tmp_path / "link.txt", "through")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "elsewhere/real.txt").read_text() == "through"


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o007])
def test_files_and_folders_have_the_mode_that_umask_says(tmp_path, mask):
    before = os.umask(mask)
    try:
        files.write_text(tmp_path / "a.txt", "text")
        with files.new_folder(tmp_path / "out") as work:
            files.write_text(work / "b.txt", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o666 & ~mask
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o777 & ~mask


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path):
        with pytest.raises(
            InputError, match="found no regular file, expected a file of boxes|Is a"
        ):
            files.read_bytes(path, "a file of boxes", 100)
    (tmp_path / "a").write_bytes(bytes(101))
    with pytest.raises(InputError, match="found 101 bytes, expected at most 100"):
        files.read_bytes(tmp_path / "a", "a file of boxes", 100)
    with pytest.raises(InputError, match="cannot be read: embedded null byte"):
        files.read_bytes("a\0b", "a file of boxes", 100)


def test_changes_under_a_lock_are_all_kept(tmp_path):
    code = (
        "import json, sys; from pathlib import Path; from dcgan_probe.storage import files\n"
        "path = Path(sys.argv[1])\n"
        "for i in range(20):\n"
        "    with files.locked(path):\n"
        "        held = json.loads(path.read_text()) if path.exists() else []\n"
        "        files.write_json(path, [*held, [sys.argv[2], i]])\n"
    )
    line = [sys.executable, "-c", code, str(tmp_path / "all.json")]
    children = [subprocess.Popen([*line, name]) for name in "abc"]
    assert [child.wait() for child in children] == [0, 0, 0]
    held = json.loads((tmp_path / "all.json").read_text())
    assert sorted(held) == [[name, i] for name in "abc" for i in range(20)]


def test_only_json_of_the_format_is_written_over(tmp_path):
    path = files.beside(tmp_path / "windows.npy", ".json")
    json_values.check_replaceable(path, "dcgan-probe/features/1")
    files.write_json(path, {"format": "dcgan-probe/features/1"})
    json_values.check_replaceable(path, "dcgan-probe/features/1")
    for text in ('{"my": "notes"}', "notes", '{"format": "dcgan-probe/boxes/1"}'):
        path.write_text(text)
        with pytest.raises(InputError, match="it is left unchanged, expected another name"):
            json_values.check_replaceable(path, "dcgan-probe/features/1")
        assert path.read_text() == text


def test_force_never_leaves_a_moment_without_a_result(tmp_path):
    """Another process that looks all the time sees the old result or the new one."""
    out = tmp_path / "out"
    files.write_text(out / "a.txt", "0")
    looks = (
        "import os, sys, time; end = time.time() + 10; path = sys.argv[1]; print(1, flush=True)\n"
        "while time.time() < end and not os.path.exists(path + '/../done'):\n"
        "    if not os.path.exists(path + '/a.txt'): sys.exit(7)"
    )
    run = [sys.executable, "-c", looks, str(out)]
    with subprocess.Popen(run, stdout=subprocess.PIPE) as watcher:
        watcher.stdout.readline()
        for i in range(50):
            with files.new_folder(out, force=True, own={"a.txt"}) as work:
                files.write_text(work / "a.txt", str(i))
        (tmp_path / "done").touch()
        code = watcher.wait()
    if files._exchange(out, out):  # elsewhere two renames are all there is
        assert code == 0
    assert (out / "a.txt").read_text() == "49"
    assert {path.name for path in tmp_path.iterdir()} == {"out", "done"}


KILLED = """
import os, sys
from dcgan_probe.storage import files
with files.new_file(sys.argv[1] + "/a.txt"), files.new_folder(sys.argv[1] + "/b"):
    os._exit(9)
"""


@pytest.mark.skipif(files.fcntl is None, reason="no locks that die with their process")
def test_what_killed_writers_left_is_swept_by_the_next(tmp_path):
    mine = [tmp_path / ".a.txt.backup", tmp_path / ".a.txt.ab12cd34.part"]
    for path in mine:
        path.write_text("mine")
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)])
    assert len(list(tmp_path.glob(".*dcgan-probe-part"))) == 2
    with files.new_file(tmp_path / "a.txt") as living:
        files.write_text(tmp_path / "a.txt", "of another writer meanwhile")
        assert living.exists(), "a writer that lives keeps its part"
        living.write_text("a")
    with files.new_folder(tmp_path / "b"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", "b", *(p.name for p in mine)}


@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_the_umask_and_the_mode_of_a_file_are_kept(tmp_path):
    before = os.umask(0o027)
    try:
        files.write_text(tmp_path / "a.txt", "a")
        with files.new_folder(tmp_path / "b"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o750
    (tmp_path / "a.txt").chmod(0o600)  # a private file stays one
    files.write_text(tmp_path / "a.txt", "b")
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o600


def test_the_next_free_name_is_numbered_before_its_suffix(tmp_path):
    assert files.next_free(tmp_path / "report.html").name == "report.html"
    (tmp_path / "report.html").touch()
    (tmp_path / "report-2.html").symlink_to("nowhere")  # taken too
    assert files.next_free(tmp_path / "report.html").name == "report-3.html"


def test_what_fails_while_a_file_is_written_is_not_said_to_be_the_file(tmp_path):
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(RuntimeError, match="^out of memory$"), files.new_file(tmp_path / "x"):
        raise RuntimeError("out of memory")
    assert (tmp_path / "x").read_bytes() == b"old"
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(InputError, match="a: cannot be written"), files.new_file(tmp_path / "a"):
        pass
