"""The files, the proposals and the command of `dcgan-probe label`, without a browser."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

import dcgan_probe as dp
from dcgan_probe.cli.group import main
from dcgan_probe.errors import InputError
from dcgan_probe.fixtures.cells.propose import overlap
from dcgan_probe.label import opening
from dcgan_probe.label.command import label as label_command
from dcgan_probe.label.learning import Learner
from dcgan_probe.label.picks import ConceptWork
from dcgan_probe.label.work import BoxWork
from dcgan_probe.latents import concepts
from dcgan_probe.latents.concepts import Concept, Concepts
from dcgan_probe.pages.opening import forwarding
from dcgan_probe.pages.server import Server
from dcgan_probe.pages.work_file import NotSaved, lock
from dcgan_probe.recognition import erasing
from dcgan_probe.storage import files
from dcgan_probe.storage.json_values import Value

SHA = "ab" * 32
BOX = {"label": "window", "x0": 1, "y0": 2, "x1": 8, "y1": 9.5}


def work(path, n=6, seed=0, checkpoint=SHA, labels=()):
    return BoxWork(path, n, (32, 32), seed, checkpoint, labels)


def change(own, image, *boxes, looked=True):
    own.change(Value({"image": image, "looked": looked, "boxes": list(boxes)}, "request"))


# The files


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        (("window",), "windows.json"),
        (("glasses",), "glasses.json"),
        (("white cell",), "white-cells.json"),
        (("window", "door"), "boxes.json"),
        ((), "boxes.json"),
    ],
)
def test_a_file_is_named_for_its_object(labels, name):
    assert opening._file_name(labels) == name


def test_the_line_to_type_next_is_said(tmp_path, monkeypatch, model):
    monkeypatch.setattr("dcgan_probe.label.opening._serve", lambda _s, own, *_: change(own, 3, BOX))
    line = ["--model", str(model), "label", "--object", "window", "--boxes", "win dows.json"]
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, line)
    told = f"next: dcgan-probe --model {model} forget --by places --boxes 'win dows.json'"
    assert done.output.splitlines()[-1] == f"{told} --object window"


def test_a_change_is_a_file_of_boxes_and_is_gone_on_with(tmp_path):
    path = tmp_path / "windows.json"
    own = work(path)
    change(own, 3, BOX)
    change(own, 1)
    boxes = dp.Boxes.read(path)
    assert boxes.images == (1, 3)
    assert boxes.boxes == (dp.Box(3, "window", 1, 2, 8, 9.5),)
    assert (boxes.seed, boxes.checkpoint) == (0, SHA)
    again = work(path)
    assert again.state() == own.state() == {"labels": ["window"], "images": {1: [], 3: [BOX]}}
    change(again, 3, {**BOX, "label": "door"})
    assert dp.Boxes.read(path).labels == ("door",)


def test_without_a_sample_looked_at_there_is_no_file(tmp_path):
    own = work(tmp_path / "windows.json")
    change(own, 3, BOX)
    change(own, 3, looked=False)
    assert not (tmp_path / "windows.json").exists()


def test_more_samples_in_the_file_than_asked_for_are_all_there(tmp_path):
    change(work(tmp_path / "a.json"), 5, BOX)
    assert work(tmp_path / "a.json", n=2).n == 6


def test_the_note_of_a_file_is_kept_and_counts_proposals(tmp_path):
    path = tmp_path / "windows.json"
    dp.Boxes((), (0,), (32, 32), seed=0, checkpoint=SHA, note="By Ada.").write(path)
    own = work(path)
    own.proposed([dp.Box(1, "window", 1, 2, 8, 9.5), dp.Box(2, "window", 1, 2, 8, 9.5)])
    change(own, 1, BOX)
    change(own, 2, {**BOX, "x0": 2})  # moved, so it is a person's
    said = "By Ada. Drawn with dcgan-probe label, {} of the boxes as proposed."
    assert dp.Boxes.read(path).note == said.format(1)
    change(work(path), 4, BOX)
    assert dp.Boxes.read(path).note == said.format(1)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"image": 6, "looked": True, "boxes": []}, "request: image: found 6, expected"),
        ({"image": -1, "looked": True, "boxes": []}, "request: image: found -1"),
        ({"image": 0, "looked": True}, 'found no "boxes"'),
        ({"image": 0, "looked": True, "boxes": [{**BOX, "x1": 33}]}, "boxes[0].x1: found 33.0"),
        ({"image": 0, "looked": True, "boxes": [{**BOX, "x1": 1}]}, "expected x0 < x1"),
        ({"image": 0, "looked": True, "boxes": [{**BOX, "x0": "1"}]}, "expected a number"),
        ({"image": 0, "looked": True, "boxes": [{**BOX, "label": "a\nb"}]}, "printable"),
        ([], "found a list of 0"),
    ],
)
def test_a_wrong_change_changes_nothing(tmp_path, request_, expected):
    own = work(tmp_path / "a.json")
    change(own, 1, BOX)
    before = (tmp_path / "a.json").read_bytes()
    with pytest.raises(InputError) as raised:
        own.change(Value(request_, "request"))
    assert expected in str(raised.value)
    assert (tmp_path / "a.json").read_bytes() == before
    assert own.boxes == dp.Boxes.read(tmp_path / "a.json")


def test_a_change_that_cannot_be_written_is_no_part_of_the_work(tmp_path, monkeypatch):
    own = work(tmp_path / "a.json")
    change(own, 1, BOX)

    def full(path, text):
        raise InputError(f"{path}: cannot be written: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_text", full)
        with pytest.raises(NotSaved, match="No space left"):
            change(own, 2, BOX)
    assert own.boxes == dp.Boxes.read(tmp_path / "a.json")
    change(own, 2, BOX)
    assert dp.Boxes.read(tmp_path / "a.json").images == (1, 2)


def test_a_damaged_file_is_kept_aside(tmp_path):
    path = tmp_path / "windows.json"
    change(work(path), 3, BOX)
    halves = []
    for number in (1, 2):
        halves.append(path.read_bytes()[:-30])
        path.write_bytes(halves[-1])
        own = work(path)
        assert f"windows.damaged-{number}.json" in own.notice
        assert own.boxes is None
        change(own, number, BOX)
    for number, half in enumerate(halves, start=1):
        assert (tmp_path / f"windows.damaged-{number}.json").read_bytes() == half


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ({"checkpoint": "cd" * 32}, "found boxes drawn on samples of checkpoint cdcdcdcd"),
        ({"seed": 5}, "seed: found 5, expected 0 (or dcgan-probe --seed 5)"),
        ({"image_size": (64, 64)}, "image_size: found 64x64, expected 32x32"),
        ({"seed": None, "latents": "z.npy"}, "found boxes on latents of z.npy"),
    ],
)
def test_boxes_of_something_else_are_refused_and_stay(tmp_path, made, expected):
    path = tmp_path / "a.json"
    boxes = dp.Boxes((), (0,), (32, 32), seed=0, checkpoint=SHA)
    replace(boxes, **made).write(path)
    before = path.read_bytes()
    with pytest.raises(InputError) as raised:
        work(path)
    assert str(raised.value).startswith(f"{path}: ") and expected in str(raised.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", ['{"name": "package"}', "[]", '{"format": "dcgan-probe/boxes/9"}'])
def test_json_of_somebody_else_stays(tmp_path, text):
    path = tmp_path / "package.json"
    path.write_text(text)
    with pytest.raises(InputError, match="expected 'dcgan-probe/boxes/1'"):
        work(path)
    assert path.read_text() == text


def test_only_json_is_written():
    with pytest.raises(InputError, match=r"a name that ends in '.png', expected .json"):
        work(files.Path("photo.png"))


def test_two_labels_do_not_work_on_one_file(tmp_path):
    with lock(tmp_path / "a.json") as said:
        assert said == ""
        with (
            pytest.raises(InputError, match="another label at work on it"),
            lock(tmp_path / "a.json"),
        ):
            pass
    with lock(tmp_path / "a.json"):
        pass


def test_concepts_keep_what_the_page_does_not_show(tmp_path):
    path = tmp_path / "concepts.json"
    concept = concepts.Concept(("5:1", "3:9", "3:2", (0.5, -0.5)), shows=("smile",))
    concepts.Concepts(SHA, {"smiling": concept}).write(path)
    own = ConceptWork(path, 6, 3, SHA)
    assert own.state()["concepts"]["smiling"] == {"samples": [2], "others": 3}
    own.change(Value({"concept": "smiling", "samples": [4, 0, 4]}, "request"))
    found = concepts.Concepts.read(path).named["smiling"]
    assert found.exemplars == ("5:1", "3:9", (0.5, -0.5), "3:0", "3:4")
    assert found.shows == ("smile",)
    own.change(Value({"concept": "hats", "samples": [1]}, "request"))
    own.change(Value({"concept": "hats", "samples": []}, "request"))
    assert list(concepts.Concepts.read(path).named) == ["smiling"]
    for wrong in ("<b>", "a-b", ""):
        with pytest.raises(InputError):
            own.change(Value({"concept": wrong, "samples": [1]}, "request"))
    with pytest.raises(InputError, match="found concepts of abababab, expected those of cdcdcdcd"):
        ConceptWork(path, 6, 3, "cd" * 32)


# What is learnt


def test_proposals_find_the_boxes_that_ship():
    session = dp.Session.open("rooms")
    boxes = dp.Boxes.read(dp.checkpoints.shipped_boxes("rooms"))
    seen = tuple(box for box in boxes.boxes if box.image < 10)
    some = replace(boxes, images=tuple(range(10)), boxes=seen)
    found = Learner(session, 150).propose(some, "window")
    assert min(found) >= 10

    def best(box, others):
        return max((overlap(box, other) for other in others), default=0.0)

    drawn: dict[int, list] = {}
    for box in boxes.boxes[len(seen) :]:
        drawn.setdefault(box.image, []).append((box.x0, box.y0, box.x1, box.y1))
    hit = [best(box, found.get(i, [])) >= 0.5 for i, own in drawn.items() for box in own]
    right = [best(box, drawn.get(i, [])) >= 0.5 for i, own in found.items() for box in own]
    # 7 boxes were seen; these were drawn and checked by others.
    assert np.mean(hit) > 0.8 and np.mean(right) > 0.8


def test_too_few_boxes_propose_nothing(session):
    boxes = dp.Boxes((dp.Box(0, "window", 1, 1, 9, 9),), (0,), (32, 32), seed=0)
    for given in (None, boxes):
        with pytest.raises(InputError, match="expected 5 or more"):
            Learner(session, 4).propose(given, "window")


def test_the_preview_erases_by_place():
    session = dp.Session.open("rooms")
    boxes = dp.Boxes.read(dp.checkpoints.shipped_boxes("rooms"))
    found = Learner(session, 150).preview(boxes, "window")
    expected = erasing.erase_unjudged(session, boxes, "window")
    assert found.edit == expected
    assert session.edits == []
    z = session.latents(150)[list(found.samples)]
    np.testing.assert_array_equal(found.before, dp.figures.pixels(session.generate(z)))
    with session.editing(expected):
        np.testing.assert_array_equal(found.after, dp.figures.pixels(session.generate(z)))


# The command


def run(*arguments):
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def interrupted(monkeypatch):
    """As if Ctrl-C were pressed as soon as the page is served."""

    def stop(self, poll_interval=0.5):
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "serve_forever", stop)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)


def test_help_costs_no_torch():
    script = (
        "import sys, dcgan_probe.label.command as c\n"
        "c.label.main(['--help'], standalone_mode=False)\n"
        "sys.exit(bool({'torch', 'numpy', 'cv2'} & set(sys.modules)))"
    )
    assert label_command.name == "label"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == 0


def test_the_command_says_where_the_page_is(interrupted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = run("label", "--object", "white cell", "--n", "2")
    assert found.exit_code == 0, found.output
    assert "http://127.0.0.1:" in found.output
    assert found.output.splitlines()[-1] == ("white-cells.json: 0 boxes, 0 of 2 samples looked at")


def test_over_ssh_it_says_what_to_type(interrupted, tmp_path, monkeypatch):
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.2 50022 10.0.0.9 22")
    monkeypatch.setenv("USER", "ada")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("webbrowser.open", lambda address: pytest.fail("opened a browser"))
    found = run("label", "--boxes", str(tmp_path / "a.json"), "--n", "2")
    (line,) = [line for line in found.output.splitlines() if "ssh -N" in line]
    port = found.output.partition("http://127.0.0.1:")[2].partition("/")[0]
    assert line.endswith(f"ssh -N -L {port}:127.0.0.1:{port} ada@10.0.0.9")
    assert forwarding(8000, {}) == ""


def test_with_a_display_the_page_is_opened(interrupted, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("webbrowser.open", opened.append)
    found = run("label", "--boxes", str(tmp_path / "a.json"), "--n", "2")
    assert opened == [line for line in found.output.splitlines() if line.startswith("http")]


def test_mistakes_are_one_line_with_exit_code_2(interrupted, tmp_path):
    path = tmp_path / "a.json"
    dp.Boxes((), (0,), (64, 64), seed=0, checkpoint="cd" * 32).write(path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        cases = {
            "checkpoint cdcdcdcd": ("--boxes", str(path)),
            f"--port {port}: cannot be served on": (
                "--boxes",
                f"{tmp_path}/b.json",
                "--port",
                port,
            ),
            "--concepts with --object": ("--object", "a", "--concepts", f"{tmp_path}/c.json"),
            "expected .json": ("--boxes", f"{tmp_path}/boxes.png"),
        }
        for expected, arguments in cases.items():
            found = run("label", "--n", "2", *arguments)
            assert found.exit_code == 2, found.output
            assert expected in found.output and len(found.output.splitlines()) == 1


def test_what_concepts_add_wrote_meanwhile_is_kept(tmp_path):
    path = tmp_path / "concepts.json"
    work = ConceptWork(path, 10, seed=3, checkpoint="ab" * 32)
    work.change(Value({"concept": "left", "samples": [1]}, "request"))
    named = {**work.concepts.named, "right": Concept(("3:5",))}
    Concepts("ab" * 32, named, str(path)).write(path)  # as another command does
    work.change(Value({"concept": "left", "samples": [1, 2]}, "request"))
    assert {n: c.exemplars for n, c in Concepts.read(path).named.items()} == {
        "left": ("3:1", "3:2"),
        "right": ("3:5",),
    }


@pytest.mark.skipif(os.name != "posix", reason="links and pipes")
def test_a_link_to_boxes_stays_one_and_a_pipe_is_refused(tmp_path):
    (tmp_path / "link.json").symlink_to("real.json")
    work = BoxWork(tmp_path / "link.json", 10, (64, 64), 0, "ab" * 32)
    work.change(Value({"image": 3, "looked": True, "boxes": []}, "request"))
    assert (tmp_path / "link.json").is_symlink() and (tmp_path / "real.json").is_file()
    work.change(Value({"image": 3, "looked": False, "boxes": []}, "request"))
    assert (tmp_path / "link.json").is_symlink() and not (tmp_path / "real.json").exists()
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(InputError, match="no regular file"):
        BoxWork(tmp_path / "pipe.json", 10, (64, 64), 0, "ab" * 32)
