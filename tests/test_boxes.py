"""Boxes: what is read is what was drawn, and whatever is wrong is one line with file and entry."""

from __future__ import annotations

import copy
import json
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan_probe import json_values
from dcgan_probe.boxes import Box, Boxes, sample_name
from dcgan_probe.errors import InputError

SHA256 = "1a2b3c4d" + "0123456789abcdef" * 3 + "01234567"

# One window on sample 17, another on sample 4; sample 9 was looked at and has none.
WINDOWS = (Box(4, "window", 0, 40, 8, 64), Box(17, "window", 10, 8, 30.5, 25))

OWN = {
    "format": "dcgan-probe/boxes/1",
    "checkpoint": SHA256,
    "seed": 3,
    "images": [4, 9, 17],
    "image_size": [64, 64],
    "note": "",
    "boxes": [
        {"image": 17, "label": "window", "x0": 10, "y0": 8, "x1": 30.5, "y1": 25},
        {"image": 4, "label": "window", "x0": 0, "y0": 40, "x1": 8, "y1": 64},
    ],
}

COCO = {
    "licenses": [{"name": "", "id": 0, "url": ""}],
    "info": {"contributor": "", "date_created": "", "version": "", "year": ""},
    "categories": [
        {"id": 1, "name": "window", "supercategory": ""},
        {"id": 2, "name": "door", "supercategory": ""},
    ],
    "images": [
        {"id": 1, "width": 64, "height": 64, "file_name": "1a2b3c4d_seed3_0004.png"},
        {"id": 2, "width": 64, "height": 64, "file_name": "1a2b3c4d_seed3_0009.png"},
        {"id": 3, "width": 64, "height": 64, "file_name": "some/where/1a2b3c4d_seed3_0017.png"},
    ],
    "annotations": [
        {
            "id": 11,
            "image_id": 3,
            "category_id": 1,
            "segmentation": [],
            "area": 348.5,
            "bbox": [10.0, 8.0, 20.5, 17.0],
            "iscrowd": 0,
            "attributes": {"occluded": False, "rotation": 0.0},
        },
        {
            "id": 12,
            "image_id": 1,
            "category_id": 1,
            "segmentation": [[0, 40, 8, 40, 8, 64, 0, 64]],
            "area": 192.0,
            "bbox": [0, 40, 8, 24],
            "iscrowd": 1,
        },
    ],
}

LABELME = {
    "1a2b3c4d_seed3_0004.json": {
        "version": "5.5.0",
        "flags": {},
        "shapes": [
            {
                "label": "window",
                "points": [[8.0, 40.0], [0.0, 64.0]],  # drawn from the top right corner
                "group_id": None,
                "description": "",
                "shape_type": "rectangle",
                "flags": {},
                "mask": None,
            }
        ],
        "imagePath": "..\\samples\\1a2b3c4d_seed3_0004.png",
        "imageData": "iVBORw0KGgo=",
        "imageHeight": 64,
        "imageWidth": 64,
    },
    "1a2b3c4d_seed3_0009.json": {
        "version": "5.5.0",
        "flags": {},
        "shapes": [],
        "imagePath": "1a2b3c4d_seed3_0009.png",
        "imageData": None,
        "imageHeight": 64,
        "imageWidth": 64,
    },
    "1a2b3c4d_seed3_0017.json": {
        "version": "5.5.0",
        "flags": {},
        "shapes": [
            {
                "label": "window",
                "points": [[30.5, 25.0], [10.0, 8.0]],  # from the bottom right corner
                "group_id": None,
                "shape_type": "rectangle",
                "flags": {},
            }
        ],
        "imagePath": "1a2b3c4d_seed3_0017.png",
        "imageData": None,
        "imageHeight": 64,
        "imageWidth": 64,
    },
}


def _region(x: float, y: float, width: float, height: float) -> dict:
    return {
        "original_width": 64,
        "original_height": 64,
        "image_rotation": 0,
        "value": {
            "x": x,
            "y": y,
            "width": width,
            "height": height,
            "rotation": 0,
            "rectanglelabels": ["window"],
        },
        "id": "Dx_aB91ISN",
        "from_name": "label",
        "to_name": "image",
        "type": "rectanglelabels",
        "origin": "manual",
    }


