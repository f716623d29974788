"""Any callable that gives masks or boxes is a detector; what it gives is checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from sklearn.metrics import jaccard_score
from torch import Tensor, nn

import dcgan_probe as dp
from dcgan_probe.errors import InputError
from dcgan_probe.fixtures import segmenter
from dcgan_probe.fixtures.segmenter import MaskedImages
from dcgan_probe.images import sources
from dcgan_probe.recognition import detectors
from dcgan_probe.storage import files


class Puts:
    """A detector that outputs what a function makes of the images."""

    name = "puts"
    about: dict = {}

    def __init__(self, function):
        self.function = function

    def __call__(self, images: Tensor):
        return self.function(images)


def images(n: int = 5, side: int = 8) -> Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def save(network: nn.Module, path: Path) -> Path:
    batch = {0: torch.export.Dim("batch")}
    example = (torch.zeros(2, 3, 8, 8),)
    program = torch.export.export(network.eval(), example, dynamic_shapes=(batch,))
    torch.export.save(program, path)
    return path


@pytest.mark.parametrize(
    "form",
    [
        lambda x: x.mean(1) > 0,
        lambda x: (x.mean(1, keepdim=True) > 0).float(),
        lambda x: (x.mean(1) > 0).numpy(),
        lambda x: (x.mean(1) > 0).flip(2).numpy()[..., ::-1],
        lambda x: (x.mean(1) > 0).to(torch.uint8),
    ],
)
def test_masks_of_every_form_are_the_same(form):
    found = detectors.soft(Puts(form), images())
    assert (found.shape, found.dtype) == ((5, 8, 8), torch.float32)
    assert torch.equal(found, (images().mean(1) > 0).float())


def test_boxes_become_the_pixels_in_them():
    boxes = [[(1, 2, 5, 4), (6, 0, 8, 8)], [], torch.tensor([[-3.0, 0.4, 1.4, 99.0]])]
    expected = torch.zeros(3, 8, 8)
    expected[0, 2:4, 1:5] = 1
    expected[0, :, 6:8] = 1
    expected[2, :, 0] = 1  # of what is centred at 0.5, 1.5 and so on, from -3 to 1.4 and from 0.4
    assert torch.equal(detectors.soft(Puts(lambda _: boxes), images(3)), expected)


def test_a_detector_sees_no_more_than_a_batch_and_needs_no_gradient():
    seen = []

    def brightness(batch: Tensor) -> Tensor:
        seen.append((len(batch), torch.is_grad_enabled()))
        return batch.mean(1).sigmoid()

    many = images(150)
    found = detectors.soft(Puts(brightness), many)
    assert seen == [(64, False), (64, False), (22, False)]
    torch.testing.assert_close(found, many.mean(1).sigmoid())
    assert detectors.soft(Puts(brightness), many[:0]).shape == (0, 8, 8)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (lambda x: x, "found 5 x 3 x 8 x 8 for 5 images, expected 5 x 8 x 8 masks or 5 lists of b"),
        (lambda x: x[:, 0, :4, :4].sigmoid(), "found 5 x 4 x 4 for 5 images, expected 5 x 8 x 8"),
        (lambda x: x[:1, 0].sigmoid(), "found 1 x 8 x 8 for 5 images, expected 5 x 8 x 8"),
        (lambda x: x.mean(1) * 0 - 4, r"found values from -4 to -4, .* \(apply sigmoid inside"),
        (lambda x: (x[:, 0] > 0).int() * 255, "found values from 0 to 255, expected probabilities"),
        (lambda x: x[:, 0] / 0, "found values from nan to nan, expected probabilities"),
        (lambda x: None, "found NoneType, expected 5 x 8 x 8 masks or 5 lists of boxes"),
        (lambda x: np.array(["a"] * 5), "found ndarray, expected 5 x 8 x 8 masks"),
        (lambda x: [[]] * 4, "found 4 lists of boxes, expected 5 x 8 x 8 masks or 5 lists"),
        (
            lambda x: [[(1, 2, 3, 4)]] * 4 + [[(3, 2, 3, 4)]],
            r"image 4: found \[\(3, 2, 3, 4\)\], exp",
        ),
        (
            lambda x: [[(1, 2, 3)]] * 5,
            r"image 0: found \[\(1, 2, 3\)\], expected boxes x0, y0, x1, y",
        ),
        (lambda x: [[(1, 2, float("nan"), 4)]] * 5, "image 0: found .*nan.*, expected boxes x0"),
        (lambda x: [{"boxes": 1}] * 5, "image 0: found {'boxes': 1}, expected boxes x0, y0, x1"),
    ],
)
def test_what_is_no_mask_and_no_box_is_refused_in_one_line(form, message):
    with pytest.raises(InputError, match=f"^detector puts: {message}") as caught:
        detectors.soft(Puts(form), images().clamp(min=0))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("squeezed", [True, False])
def test_an_exported_module_is_a_detector(tmp_path, squeezed):
    torch.manual_seed(0)
    end = [nn.Flatten(0, 1)] if squeezed else []
    network = nn.Sequential(nn.Conv2d(3, 1, 3, padding=1), nn.Sigmoid(), *end)
    path = save(network, tmp_path / "mine.pt2")
    detector = detectors.find(str(path), "window")
    assert (detector.name, detector.about) == ("module mine.pt2", {"sha256": files.sha256(path)})
    expected = torch.export.load(path).module()(images()).detach().reshape(5, 8, 8)
    torch.testing.assert_close(detectors.soft(detector, images()), expected)


def test_a_module_that_gives_logits_is_told_what_it_lacks(tmp_path):
    torch.manual_seed(0)
    path = save(nn.Conv2d(3, 1, 3, padding=1), tmp_path / "mine.pt2")
    with pytest.raises(InputError, match=r"detector module mine.pt2: found values from -.*sigmoid"):
        detectors.soft(detectors.find(str(path), "window"), images())


@pytest.mark.parametrize("error", [KeyError("box"), SystemExit("no GPU")])
def test_what_a_detector_raises_is_one_line_that_names_it(error):
    def raises(_):
        raise error

    message = f"detector puts: {type(error).__name__}: {error}"
    with pytest.raises(InputError, match=f"^{message}$"):
        detectors.soft(Puts(raises), images())


def test_a_name_that_is_not_there_lists_those_that_are():
    with pytest.raises(
        InputError,
        match=r"unknown detector 'roms', expected one of: boxes, cells.* "
        r"rooms, the path of a file of torch\.export\.save",
    ):
        detectors.find("roms", "window", also=["boxes"])


PLUGIN = """
from dcgan_probe.errors import InputError

