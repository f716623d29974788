"""Boxes: what is written is read again, their masks, and what is refused of them and their file."""

from __future__ import annotations

import json
import re
from fractions import Fraction

import numpy as np
import pytest
from box_files import COCO, OWN, SHA256, WINDOWS, changed, put, refusal, without
from hypothesis import given, settings
from hypothesis import strategies as st

import dcgan_probe as dp
from dcgan_probe.boxes.boxes import Box, Boxes, sample_name
from dcgan_probe.errors import InputError

# Writing

edges = st.tuples(
    st.floats(0, 64, allow_nan=False) | st.integers(0, 64), st.floats(0, 64) | st.integers(0, 64)
).filter(lambda pair: pair[0] != pair[1])
texts = st.text(min_size=1).filter(lambda text: text.strip() and text.isprintable())


@st.composite
def box_sets(draw, edges=edges):
    images = draw(st.sets(st.integers(0, 30), min_size=1, max_size=5))
    several = st.tuples(st.sampled_from(sorted(images)), texts, edges, edges)
    drawn = draw(st.lists(several, max_size=5))
    origin = draw(st.sampled_from([{"seed": 2**32 - 1}, {"seed": 0}, {"latents": "a/z.npy"}]))
    return Boxes(
        tuple(Box(image, label, min(x), min(y), max(x), max(y)) for image, label, x, y in drawn),
        images=tuple(images),
        image_size=(64, 64),
        checkpoint=draw(st.sampled_from([None, SHA256, SHA256[:8]])),
        note=draw(st.text()),
        **origin,
    )


@settings(max_examples=60, deadline=None)
@given(boxes=box_sets())
def test_what_is_written_is_read_again(tmp_path_factory, boxes):
    path = tmp_path_factory.mktemp("boxes") / "boxes.json"
    boxes.write(path)
    again = Boxes.read(path)
    assert again == boxes
    assert again.source == str(path)
    first = path.read_bytes()
    again.write(path)
    assert path.read_bytes() == first


def test_written_form(tmp_path):
    path = tmp_path / "boxes.json"
    Boxes(WINDOWS[::-1] + WINDOWS, tuple(range(18)), (64, 64), seed=3, checkpoint=SHA256).write(
        path
    )
    assert path.read_text() == (
        "{\n"
        ' "format": "dcgan-probe/boxes/1",\n'
        f' "checkpoint": "{SHA256}",\n'
        ' "seed": 3,\n'
        ' "n": 18,\n'
        ' "image_size": [64, 64],\n'
        ' "note": "",\n'
        ' "boxes": [\n'
        '  {"image": 4, "label": "window", "x0": 0, "y0": 40, "x1": 8, "y1": 64},\n'
        '  {"image": 17, "label": "window", "x0": 10, "y0": 8, "x1": 30.5, "y1": 25}\n'
        " ]\n"
        "}\n"
    )


def test_numbers_of_numpy_are_numbers(tmp_path):
    box = Box(np.int64(1), "window", np.float32(0.5), np.float64(1), np.int32(2), 3)
    boxes = Boxes((box,), (0, np.int64(1)), (64, 64), seed=np.int64(7))
    boxes.write(tmp_path / "boxes.json")
    assert Boxes.read(tmp_path / "boxes.json") == boxes
    assert boxes.boxes == (Box(1, "window", 0.5, 1, 2, 3),)


def test_boxes_of_another_tool_convert_to_our_own(tmp_path):
    drawn = Boxes.read(put(tmp_path / "coco.json", COCO))
    drawn.write(tmp_path / "own.json")
    assert Boxes.read(tmp_path / "own.json") == drawn


# Sample names


@given(
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    seed=st.integers(0, 2**32 - 1),
    index=st.integers(0, 999_999),
)
def test_a_sample_name_tells_the_sample(tmp_path_factory, sha256, seed, index):
    name = sample_name(sha256, seed, index)
    path = tmp_path_factory.mktemp("names") / "labelme.json"
    data = {"shapes": [], "imagePath": name, "imageWidth": 64, "imageHeight": 64}
    boxes = Boxes.read(put(path, data))
    assert (boxes.checkpoint, boxes.seed, boxes.images) == (sha256[:8], seed, (index,))


def test_sample_name():
    assert sample_name(SHA256, 3, 17) == "1a2b3c4d_seed3_0017.png"
    assert sample_name(SHA256, 0, 123456) == "1a2b3c4d_seed0_123456.png"


# The mask