def _task(identity: int, image: str, annotations: list[dict]) -> dict:
    return {
        "id": identity,
        "annotations": annotations,
        "file_upload": image,
        "drafts": [],
        "predictions": [{"result": [_region(0, 0, 100, 100)]}],
        "data": {"image": f"/data/upload/1/{image}"},
        "meta": {},
        "project": 1,
    }


def _annotation(*results: dict, cancelled: bool = False) -> dict:
    return {"id": 5, "completed_by": 1, "result": list(results), "was_cancelled": cancelled}


CHOICE = {
    "value": {"choices": ["good"]},
    "id": "a",
    "from_name": "quality",
    "to_name": "image",
    "type": "choices",
}

LABEL_STUDIO = [
    _task(
        1,
        "1f2e3d4c-1a2b3c4d_seed3_0004.png",
        [
            _annotation(_region(50, 50, 50, 50), cancelled=True),
            _annotation(CHOICE, _region(-2e-16, 62.5, 12.5, 37.5)),
        ],
    ),
    _task(2, "0a0b0c0d-1a2b3c4d_seed3_0009.png", [_annotation()]),
    _task(
        3,
        "1f2e3d4c-1a2b3c4d_seed3_0017.png",
        [_annotation(_region(15.625, 12.5, 32.03125, 26.5625))],
    ),
    _task(4, "1f2e3d4c-1a2b3c4d_seed3_0020.png", []),
    _task(5, "1f2e3d4c-1a2b3c4d_seed3_0021.png", [_annotation(cancelled=True)]),
]


def _via_image(name: str, *regions: dict) -> dict:
    return {"filename": name, "size": 7176, "regions": list(regions), "file_attributes": {}}


def _via_region(x: float, y: float, width: float, height: float, **attributes: object) -> dict:
    return {
        "shape_attributes": {"name": "rect", "x": x, "y": y, "width": width, "height": height},
        "region_attributes": attributes,
    }


VIA_IMAGES = {
    "1a2b3c4d_seed3_0004.png7176": _via_image(
        "1a2b3c4d_seed3_0004.png", _via_region(0, 40, 8, 24, object="window")
    ),
    "1a2b3c4d_seed3_0009.png7176": _via_image("1a2b3c4d_seed3_0009.png"),
    "1a2b3c4d_seed3_0017.png7176": _via_image(
        "1a2b3c4d_seed3_0017.png", _via_region(10, 8, 20.5, 17, kind={"window": True})
    ),
}

VIA_PROJECT = {
    "_via_settings": {"ui": {}, "core": {}, "project": {"name": "windows"}},
    "_via_img_metadata": VIA_IMAGES,
    "_via_attributes": {"region": {"object": {"type": "text"}}, "file": {}},
    "_via_data_format_version": "2.0.10",
    "_via_image_id_list": list(VIA_IMAGES),
}

VIA_1 = {
    name: {
        "fileref": "",
        "size": image["size"],
        "filename": image["filename"],
        "base64_img_data": "",
        "file_attributes": {},
        "regions": {str(i): region for i, region in enumerate(image["regions"])},
    }
    for name, image in VIA_IMAGES.items()
}


def put(path: Path, data: object) -> Path:
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def changed(data, *path, to=None):
    """A copy of JSON data with one place in it set to something else."""
    data = copy.deepcopy(data)
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    return data


def without(data, *path):
    """A copy of JSON data with one key or element taken away."""
    data = copy.deepcopy(data)
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return data


def refusal(path: Path, **options) -> str:
    """The one line with which a file is refused; its name must be in it."""
    with pytest.raises(InputError) as caught:
        Boxes.read(path, **options)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 600
    return message


# Reading


@pytest.mark.parametrize(
    "data",
    [OWN, COCO, LABEL_STUDIO, VIA_PROJECT, VIA_IMAGES, VIA_1],
    ids=["own", "coco", "label-studio", "via-project", "via-annotations", "via-1"],
)
def test_every_format_reads_as_the_same_boxes(tmp_path, data):
    boxes = Boxes.read(put(tmp_path / "boxes.json", data), image_size=(64, 64))
    assert boxes.boxes == WINDOWS
    assert boxes.images == (4, 9, 17)
    assert boxes.n == 18
    assert boxes.image_size == (64, 64)
    assert boxes.seed == 3
    assert boxes.latents is None
    assert boxes.checkpoint in (SHA256, SHA256[:8])
    assert boxes.labels == ("window",)


