"""The renderer of rooms: the same seed is the same room, and its masks are exact."""

from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.metrics import jaccard_score

from dcgan_probe.errors import InputError
from dcgan_probe.fixtures import segmenter
from dcgan_probe.fixtures.rooms import propose, renderer
from dcgan_probe.fixtures.rooms.renderer import render, render_many, write_zip
from dcgan_probe.images.sources import ImageSource, to_range

LABELS = {"window", "curtain", "door", "picture", "rug", "bed", "pillow", "table", "lamp"}


@pytest.fixture(scope="module")
def rooms():
    return [render(np.random.SeedSequence([0, i]), 32) for i in range(300)]


def test_the_same_seed_is_the_same_room(rooms):
    for i in range(5):
        again = render(np.random.SeedSequence([0, i]), 32)
        assert again.image.tobytes() == rooms[i].image.tobytes()
        assert [thing.label for thing in again.objects] == [t.label for t in rooms[i].objects]
        for one, other in zip(again.objects, rooms[i].objects, strict=True):
            assert one.box == other.box
            np.testing.assert_array_equal(one.mask, other.mask)


def test_a_seed_a_sequence_and_a_generator_are_the_same_room():
    image = render(7, 32).image
    for seed in (np.random.SeedSequence(7), np.random.default_rng(7)):
        np.testing.assert_array_equal(render(seed, 32).image, image)


def test_different_seeds_are_different_rooms(rooms):
    assert len({room.image.tobytes() for room in rooms}) == len(rooms)
    assert (render_many(2, seed=1, size=32) != render_many(2, seed=2, size=32)).any((1, 2, 3)).all()


def test_an_image_does_not_depend_on_how_many_there_are(rooms):
    many = render_many(6, seed=0, size=32)
    np.testing.assert_array_equal(render_many(3, seed=0, size=32), many[:3])
    np.testing.assert_array_equal(many, [room.image for room in rooms[:6]])
    assert render_many(0, size=32).shape == (0, 32, 32, 3)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_any_size(size):
    for seed in range(3):
        room = render(seed, size)
        assert room.image.shape == (size, size, 3)
        assert room.image.dtype == np.uint8
        assert room.image.std() > 10
        assert {(m.shape, m.dtype) for m in (t.mask for t in room.objects)} == {
            ((size, size), np.dtype(bool))
        }


def test_boxes_are_the_extents_of_the_masks(rooms):
    for thing in (thing for room in rooms for thing in room.objects):
        ys, xs = np.nonzero(thing.mask)
        assert thing.box == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)


def test_masks_never_overlap(rooms):
    for room in rooms:
        assert sum(thing.mask.astype(int) for thing in room.objects).max() == 1


def test_labels(rooms):
    assert {thing.label for room in rooms for thing in room.objects} == LABELS
    for room in rooms:
        labels = [thing.label for thing in room.objects]
        assert labels.count("bed") == 1
        assert labels.count("window") <= 2
        assert labels.count("curtain") <= 2 * labels.count("window")


def test_six_rooms_of_ten_have_a_window(rooms):
    with_window = np.mean([any(t.label == "window" for t in room.objects) for room in rooms])
    sigma = np.sqrt(0.6 * 0.4 / len(rooms))
    assert abs(with_window - 0.6) < 4 * sigma


def test_a_mask_is_where_the_paint_is(rooms):
    # Windows show sky and white frames: they are brighter than the wall they hang on.
    inside, outside = [], []
    for room in rooms:
        for thing in room.objects:
            if thing.label == "window":
                x0, y0, x1, y1 = map(int, thing.box)
                nothing = ~np.any([t.mask for t in room.objects], axis=0)
                around = np.zeros_like(nothing)
                around[max(y0 - 3, 0) : y1 + 3, max(x0 - 3, 0) : x1 + 3] = True
                inside.append(room.image[thing.mask].mean())
                outside.append(room.image[around & nothing].mean())
    assert np.mean(np.array(inside) > outside) > 0.8


def test_the_zip_holds_the_rooms_that_training_reads(tmp_path):
    write_zip(tmp_path / "new" / "rooms.zip", 4, seed=3, size=32)
    with zipfile.ZipFile(tmp_path / "new" / "rooms.zip") as archive:
        assert archive.namelist() == ["00000.png", "00001.png", "00002.png", "00003.png"]
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.testzip() is None
        png = np.frombuffer(archive.read("00002.png"), np.uint8)
    images = render_many(4, seed=3, size=32)
    np.testing.assert_array_equal(cv2.imdecode(png, cv2.IMREAD_COLOR)[..., ::-1], images[2])
    source = ImageSource(tmp_path / "new" / "rooms.zip", size=32, channels=3)
    read = np.stack([source.pixels(i) for i in range(len(source))])
    np.testing.assert_array_equal(read, images.transpose(0, 3, 1, 2))


def test_the_command_writes_the_same_bytes_again(tmp_path):
    for name in ("a.zip", "b.zip"):
        options = ["--n", "2", "--seed", "3", "--size", "32", "--out", str(tmp_path / name)]
        result = CliRunner().invoke(renderer.main, options)
        assert result.exit_code == 0, result.output
        assert f"{name}: 2 rooms of 32 x 32 pixels, seed 3" in result.output
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_zip_that_fails_leaves_the_old_one_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "rooms.zip"
    path.write_bytes(b"old")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(renderer.os, "fsync", full)
    with pytest.raises(InputError, match=r"rooms\.zip: cannot be written: No space left"):
        write_zip(path, 1, size=32)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("mine")
    options = ["--n", "1", "--out", str(tmp_path / "file" / "rooms.zip")]
    result = CliRunner().invoke(renderer.main, options)
    assert result.exit_code == 2
    assert "rooms.zip: cannot be written" in result.output


def test_the_segmenter_marks_new_rooms_as_well_as_it_says():
    path = Path(propose.__file__).with_name("segmenter.safetensors")
    network, about = segmenter.load(path)
    unseen = propose.rooms(about["held_out_rooms"], about["seed"], start=about["rooms"])
    marked = network.mark(to_range(unseen.images)).numpy()
    found = jaccard_score(unseen.truth.numpy().ravel(), marked.ravel())
    assert found == pytest.approx(about["held_out_iou"], abs=0.002)


def test_a_segmenter_that_learnt_from_rooms_proposes_boxes(tmp_path, monkeypatch):
    monkeypatch.setattr(propose, "HELD_OUT", 2)
    monkeypatch.setattr(propose, "SAMPLES", 6)
    to, out = tmp_path / "segmenter.safetensors", tmp_path / "proposals"
    few = ["--rooms", "6", "--steps", "2", "--batch", "2"]
    trained = CliRunner().invoke(propose.main, ["train", "--out", str(to), *few])
    assert trained.exit_code == 0, trained.output
    line = ["propose", "rooms", "--segmenter", str(to), "--out", str(out)]
    proposed = CliRunner().invoke(propose.main, line)
    assert proposed.exit_code == 0, proposed.output
    assert {path.name for path in out.iterdir()} == {"proposals.json", "sheet_0.png"}
