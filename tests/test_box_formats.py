"""Boxes of every tool read as those that were drawn; what is wrong is one line, with the entry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from box_files import (
    COCO,
    LABEL_STUDIO,
    LABELME,
    OWN,
    SHA256,
    VIA_1,
    VIA_IMAGES,
    VIA_PROJECT,
    WINDOWS,
    changed,
    put,
    refusal,
    studio_annotation,
    studio_region,
    studio_task,
    via_image,
    via_region,
    without,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan_probe.boxes.boxes import Box, Boxes
from dcgan_probe.errors import InputError
from dcgan_probe.storage import json_values


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
    annotations = [
        studio_annotation(studio_region(0, 0, 50, 50)),
        studio_annotation(studio_region(50, 50, 50, 50)),
    ]
    task = studio_task(1, "1f2e3d4c-1a2b3c4d_seed3_0004.png", annotations)
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
    region = via_region(1, 2, 3, 4, name="Plato", note="", kind=kind)
    image = {"x": via_image("1a2b3c4d_seed3_0004.png", region)}
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
        VIA_IMAGES, "1a2b3c4d_seed3_0009.png7176", "regions", to=[via_region(1, 1, 64, 9, a="b")]
    )
    boxes = Boxes.read(put(tmp_path / "via.json", via), image_size=(64, 64))
    assert boxes.only("b").boxes == (Box(9, "b", 1, 1, 64, 10),)


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