def test_labelme_reads_a_folder_or_a_file(tmp_path):
    for name, data in LABELME.items():
        put(tmp_path / name, data)
    (tmp_path / "1a2b3c4d_seed3_0004.png").write_bytes(b"not looked at")
    boxes = Boxes.read(tmp_path)
    assert boxes.boxes == WINDOWS
    assert boxes.images == (4, 9, 17)
    assert (boxes.checkpoint, boxes.seed, boxes.image_size) == ("1a2b3c4d", 3, (64, 64))

    one = Boxes.read(tmp_path / "1a2b3c4d_seed3_0017.json")
    assert one.boxes == WINDOWS[1:]
    assert one.images == (17,)


def test_n_says_that_all_samples_were_looked_at(tmp_path):
    data = without(OWN, "images") | {"n": 20}
    assert Boxes.read(put(tmp_path / "boxes.json", data)).images == tuple(range(20))


def test_latents_are_found_beside_the_boxes(tmp_path):
    data = without(OWN, "seed") | {"latents": "z.npy"}
    boxes = Boxes.read(put(tmp_path / "boxes.json", data))
    assert (boxes.seed, boxes.latents) == (None, "z.npy")
    assert boxes.latents_path == tmp_path / "z.npy"
    assert Boxes.read(put(tmp_path / "boxes.json", OWN)).latents_path is None


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path):
    path = tmp_path / "boxes.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(OWN).encode())
    assert Boxes.read(path).boxes == WINDOWS


def test_label_keeps_only_its_boxes_and_all_images(tmp_path):
    path = put(tmp_path / "coco.json", changed(COCO, "annotations", 1, "category_id", to=2))
    assert Boxes.read(path).labels == ("door", "window")
    windows = Boxes.read(path, label="window")
    assert windows.boxes == WINDOWS[1:]
    assert windows.images == (4, 9, 17)


def test_a_box_or_an_image_that_is_there_twice_counts_once(tmp_path):
    twice = OWN | {"boxes": OWN["boxes"] * 2}
    assert Boxes.read(put(tmp_path / "boxes.json", twice)).boxes == WINDOWS
    again = COCO["images"][0] | {"id": 99}
    coco = COCO | {"images": [*COCO["images"], again]}
    assert Boxes.read(put(tmp_path / "coco.json", coco)).images == (4, 9, 17)


def test_boxes_of_all_label_studio_annotators_count(tmp_path):
    annotations = [_annotation(_region(0, 0, 50, 50)), _annotation(_region(50, 50, 50, 50))]
    task = _task(1, "1f2e3d4c-1a2b3c4d_seed3_0004.png", annotations)
    boxes = Boxes.read(put(tmp_path / "export.json", [task]))
    assert boxes.boxes == (Box(4, "window", 0, 0, 32, 32), Box(4, "window", 32, 32, 64, 64))


@pytest.mark.parametrize(
    "image",
    [
        "1a2b3c4d_seed3_0004.png",
        "/data/local-files/?d=rooms/1a2b3c4d_seed3_0004.png",
        "/data/local-files/?d=rooms%2F1a2b3c4d_seed3_0004.png",
        "s3://bucket/rooms/1a2b3c4d_seed3_0004.png",
        "https://example.org/1a2b3c4d_seed3_0004.png?X-Amz-Expires=60",
        "/data/upload/1/1f2e3d4c-1a2b3c4d_seed3_0004.png",
    ],
)
def test_label_studio_names_images_by_path_or_address(tmp_path, image):
    data = changed(LABEL_STUDIO[:1], 0, "data", "image", to=image)
    assert Boxes.read(put(tmp_path / "export.json", data)).images == (4,)


def test_all_attributes_of_a_via_region_are_labels(tmp_path):
    kind = {"window": True, "big": True, "dark": False}
    region = _via_region(1, 2, 3, 4, name="Plato", note="", kind=kind)
    image = {"x": _via_image("1a2b3c4d_seed3_0004.png", region)}
    boxes = Boxes.read(put(tmp_path / "via.json", image), image_size=(64, 64))
    assert boxes.labels == ("Plato", "big", "window")
    assert boxes.only("window").boxes == (Box(4, "window", 1, 2, 4, 6),)


