"""The faces: attributes are independent, drawn where they belong, and can be read off again."""

from __future__ import annotations

import csv
import itertools
import json
import zipfile
from dataclasses import asdict, replace

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch
from click.testing import CliRunner
from scipy import stats

from dcgan_probe.errors import InputError
from dcgan_probe.fixtures.faces import attributes, classifier, palette, renderer
from dcgan_probe.fixtures.faces.attributes import KINDS, RANGES, Face, draw
from dcgan_probe.fixtures.faces.head import Head
from dcgan_probe.fixtures.faces.renderer import render, render_many, write_zip
from dcgan_probe.images.sources import ImageSource, to_range

NUMBERS = ("smile", *(name for name in RANGES if name != "smile"))


@pytest.fixture(scope="module")
def drawn():
    return [draw(np.random.SeedSequence([7, i])) for i in range(2000)]


def changed(one: Face, other: Face, size: int = 64) -> np.ndarray:
    return (render(one, size).image != render(other, size).image).any(2)


# The picture.


def test_the_same_seed_is_the_same_face_and_the_face_is_all_there_is():
    for seed in range(5):
        portrait = render(seed)
        again = render(seed)
        assert again.face == portrait.face
        assert again.image.tobytes() == portrait.image.tobytes()
        assert render(portrait.face).image.tobytes() == portrait.image.tobytes()


def test_a_seed_a_sequence_and_a_generator_are_the_same_face():
    assert draw(7) == draw(np.random.SeedSequence(7)) == draw(np.random.default_rng(7))


def test_a_face_does_not_depend_on_how_many_there_are():
    many = render_many(6, seed=3, size=32)
    assert [p.face for p in render_many(3, seed=3, size=32)] == [p.face for p in many[:3]]
    assert len({p.image.tobytes() for p in many}) == 6
    assert render_many(0) == []


@pytest.mark.parametrize("size", [16, 64, 128])
def test_any_size(size):
    image = render(1, size).image
    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8
    assert image.std() > 10


def test_sizes_show_the_same_picture():
    large, small = render(3, 128).image, render(3, 64).image
    reduced = cv2.resize(large, (64, 64), interpolation=cv2.INTER_AREA)
    assert np.abs(reduced.astype(int) - small).mean() < 4


# Where an attribute may change pixels: from and to which height, in radii of the head, and how far
# to either side.
PLACES = {
    "smile": (("smile", -0.8), ("smile", 0.9), -0.1, 1.0, 1.0),
    "glasses": (("glasses", "none"), ("glasses", "square"), -0.4, 0.45, 1.1),
    "openness": (("openness", 0.2), ("openness", 1.0), -0.3, 0.35, 1.0),
    "eyes": (("eyes", "brown"), ("eyes", "blue"), -0.2, 0.3, 1.0),
    "brows": (("brows", -1), ("brows", 1), -0.6, 0.0, 1.0),
    "hat": (("hat", "none"), ("hat", "sun hat"), -9.0, -0.2, 1.7),
    "hair_colour": (("hair_colour", "grey"), ("hair_colour", "black"), -9.0, 1.6, 1.5),
    "clothes": (("clothes", "navy"), ("clothes", "white"), 0.95, 9.0, 9.0),
}


@pytest.mark.parametrize("attribute", PLACES)
def test_an_attribute_changes_only_where_it_is(attribute, drawn):
    (name, one), (_, other), top, bottom, side = PLACES[attribute]
    seen = 0
    for face in drawn[:12]:
        pixels = changed(replace(face, **{name: one}), replace(face, **{name: other}))
        ys, xs = np.nonzero(pixels)
        seen += bool(len(ys))
        (left, high), (right, low) = 64 * Head(face).seen([-side, side], [top, bottom])
        # A pixel that an edge crosses changes too.
        assert np.all((ys + 1 >= high - 1) & (ys <= low + 1))
        assert np.all((xs + 1 >= left - 1) & (xs <= right + 1))
    # A hat hides what it covers, but not on most faces.
    assert seen >= 8


def test_the_background_is_all_around_the_face(drawn):
    for face in drawn[:12]:
        pixels = changed(replace(face, background="mint"), replace(face, background="peach"))
        assert pixels[:3, :3].all() and pixels[:3, -3:].all()
        assert not pixels[26:40, 24:40].any()


