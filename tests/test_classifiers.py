"""Classifiers: installed, exported, or learnt from labelled folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import dcgan_probe as dp
from dcgan_probe.errors import InputError
from dcgan_probe.images import sources
from dcgan_probe.probes import arithmetic, concepts, directions, turn
from dcgan_probe.recognition import classifiers


class Fixed:
    name, labels, about = "fixed", ("a", "b"), {}

    def __init__(self, value):
        self.value = value

    def __call__(self, images):
        return self.value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.zeros(3), "found 3, expected 3 x 2"),
        (torch.zeros(3, 5), "found 3 x 5, expected 3 x 2"),
        (np.zeros((3, 5)), "found 3 x 5, expected 3 x 2"),
        (np.array(["a"]), "found ndarray, expected 3 x 2"),
        (torch.full((3, 2), 1.5), "expected probabilities"),
        (torch.full((3, 2), float("nan")), "expected probabilities"),
    ],
)
def test_an_output_that_is_no_probabilities_is_refused(value, message):
    with pytest.raises(InputError) as error:
        classifiers.classify(Fixed(value), torch.zeros(3, 3, 8, 8))
    assert message in str(error.value)


def test_an_array_is_as_good_as_a_tensor():
    value = np.array([[0.25, 0.5], [0, 1], [1, 1]])
    found = classifiers.classify(Fixed(value), torch.zeros(3, 3, 8, 8))
    assert (found.dtype, found.tolist()) == (torch.float32, value.tolist())


def test_what_a_classifier_raises_is_one_line_that_names_it():
    class Leaving(Fixed):
        def __call__(self, images):
            raise SystemExit("no GPU")

    with pytest.raises(InputError, match="^classifier fixed: SystemExit: no GPU$"):
        classifiers.classify(Leaving(None), torch.zeros(3, 3, 8, 8))


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (lambda images: images, "classifier <lambda>: found no name, expected str"),
        (type("Bare", (), {"name": "x", "about": {}})(), "classifier Bare: found no labels"),
        (
            type("Inert", (), {"name": "x", "about": {}, "labels": ("a",)})(),
            "classifier Inert: found Inert, expected a callable",
        ),
    ],
)
def test_what_is_no_classifier_is_told_before_anything_is_computed(session, given, line):
    for use in (
        lambda: directions.run(session, "regression", classifier=given),
        lambda: arithmetic.run(session, "0:1 - 0:2", classifier=given),
        lambda: turn.run(session, "0:1", "0:2", classifier=given),
        lambda: concepts.suggest(session, "smiling", ["a"], given),
    ):
        with pytest.raises(InputError, match=f"^{line}"):
            use()


def test_a_script_may_name_a_classifier(session):
    assert classifiers.resolve("faces", session).name == "faces"
    assert classifiers.resolve(own := Fixed(0), session) is own


def test_conditions():
    wanted = classifiers.wanted(Fixed(None), ["b", "not a"])
    assert wanted == [(1, True), (0, False)]
    probabilities = torch.tensor([[0.2, 0.9], [0.7, 0.6]])
    assert classifiers.agreement(probabilities, wanted).tolist() == pytest.approx([0.8, 0.3])


def test_the_classifier_of_faces_is_installed(session):
    judge = classifiers.find("faces", session)
    found = classifiers.classify(judge, torch.zeros(2, 3, 64, 64))
    assert found.shape == (2, len(judge.labels))
    with pytest.raises(InputError, match="unknown classifier 'facez', expected one of: faces"):
        classifiers.find("facez", session)


def test_an_exported_network_is_one(session, tmp_path):
    network = nn.Sequential(nn.AvgPool2d(32), nn.Flatten(), nn.Softmax(1)).eval()
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(network, (torch.zeros(2, 3, 32, 32),), dynamic_shapes=(batch,))
    torch.export.save(program, tmp_path / "colour.pt2")
    judge = classifiers.find(str(tmp_path / "colour.pt2"), session)
    assert judge.labels == ("colour0", "colour1", "colour2")
    images = session.sample(5)
    assert torch.allclose(classifiers.classify(judge, images), network(images))


def folder(path: Path, kinds: dict[str, int]) -> Path:
    random = np.random.default_rng(0)
    for kind, n in kinds.items():
        (path / kind).mkdir(parents=True)
        for i in range(n):
            image = random.integers(0, 120, (32, 32, 3), np.uint8)
            if kind == "striped":
                image[::4] += 130
            dp.figures.write_image(path / kind / f"{i}.png", image)
    return path


def test_one_is_learnt_from_labelled_folders(session, tmp_path):
    judge = classifiers.find(str(folder(tmp_path / "kinds", {"plain": 30, "striped": 30})), session)
    assert judge.labels == ("plain", "striped")
    assert judge.about["held_out_accuracy"] > 0.9
    other = folder(tmp_path / "other", {"striped": 12, "plain": 12})
    assert all(type(label) is str for label in judge.labels)
    source = sources.ImageSource(other, 32, 3)
    truth = torch.tensor([[n.startswith("plain"), n.startswith("striped")] for n in source.names])
    found = classifiers.classify(judge, source.read(range(24)))
    assert ((found > 0.5) == truth).float().mean() > 0.9


def test_folders_of_a_division_are_no_labels(session, tmp_path):
    for part in ("train", "test"):
        folder(tmp_path / "both" / part, {"plain": 12, "striped": 12})
    judge = classifiers.find(str(tmp_path / "both"), session)
    assert judge.about["images"] == {"plain": 24, "striped": 24}


@pytest.mark.parametrize(
    ("kinds", "message"),
    [({"a": 12}, "expected at least two sub-folders"), ({"a": 12, "b": 3}, "b: found 3 images")],
)
def test_too_little_to_learn_from_is_refused(session, tmp_path, kinds, message):
    with pytest.raises(InputError, match=message):
        classifiers.find(str(folder(tmp_path / "few", kinds)), session)
