"""Boxes of every tool read as those that were drawn; what is wrong is one line, with the entry."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from box_files import (
    COCO,
    CVAT,
    LABEL_STUDIO,
    LABEL_STUDIO_MIN,
    LABELME,
    OWN,
    SHA256,
    VIA_1,
    VIA_CSV,
    VIA_IMAGES,
    VIA_PROJECT,
    VOC,
    WINDOWS,
    YOLO,
    changed,
    put,
    put_all,
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
    [OWN, COCO, LABEL_STUDIO, LABEL_STUDIO_MIN, VIA_PROJECT, VIA_IMAGES, VIA_1, VIA_CSV, CVAT],
    ids=["own", "coco", "label-studio", "json-min", "via-project", "via-annotations", "via-1"]
    + ["via-csv", "cvat"],
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


@pytest.mark.parametrize("files", [LABELME, VOC, YOLO], ids=["labelme", "voc", "yolo"])
def test_every_format_of_a_file_an_image_reads_as_the_same_boxes(tmp_path, files):
    boxes = Boxes.read(put_all(tmp_path, files), image_size=(64, 64))
    assert boxes.boxes == WINDOWS
    assert boxes.images == (4, 9, 17)
    assert (boxes.checkpoint, boxes.seed, boxes.image_size) == ("1a2b3c4d", 3, (64, 64))
    assert not boxes.notices


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
        (
            _coco_annotation(image_id="1"),
            'annotations[1] (id 12).image_id: found "1", expected the',
        ),
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
        (("region_attributes", "kind"), [], 'kind"]: found a list of 0, expected text'),
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
        (
            "<!DOCTYPE html>\n<html>",
            "found HTML, or XML with a document type, expected XML of annot",
        ),
        ('{"boxes": [\n {"x0": 1', "line 2, column 10: found broken or cut-off JSON"),
        (
            "image,label,x0,y0,x1,y1\n",
            'found text that begins with "image,label,x0,y0,x1,y1", expected one of the formats',
        ),
        ("<svg/>", "found XML of <svg>, expected one of the formats"),
        ("<annotation><size>", "found broken or cut-off XML"),
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


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            COCO | {"categories": [{"id": 1, "name": "window"}, {"id": 1, "name": "bed"}]},
            "categories[1] (id 1).id: found 1, expected an id that no category before has",
        ),
        (
            json.dumps(COCO)[:-1] + ', "annotations": []}',
            'found the key "annotations" twice in the object with keys "licenses", "info"',
        ),
        (
            json.dumps(OWN)[:-1] + ', "seed": 4}',
            'found the key "seed" twice in the object with keys "format", "checkpoint"',
        ),
    ],
)
def test_what_is_there_twice_is_refused(tmp_path, data, message):
    assert f"boxes.json: {message}" in refusal(put(tmp_path / "boxes.json", data))


@pytest.mark.parametrize(
    "twin", ["Window", " window", "window ", "win\u200bdow", "ｗｉｎｄｏｗ", "window\u00a0"]
)
def test_labels_that_look_alike_are_told_with_counts(tmp_path, capsys, twin):
    path = put(tmp_path / "boxes.json", changed(OWN, "boxes", 1, "label", to=twin))
    boxes = Boxes.read(path)
    assert boxes.labels == tuple(sorted({"window", twin}))  # still two: nobody is overruled
    said = capsys.readouterr().err
    assert said.startswith(f"{path}: labels ")
    assert '"window" (1 boxes)' in said
    assert "count as different objects" in said
    assert len(boxes.notices) == 1


def test_labels_that_differ_are_no_twins(tmp_path, capsys):
    Boxes.read(put(tmp_path / "boxes.json", changed(OWN, "boxes", 1, "label", to="windows")))
    assert capsys.readouterr().err == ""


OTHER = "1a2b3c4d_seed3_0005.png"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("1a2b3c4d_seed3_0005.json", LABELME["1a2b3c4d_seed3_0017.json"]),
        ("1a2b3c4d_seed3_0005.xml", VOC["1a2b3c4d_seed3_0017.xml"]),
        ("a.xml", VOC["1a2b3c4d_seed3_0017.xml"].replace("rooms/1a2b3c4d_seed3_0017.png", OTHER)),
        ("coco.json", _coco_image(extra={"name": OTHER})),
        ("tasks.json", changed(LABEL_STUDIO, 0, "file_upload", to=f"1f2e3d4c-{OTHER}")),
        ("tasks.json", changed(LABEL_STUDIO, 0, "data", "thumb", to=OTHER)),
        ("min.json", changed(LABEL_STUDIO_MIN, 0, "thumb", to=OTHER)),
        (
            "address.json",
            changed(LABEL_STUDIO, 0, "data", "image", to=f"/?a={OTHER}&b=1a2b3c4d_seed3_0006.png"),
        ),
        ("via.json", changed(VIA_IMAGES, "1a2b3c4d_seed3_0009.png7176", "filename", to=OTHER)),
    ],
)
def test_two_samples_that_a_file_names_for_one_image_are_refused(tmp_path, name, data):
    found = refusal(put(tmp_path / name, data), image_size=(64, 64))
    assert "found two samples it may be of" in found
    assert "expected one" in found


def test_augmented_copies_of_one_sample_are_refused(tmp_path):
    first, second = (
        {
            "id": i,
            "file_name": f"1a2b3c4d_seed3_0004_png.rf.{i}{31 * '0'}.jpg",
            "width": 64,
            "height": 64,
            "extra": {"name": "1a2b3c4d_seed3_0004.png"},
        }
        for i in (1, 2)
    )
    once = COCO | {"images": [first, *COCO["images"][1:]]}
    assert Boxes.read(put(tmp_path / "once.json", once)).boxes == WINDOWS
    twice = COCO | {"images": [first, second, COCO["images"][2]]}
    assert "found another augmented copy of sample 4" in refusal(put(tmp_path / "a.json", twice))


@pytest.mark.parametrize("start", range(4))
@pytest.mark.parametrize("step", [1, -1])
def test_four_corners_of_an_upright_rectangle_are_read(tmp_path, start, step):
    corners = [[10, 8], [30.5, 8], [30.5, 25], [10, 25]]
    points = [corners[(start + step * i) % 4] for i in range(4)]
    data = changed(LABELME["1a2b3c4d_seed3_0017.json"], "shapes", 0, "points", to=points)
    assert Boxes.read(put(tmp_path / "a.json", data)).boxes == WINDOWS[1:]
    for bad in ([[12, 8], *points[1:]], [*points[:2], points[3], points[2]]):
        path = put(tmp_path / "bad.json", changed(data, "shapes", 0, "points", to=bad))
        assert "shapes[0].points: found a list of 4, expected two opposite" in refusal(path)


@pytest.mark.parametrize("identity", ["a", "1", 2.0, -7, 0.5, 2**60 + 1])
def test_ids_of_any_kind_tell_images_and_categories_apart(tmp_path, identity):
    data = changed(COCO, "images", 0, "id", to=identity)
    data = changed(data, "annotations", 1, "image_id", to=identity)
    data = changed(data, "images", 1, "id", to=99)
    data = changed(data, "categories", 0, "id", to=identity)
    data = changed(data, "categories", 1, "id", to=98)
    for i in range(2):
        data = changed(data, "annotations", i, "category_id", to=identity)
    assert Boxes.read(put(tmp_path / "coco.json", data)).boxes == WINDOWS


def test_label_studio_without_the_size_of_images_takes_that_of_the_samples(tmp_path):
    data = LABEL_STUDIO
    for place in ((0, "annotations", 1, "result", 1), (2, "annotations", 0, "result", 0)):
        for key in ("original_width", "original_height"):
            data = without(data, *place, key)
    path = put(tmp_path / "tasks.json", data)
    assert Boxes.read(path, image_size=(64, 64)).boxes == WINDOWS
    assert "percents without original_width, expected image_size" in refusal(path)


def test_via_takes_numbers_for_labels_and_says_where_there_is_none(tmp_path, capsys):
    regions = [via_region(1, 1, 5, 5, kind=3), via_region(2, 2, 5, 5), via_region(3, 3, 5, 5, a="")]
    data = {"x": via_image("1a2b3c4d_seed3_0009.png", *regions)}
    boxes = Boxes.read(put(tmp_path / "via.json", data), image_size=(64, 64))
    assert [box.label for box in boxes.boxes] == ["3", "unlabelled", "unlabelled"]
    assert "2 of 3 boxes have no label, taken as 'unlabelled'" in capsys.readouterr().err


@pytest.mark.parametrize("label", ["پنجره\u200cها", "fenêtre\u00a0ouverte", "👩\u200d🎨"])
def test_labels_are_written_as_their_language_writes_them(tmp_path, label):
    data = changed(COCO, "categories", 0, "name", to=label)
    assert Boxes.read(put(tmp_path / "coco.json", data)).labels == (label,)


@pytest.mark.parametrize("label", ["\u202ewodniw", "win\x1b[2Jdow", "a\u2028b", "\u200b"])
def test_labels_that_would_steer_a_terminal_are_refused(tmp_path, label):
    data = changed(COCO, "categories", 0, "name", to=label)
    found = refusal(put(tmp_path / "coco.json", data))
    assert "categories[0] (id 1).name: found" in found
    assert "\x1b" not in found


def test_edges_less_than_half_a_pixel_out_are_clipped_and_counted(tmp_path, capsys):
    data = changed(COCO, "annotations", 1, "bbox", to=[-0.3, 40, 8.3, 24.4])
    boxes = Boxes.read(put(tmp_path / "coco.json", data))
    assert boxes.boxes[0] == Box(4, "window", 0, 40, 8, 64)
    assert "2 edges of 2 boxes were clipped" in capsys.readouterr().err
    out = changed(COCO, "annotations", 1, "bbox", to=[-0.6, 40, 8.6, 24])
    assert "x0: found -0.6, expected at least 0" in refusal(put(tmp_path / "out.json", out))


@pytest.mark.parametrize("layout", ["darknet", "ultralytics", "roboflow"])
def test_yolo_is_read_in_the_layouts_of_its_tools(tmp_path, layout):
    rows = {Path(name).name: row for name, row in YOLO.items() if name != "classes.txt"}
    if layout == "darknet":
        files = {"obj.names": "door\nwindow\n", "train.txt": "data/obj_train_data/a.png\n"}
        files |= {f"obj_train_data/{name}": row for name, row in rows.items()}
    elif layout == "ultralytics":
        files = {"data.yaml": "path: .\nnc: 2\nnames:\n  0: door\n  1: window\n"}
        files |= {f"labels/train/{name}": row for name, row in rows.items()}
    else:
        files = {"data.yaml": "nc: 2\nnames: ['door', 'window']\n", "README.roboflow.txt": "hello"}
        files |= {
            f"train/labels/{name[:-4]}_png.rf.{32 * 'a'}.txt": row for name, row in rows.items()
        }
    put_all(tmp_path, files)
    assert Boxes.read(tmp_path, image_size=(64, 64)).boxes == WINDOWS
    (one,) = tmp_path.rglob("*_0017*.txt")
    assert Boxes.read(one, image_size=(64, 64)).boxes == WINDOWS[1:]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("labels/1a2b3c4d_seed3_0004.txt", "2 0.5 0.5 0.1 0.1", "class: found 2, expected a whole"),
        ("labels/1a2b3c4d_seed3_0004.txt", "1 0 0 1 0 1 1 0 1", "line 1: found a list of 9"),
        ("labels/1a2b3c4d_seed3_0004.txt", "1 0.9 0.5 0.5 0.1", "x1: found 73.6, expected at"),
        ("labels/1a2b3c4d_seed3_0004.txt", "1 a 0.5 0.5 0.1", 'found "a", expected a number'),
        ("labels/1a2b3c4d_seed3_0004.txt", "1 nan 0.5 0.5 0.1", "expected a finite number"),
        ("labels/a.txt", "1 0.5 0.5 0.5 0.1", 'found an image named "a.png"'),
        (
            "a.json",
            LABELME["1a2b3c4d_seed3_0004.json"],
            "found 1 files of labelme, 3 files of YOLO",
        ),
        ("data.yaml", "names: [door, lamp]", "found other class names than in classes.txt"),
        ("classes.txt", "", "line 1: found"),
    ],
)
def test_yolo_refuses(tmp_path, name, text, message):
    put_all(tmp_path, YOLO | {name: text})
    assert message in refusal(tmp_path, image_size=(64, 64))


def test_yolo_without_names_or_size_is_refused(tmp_path):
    put_all(tmp_path, YOLO)
    assert "shares of an unknown size, expected image_size" in refusal(tmp_path)
    (tmp_path / "classes.txt").unlink()
    assert "without classes.txt or obj.names or data.yaml" in refusal(tmp_path, image_size=(64, 64))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('0009.png" width', '0009.png" widths', "image[1] (id 1).width: found null"),
        ('rotation="0.00"', 'rotation="12.5"', "image[2] (id 2).box[0].rotation: found 12.5"),
        ('xtl="10.00"', 'xtl="x"', 'image[2] (id 2).box[0].xtl: found "x", expected a number'),
        ("</meta>", "</meta><track/>", "found tracks of a video, expected CVAT for images 1.1"),
        ("<tag", "<polygon/><tag", "image[0] (id 0): found a polygon, expected boxes"),
        ("0009.png", "0009.jpg", "found an image named"),
        ("<annotations>", "<!DOCTYPE a [<!ENTITY b 'c'>]><annotations>", "a document type"),
    ],
)
def test_cvat_refuses(tmp_path, before, after, message):
    assert message in refusal(put(tmp_path / "cvat.xml", CVAT.replace(before, after)))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("<bndbox>", "<polygon/><bndbox>", "object[0]: found a polygon, expected a bndbox alone"),
        ("<xmin>10</xmin>", "", "object[0].bndbox.xmin: found null, expected a number"),
        ("<xmax>30.5</xmax>", "<xmax>66</xmax>", "x1: found 66.0, expected at least 0"),
        ("<name>window</name>", "", "object[0].name: found null, expected text"),
        ("<width>64</width>", "<width>63.5</width>", "size.width: found 63.5, expected a whole"),
        ("1a2b3c4d_seed3_0017.png", "room.png", 'found an image named "room.png"'),
    ],
)
def test_pascal_voc_refuses(tmp_path, before, after, message):
    data = VOC["1a2b3c4d_seed3_0017.xml"].replace(before, after)
    assert message in refusal(put(tmp_path / "a.xml", data), image_size=(64, 64))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('""rect""', '""circle""', 'region_shape_attributes.name: found "circle", expected "rect"'),
        ('"{""kind"":{""window"":true}}"', "{", 'region_attributes: found "{", expected an object'),
        (
            '"{""name"":""rect"",""x"":10,""y"":8,""width"":20.5,""height"":17}"',
            "{}",
            "region_shape_attributes: found",
        ),
    ],
)
def test_via_csv_refuses(tmp_path, before, after, message):
    assert before in VIA_CSV
    path = put(tmp_path / "via.csv", VIA_CSV.replace(before, after))
    assert message in refusal(path, image_size=(64, 64))


def test_json_of_too_many_values_is_refused_before_it_is_parsed(tmp_path):
    path = tmp_path / "boxes.json"
    path.write_text("[" + "{}," * 2_100_000 + "{}]")
    assert "expected boxes of at most 4000000" in refusal(path)


def test_a_pipe_and_an_endless_device_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    for path in (tmp_path / "pipe.json", Path("/dev/zero")):
        assert "found no regular file, expected a file of boxes" in refusal(path)