def test_a_turned_head_stays_in_its_clothes(drawn):
    for face in drawn[:12]:
        face = replace(face, hair="short")
        pixels = changed(replace(face, turn=-1), replace(face, turn=1))
        assert not pixels[-4:].any() and not pixels[:2, :8].any()
        assert pixels[20:50].any()


def test_hair_that_a_hat_hides_is_not_seen():
    hidden = [Face(hair=hair, hat="beanie") for hair in ("bald", "bun")]
    assert not changed(*hidden)[:12].any()
    assert changed(*(replace(face, hat="none") for face in hidden))[:12].any()


@pytest.mark.parametrize("hat_colour", ["red", "blue"])
def test_what_is_not_worn_has_no_colour(hat_colour):
    assert not changed(Face(hat_colour="yellow"), Face(hat_colour=hat_colour)).any()
    assert changed(
        Face(hat_colour="yellow", hat="cap"), Face(hat_colour=hat_colour, hat="cap")
    ).any()


def test_eyes_go_where_the_face_looks():
    def middle(turn: float) -> float:
        image = render(Face(hair="bald", turn=turn, background="sky")).image
        dark = image[24:40].max(2) < 110
        return float(np.nonzero(dark)[1].mean())

    middles = [middle(turn) for turn in (-1, -0.5, 0, 0.5, 1)]
    assert middles == sorted(middles)
    assert abs(middles[2] - 31.5) < 1
    assert middles[4] - middles[0] > 10


def test_of_the_ears_the_far_one_is_hidden():
    def ears(turn: float) -> tuple[int, int]:
        bald = Face(hair="bald", turn=turn, background="sky")
        bare = renderer.FaceCanvas(
            palette.lit(palette.lit(palette.BACKGROUNDS["sky"])),
            palette.shadow(palette.BACKGROUNDS["sky"], 0.16),
            64,
        )
        row = np.abs(render(bald).image[36].astype(int) - bare.picture()[36]).max(1) > 40
        return int(row.argmax()), int(row[::-1].argmax())

    left, right = ears(0)
    assert left == right
    assert ears(1)[1] > right and ears(-1)[0] > left


def test_only_a_smile_shows_teeth():
    def teeth(smile: float) -> int:
        mouth = render(Face(smile=smile, skin=0.8, clothes="navy")).image[40:50, 22:42]
        return int((mouth.min(2) > 170).sum())

    assert teeth(-1) == teeth(0) == 0
    assert 0 < teeth(0.7) < teeth(1)


def test_a_darker_skin_is_darker():
    values = [render(Face(skin=skin)).image[24:44, 24:40].mean() for skin in np.linspace(0, 1, 6)]
    assert values == sorted(values, reverse=True)


# The attributes.


@pytest.mark.parametrize("name", KINDS)
def test_an_unknown_name_lists_those_known(name):
    with pytest.raises(
        InputError, match=f"face: unknown {name} 'oval', expected one of: "
    ) as error:
        Face(**{name: "oval"})
    for known in KINDS[name]:
        assert known in str(error.value)


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("value", [-1.01, 1.01, float("nan"), float("inf"), "much"])
def test_a_number_out_of_its_range_is_refused(name, value):
    with pytest.raises(InputError, match=f"face: found {name} = .*, expected a number from"):
        Face(**{name: value})
    with pytest.raises(InputError):
        replace(Face(), **{name: value})


def test_the_ends_of_the_ranges_are_faces():
    for end in (0, 1):
        assert render(Face(**{name: RANGES[name][end] for name in RANGES}), 32).image.std() > 10


def test_names_are_as_likely_as_it_says(drawn):
    for name, kinds in KINDS.items():
        counts = [sum(getattr(face, name) == kind for face in drawn) for kind in kinds]
        expected = np.array(list(kinds.values())) * len(drawn)
        assert stats.chisquare(counts, expected).pvalue > 1e-4, name


def test_numbers_are_spread_as_it_says(drawn):
    for name, low, high in (("turn", -1, 1), ("skin", 0, 1), ("shape", -1, 1)):
        uniform = stats.uniform(low, high - low).cdf
        assert stats.kstest([getattr(face, name) for face in drawn], uniform).pvalue > 1e-4, name
    smiles = np.array([face.smile for face in drawn])
    counts = [(smiles < -0.5).sum(), (np.abs(smiles) <= 0.2).sum(), (smiles >= 0.6).sum()]
    assert sum(counts) == len(drawn)
    assert stats.chisquare(counts, np.array([1, 2, 3]) / 6 * len(drawn)).pvalue > 1e-4