def test_mask_by_hand():
    boxes = Boxes((Box(7, "window", 16, 0, 48, 24),), (2, 7), (64, 32), seed=0)
    mask = boxes.mask((4, 4))
    assert mask.dtype == bool
    assert mask.astype(int).tolist() == [
        [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
        [[0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]],
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [((0, 0, 24, 64), (24, 0, 64, 64)), ((0, 0, 64, 24), (0, 24, 64, 64))],
    ids=["side by side", "one above the other"],
)
def test_boxes_that_touch_share_no_cell(first, second):
    # The edge at 24 goes through the centres of the second row or column of 16-pixel cells.
    one, other = (
        Boxes((Box(0, "window", *edges),), (0,), (64, 64), seed=0).mask((4, 4))
        for edges in (first, second)
    )
    assert one.sum() == 4
    assert (one ^ other).all()


quarters = st.integers(0, 256).map(lambda i: i / 4)
quarter_edges = st.tuples(quarters, quarters).filter(lambda pair: pair[0] != pair[1])


def slow_mask(boxes: Boxes, rows: int, columns: int) -> list:
    """The mask in exact arithmetic, a cell at a time."""

    def inside(image: int, i: int, j: int) -> bool:
        x = Fraction(2 * j + 1, 2 * columns) * boxes.image_size[0]
        y = Fraction(2 * i + 1, 2 * rows) * boxes.image_size[1]
        return any(
            box.x0 <= x < box.x1 and box.y0 <= y < box.y1
            for box in boxes.boxes
            if box.image == image
        )

    return [
        [[inside(image, i, j) for j in range(columns)] for i in range(rows)]
        for image in boxes.images
    ]


@settings(max_examples=60, deadline=None)
@given(boxes=box_sets(quarter_edges), rows=st.integers(1, 9), columns=st.integers(1, 9))
def test_mask_against_a_slow_one(boxes, rows, columns):
    mask = boxes.mask((rows, columns))
    assert mask.shape == (len(boxes.images), rows, columns)
    assert mask.tolist() == slow_mask(boxes, rows, columns)


# Belonging to a checkpoint


def test_check_knows_the_checkpoint_by_all_its_hash_or_the_first_8():
    for checkpoint in (SHA256, SHA256[:8], None):
        Boxes(WINDOWS, (4, 17), (64, 64), seed=3, checkpoint=checkpoint).check(SHA256, n=18)


@pytest.mark.parametrize("checkpoint", [SHA256, SHA256[:8]])
def test_boxes_on_samples_of_another_checkpoint_are_refused(checkpoint):
    boxes = Boxes((), (0,), (64, 64), seed=3, checkpoint=checkpoint, source="windows.json")
    with pytest.raises(InputError, match="^windows.json: .*1a2b3c4d.*ffffffff$"):
        boxes.check("f" * 64)


def test_check_refuses_images_beyond_the_latents():
    boxes = Boxes(WINDOWS, (4, 17), (64, 64), seed=3, source="windows.json")
    with pytest.raises(InputError, match="^windows.json: found image 17, expected .* below 17$"):
        boxes.check(SHA256, n=17)


# What is refused


@pytest.mark.parametrize(
    ("place", "to", "message"),
    [
        (("boxes", 1, "x1"), "NaN", "boxes[1].x1: found NaN, expected a finite number"),
        (("boxes", 1, "x1"), "Infinity", "boxes[1].x1: found Infinity, expected a finite"),
        (("boxes", 1, "x0"), "-Infinity", "boxes[1].x0: found -Infinity, expected a finite"),
        (("boxes", 1, "x1"), "1e999", "boxes[1].x1: found Infinity, expected a finite"),
        (("boxes", 1, "x1"), "1" + 400 * "0", "boxes[1].x1: found 1000000"),
        (("boxes", 1, "x1"), '"8"', 'boxes[1].x1: found "8", expected a number'),
        (("boxes", 1, "x1"), "true", "boxes[1].x1: found true, expected a number"),
        (("boxes", 1, "x1"), "null", "boxes[1].x1: found null, expected a number"),
        (("boxes", 1, "x1"), "[8]", "boxes[1].x1: found a list of 1, expected a number"),
        (("boxes", 1, "x0"), "9", "boxes[1]: found x0 = 9.0, x1 = 8.0, expected x0 < x1"),
        (("boxes", 1, "y1"), "40", "boxes[1]: found y0 = 40.0, y1 = 40.0, expected y0 < y1"),
        (("boxes", 1, "x0"), "-0.1", "boxes[1].x0: found -0.1, expected at least 0 and at most 64"),
        (("boxes", 1, "y1"), "64.5", "boxes[1].y1: found 64.5, expected at least 0 and at most 64"),
        (("boxes", 1, "image"), "5", "boxes[1].image: found 5, expected one of the 3 images"),
        (("boxes", 1, "image"), "18", "boxes[1].image: found 18, expected one of the 3 images"),
        (("boxes", 1, "image"), "-1", "boxes[1].image: found -1, expected a whole number from 0"),
        (("boxes", 1, "image"), "4.0", "boxes[1].image: found 4.0, expected a whole number"),
        (("boxes", 1, "image"), "false", "boxes[1].image: found false, expected a whole number"),
        (("boxes", 1, "label"), "7", "boxes[1].label: found 7, expected text"),
        (("boxes", 1, "label"), '" "', 'boxes[1].label: found " ", expected text'),
        (("boxes", 1, "label"), r'"a\u001b[31m"', "boxes[1].label: found "),
        (("boxes", 1, "label"), r'"\ud800"', "boxes[1].label: found "),
        (("boxes", 1), "[4, 0, 40, 8, 64]", "boxes[1]: found a list of 5, expected an object"),
        (("boxes",), "{}", "boxes: found an empty object, expected a list"),
        (("image_size",), "[64]", "image_size: found a list of 1, expected a list of width and"),
        (("image_size",), "[64, 0]", "image_size[1]: found 0, expected a whole number from 1"),
        (("image_size",), "64", "image_size: found 64, expected a list"),
        (("images",), "[]", "images: found a list of 0, expected at least one image"),
        (("images",), "[4, -9, 17]", "images[1]: found -9, expected a whole number"),
        (("images",), '"all"', 'images: found "all", expected a list'),
        (("seed",), "-1", "seed: found -1, expected a whole number from 0"),
        (("seed",), "true", "seed: found true, expected a whole number"),
        (("seed",), "1" + 30 * "0", "seed: found 1000000"),
        (("seed",), "null", "found neither of seed and latents, expected one of them"),
        (("checkpoint",), '"1a2b"', 'checkpoint: found "1a2b", expected 64 hexadecimal digits'),
        (("checkpoint",), "3", "checkpoint: found 3, expected text"),
        (("note",), "3", "note: found 3, expected text"),
        (
            ("format",),
            '"dcgan-probe/boxes/2"',
            'format: found "dcgan-probe/boxes/2", expected "dcga',
        ),
        (("format",), '"dcgan-probe/selection/1"', 'format: found "dcgan-probe/selection/1"'),
    ],
)
def test_own_format_refuses(tmp_path, place, to, message):
    # As text, since JSON proper cannot say NaN, nor Python write 1e999.
    text = json.dumps(changed(OWN, *place, to="<HERE>")).replace('"<HERE>"', to)
    found = refusal(put(tmp_path / "boxes.json", text))
    assert f"boxes.json: {message}" in found


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (without(OWN, "boxes", 1, "x1"), 'boxes[1]: found no "x1", expected it beside "image"'),
        (without(OWN, "boxes"), 'found no "boxes"'),
        (without(OWN, "checkpoint"), 'found no "checkpoint"'),
        (without(OWN, "image_size"), 'found no "image_size"'),
        (without(OWN, "images"), "found neither of n and images"),
        (without(OWN, "seed"), "found neither of seed and latents"),
        (OWN | {"n": 20}, "found both of n and images"),
        (OWN | {"latents": "z.npy"}, "found both of seed and latents"),
        (without(OWN, "images") | {"n": 17}, "boxes[0].image: found 17, expected one of the 17"),
        (without(OWN, "images") | {"n": 0}, "n: found 0, expected a whole number from 1"),
        (without(OWN, "images") | {"n": 10**12}, "n: found 1000000000000, expected a whole"),
        (without(OWN, "seed") | {"latents": ""}, 'latents: found "", expected text'),
    ],
)
def test_own_format_refuses_what_is_missing_or_too_much(tmp_path, data, message):
    assert f"boxes.json: {message}" in refusal(put(tmp_path / "boxes.json", data))


