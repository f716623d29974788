"""The same boxes as each tool would have written them, and how a file is spoilt."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from dcgan_probe.boxes.boxes import Box, Boxes
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


def studio_region(x: float, y: float, width: float, height: float) -> dict:
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


def studio_task(identity: int, image: str, annotations: list[dict]) -> dict:
    return {
        "id": identity,
        "annotations": annotations,
        "file_upload": image,
        "drafts": [],
        "predictions": [{"result": [studio_region(0, 0, 100, 100)]}],
        "data": {"image": f"/data/upload/1/{image}"},
        "meta": {},
        "project": 1,
    }


def studio_annotation(*results: dict, cancelled: bool = False) -> dict:
    return {"id": 5, "completed_by": 1, "result": list(results), "was_cancelled": cancelled}


CHOICE = {
    "value": {"choices": ["good"]},
    "id": "a",
    "from_name": "quality",
    "to_name": "image",
    "type": "choices",
}

LABEL_STUDIO = [
    studio_task(
        1,
        "1f2e3d4c-1a2b3c4d_seed3_0004.png",
        [
            studio_annotation(studio_region(50, 50, 50, 50), cancelled=True),
            studio_annotation(CHOICE, studio_region(-2e-16, 62.5, 12.5, 37.5)),
        ],
    ),
    studio_task(2, "0a0b0c0d-1a2b3c4d_seed3_0009.png", [studio_annotation()]),
    studio_task(
        3,
        "1f2e3d4c-1a2b3c4d_seed3_0017.png",
        [studio_annotation(studio_region(15.625, 12.5, 32.03125, 26.5625))],
    ),
    studio_task(4, "1f2e3d4c-1a2b3c4d_seed3_0020.png", []),
    studio_task(5, "1f2e3d4c-1a2b3c4d_seed3_0021.png", [studio_annotation(cancelled=True)]),
]


def via_image(name: str, *regions: dict) -> dict:
    return {"filename": name, "size": 7176, "regions": list(regions), "file_attributes": {}}


LABEL_STUDIO_MIN = [
    {
        "id": 1,
        "img": "/data/upload/1/1f2e3d4c-1a2b3c4d_seed3_0004.png",
        "quality": "good",
        "label": [
            {
                "x": 0,
                "y": 62.5,
                "width": 12.5,
                "height": 37.5,
                "rotation": 0,
                "rectanglelabels": ["window"],
                "original_width": 64,
                "original_height": 64,
            }
        ],
        "annotator": 1,
        "annotation_id": 1,
    },
    {
        "id": 2,
        "img": "/data/upload/1/0a0b0c0d-1a2b3c4d_seed3_0009.png",
        "annotator": 1,
        "annotation_id": 2,
    },
    {
        "id": 3,
        "img": "/data/upload/1/1f2e3d4c-1a2b3c4d_seed3_0017.png",
        "label": [
            {
                "x": 15.625,
                "y": 12.5,
                "width": 32.03125,
                "height": 26.5625,
                "rotation": 0,
                "rectanglelabels": ["window"],
                "original_width": 64,
                "original_height": 64,
            }
        ],
        "annotator": 1,
        "annotation_id": 3,
    },
]


def via_region(x: float, y: float, width: float, height: float, **attributes: object) -> dict:
    return {
        "shape_attributes": {"name": "rect", "x": x, "y": y, "width": width, "height": height},
        "region_attributes": attributes,
    }


VIA_IMAGES = {
    "1a2b3c4d_seed3_0004.png7176": via_image(
        "1a2b3c4d_seed3_0004.png", via_region(0, 40, 8, 24, object="window")
    ),
    "1a2b3c4d_seed3_0009.png7176": via_image("1a2b3c4d_seed3_0009.png"),
    "1a2b3c4d_seed3_0017.png7176": via_image(
        "1a2b3c4d_seed3_0017.png", via_region(10, 8, 20.5, 17, kind={"window": True})
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


VIA_CSV = """\
filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes
1a2b3c4d_seed3_0004.png,7176,"{}",1,0,"{""name"":""rect"",""x"":0,""y"":40,""width"":8,\
""height"":24}","{""object"":""window""}"
1a2b3c4d_seed3_0009.png,7176,"{}",0,0,"{}","{}"
1a2b3c4d_seed3_0017.png,7176,"{}",1,0,"{""name"":""rect"",""x"":10,""y"":8,""width"":20.5,\
""height"":17}","{""kind"":{""window"":true}}"
"""

CVAT = """\
<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><name>rooms</name><original_size><width>64</width></original_size></task></meta>
  <image id="0" name="rooms/1a2b3c4d_seed3_0004.png" width="64" height="64">
    <box label="window" source="manual" occluded="0" xtl="-0.01" ytl="40.00" xbr="8.00" ybr="64.00"
      z_order="0"></box>
    <tag label="bright" source="manual"></tag>
  </image>
  <image id="1" name="1a2b3c4d_seed3_0009.png" width="64" height="64"></image>
  <image id="2" name="1a2b3c4d_seed3_0017.png" width="64" height="64">
    <box label="window" occluded="0" rotation="0.00" xtl="10.00" ytl="8.00" xbr="30.50" ybr="25.00"
      z_order="0"><attribute name="dark">false</attribute></box>
  </image>
</annotations>
"""


def voc(name: str, *boxes: tuple[str, float, float, float, float]) -> str:
    """A file as labelImg writes it, but for edges that are no whole pixels, as CVAT writes them."""
    objects = "".join(
        f"<object><name>{label}</name><pose>Unspecified</pose><difficult>0</difficult>"
        f"<bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox>"
        "</object>\n"
        for label, x0, y0, x1, y1 in boxes
    )
    return (
        f"<annotation>\n<folder>rooms</folder><filename>{name}</filename>"
        f"<path>/home/a/rooms/{name}</path>\n"
        "<size><width>64</width><height>64</height><depth>3</depth></size>\n"
        f"{objects}</annotation>\n"
    )


VOC = {
    "1a2b3c4d_seed3_0004.xml": voc("1a2b3c4d_seed3_0004.png", ("window", 0, 40, 8, 64)),
    "1a2b3c4d_seed3_0009.xml": voc("1a2b3c4d_seed3_0009.png"),
    "1a2b3c4d_seed3_0017.xml": voc("1a2b3c4d_seed3_0017.png", ("window", 10, 8, 30.5, 25)),
}

# Class, centre and size in shares of 64 pixels.
YOLO = {
    "classes.txt": "door\nwindow\n",
    "labels/1a2b3c4d_seed3_0004.txt": "1 0.0625 0.8125 0.125 0.375\n",
    "labels/1a2b3c4d_seed3_0009.txt": "",
    "labels/1a2b3c4d_seed3_0017.txt": "1 0.31640625 0.2578125 0.3203125 0.265625\n",
}


def put_all(folder: Path, contents: dict[str, object]) -> Path:
    for name, data in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        put(folder / name, data)
    return folder


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