def test_an_edge_that_a_tool_rounded_out_of_the_image_is_its_side(tmp_path):
    # CVAT rounds to hundredths of a pixel, VIA to whole ones, each corner and size apart.
    coco = changed(COCO, "annotations", 1, "bbox", to=[-0.01, 10.67, 20, 53.34])
    assert Boxes.read(put(tmp_path / "coco.json", coco)).boxes[0] == Box(
        4, "window", 0, 10.67, 19.99, 64
    )
    via = changed(
        VIA_IMAGES, "1a2b3c4d_seed3_0009.png7176", "regions", to=[_via_region(1, 1, 64, 9, a="b")]
    )
    boxes = Boxes.read(put(tmp_path / "via.json", via), image_size=(64, 64))
    assert boxes.only("b").boxes == (Box(9, "b", 1, 1, 64, 10),)


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
    origin = draw(st.sampled_from([{"seed": 2**63 - 1}, {"seed": 0}, {"latents": "a/z.npy"}]))
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
    seed=st.integers(0, 2**63 - 1),
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


def _coco_annotation(**changes):
    return changed(COCO, "annotations", 1, to=COCO["annotations"][1] | changes)


def _coco_image(**changes):
    return changed(COCO, "images", 1, to=COCO["images"][1] | changes)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            _coco_annotation(bbox=[0, 40, float("nan"), 9]),
            "annotations[1] (id 12).bbox[2]: found NaN",
        ),
        (
            _coco_annotation(bbox=[0, 40, 8, 24, 45]),
            "annotations[1] (id 12).bbox: found a list of 5",
        ),
        (_coco_annotation(bbox=[]), "annotations[1] (id 12).bbox: found a list of 0"),
        (
            _coco_annotation(bbox=[0, 40, 8, 25]),
            "annotations[1] (id 12).y1: found 65.0, expected at",
        ),
        (_coco_annotation(bbox=[9, 40, -3, 9]), "annotations[1] (id 12): found x0 = 9.0, x1 = 6.0"),
        (_coco_annotation(bbox=[1e308, 0, 1e308, 1]), "annotations[1] (id 12).x1: found Infinity"),
        (
            _coco_annotation(attributes={"rotation": 30.5}),
            "annotations[1] (id 12).attributes.rotation: found 30.5, expected 0: a box with ",
        ),
        (_coco_annotation(image_id=7), "annotations[1] (id 12).image_id: found 7, expected the id"),
        (_coco_annotation(image_id="1"), 'annotations[1] (id 12).image_id: found "1", expected a'),
        (
            _coco_annotation(category_id=5),
            "annotations[1] (id 12): unknown category_id '5', expected one of: 1, 2",
        ),
        (without(COCO, "annotations", 1, "bbox"), 'annotations[1] (id 12): found no "bbox"'),
        (without(COCO, "categories"), 'found no "categories"'),
        (_coco_image(width=32), "images[1] (id 2): found image size 32x64, expected 64x64"),
        (_coco_image(width="64"), 'images[1] (id 2).width: found "64", expected a whole number'),
        (
            _coco_image(id=1),
            "images[1] (id 1).id: found 1, expected an id that no image before has",
        ),
        (
            _coco_image(file_name="IMG_0017.png"),
            'images[1] (id 2): found an image named "IMG_0017.png", expected the name of a sample,',
        ),
        (
            _coco_image(file_name="1a2b3c4d_seed3_0009.jpg"),
            "images[1] (id 2): found an image named",
        ),
        (
            _coco_image(file_name="x1a2b3c4d_seed3_0009.png"),
            "images[1] (id 2): found an image named",
        ),
        (
            _coco_image(file_name="1a2b3c4d_seed4_0009.png"),
            "images[1] (id 2): found a sample of checkpoint 1a2b3c4d and seed 4, "
            "expected 1a2b3c4d and 3",
        ),
        (
            _coco_image(file_name="ffffffff_seed3_0009.png"),
            "images[1] (id 2): found a sample of checkpoint ffffffff and seed 3, "
            "expected 1a2b3c4d and 3",
        ),
        (COCO | {"images": [], "annotations": []}, "found no annotated images"),
    ],
)
def test_coco_refuses(tmp_path, data, message):
    assert f"coco.json: {message}" in refusal(put(tmp_path / "coco.json", data))


