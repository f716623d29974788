"""Boxes drawn on samples: read, check, write, rasterise on a layer's grid.

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

COCO, labelme, Label Studio, VIA, Pascal VOC, CVAT and YOLO files are read as well (`formats`).
There the name of an image says which sample it is, so annotate the files as `dcgan-probe sample`
named them (see `sample_name`); the images that such a file lists are those that were looked at.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from dcgan_probe import terminal
from dcgan_probe.boxes import formats
from dcgan_probe.boxes.native import MAX_IMAGES, OWN_FORMAT
from dcgan_probe.boxes.pictures import UNLABELLED, Picture
from dcgan_probe.boxes.samples import Sample, find_samples
from dcgan_probe.boxes.samples import sample_name as sample_name
from dcgan_probe.errors import InputError, unknown
from dcgan_probe.latents.sampling import MAX_SEED
from dcgan_probe.storage import files, json_values
from dcgan_probe.storage.json_values import Value

# The most by which rescaling pushes an edge out of the image, in pixels.
HALF_A_PIXEL = 0.5
_NOISE = 1e-6  # of floating point, in pixels: not worth a warning


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

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1."""
        return self.x0, self.y0, self.x1, self.y1


@dataclass(frozen=True)
class Boxes:
    """Boxes drawn on a set of samples, and the samples that were labelled.

        >>> boxes = Boxes((Box(0, "window", 0, 0, 32, 64),), (0, 1), image_size=(64, 64), seed=0)
        >>> boxes.mask((2, 2)).astype(int).tolist()
        [[[1, 0], [1, 0]], [[0, 0], [0, 0]]]

    - `boxes` and `images` are kept sorted, each one once. `images` are the labelled samples: those
      without a box do not show the object.
    - `image_size` is width and height in pixels.
    - The samples are of latents 0, 1, ... of `seed`, or of the rows of the `.npy` file `latents`
      (a path relative to the file of the boxes): exactly one of the two.
    - `checkpoint` is the SHA-256 of the generator's file, in 64 hexadecimal digits or only the
      first 8, or None if unknown.
    - `source` is the path that they were read from; `notices` reports clipped edges and labels that
      look alike. Neither counts in comparisons.

    Raises InputError, with the place of the first error.
    """

    boxes: tuple[Box, ...]
    images: tuple[int, ...]
    image_size: tuple[int, int]
    seed: int | None = None
    latents: str | None = None
    checkpoint: str | None = None
    source: str = field(default="", compare=False)
    note: str = ""
    notices: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        # Checked and put into one form here, so that boxes from a script are as sound as read ones.
        values = Value(vars(self), self.source or "boxes")
        image_size = values["image_size"].size()
        images = {image.whole(0, MAX_IMAGES - 1) for image in values["images"].items()}
        if not images:
            raise values["images"].error("at least one image that was looked at")
        entries = [
            Value(vars(box), values.source, f"boxes[{i}]") for i, box in enumerate(self.boxes)
        ]
        boxes = {_box(entry, images, image_size) for entry in entries}
        _check_origin(values)
        # A frozen dataclass sets its own fields this way, once.
        object.__setattr__(self, "image_size", image_size)
        object.__setattr__(self, "images", tuple(sorted(images)))
        object.__setattr__(self, "boxes", tuple(sorted(boxes)))
        if self.seed is not None:
            object.__setattr__(self, "seed", values["seed"].whole(0, MAX_SEED))

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        label: str | None = None,
        image_size: tuple[int, int] | None = None,
    ) -> Boxes:
        """Read boxes from this package's JSON or another tool's export, recognised by content.

            >>> Boxes.read("windows.json", label="window")  # doctest: +SKIP
            >>> Boxes.read("folder-of-labelme-files", image_size=(64, 64))  # doctest: +SKIP

        `label` keeps only its boxes. `image_size`, width and height, is what the samples must have;
        needed for VIA and YOLO, which do not store it. An edge that rescaling or rounding pushed
        out of the image, by less than half a pixel (VIA, Pascal VOC: by 1), is put on the image's
        side. That, and labels that differ in case, blanks or width only, is reported on stderr.

        Raises InputError, in one line with file and entry, for an invalid file.
        """
        if image_size is not None:
            image_size = Value(image_size, "image_size").size()
        boxes = _read(Path(path), image_size)
        for notice in boxes.notices:
            terminal.note(f"{path}: {notice}")
        return boxes if label is None else boxes.only(label)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write JSON atomically, one box on each line: same boxes, same bytes.

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
        """Number of samples to draw so that all images are among them."""
        return self.images[-1] + 1

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels, sorted."""
        return tuple(sorted({box.label for box in self.boxes}))

    @property
    def latents_path(self) -> Path | None:
        """Where the file of latents is, or None if the samples are those of a seed."""
        return None if self.latents is None else Path(self.source).parent / self.latents

    def only(self, label: str) -> Boxes:
        """The boxes of one label, on the same images.

            >>> drawn = (Box(0, "window", 0, 0, 8, 8), Box(1, "door", 0, 0, 8, 8))
            >>> windows = Boxes(drawn, (0, 1), image_size=(64, 64), seed=0).only("window")
            >>> len(windows.boxes), windows.images
            (1, (0, 1))

        Raises InputError for an unknown label, and lists the known ones.
        """
        if label not in self.labels:
            raise unknown("label", label, self.labels, self.source or "boxes")
        return replace(self, boxes=tuple(box for box in self.boxes if box.label == label))

    def only_images(self, images: Iterable[int]) -> Boxes:
        """The boxes on some of the images only.

        >>> boxes = Boxes((Box(4, "window", 16, 0, 64, 32),), (2, 4), (64, 64), seed=0)
        >>> boxes.only_images([2]).images
        (2,)
        """
        kept = set(images)
        boxes = tuple(box for box in self.boxes if box.image in kept)
        return replace(self, boxes=boxes, images=tuple(sorted(kept)))

    def count_between(self, grid: tuple[int, int]) -> int:
        """Number of boxes that contain no location of a grid.

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
        """Which locations of a layer's grid are inside a box: n x h x w bool, in the order of
        `images`.

            >>> boxes = Boxes((Box(4, "window", 16, 0, 64, 32),), (2, 4), (64, 64), seed=0)
            >>> boxes.mask((2, 4)).astype(int).tolist()
            [[[0, 0, 0, 0], [0, 0, 0, 0]], [[0, 1, 1, 1], [0, 0, 0, 0]]]

        `grid` is the layer's height and width. A location is inside a box if its centre, in pixels
        of the sample, is: left and top edges included, right and bottom ones not, so adjacent boxes
        share no location. A box between the centres contains none.

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


def _check_origin(values: Value) -> None:
    """Check what says of which samples the boxes are."""
    seed, latents = values["seed"], values["latents"]
    checkpoint, note = values["checkpoint"], values["note"]
    if (seed.found is None) == (latents.found is None):
        both = "neither" if seed.found is None else "both"
        raise InputError(f"{values.where}: found {both} of seed and latents, expected one of them")
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
    content = formats.read(path, image_size)
    if isinstance(content, dict):
        boxes = _from_own(content, str(path), image_size)
    else:
        boxes = _from_pictures(content, path, image_size)
    return replace(boxes, notices=(*boxes.notices, *_alike(boxes)))


def _alike(boxes: Boxes) -> list[str]:
    """Labels that a person may take for one: those of the other spelling count as background."""
    counts = Counter(box.label for box in boxes.boxes)
    groups: dict[str, list[str]] = {}
    for label in sorted(counts):
        groups.setdefault(_folded(label), []).append(label)
    return [
        f"labels {' and '.join(f'{json.dumps(each)} ({counts[each]} boxes)' for each in group)} "
        "differ in case, blanks or width only and count as different objects"
        for group in groups.values()
        if len(group) > 1
    ]


def _folded(label: str) -> str:
    """A label without what the eye does not see: case, width, blanks, invisible characters."""
    seen = (c for c in unicodedata.normalize("NFKC", label) if unicodedata.category(c) != "Cf")
    return "".join("".join(seen).casefold().split())


def _from_own(members: dict[str, Any], source: str, image_size: tuple[int, int] | None) -> Boxes:
    entries = [{f: entry[f].found for f in Box.__dataclass_fields__} for entry in members["boxes"]]
    boxes = Boxes(**{**members, "boxes": tuple(Box(**entry) for entry in entries)}, source=source)
    _check_size(Value(members["image_size"], source, "image_size"), boxes.image_size, image_size)
    return boxes


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
    _check_same_latents(pictures, samples)
    images = {sample.image for sample in samples}
    boxes, clipped = [], 0
    for picture, sample in zip(pictures, samples, strict=True):
        for entry, moved in _entries(picture, sample.image, size):
            boxes.append(_box(entry, images, size))
            clipped += moved
    return Boxes(
        boxes=tuple(boxes),
        images=tuple(images),
        image_size=size,
        seed=samples[0].seed,
        checkpoint=samples[0].checkpoint,
        source=str(path),
        notices=tuple(_clipped(clipped, boxes) + _unlabelled(boxes)),
    )


def _clipped(edges: int, boxes: list[Box]) -> list[str]:
    if not edges:
        return []
    return [f"{edges} edges of {len(boxes)} boxes were clipped: rounding put them off the image"]


def _unlabelled(boxes: list[Box]) -> list[str]:
    count = sum(box.label == UNLABELLED for box in boxes)
    return (
        [f"{count} of {len(boxes)} boxes have no label, taken as {UNLABELLED!r}"] if count else []
    )


def _sample(picture: Picture) -> Sample:
    """The sample that a picture is of; InputError where its names say none or several."""
    first, *others = picture.names
    samples = find_samples(first.text())
    if not samples:
        raise InputError(
            f"{picture.entry.where}: found an image named {json_values.shown(first.found)}, "
            f"expected the name of a sample, such as {sample_name('1a2b3c4d', 3, 17)}"
        )
    for other in others:
        samples |= find_samples(other.found) if isinstance(other.found, str) else set()
    images = {sample[:3] for sample in samples}
    if len(images) > 1:
        spoken = " and ".join(
            f"{json_values.shown(name.found)} ({name.place})"
            for name in picture.names
            if isinstance(name.found, str) and find_samples(name.found)
        )
        raise InputError(
            f"{picture.entry.where}: found two samples it may be of, {spoken}, expected one"
        )
    return max(samples, key=lambda sample: sample.copy)


def _check_same_latents(pictures: list[Picture], samples: list[Sample]) -> None:
    """Make sure that the samples are of one checkpoint and seed, and none in several copies."""
    first = samples[0]
    copies: dict[int, str] = {}
    for picture, sample in zip(pictures, samples, strict=True):
        if (sample.checkpoint, sample.seed) != (first.checkpoint, first.seed):
            raise InputError(
                f"{picture.entry.where}: found a sample of checkpoint {sample.checkpoint} and seed "
                f"{sample.seed}, expected {first.checkpoint} and {first.seed} as on the first image"
            )
        # A flipped or turned copy has its boxes elsewhere.
        if copies.setdefault(sample.image, sample.copy) != sample.copy:
            raise InputError(
                f"{picture.entry.where}: found another augmented copy of sample {sample.image}, "
                "expected an export without augmentation"
            )


def _entries(picture: Picture, image: int, size: tuple[int, int]) -> list[tuple[Value, int]]:
    """The rectangles of a picture with the fields of a `Box`, and how many edges were clipped."""
    width, height = size
    entries = []
    for rectangle in picture.rectangles:
        moved = 0
        edges = {"x0": width, "y0": height, "x1": width, "y1": height}
        for key, limit in edges.items():
            edge = getattr(rectangle, key)
            inside = min(max(edge, 0.0), float(limit))
            off = abs(edge - inside)
            if off <= picture.rounding or off < HALF_A_PIXEL:
                moved += off > _NOISE
                edge = inside
            edges[key] = edge
        box = {"image": image, "label": rectangle.label, **edges}
        entries.append((Value(box, rectangle.entry.source, rectangle.entry.place), moved))
    return entries


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


def _check_size(entry: Value, size: tuple[int, int], expected: tuple[int, int] | None) -> None:
    if expected is not None and size != expected:
        raise InputError(
            f"{entry.where}: found image size {size[0]}x{size[1]}, "
            f"expected {expected[0]}x{expected[1]} (width x height)"
        )