def test_boxes_from_a_script_are_checked_too():
    wrong = Box(0, "window", 0, 0, float("nan"), 8)
    with pytest.raises(InputError, match=re.escape("boxes: boxes[1].x1: found NaN")):
        Boxes((Box(0, "window", 0, 0, 8, 8), wrong), (0,), (64, 64), seed=0)
    with pytest.raises(InputError, match="found neither of seed and latents"):
        Boxes((), (0,), (64, 64))
    with pytest.raises(InputError, match="^image_size: found a list of 1"):
        Boxes.read("boxes.json", image_size=(64,))  # type: ignore[arg-type]


def test_boxes_of_masks_mark_each_connected_part():
    masks = np.zeros((3, 8, 12), bool)
    masks[0, 1:3, 2:5] = masks[0, 3:5, 5:7] = True  # these two touch at a corner only
    masks[2, 7, 11] = True
    boxes = dp.boxes.from_masks(masks, "dot", seed=4, checkpoint="0" * 64)
    edges = [(box.image, box.x0, box.y0, box.x1, box.y1) for box in boxes.boxes]
    assert edges == [(0, 2, 1, 5, 3), (0, 5, 3, 7, 5), (2, 11, 7, 12, 8)]
    assert (boxes.images, boxes.image_size, boxes.seed) == ((0, 1, 2), (12, 8), 4)
    assert (boxes.mask((8, 12)) == masks).all()
    assert len(dp.boxes.from_masks(masks, "dot", 4, least_area=5).boxes) == 1
    assert len(dp.boxes.from_masks(masks, "dot", 4, least_side=2).boxes) == 2
    with pytest.raises(dp.InputError, match="masks: found 8 x 12 bool, expected N x H x W bool"):
        dp.boxes.from_masks(masks[0], "dot", 4)
    with pytest.raises(dp.InputError, match="found 3 x 8 x 12 int64"):
        dp.boxes.from_masks(masks.astype(int), "dot", 4)