@pytest.mark.parametrize(
    ("place", "to", "message"),
    [
        (
            ("shapes", 0, "shape_type"),
            "polygon",
            'shapes[0].shape_type: found "polygon", expected "r',
        ),
        (
            ("shapes", 0, "shape_type"),
            "rotation",
            'shapes[0].shape_type: found "rotation", expected',
        ),
        (("shapes", 0, "points"), [[0, 0]], "shapes[0].points: found a list of 1, expected two"),
        (
            ("shapes", 0, "points"),
            [[0, 0], [1]],
            "shapes[0].points: found a list of 2, expected two",
        ),
        (
            ("shapes", 0, "points", 1, 0),
            "8",
            'shapes[0].points[1][0]: found "8", expected a number',
        ),
        (("shapes", 0, "points", 1, 0), 99, "shapes[0].x1: found 99.0, expected at least 0"),
        (("shapes", 0, "points", 1, 0), 30.5, "shapes[0]: found x0 = 30.5, x1 = 30.5"),
        (("shapes", 0, "label"), None, "shapes[0].label: found null, expected text"),
        (("imagePath",), "room.jpg", 'found an image named "room.jpg", expected the name'),
        (("imageWidth",), None, "imageWidth: found null, expected a whole number"),
    ],
)
def test_labelme_refuses(tmp_path, place, to, message):
    data = changed(LABELME["1a2b3c4d_seed3_0017.json"], *place, to=to)
    assert f"labelme.json: {message}" in refusal(put(tmp_path / "labelme.json", data))


def test_labelme_folder_names_the_file_that_is_wrong(tmp_path):
    for name, data in LABELME.items():
        put(tmp_path / name, data)
    name = "1a2b3c4d_seed3_0009.json"
    put(tmp_path / name, changed(LABELME[name], "imageHeight", to=32))
    assert f"{name}: found image size 64x32, expected 64x64" in refusal(tmp_path)
    put(tmp_path / name, OWN)
    assert f"{name}: found an object with keys" in refusal(tmp_path)


def test_a_folder_without_labelme_files_is_refused(tmp_path):
    assert "expected a folder of labelme files" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("place", "to", "message"),
    [
        (("value", "rotation"), 45, "value.rotation: found 45, expected 0"),
        (("image_rotation",), 90, "image_rotation: found 90, expected 0"),
        (("type",), "polygonlabels", 'type: found "polygonlabels", expected "rectanglelabels"'),
        (("type",), "brushlabels", 'type: found "brushlabels", expected "rectanglelabels"'),
        (("value", "x"), "15", 'value.x: found "15", expected a number'),
        (("value", "width"), 90, "found 67.6, expected at least 0 and at most 64"),
        (("value", "rectanglelabels"), [], "value.rectanglelabels: found a list of 0"),
        (("original_width",), 1.5, "original_width: found 1.5, expected a whole number"),
    ],
)
def test_label_studio_refuses(tmp_path, place, to, message):
    data = changed(LABEL_STUDIO, 2, "annotations", 0, "result", 0, *place, to=to)
    found = refusal(put(tmp_path / "export.json", data))
    assert 'export.json: tasks[2] (id 3).annotations[0].result[0] (id "Dx_aB91ISN")' in found
    assert message in found


def test_label_studio_regions_of_other_sizes_are_refused(tmp_path):
    data = changed(LABEL_STUDIO, 2, "annotations", 0, "result", 0, "original_width", to=128)
    found = refusal(put(tmp_path / "export.json", data))
    assert "tasks[2] (id 3).annotations[0].result[0]" in found
    assert "found image size 128x64, expected 64x64" in found


@pytest.mark.parametrize(
    ("place", "to", "message"),
    [
        (("shape_attributes", "name"), "polygon", 'name: found "polygon", expected "rect"'),
        (("shape_attributes", "x"), "10", 'x: found "10", expected a number'),
        (("shape_attributes", "width"), 56, ".x1: found 66.0, expected at least 0 and at most 64"),
        (("shape_attributes",), {"name": "rect"}, 'shape_attributes: found no "x"'),
        (("region_attributes",), {}, "region_attributes: found an empty object, expected at least"),
        (("region_attributes", "kind"), 3, 'region_attributes["kind"]: found 3, expected text'),
    ],
)
def test_via_refuses(tmp_path, place, to, message):
    name = "1a2b3c4d_seed3_0017.png7176"
    data = changed(VIA_PROJECT, "_via_img_metadata", name, "regions", 0, *place, to=to)
    found = refusal(put(tmp_path / "via.json", data), image_size=(64, 64))
    assert f'via.json: _via_img_metadata["{name}"].regions[0]' in found
    assert message in found


