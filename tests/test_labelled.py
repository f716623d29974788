"""Labels of every kind come to the image that they are of, and what is wrong with them is told."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy import io

import dcgan_probe as dp
from dcgan_probe.errors import InputError
from dcgan_probe.images import datasets
from dcgan_probe.images.sources import ImageSource
from dcgan_probe.images.subsets import Chosen

SIZE = 16


def shade(value: int, size: int = SIZE) -> np.ndarray:
    return np.full((size, size, 3), value, np.uint8)


def write(folder: Path, shades: dict[str, int]) -> Path:
    """Images of one shade each, so that what is read says which image it is."""
    for name, value in shades.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        dp.figures.write_image(folder / name, shade(value))
    return folder


def shades(images: Chosen) -> list[int]:
    read = images.read(range(len(images)))
    return ((read[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def mat(path: Path, values: list[int], y: object = None) -> Path:
    more = {} if y is None else {"y": np.array(y, np.uint8)[:, None]}
    io.savemat(path, {"X": np.stack([shade(v) for v in values], -1), **more})
    return path


def table(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_folders_name_the_class_and_the_part(tmp_path):
    given = {"test/cat/a.png": 1, "test/dog/b.png": 2, "train/cat/c.png": 3, "train/dog/d.png": 4}
    data = datasets.read(write(tmp_path / "set", given), "folders", SIZE, 3)
    assert data.classes == ("cat", "dog")
    assert data.test.tolist() == [False, False, True, True]
    assert data.labels.tolist() == [0, 1, 0, 1]
    assert shades(data.images) == [3, 4, 1, 2]
    assert data.images.names == sorted(given, key=lambda name: "test" in name)


def test_a_table_may_be_in_any_order_and_name_the_part(tmp_path):
    images = write(tmp_path / "set", {"a.png": 1, "b.png": 2, "c.png": 3, "d.png": 4})
    text = "file,smile,split\nd.png,no,test\nb.png,yes,train\na.png,no,train\nc.png,yes,test\n"
    data = datasets.read(images, table(tmp_path / "l.csv", text), SIZE, 3, column="smile")
    assert [data.classes[k] for k in data.labels] == ["no", "yes", "yes", "no"]
    assert shades(data.images) == [1, 2, 3, 4]
    assert data.test.tolist() == [False, False, True, True]


def test_labels_beside_the_images_of_a_mat_and_other_images_for_testing(tmp_path):
    train = mat(tmp_path / "train.mat", [5, 6, 7], [10, 9, 1])
    test = mat(tmp_path / "test.mat", [8, 9, 10], [1, 10, 9])
    data = datasets.read(train, "y", SIZE, 3, test=test)
    assert data.classes == ("1", "9", "10")
    assert data.labels.tolist() == [2, 1, 0, 0, 2, 1]
    assert shades(data.images) == [5, 6, 7, 8, 9, 10]
    assert data.test.tolist() == [False] * 3 + [True] * 3


def test_where_no_part_is_named_a_fifth_of_each_class_is_drawn(tmp_path):
    given = {f"{name}/{i:02d}.png": i for name in "ab" for i in range(10)}
    images = write(tmp_path / "set", given)
    one, same, other = (datasets.read(images, "folders", SIZE, 3, seed=seed) for seed in (0, 0, 1))
    assert np.bincount(one.labels[one.test]).tolist() == [2, 2]
    assert one.images.names == same.images.names != other.images.names


def test_fewer_images_are_as_equally_of_each_class_as_can_be(tmp_path):
    given = {f"{part}/a/{i}.png": i for part in ("train", "test") for i in range(9)}
    given |= {f"{part}/b/{i}.png": 100 + i for part in ("train", "test") for i in range(2)}
    data = datasets.read(write(tmp_path / "set", given), "folders", SIZE, 3)
    few = data.fewer(6, seed=0)
    for test in (False, True):
        assert np.bincount(few.labels[few.test == test]).tolist() == [4, 2]
    assert [v >= 100 for v in shades(few.images)] == (few.labels == 1).tolist()
    with pytest.raises(
        InputError, match="--n: found 1, expected at least one image of each of the"
    ):
        data.fewer(1, seed=0)


def test_the_fingerprint_is_of_content_and_choice(tmp_path):
    prints = []
    for name, value in (("one", 7), ("same", 7), ("other", 8)):
        folder = write(tmp_path / name, {"a.png": 1, "b.png": value})
        source = ImageSource(folder, SIZE, 3)
        prints += [Chosen([(source, rows)]).fingerprint() for rows in ([0, 1], [1])]
    assert prints[:2] == prints[2:4]
    assert len(set(prints[2:])) == 4


@pytest.mark.parametrize(("width", "height"), [(17, 16), (16, 24), (32, 32)])
def test_another_size_must_be_asked_for(tmp_path, width, height):
    folder = write(tmp_path / "set", {"a.png": 1})
    dp.figures.write_image(folder / "b.png", np.full((height, width, 3), 9, np.uint8))
    source = ImageSource(folder, SIZE, 3)
    message = rf"b\.png: found {width} x {height} pixels, expected 16 x 16 as the network takes"
    with pytest.raises(InputError, match=message):
        Chosen([(source, range(2))]).read([0, 1])
    assert shades(Chosen([(source, range(2))], resize=True)) == [1, 9]


def test_an_image_that_does_not_decode_is_told_as_everywhere(tmp_path):
    folder = write(tmp_path / "set", {"a.png": 1})
    (folder / "b.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"b\.png: found 0 bytes that OpenCV"):
        Chosen([(ImageSource(folder, SIZE, 3), range(2))]).read([1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,label\na.png,x\n", "found labels of 1 of the 2 images of .*: none of b.png"),
        ("name,label\na.png,x\nb.png,y\nc.png,y\n", "found 3 labels, 1 of no image of .*: c.png"),
        ("name,kind\na.png,x\n", "found columns name, kind, expected name and label"),
        ("", r"found columns \(none\), expected name and label"),
        ("name,label\na.png,x\nb.png,\n", "line 3: found no label of 'b.png'"),
        ("name,label\na.png\nb.png,x\n", "line 2: found no label of 'a.png'"),
        ("name,label\na.png,x\na.png,y\n", "line 3: found a second label of 'a.png'"),
        ("name,label,split\na.png,x,dev\n", "line 2: split: found 'dev', expected train or test"),
        ("name,label\na.png,x\nb.png,x\n", "found one class only, 'x', expected two or more"),
    ],
)
def test_what_is_wrong_with_a_table_is_told(tmp_path, text, message):
    images = write(tmp_path / "set", {"a.png": 1, "b.png": 2})
    with pytest.raises(InputError, match=message):
        datasets.read(images, table(tmp_path / "l.csv", text), SIZE, 3)


def test_labels_that_are_not_there_are_told(tmp_path):
    images = write(tmp_path / "set", {"a.png": 1, "x/b.png": 2})
    with pytest.raises(InputError, match="unknown labels 'none.csv', expected one of: folders, y"):
        datasets.read(images, "none.csv", SIZE, 3)
    with pytest.raises(InputError, match=r"a\.png: found no folder of a class around it"):
        datasets.read(images, "folders", SIZE, 3)
    with pytest.raises(InputError, match=r"set: found no \.mat, expected one with labels y"):
        datasets.read(images, "y", SIZE, 3)
    with pytest.raises(InputError, match="y: found none, expected 2 labels, one an image of X"):
        datasets.read(mat(tmp_path / "a.mat", [1, 2]), "y", SIZE, 3)
    with pytest.raises(InputError, match="y: found 3 x 1, expected 2 labels, one an image of X"):
        datasets.read(mat(tmp_path / "b.mat", [1, 2], [1, 2, 1]), "y", SIZE, 3)


def test_a_class_of_one_side_only_is_told(tmp_path):
    given = {"train/a/1.png": 1, "train/b/2.png": 2, "test/a/3.png": 3}
    images = write(tmp_path / "set", given)
    with pytest.raises(InputError, match="class b: found no image for testing, expected at least"):
        datasets.read(images, "folders", SIZE, 3)
    write(tmp_path / "set", {"b/4.png": 4})
    with pytest.raises(InputError, match="found 3 of 4 images in a folder train or test"):
        datasets.read(images, "folders", SIZE, 3)


NESTED = {
    f"{kind}/session{part}/{i}.png": shade
    for kind, shade in (("cat", 10), ("dog", 200))
    for part in (1, 2)
    for i in range(5)
}


def as_zip(path: Path, folder: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.png")):
            archive.write(file, prefix + file.relative_to(folder).as_posix())
    return path


def test_the_class_is_the_folder_directly_under_the_root(tmp_path):
    """As torchvision.datasets.ImageFolder has it, whatever lies between."""
    images = write(tmp_path / "set", NESTED)
    for source in (
        images,
        as_zip(tmp_path / "plain.zip", images),
        as_zip(tmp_path / "packed.zip", images, "photos/"),
        as_zip(tmp_path / "dotted.zip", images, "./photos/"),
    ):
        data = datasets.read(source, "folders", SIZE, 3)
        assert data.classes == ("cat", "dog")
        assert [shade < 100 for shade in shades(data.images)] == (data.labels == 0).tolist()


def test_below_train_and_test_too(tmp_path):
    both = {f"{part}/{name}": shade for part in ("train", "test") for name, shade in NESTED.items()}
    images = write(tmp_path / "set", both)
    for source in (images, as_zip(tmp_path / "packed.zip", images, "photos/")):
        data = datasets.read(source, "folders", SIZE, 3)
        assert data.classes == ("cat", "dog")
        assert data.test.sum() == 20


def test_a_folder_with_one_folder_in_it_is_one_class(tmp_path):
    one = {name: shade for name, shade in NESTED.items() if name.startswith("cat")}
    images = write(tmp_path / "set", one)
    with pytest.raises(InputError, match="found one class only, 'cat'"):
        datasets.read(images, "folders", SIZE, 3)


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("name, label", "{0}.png, {1}"),
        (" label ,file_name", " {1} ,{0}.png"),
        ("filename,label", "{0},{1}"),
        ("image_id,label", "./{0}.png,{1}"),
        ("id,path,label", "7,{0}.png,{1}"),
        ("picture,label", "{0}.png,{1}"),
    ],
)
def test_names_in_a_table_are_found_under_what_people_call_them(tmp_path, head, row):
    images = write(tmp_path / "set", {"a.png": 1, "b.png": 2, "c.png": 3, "d.png": 4})
    rows = [
        row.format(name, label) for name, label in zip("abcd", ("y", "n", "y", "n"), strict=True)
    ]
    asked = "picture" if "picture" in head else None
    path = table(
        tmp_path / "l.csv",
        "\n".join(
            [f"{head},split"]
            + [
                f"{each},{part}"
                for each, part in zip(rows, ("train", "train", "test", "test"), strict=True)
            ]
        ),
    )
    data = datasets.read(images, path, SIZE, 3, name_column=asked)
    assert shades(data.images) == [1, 2, 3, 4]
    assert [data.classes[k] for k in data.labels] == ["y", "n", "y", "n"]