class Bright:
    name = "bright"
    about = {"by": "a stranger"}

    def __init__(self, label):
        if label != "lamp":
            raise InputError(f"detector bright: found the label {label!r}, expected 'lamp'")

    def __call__(self, images):
        return images.mean(1) > 0.5

def nameless(label):
    return lambda images: images

def leaving(label):
    raise SystemExit("no GPU")
"""


@pytest.fixture
def installed(tmp_path, monkeypatch) -> None:
    """A stranger's package with detectors."""
    about = tmp_path / "bright_lamps-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: bright-lamps\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[dcgan_probe.detectors]\nbright = bright_lamps:Bright\nnameless = bright_lamps:nameless\n"
        "leaving = bright_lamps:leaving\n"
        "gone = bright_lamps.gone:Bright\n"
    )
    (tmp_path / "bright_lamps.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_a_strangers_detector_is_found_by_its_entry_point(installed):
    detector = detectors.find("bright", "lamp")
    assert detector.about == {"by": "a stranger"}
    assert torch.equal(detectors.soft(detector, torch.ones(2, 3, 8, 8)), torch.ones(2, 8, 8))
    with pytest.raises(
        InputError, match=r"^detector bright: found the label 'bed', expected 'lamp"
    ):
        detectors.find("bright", "bed")


def test_a_broken_detector_is_one_line_that_names_its_package(installed):
    where = r"^detector gone \(bright-lamps, bright_lamps\.gone:Bright\): "
    with pytest.raises(InputError, match=f"{where}cannot be used: ModuleNotFoundError"):
        detectors.find("gone", "lamp")
    with pytest.raises(InputError, match=r"leaving\): cannot be used: SystemExit: no GPU"):
        detectors.find("leaving", "lamp")
    with pytest.raises(InputError, match=r"bright_lamps:nameless\): found no name, expected str"):
        detectors.find("nameless", "lamp")


@pytest.mark.parametrize(("name", "label"), [("rooms", "window"), ("cells", "white cell")])
def test_the_detectors_that_ship_agree_with_the_boxes_that_were_looked_at(name, label):
    assert detectors.shipped(name, label) == name
    detector = detectors.find(name, label)
    assert detector.name == name
    assert detector.about["held_out_iou"] > 0
    session = dp.Session.open(name, device="cpu")
    boxes = dp.Boxes.read(dp.checkpoints.shipped_boxes(name))
    found = detectors.soft(detector, session.sample(boxes.n)) > 0.5
    with_object = {box.image for box in boxes.boxes}
    largest = found.flatten(1).sum(1) >= 40
    right = [bool(largest[i]) == (i in with_object) for i in range(boxes.n)]
    assert np.mean(right) > 0.9
    inside = boxes.mask((64, 64))
    assert jaccard_score(inside.ravel(), found.numpy().ravel()) > 0.6


def test_the_detectors_that_ship_refuse_another_label_and_another_size():
    with pytest.raises(
        InputError, match="^detector rooms: unknown label 'bed', expected .*: window"
    ):
        detectors.find("rooms", "bed")
    rooms = detectors.find("rooms", "window")
    with pytest.raises(InputError, match="rooms: found 3 x 8 x 8 images, expected 3 x 64 x 64"):
        detectors.soft(rooms, images())
    assert detectors.shipped("rooms", "bed") is None
    assert detectors.shipped("mine", "window") is None


def test_a_segmenter_beside_a_checkpoint_is_no_checkpoint():
    for name, boxes in (("rooms", "windows.json"), ("cells", "white-cells.json")):
        assert dp.checkpoints.load(name).generator is not None
        assert dp.checkpoints.shipped_boxes(name).name == boxes


def labelled(n: int, seed: int) -> MaskedImages:
    """Grey images with a white square: n x 3 x 64 x 64."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(90, 130, (n, 3, 64, 64), np.uint8)
    truth = np.zeros((n, 64, 64), bool)
    for i, (top, left) in enumerate(rng.integers(8, 40, (n, 2))):
        truth[i, top : top + 16, left : left + 16] = True
    pixels[np.repeat(truth[:, None], 3, 1)] = 230
    return MaskedImages(torch.from_numpy(pixels), torch.from_numpy(truth))


def test_a_segmenter_learns_the_same_again_and_is_the_same_once_it_is_read(tmp_path):
    learnt = [segmenter.learn(labelled(16, 0), labelled(4, 1), 8, 4, seed=0) for _ in range(2)]
    (network, measured), (again, same) = learnt
    assert measured == same
    segmenter.save(network, measured, tmp_path / "a.safetensors")
    segmenter.save(again, measured, tmp_path / "b.safetensors")
    assert files.sha256(tmp_path / "a.safetensors") == files.sha256(tmp_path / "b.safetensors")
    loaded, about = segmenter.load(tmp_path / "a.safetensors")
    assert about == measured
    seen = sources.to_range(labelled(4, 2).images)
    assert torch.equal(loaded.mark(seen), network.mark(seen))


def test_what_is_worsened_is_bent_together_with_its_truth():
    square = labelled(40, 3)
    random = torch.Generator().manual_seed(0)
    worse, truth = segmenter.worsen(sources.to_range(square.images), square.truth, random)
    assert not torch.equal(truth, square.truth)
    inside = worse.mean(1)[truth].mean() - worse.mean(1)[~truth].mean()
    assert inside > 0.5  # 120 of 255 grey levels are 0.94; blur and contrast leave most of it


def test_overlap_is_the_jaccard_index_of_scikit_learn():
    a, b = (images(4)[:, i] > 0 for i in range(2))
    expected = jaccard_score(a.numpy().ravel(), b.numpy().ravel())
    assert segmenter.overlap(a, b) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("metadata", [None, {"segmenter": "no JSON"}, {"segmenter": "{}"}])
def test_a_file_that_is_no_segmenter_is_refused(tmp_path, metadata):
    tensors = {"weight": torch.zeros(3)}
    (tmp_path / "a.safetensors").write_bytes(safetensors.torch.save(tensors, metadata))
    with pytest.raises(InputError, match=r"a\.safetensors: found no segmenter, expected one"):
        segmenter.load(tmp_path / "a.safetensors")