def test_every_two_attributes_are_independent(drawn):
    columns = {name: [list(KINDS[name]).index(getattr(f, name)) for f in drawn] for name in KINDS}
    for name in RANGES:
        values = np.array([getattr(face, name) for face in drawn])
        columns[name] = np.digitize(values, np.quantile(values, [1 / 3, 2 / 3])).tolist()
    pairs = list(itertools.combinations(columns, 2))
    for one, other in pairs:
        table = np.zeros((max(columns[one]) + 1, max(columns[other]) + 1), int)
        np.add.at(table, (columns[one], columns[other]), 1)
        assert stats.chi2_contingency(table).pvalue > 1e-3 / len(pairs), (one, other)


def test_each_kind_has_its_colour():
    assert palette.HAIR.keys() == KINDS["hair_colour"].keys()
    assert palette.EYES.keys() == KINDS["eyes"].keys()
    assert palette.HATS.keys() == KINDS["hat_colour"].keys()
    assert palette.CLOTHES.keys() == KINDS["clothes"].keys()
    assert palette.BACKGROUNDS.keys() == KINDS["background"].keys()
    assert set(KINDS) | set(RANGES) == set(asdict(Face()))
    assert attributes.KINDS is KINDS


# The data set.


def test_the_zip_holds_the_faces_and_the_table_their_attributes(tmp_path):
    write_zip(tmp_path / "new" / "faces.zip", 4, seed=3, size=32)
    many = render_many(4, seed=3, size=32)
    source = ImageSource(tmp_path / "new" / "faces.zip", size=32, channels=3)
    assert source.names == ["00000.png", "00001.png", "00002.png", "00003.png"]
    read = np.stack([source.pixels(i) for i in range(4)])
    np.testing.assert_array_equal(read, np.stack([p.image for p in many]).transpose(0, 3, 1, 2))
    with zipfile.ZipFile(tmp_path / "new" / "faces.zip") as archive:
        assert archive.testzip() is None
    with open(tmp_path / "new" / "faces.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, name, portrait in zip(rows, source.names, many, strict=True):
        assert row.pop("name") == name
        values = {k: float(v) if k in RANGES else v for k, v in row.items()}
        assert Face(**values) == portrait.face


def test_the_command_writes_the_same_bytes_again(tmp_path):
    for name in ("a.zip", "b.zip"):
        options = ["--n", "2", "--seed", "3", "--size", "32", "--out", str(tmp_path / name)]
        result = CliRunner().invoke(renderer.main, options)
        assert result.exit_code == 0, result.output
        assert f"{name}: 2 faces of 32 x 32 pixels, seed 3" in result.output
    for ending in ("zip", "csv"):
        one, other = (tmp_path / f"{stem}.{ending}" for stem in "ab")
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("place", ["file/faces.zip", "faces.csv"])
def test_a_place_that_cannot_be_written_is_one_line(tmp_path, place):
    (tmp_path / "file").write_text("mine")
    result = CliRunner().invoke(renderer.main, ["--n", "1", "--out", str(tmp_path / place)])
    assert result.exit_code == 2
    assert len(result.output.strip().splitlines()) == 1 and place in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# The classifier.


@pytest.fixture(scope="module")
def shipped():
    return classifier.load()


def test_the_classifier_is_as_good_on_other_faces_as_it_says(shipped):
    network, about = shipped
    assert classifier.SHIPPED.stat().st_size < 1e6
    images, known = classifier.faces(100, seed=99)
    shown = network.read(to_range(images))
    found = classifier.scores(shown, known)
    for name in (*classifier.QUESTIONS, "hair colour"):
        hairy = int((known["hair colour"] != classifier.BALD).sum())
        n, held_out = (hairy if name == "hair colour" else 100), about["held_out"]
        right, claimed = round(found[name] * n), round(about["scores"][name] * held_out)
        counts = [[right, n - right], [claimed, held_out - claimed]]
        assert stats.fisher_exact(counts, alternative="less").pvalue > 1e-4, name
        assert right / n > 0.9, name
    for name in classifier.NUMBERS:
        assert found[name] < 1.5 * about["scores"][name]
        assert stats.spearmanr(shown[name], known[name]).statistic > 0.9


def test_the_classifier_sees_one_attribute_change(shipped):
    base = Face(hair="short", hair_colour="black")
    others = {
        "smile": replace(base, smile=0.9),
        "frown": replace(base, smile=-0.9),
        "glasses": replace(base, glasses="round"),
        "hat": replace(base, hat="beanie"),
        "long hair": replace(base, hair="long"),
    }
    pictures = [render(face).image for face in (base, *others.values())]
    images = to_range(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2))
    shown = shipped[0].read(images)
    for question in classifier.QUESTIONS:
        yes = (shown[question] > 0.5).tolist()
        assert yes == [False, *(name == question for name in others)], question


