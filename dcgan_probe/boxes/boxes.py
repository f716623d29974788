"""Boxes that a person drew on samples of a generator: read, check, write, put on a layer's grid.

The paper draws 52 boxes on the windows of 150 samples to find what draws windows (section 6.3.1).

    >>> boxes = Boxes(
    ...     (Box(3, "window", 10, 8, 30.5, 25), Box(3, "door", 40, 8, 60, 64)),
    ...     images=tuple(range(150)), image_size=(64, 64), seed=0,
    ... )
    >>> boxes.labels
    ('door', 'window')
    >>> boxes.only("window").mask((16, 16)).shape
    (150, 16, 16)

A file of boxes is JSON:

    {"format": "dcgan-probe/boxes/1",
     "checkpoint": "<SHA-256 of the checkpoint's file, or its first 8 digits, or null>",
     "seed": 0,
     "n": 150,
     "image_size": [64, 64],
     "note": "drawn by hand in labelme",
     "boxes": [{"image": 3, "label": "window", "x0": 10, "y0": 8, "x1": 30.5, "y1": 25}]}

- The samples are those of latents 0, 1, ... of `seed`; with `"latents": "z.npy"` in its place, of
  the rows of a file, whose path is relative to the folder of the boxes.
- `n` says that samples 0 to n-1 were looked at: those without a box hold no object. Where only some
  were, `"images": [0, 4, 7]` in its place lists them.
- `x0`, `y0`, `x1`, `y1` are edges in pixels, whole or not: 0 and the image's width are its sides.
- `note` may be left out, and other keys are ignored. A box that is there twice is kept once.

COCO, labelme, Label Studio and VIA files are read as well (`box_formats`). There the name of an
image says which sample it is, so annotate the files as `dcgan-probe sample` named them (see
`sample_name`); the images that such a file lists are those that were looked at.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dcgan_probe.boxes import formats
from dcgan_probe.boxes.formats import OWN_FORMAT, Picture
from dcgan_probe.errors import InputError, unknown
from dcgan_probe.latents.sampling import MAX_SEED
from dcgan_probe.storage import files, json_values
from dcgan_probe.storage.json_values import Value

# Far more than a person looks at; it bounds the memory that a short file can ask for.
MAX_IMAGES = 1_000_000


# Tools put folders, addresses or an upload's prefix before the name, and queries after it.
_SAMPLE = re.compile(r"(?:\A|[/\\=-])([0-9a-f]{8})_seed([0-9]{1,19})_([0-9]{4,6})\.png(?:\Z|[?&#])")


def sample_name(sha256: str, seed: int, index: int) -> str:
    """File name of a sample: from it, boxes drawn with another tool find their latent again.

        >>> sample_name("1a2b3c4d" + 56 * "0", seed=3, index=17)
        '1a2b3c4d_seed3_0017.png'

    `sha256` is that of the checkpoint, in 64 hexadecimal digits.
    """
    return f"{sha256[:8]}_seed{seed}_{index:04d}.png"


class _Sample(NamedTuple):
    checkpoint: str
    seed: int
    image: int


def _sample(picture: Picture) -> _Sample:
    """What `sample_name` put into the name of a picture."""
    match = _SAMPLE.search(picture.file_name)
    if match is None:
        raise InputError(
            f"{picture.entry.where}: found an image named {json_values.shown(picture.file_name)}, "
            f"expected the name of a sample, such as {sample_name('1a2b3c4d', 3, 17)}"
        )
    checkpoint, seed, image = match.groups()
    return _Sample(checkpoint, int(seed), int(image))


@dataclass(frozen=True, order=True)
class Box:
    """A box on sample `image`, from edge `x0` to `x1` and `y0` to `y1`, in pixels of the sample.

    >>> Box(image=3, label="window", x0=10, y0=8, x1=30.5, y1=25).label
    'window'
    """

    image: int
    label: str
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True)
class Boxes:
    """All boxes that were drawn on a set of samples, and which samples those were.

        >>> boxes = Boxes((Box(0, "window", 0, 0, 32, 64),), (0, 1), image_size=(64, 64), seed=0)
        >>> boxes.mask((2, 2)).astype(int).tolist()
        [[[1, 0], [1, 0]], [[0, 0], [0, 0]]]

    - `boxes` and `images` are kept sorted, each one once. `images` are the samples that were looked
      at: those without a box hold no object.
    - `image_size` is width and height in pixels.
    - The samples are of latents 0, 1, ... of `seed`, or of the rows of the `.npy` file `latents`
      (a path relative to the file of the boxes): exactly one of the two.
    - `checkpoint` is the SHA-256 of the generator's file, in 64 hexadecimal digits or only the
      first 8, or None if unknown.
    - `source` is the path that they were read from; it does not count in comparisons.

    Raises InputError, with the place of the first thing that is wrong.
    """

    boxes: tuple[Box, ...]
    images: tuple[int, ...]
    image_size: tuple[int, int]
    seed: int | None = None
    latents: str | None = None
    checkpoint: str | None = None
    source: str = field(default="", compare=False)
    note: str = ""

    def __post_init__(self) -> None:
        # Checked and put into one form here, so that boxes from a script are as sound as read ones.
        given = Value(vars(self), self.source or "boxes")
        image_size = given["image_size"].size()
        images = {image.whole(0, MAX_IMAGES - 1) for image in given["images"].items()}
        if not images:
            raise given["images"].error("at least one image that was looked at")
        entries = [
            Value(vars(box), given.source, f"boxes[{i}]") for i, box in enumerate(self.boxes)
        ]
        boxes = {_box(entry, images, image_size) for entry in entries}
        _check_origin(given)
        # A frozen dataclass sets its own fields this way, once.
        object.__setattr__(self, "image_size", image_size)
        object.__setattr__(self, "images", tuple(sorted(images)))
        object.__setattr__(self, "boxes", tuple(sorted(boxes)))
        if self.seed is not None:
            object.__setattr__(self, "seed", given["seed"].whole(0, MAX_SEED))

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        label: str | None = None,
        image_size: tuple[int, int] | None = None,
    ) -> Boxes:
        """Boxes from our own JSON, COCO, labelme, Label Studio or VIA, recognised by content.

            >>> Boxes.read("windows.json", label="window")  # doctest: +SKIP
            >>> Boxes.read("folder-of-labelme-files", image_size=(64, 64))  # doctest: +SKIP

        `label` keeps only its boxes. `image_size`, width and height, is what the samples must
        have; needed for VIA, which does not store it. Foreign tools round: an edge that is outside
        the image by no more than that (VIA: 1 pixel, others: 0.02) is taken for the image's side.

        Raises InputError, in one line with file and entry, for whatever is wrong with the file.
        """
        if image_size is not None:
            image_size = Value(image_size, "image_size").size()
        boxes = _read(Path(path), image_size)
        return boxes if label is None else boxes.only(label)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write our own JSON, one box a line, whole or not at all: same boxes, same bytes.

            >>> boxes = Boxes((), images=(0, 1), image_size=(64, 64), seed=0)
            >>> boxes.write("/tmp/boxes.json")
            >>> Boxes.read("/tmp/boxes.json") == boxes
            True

        `latents` is written as it is, so put the file of latents where it points from `path`.
        Raises InputError if the file cannot be written.
        """
        head: dict[str, Any] = {"format": OWN_FORMAT, "checkpoint": self.checkpoint}
        head |= {"latents": self.latents} if self.seed is None else {"seed": self.seed}
        everything = self.images == tuple(range(self.n))
        head |= {"n": self.n} if everything else {"images": self.images}
        head |= {"image_size": self.image_size, "note": self.note}
        lines = [f" {json.dumps(key)}: {json.dumps(value)},\n" for key, value in head.items()]
        rows = ",\n".join(f"  {json.dumps(_plain(box))}" for box in self.boxes)
        files.write_text(path, "{\n" + "".join(lines) + f' "boxes": [\n{rows}\n ]\n' + "}\n")

    @property
    def n(self) -> int:
        """How many samples to draw, from the first, so that all images are among them."""
        return self.images[-1] + 1

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels there are, sorted."""
        return tuple(sorted({box.label for box in self.boxes}))

    @property
    def latents_path(self) -> Path | None:
        """Where the file of latents is, or None if the samples are those of a seed."""
        return None if self.latents is None else Path(self.source).parent / self.latents

    def only(self, label: str) -> Boxes:
        """The boxes of one label, on the same images: those without one hold no such object.

            >>> drawn = (Box(0, "window", 0, 0, 8, 8), Box(1, "door", 0, 0, 8, 8))
            >>> windows = Boxes(drawn, (0, 1), image_size=(64, 64), seed=0).only("window")
            >>> len(windows.boxes), windows.images
            (1, (0, 1))

        Raises InputError, which lists the labels there are, if there is no such box.
        """
        if label not in self.labels:
            raise unknown("label", label, self.labels, self.source or "boxes")
        return replace(self, boxes=tuple(box for box in self.boxes if box.label == label))

    def only_images(self, images: Iterable[int]) -> Boxes:
        """The same, as if only these of the images had been looked at.

        >>> boxes = Boxes((Box(4, "window", 16, 0, 64, 32),), (2, 4), (64, 64), seed=0)
        >>> boxes.only_images([2]).images
        (2,)
        """
        kept = set(images)
        boxes = tuple(box for box in self.boxes if box.image in kept)
        return replace(self, boxes=boxes, images=tuple(sorted(kept)))

    def count_between(self, grid: tuple[int, int]) -> int:
        """How many boxes lie between the centres of a grid's cells, so that `mask` has none.

        >>> Boxes((Box(4, "window", 16, 0, 20, 9),), (2, 4), (64, 64), seed=0).count_between((2, 4))
        1
        """
        return sum(not replace(self, boxes=(box,)).mask(grid).any() for box in self.boxes)

    def one_label(self, label: str | None = None) -> str:
        """The label, or the only label of the boxes if None; InputError if they have several.

        >>> Boxes((Box(4, "window", 16, 0, 64, 32),), (2, 4), (64, 64), seed=0).one_label()
        'window'
        """
        if label is not None:
            return label
        if len(self.labels) == 1:
            return self.labels[0]
        listed = ", ".join(self.labels) or "(there are no boxes)"
        raise InputError(
            f"{self.source or 'boxes'}: found {len(self.labels)} labels, expected one or --object "
            f"with one of: {listed}"
        )

    def mask(self, grid: tuple[int, int]) -> np.ndarray:
        """Which cells of a layer's grid are on an object: n x h x w bool, in the order of `images`.

            >>> boxes = Boxes((Box(4, "window", 16, 0, 64, 32),), (2, 4), (64, 64), seed=0)
            >>> boxes.mask((2, 4)).astype(int).tolist()
            [[[0, 0, 0, 0], [0, 0, 0, 0]], [[0, 1, 1, 1], [0, 0, 0, 0]]]

        `grid` is the layer's height and width. A cell is on an object if its centre, in pixels of
        the sample, lies in a box: left and top edge included, right and bottom not, so that boxes
        side by side share no cell. A box between the centres marks none.

        Radford et al. 2015, section 6.3.1: the positives are the activations inside the boxes.
        """
        rows, columns = grid
        width, height = self.image_size
        x = (np.arange(columns) + 0.5) * width / columns
        y = (np.arange(rows) + 0.5) * height / rows
        mask = np.zeros((len(self.images), rows, columns), dtype=bool)
        row_of = {image: i for i, image in enumerate(self.images)}
        for box in self.boxes:
            inside_x = (box.x0 <= x) & (x < box.x1)
            inside_y = (box.y0 <= y) & (y < box.y1)
            mask[row_of[box.image]] |= inside_y[:, np.newaxis] & inside_x
        return mask

    def check(self, sha256: str, n: int | None = None) -> None:
        """Make sure that these boxes belong to a checkpoint, and to its first `n` latents.

            >>> boxes = Boxes((), (0,), (64, 64), seed=0, checkpoint="1a2b3c4d")
            >>> boxes.check("1a2b3c4d" + 56 * "0")

        `sha256` is that of the checkpoint, in 64 hexadecimal digits. Boxes of an unknown
        checkpoint pass. Raises InputError if they were drawn on other samples.
        """
        where = self.source or "boxes"
        if self.checkpoint is not None and not sha256.startswith(self.checkpoint):
            raise InputError(
                f"{where}: found boxes drawn on samples of checkpoint {self.checkpoint[:8]}, "
                f"expected boxes for checkpoint {sha256[:8]}"
            )
        if n is not None and self.n > n:
            raise InputError(f"{where}: found image {self.n - 1}, expected images below {n}")


def _check_origin(given: Value) -> None:
    """Check what says of which samples the boxes are."""
    seed, latents = given["seed"], given["latents"]
    checkpoint, note = given["checkpoint"], given["note"]
    if (seed.found is None) == (latents.found is None):
        both = "neither" if seed.found is None else "both"
        raise InputError(f"{given.where}: found {both} of seed and latents, expected one of them")
    if latents.found is not None:
        latents.text()
    if checkpoint.found is not None and not re.fullmatch(
        "[0-9a-f]{8}|[0-9a-f]{64}", checkpoint.text()
    ):
        raise checkpoint.error("64 hexadecimal digits in lower case, or the first 8 of them")
    if not isinstance(note.found, str):
        raise note.error("text")


def _box(entry: Value, images: set[int], image_size: tuple[int, int]) -> Box:
    """The box of an entry that has the fields of a `Box`."""
    image = entry["image"].whole(0, MAX_IMAGES - 1)
    if image not in images:
        raise entry["image"].error(
            f"one of the {len(images)} images looked at, {min(images)} to {max(images)}"
        )
    x0, x1 = _edges(entry, "x0", "x1", image_size[0], "width")
    y0, y1 = _edges(entry, "y0", "y1", image_size[1], "height")
    return Box(image, entry["label"].text(), x0, y0, x1, y1)


def _edges(entry: Value, first: str, second: str, limit: int, side: str) -> tuple[float, float]:
    low, high = entry[first].number(), entry[second].number()
    if low >= high:
        raise InputError(
            f"{entry.where}: found {first} = {low}, {second} = {high}, expected {first} < {second}"
        )
    for key, edge in ((first, low), (second, high)):
        if not 0 <= edge <= limit:
            raise entry[key].error(f"at least 0 and at most {limit}, the {side} of the image")
    return low, high


def _plain(box: Box) -> dict[str, Any]:
    """The fields of a box for JSON: 10.0 is written 10."""
    return {
        key: int(value) if isinstance(value, float) and value.is_integer() else value
        for key, value in vars(box).items()
    }


def _read(path: Path, image_size: tuple[int, int] | None) -> Boxes:
    if os.path.isdir(path):
        return _from_pictures(formats.labelme_folder(path), path, image_size)
    value = json_values.load(path, "boxes")
    if _is_own(value):
        return _from_own(value, image_size)
    return _from_pictures(formats.pictures(value), path, image_size)


def _is_own(value: Value) -> bool:
    if "format" not in value or not str(value.found["format"]).startswith("dcgan-probe/"):
        return False
    if value.found["format"] != OWN_FORMAT:
        raise value["format"].error(f'"{OWN_FORMAT}"')
    return True


def _from_own(value: Value, image_size: tuple[int, int] | None) -> Boxes:
    """Boxes from our own JSON, whose places are those that `Boxes` names when it checks."""
    boxes = Boxes(
        boxes=tuple(_unchecked(entry) for entry in value["boxes"].items()),
        images=_images(value),
        image_size=value["image_size"].found,
        seed=value["seed"].found if "seed" in value else None,
        latents=value["latents"].found if "latents" in value else None,
        # Asked for even if null: with the key misspelt, the boxes would pass for any checkpoint.
        checkpoint=value["checkpoint"].found,
        source=value.source,
        note=value["note"].found if "note" in value else "",
    )
    _check_size(value["image_size"], boxes.image_size, image_size)
    return boxes


def _images(value: Value) -> Any:
    """The images looked at: all up to `n`, or the list `images`, which `Boxes` checks."""
    if ("n" in value) == ("images" in value):
        both = "both" if "n" in value else "neither"
        raise InputError(f"{value.where}: found {both} of n and images, expected one of them")
    if "images" in value:
        return value["images"].found
    return tuple(range(value["n"].whole(1, MAX_IMAGES)))


def _unchecked(entry: Value) -> Box:
    return Box(**{key.name: entry[key.name].found for key in fields(Box)})


def _from_pictures(
    pictures: list[Picture], path: Path, image_size: tuple[int, int] | None
) -> Boxes:
    """Boxes from what another tool wrote about images that are named as `sample_name` does.

    An image that is listed twice is one image, with the boxes of both.
    """
    if not pictures:
        raise InputError(f"{path}: found no annotated images, expected at least one")
    size = _common_size(pictures, path, image_size)
    samples = [_sample(picture) for picture in pictures]
    images = {sample.image for sample in samples}
    boxes = []
    for picture, sample in zip(pictures, samples, strict=True):
        _check_same_latents(picture.entry, sample, samples[0])
        boxes += [_box(entry, images, size) for entry in _entries(picture, sample.image, size)]
    return Boxes(
        boxes=tuple(boxes),
        images=tuple(images),
        image_size=size,
        seed=samples[0].seed,
        checkpoint=samples[0].checkpoint,
        source=str(path),
    )


def _check_same_latents(entry: Value, sample: _Sample, first: _Sample) -> None:
    if (sample.checkpoint, sample.seed) != (first.checkpoint, first.seed):
        raise InputError(
            f"{entry.where}: found a sample of checkpoint {sample.checkpoint} and seed "
            f"{sample.seed}, expected {first.checkpoint} and {first.seed} as on the first image"
        )


def _entries(picture: Picture, image: int, size: tuple[int, int]) -> list[Value]:
    """The rectangles of a picture as entries with the fields of a `Box`."""
    width, height = size
    return [
        Value(
            {
                "image": image,
                "label": rectangle.label,
                "x0": _snapped(rectangle.x0, width, picture.rounding),
                "y0": _snapped(rectangle.y0, height, picture.rounding),
                "x1": _snapped(rectangle.x1, width, picture.rounding),
                "y1": _snapped(rectangle.y1, height, picture.rounding),
            },
            rectangle.entry.source,
            rectangle.entry.place,
        )
        for rectangle in picture.rectangles
    ]


def _snapped(edge: float, limit: int, rounding: float) -> float:
    """An edge that rounding may have pushed out of the image, put back on the image's side."""
    inside = min(max(edge, 0.0), float(limit))
    return inside if abs(edge - inside) <= rounding else edge


def _common_size(
    pictures: list[Picture], path: Path, size: tuple[int, int] | None
) -> tuple[int, int]:
    """The one size of all pictures, which is `size` if that is given."""
    for picture in pictures:
        if picture.size is not None:
            _check_size(picture.entry, picture.size, size)
            size = picture.size
    if size is None:
        raise InputError(f"{path}: found no image size in it, expected image_size to be given")
    return size


def _check_size(entry: Value, found: tuple[int, int], expected: tuple[int, int] | None) -> None:
    if expected is not None and found != expected:
        raise InputError(
            f"{entry.where}: found image size {found[0]}x{found[1]}, "
            f"expected {expected[0]}x{expected[1]} (width x height)"
        )