def test_via_needs_the_image_size(tmp_path):
    path = put(tmp_path / "via.json", VIA_PROJECT)
    assert "expected image_size to be given" in refusal(path)


@pytest.mark.parametrize("data", [OWN, COCO, LABEL_STUDIO], ids=["own", "coco", "label-studio"])
def test_samples_of_another_size_are_refused(tmp_path, data):
    path = put(tmp_path / "boxes.json", data)
    assert "found image size 64x64, expected 32x64" in refusal(path, image_size=(32, 64))


def test_a_label_that_is_not_there_lists_those_that_are(tmp_path):
    path = put(tmp_path / "boxes.json", changed(OWN, "boxes", 1, "label", to="door"))
    assert refusal(path, label="lamp").endswith(
        "unknown label 'lamp', expected one of: door, window"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found an empty file"),
        (" \n\t", "found an empty file"),
        ("<!DOCTYPE html>\n<html>", "found HTML or XML, expected JSON"),
        ('{"boxes": [\n {"x0": 1', "line 2, column 10: found broken or cut-off JSON"),
        ("image,label,x0,y0,x1,y1\n", "line 1, column 1: found broken or cut-off JSON"),
        ("{'boxes': []}", "line 1, column 2: found broken or cut-off JSON"),
        ("[" * 200_000, "found JSON nested too deeply"),
        ("[" + "1" * 5000 + "]", "found a number of endless digits"),
        ("[]", "found a list of 0, expected one of the formats dcgan-probe/boxes/1, COCO, labelme"),
        ("{}", "found an empty object, expected one of the formats"),
        ("null", "found null, expected one of the formats"),
        ('{"rooms": 1}', 'found an object with keys "rooms", expected one of the formats'),
        ('[{"image": "a.png", "label": []}]', "found a list of 1, expected one of the formats"),
    ],
)
def test_a_file_that_is_no_boxes_is_refused(tmp_path, text, message):
    assert message in refusal(put(tmp_path / "boxes.json", text))


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, len(json.dumps(COCO)) - 1))
def test_a_file_cut_anywhere_is_refused(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("cut") / "coco.json"
    refusal(put(path, json.dumps(COCO)[:cut]))


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


def places(data, path=()):
    """The path to every value in JSON data."""
    keys = data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    for key in keys:
        yield (*path, key)
        yield from places(data[key], (*path, key))


@pytest.mark.parametrize(
    "data",
    [OWN, COCO, LABEL_STUDIO, VIA_PROJECT, LABELME["1a2b3c4d_seed3_0017.json"]],
    ids=["own", "coco", "label-studio", "via", "labelme"],
)
@settings(max_examples=80, deadline=None)
@given(draw=st.data())
def test_junk_anywhere_is_read_or_refused_in_one_line(tmp_path_factory, data, draw):
    place = draw.draw(st.sampled_from(list(places(data))))
    path = tmp_path_factory.mktemp("junk") / "boxes.json"
    put(path, changed(data, *place, to=draw.draw(junk)))
    try:
        Boxes.read(path, image_size=(64, 64))
    except InputError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)


def test_files_that_cannot_be_text_are_refused(tmp_path):
    path = tmp_path / "boxes.json"
    assert "found no such file" in refusal(path)
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    assert "byte 0: found bytes that are not UTF-8 text" in refusal(path)
    assert "cannot be read" in refusal(tmp_path / ("a" * 300))
    assert "found no regular file" in refusal(Path("/dev/null"))


def test_a_file_too_large_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "boxes.json"
    with open(path, "wb") as file:
        file.truncate(json_values.MAX_BYTES + 1)
    assert "found 100000001 bytes, expected at most 100000000" in refusal(path)


def test_boxes_from_a_script_are_checked_too():
    wrong = Box(0, "window", 0, 0, float("nan"), 8)
    with pytest.raises(InputError, match=re.escape("boxes: boxes[1].x1: found NaN")):
        Boxes((Box(0, "window", 0, 0, 8, 8), wrong), (0,), (64, 64), seed=0)
    with pytest.raises(InputError, match="found neither of seed and latents"):
        Boxes((), (0,), (64, 64))
    with pytest.raises(InputError, match="^image_size: found a list of 1"):
        Boxes.read("boxes.json", image_size=(64,))  # type: ignore[arg-type]
