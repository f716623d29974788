"""Images of folders and zips come as the network wants them; one that cannot is named."""

from __future__ import annotations

import zipfile

import cv2
import numpy as np
import pytest
import torch

from dcgan_probe.errors import InputError
from dcgan_probe.images.sources import ImageSource, Samples, batches


def png(array: np.ndarray) -> bytes:
    return cv2.imencode(".png", array)[1].tobytes()


def red(height: int, width: int) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 2] = 255  # OpenCV writes BGR
    return image


def test_a_folder_and_a_zip_of_it_are_the_same_in_the_order_of_names(tmp_path):
    (tmp_path / "in" / "b").mkdir(parents=True)
    rng = np.random.default_rng(0)
    images = {
        f"{n}.png": png(rng.integers(0, 256, (40, 30, 3), np.uint8)) for n in ("b/2", "10", "a")
    }
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for name, data in images.items():
            (tmp_path / "in" / name).write_bytes(data)
            archive.writestr(name, data)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    folder, archive = (ImageSource(tmp_path / p, 16, 3) for p in ("in", "in.zip"))
    assert folder.names == archive.names == ["10.png", "a.png", "b/2.png"]
    assert torch.equal(folder.read([0, 1, 2]), archive.read([0, 1, 2]))


def test_the_centre_square_is_taken_and_colours_are_rgb(tmp_path):
    image = red(8, 24)
    image[:, :8] = image[:, 16:] = 255
    (tmp_path / "a.png").write_bytes(png(image))
    (got,) = ImageSource(tmp_path, 4, 3).read([0])
    assert got[0].eq(1).all()
    assert got[1:].eq(-1).all()


def test_reduction_is_by_area_and_grey_is_one_channel(tmp_path):
    image = np.zeros((32, 32), np.uint8)
    image[::2] = 255
    (tmp_path / "a.png").write_bytes(png(image))
    got = ImageSource(tmp_path, 16, 1).read([0])
    assert got.shape == (1, 1, 16, 16)
    torch.testing.assert_close(got, torch.full_like(got, 128 / 127.5 - 1))


@pytest.mark.parametrize("data", [b"", b"<html>", b"\x89PNG\r\n\x1a\n broken"])
def test_what_does_not_decode_is_named(tmp_path, data):
    (tmp_path / "bad.png").write_bytes(data)
    with pytest.raises(InputError, match=r"bad\.png: found \d+ bytes (that OpenCV|of a PNG)"):
        ImageSource(tmp_path, 16, 3).read([0])


def test_a_path_that_is_none_is_refused(tmp_path):
    with pytest.raises(InputError, match="found nothing, expected a folder or zip"):
        ImageSource(tmp_path / "none", 16, 3)
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(InputError, match=r"a\.txt: found a file of another kind"):
        ImageSource(tmp_path / "a.txt", 16, 3)
    with pytest.raises(InputError, match="found no images"):
        ImageSource(tmp_path, 16, 3)


def test_samples_are_the_generators_images_in_any_order(generator, config):
    z = torch.randn(5, config.z_size)
    source = Samples(generator, z)
    with torch.no_grad():
        torch.testing.assert_close(source.read([3, 0]), generator(z[[3, 0]]))
    assert [len(b) for b in batches(source, 2)] == [2, 2, 1]
