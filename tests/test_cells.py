"""The cells: crops of photographs, proposals by colour, and a generator whose cells are purple."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import SHARED
from PIL import Image, ImageDraw
from sklearn.metrics import jaccard_score

import dcgan_probe as dp
from dcgan_probe.fixtures import segmenter
from dcgan_probe.fixtures.cells import crops, propose, segment
from dcgan_probe.images import sources


def photograph() -> np.ndarray:
    """110 x 150, in OpenCV's BGR: pale ground and one purple square."""
    image = np.full((110, 150, 3), (225, 228, 224), np.uint8)
    image[20:60, 90:130] = (190, 70, 110)
    return image


def test_half_of_the_crops_hold_the_whole_cell_and_all_are_of_one_size():
    cell = (90.0, 20.0, 40.0, 40.0)
    purple = 40 * 40 * (crops.SIZE / crops.SIDE) ** 2
    whole = []
    for seed in range(300):
        image = crops.crop(photograph(), [cell], np.random.default_rng(seed))
        assert image.shape == (64, 64, 3)
        whole.append(np.sum(image[..., 1] < 149) > 0.97 * purple)
    anywhere = [
        np.sum(crops.crop(photograph(), [], np.random.default_rng(s))[..., 1] < 149) > 0.97 * purple
        for s in range(300)
    ]
    share = 0.5 + 0.5 * np.mean(anywhere)  # those placed anywhere may hold it too
    assert np.mean(whole) == pytest.approx(share, abs=0.1)


def test_a_cell_at_the_edge_of_its_photograph_has_crops_too():
    for cell in ((140.0, 90.0, 10.0, 20.0), (0.0, 0.0, 100.0, 100.0)):
        for seed in range(50):
            image = crops.crop(photograph(), [cell], np.random.default_rng(seed))
            assert image.shape == (64, 64, 3)


@pytest.fixture
def photographs(tmp_path) -> Path:
    """A zip like that of the photographs: one of `train` with its white cell, one of `test`."""
    done, png = cv2.imencode(".png", photograph())
    assert done
    about = {
        "images": [{"id": i, "file_name": f"{s}/a.png"} for i, s in enumerate(("train", "test"))],
        "annotations": [{"image_id": 0, "category_id": 2, "bbox": [90, 20, 40, 40]}],
        "categories": [{"id": 2, "name": "WBC"}],
    }
    with zipfile.ZipFile(tmp_path / "cells.zip", "w") as archive:
        archive.writestr("annotations.coco.json", json.dumps(about))
        for image in about["images"]:
            archive.writestr(image["file_name"], png.tobytes())
    return tmp_path / "cells.zip"


def test_the_command_cuts_the_same_crops_again_of_one_split(photographs, tmp_path):
    for name in ("a.zip", "b.zip"):
        line = [str(photographs), "--n", "3", "--out", str(tmp_path / name)]
        result = CliRunner().invoke(crops.main, line)
        assert result.exit_code == 0, result.output
        assert "3 crops of 1 photographs (train)" in result.output
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    tried = propose.try_on(photographs, "train")
    assert tried["cells"] == tried["found"] == tried["right"] == 1
    nothing = propose.try_on(photographs, "train", lambda picture: picture[..., 0] < 0)
    assert (nothing["cells"], nothing["found"], nothing["right"]) == (1, 0, 0)


def test_the_truth_of_a_white_cell_is_the_ellipse_in_its_box():
    inside = segment.ellipses(np.empty((120, 160, 3)), [(20, 10, 80, 60), (130, 100, 60, 40)])
    drawn = Image.new("1", (160, 120))
    ImageDraw.Draw(drawn).ellipse((20, 10, 99, 69), fill=1)  # Pillow counts the last pixel in
    assert jaccard_score(np.asarray(drawn)[:, :110].ravel(), inside[:, :110].ravel()) > 0.97
    assert inside[:, :110].sum() == pytest.approx(np.pi * 40 * 30, rel=0.01)
    assert inside[119, 159]  # a cell that reaches over the edge
    assert not inside[:, 110:130].any()


def test_crops_are_labelled_as_they_are_cut(photographs, tmp_path):
    line = [str(photographs), "--n", "12", "--out", str(tmp_path / "crops.zip")]
    assert CliRunner().invoke(crops.main, line).exit_code == 0
    found = segment.labelled(photographs, "train", 12, seed=0)
    cut = sources.ImageSource(tmp_path / "crops.zip", size=64, channels=3)
    for i, (image, truth) in enumerate(zip(found.images.numpy(), found.truth.numpy(), strict=True)):
        np.testing.assert_array_equal(image, cut.pixels(i))
        purple = image[1] < 149
        assert not (truth & ~purple).any()  # the ellipse is in the square, up to the blur of both
        assert truth.sum() > 0.7 * purple.sum() or purple.sum() < 400


@pytest.mark.skipif(not (SHARED / "data" / "cells.zip").exists(), reason="no photographs of cells")
def test_the_segmenter_marks_new_photographs_as_well_as_it_says():
    path = Path(segment.__file__).with_name("segmenter.safetensors")
    network, about = segmenter.load(path)
    unseen = segment.labelled(SHARED / "data" / "cells.zip", "test", about["held_out_crops"], 0)
    marked = network.mark(sources.to_range(unseen.images)).numpy()
    truth = unseen.truth.numpy()
    found = jaccard_score(truth.ravel(), marked.ravel())
    assert found == pytest.approx(about["held_out_iou"], abs=0.002)
    pictures = unseen.images.permute(0, 2, 3, 1).numpy()
    by_colour = np.stack([propose.purple(picture) for picture in pictures])
    assert found > jaccard_score(truth.ravel(), by_colour.ravel())


def test_the_boxes_that_ship_lie_on_what_is_purple():
    session = dp.Session.open("cells", device="cpu")
    path = dp.checkpoints.shipped_boxes("cells")
    boxes = dp.Boxes.read(path)
    assert boxes.checkpoint == session.checkpoint.sha256
    assert (boxes.n, boxes.seed) == (150, 0)
    assert len({box.image for box in boxes.boxes}) >= 50  # the aim: a third of the samples
    images = session.sample(boxes.n)
    blue_over_green = images[:, 2] - images[:, 1]
    inside = np.zeros((boxes.n, 64, 64), bool)
    for box in boxes.boxes:
        inside[box.image, int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)] = True
    values = blue_over_green.numpy()
    assert values[inside].mean() > 0.3
    assert values[~inside].mean() < 0.1


def test_no_boxes_ship_for_what_is_no_fixture_or_has_none():
    assert dp.checkpoints.shipped_boxes("svhn") is None
    assert dp.checkpoints.shipped_boxes("mine") is None