def test_the_truth_of_a_face():
    shown = classifier.truth([Face(smile=0.7, turn=-0.5), Face(hair="bald", hat="cap", smile=-0.6)])
    assert shown["smile"].tolist() == [1, 0] and shown["frown"].tolist() == [0, 1]
    assert shown["hat"].tolist() == [0, 1] and shown["turn"].tolist() == [-0.5, 0]
    assert shown["hair colour"].tolist() == [
        classifier.HAIR_COLOURS.index("brown"),
        classifier.BALD,
    ]


def test_scores_count_the_right_and_leave_the_bald_out():
    known = classifier.truth([Face(), Face(hair="bald")])
    shown = {name: values.float() for name, values in known.items()}
    shown["hair colour"] = torch.eye(5)[[1, 0]]
    shown["smile"] = torch.tensor([0.1, 0.9])
    shown["turn"] = torch.tensor([0.25, -0.25])
    scores = classifier.scores(shown, known)
    assert scores["smile"] == 0.5 and scores["turn"] == 0.25
    assert scores["hair colour"] == scores["hat"] == 1


def test_flaws_do_not_mirror():
    portraits = [replace(draw(i), turn=turn) for i in range(10) for turn in (-1, 1)]
    pictures = np.stack([render(face).image for face in portraits])
    images = to_range(torch.from_numpy(pictures).permute(0, 3, 1, 2))
    worse = classifier.worsen(images, torch.Generator().manual_seed(0))
    assert worse.shape == images.shape and worse.abs().max() <= 1
    to_itself, to_mirrored = (
        (worse - other).square().mean((1, 2, 3)) for other in (images, images.flip(3))
    )
    assert (to_itself < to_mirrored).all()


def test_training_writes_a_classifier_and_the_same_again(tmp_path, monkeypatch):
    monkeypatch.setattr(classifier, "HELD_OUT", 8)
    for name in "ab":
        options = ["--faces", "8", "--steps", "2", "--batch", "4", "--out", str(tmp_path / name)]
        result = CliRunner().invoke(classifier.main, options)
        assert result.exit_code == 0, result.output
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    network, about = classifier.load(tmp_path / "a")
    assert about["held_out"] == 8 and set(about["scores"]) == set(about["scores_worsened"])
    assert network.read(torch.zeros(3, 3, 64, 64))["hair colour"].shape == (3, 5)


@pytest.mark.parametrize(
    ("metadata", "tensors", "message"),
    [
        (None, {}, "found no classifier of faces"),
        ({"faces": "{"}, {}, "found no classifier of faces"),
        ({"faces": "{}"}, {}, "tensor features.0.weight: found none"),
        ({"faces": "{}"}, {"more": torch.zeros(2)}, "tensor features.0.weight: found none"),
    ],
)
def test_another_file_is_no_classifier(tmp_path, metadata, tensors, message):
    path = tmp_path / "other.safetensors"
    path.write_bytes(safetensors.torch.save(tensors, metadata))
    with pytest.raises(InputError, match=rf"other\.safetensors: {message}"):
        classifier.load(path)


def test_a_classifier_with_a_missing_number_is_refused(tmp_path, shipped):
    tensors = {name: tensor.clone() for name, tensor in shipped[0].state_dict().items()}
    tensors["head.bias"][0] = float("nan")
    path = tmp_path / "other.safetensors"
    path.write_bytes(safetensors.torch.save(tensors, {"faces": json.dumps({})}))
    with pytest.raises(InputError, match="head.bias: found NaN or infinity"):
        classifier.load(path)


def test_images_of_another_size_are_refused():
    with pytest.raises(InputError, match="found 3 x 32 x 32 images, expected 3 x 64 x 64"):
        classifier.FaceNetwork().read(torch.zeros(1, 3, 32, 32))
