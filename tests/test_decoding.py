"""Every kind of picture comes as Pillow reads it; what is none is refused, with the reason."""

from __future__ import annotations

import ctypes
import io
import logging
import os
import platform
import struct
import subprocess
import sys
import textwrap
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from dcgan_probe.images import decoding, headers, opencv
from dcgan_probe.images.containers import Unreadable
from dcgan_probe.images.decoding import decode, pixels

SIDE = 24


def picture(height: int = SIDE, width: int = SIDE) -> Image.Image:
    """Smooth, so that what a lossy format loses stays small; no two of its sides are alike."""
    rows, columns = np.mgrid[:height, :width]
    red, green = 255 * rows / height, 255 * columns / width
    return Image.fromarray(np.stack([red, green, 255 - (red + green) / 2], 2).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def by_pillow(data: bytes) -> Image.Image:
    return ImageOps.exif_transpose(Image.open(io.BytesIO(data)))


def assert_close(got: np.ndarray, expected: Image.Image | np.ndarray, most: int) -> None:
    expected = np.asarray(expected)
    expected = expected[None] if expected.ndim == 2 else expected.transpose(2, 0, 1)
    assert got.dtype == np.uint8
    assert got.shape == expected.shape
    assert np.abs(got.astype(int) - expected).max() <= most


@pytest.mark.parametrize(
    ("kind", "options", "most"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("TIFF", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 90}, 1),
        ("JPEG", {"quality": 95}, 1),
        ("JPEG", {"quality": 95, "progressive": True}, 1),
    ],
)
def test_colours_are_those_that_pillow_reads(kind, options, most):
    data = encoded(picture(), kind, **options)
    assert_close(pixels(data, SIDE, 3), by_pillow(data).convert("RGB"), most)
    assert_close(pixels(data, SIDE, 1), by_pillow(data).convert("L"), most + 1)


@pytest.mark.parametrize("mode", ["1", "L", "P"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_bits_greys_and_palettes(mode, kind):
    data = encoded(picture().convert(mode), kind)
    assert by_pillow(data).mode == mode
    assert_close(pixels(data, SIDE, 3), by_pillow(data).convert("RGB"), 0)
    assert_close(pixels(data, SIDE, 1), by_pillow(data).convert("L"), 1)


def test_cmyk_with_the_inversion_of_adobe_and_without_its_marker():
    data = encoded(picture().convert("CMYK"), "JPEG", quality=95)
    start = data.index(b"\xff\xee")
    bare = data[:start] + data[start + 2 + struct.unpack(">H", data[start + 2 : start + 4])[0] :]
    assert b"Adobe" in data
    assert b"Adobe" not in bare
    for variant in (data, bare):
        assert by_pillow(variant).mode == "CMYK"
        assert_close(pixels(variant, SIDE, 3), by_pillow(variant).convert("RGB"), 1)
        assert_close(pixels(variant, SIDE, 1), by_pillow(variant).convert("L"), 2)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_what_is_transparent_lies_on_white(mode, kind):
    image = picture()
    image.putalpha(Image.fromarray(np.linspace(0, 255, SIDE**2).reshape(SIDE, SIDE).astype("u1")))
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    if mode == "P":
        image = picture().convert("P")
        options["transparency"] = image.getpixel((3, 4))
        image.info.update(options)
    data = encoded(image.convert(mode), kind, **options)
    transparent = by_pillow(data).convert("RGBA")
    assert transparent.getextrema()[3][0] < 255
    white = Image.new("RGBA", transparent.size, "white")
    on_white = Image.alpha_composite(white, transparent).convert("RGB")
    assert_close(pixels(data, SIDE, 3), on_white, 1)
    assert_close(pixels(data, SIDE, 1), on_white.convert("L"), 1)


def test_sixteen_bits_become_eight_by_rounding():
    deep = np.linspace(0, 65535, SIDE**2).reshape(SIDE, SIDE).astype(np.uint16)
    grey = cv2.imencode(".png", deep)[1].tobytes()
    assert np.array_equal(np.asarray(by_pillow(grey)), deep)
    assert_close(pixels(grey, SIDE, 1), np.rint(deep / 257).astype(np.uint8), 0)
    colours = np.stack([deep, deep.T, deep[::-1]], 2)
    colour = cv2.imencode(".png", colours[..., ::-1])[1].tobytes()
    assert_close(pixels(colour, SIDE, 3), np.rint(colours / 257).astype(np.uint8), 0)
    assert_close(pixels(colour, SIDE, 3), by_pillow(colour).convert("RGB"), 1)  # it cuts off


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_turned_as_its_exif_says(orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    data = encoded(picture(), "JPEG", quality=95, exif=exif)
    assert_close(pixels(data, SIDE, 3), by_pillow(data).convert("RGB"), 1)
    assert_close(pixels(data, SIDE, 1), by_pillow(data).convert("L"), 2)


@pytest.mark.parametrize(("height", "width"), [(96, 96), (96, 130), (131, 96)])
def test_the_centre_square_is_reduced_by_area(height, width):
    image = picture(height, width)
    left, top = (width - 96) // 2, (height - 96) // 2
    square = image.crop((left, top, left + 96, top + 96))
    expected = square.resize((SIDE, SIDE), Image.Resampling.BOX)
    assert_close(pixels(encoded(image), SIDE, 3), expected, 1)


def test_a_small_square_is_enlarged_linearly():
    expected = picture(8, 8).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    assert_close(pixels(encoded(picture(8, 8)), SIDE, 3), expected, 1)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (4,)])
def test_arrays_are_images_too(shape):
    array = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE + 3, *shape), np.uint8)
    image = cv2.imencode(".png", array if shape != (3,) else array[..., ::-1])[1].tobytes()
    if shape == (4,):
        image = encoded(Image.fromarray(array))
    for channels in (1, 3):
        got = pixels(array, 16, channels)
        assert got.shape == (channels, 16, 16)
        assert np.array_equal(got, pixels(image, 16, channels))


@pytest.mark.parametrize("data", [b"", b"<html>", b"\x89PNG\r\n\x1a\n broken", bytes(1000)])
def test_what_is_no_image_is_refused(data):
    with pytest.raises(Unreadable, match=rf"found {len(data)} bytes (that OpenCV|of a PNG)"):
        pixels(data, 16, 3)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.95, 0.5, 0.1])
def test_an_image_that_is_cut_off_is_refused(kind, share):
    data = encoded(picture(100, 100), kind)
    with pytest.raises(Unreadable, match="OpenCV cannot decode|cut off"):
        pixels(data[: int(len(data) * share)], 16, 3)


@pytest.mark.parametrize("kind", ["float32", "float64", "int32", "int16"])
@pytest.mark.parametrize("shape", [(), (3,), (4,)])
def test_samples_without_a_known_range_are_refused(kind, shape):
    done, data = cv2.imencode(".tiff", np.ones((SIDE, SIDE, *shape), kind))
    assert done
    with pytest.raises(Unreadable, match=f"found {kind} samples, expected 8 or 16 bits"):
        pixels(data.tobytes(), 16, 3)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims any size."""

    def part(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = part(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + part(b"IDAT", zlib.compress(b"")) + part(b"IEND", b"")


@pytest.mark.parametrize("side", [50_000, 20_000])
def test_a_bomb_is_refused_before_memory_is_taken(tmp_path, side):
    """In a process that has not loaded OpenCV: it reads the limit only then.

    Its own limit, of 2^30 pixels, would let the smaller one pass.
    """
    (tmp_path / "bomb.png").write_bytes(bomb(side, side))
    code = """
        import resource, sys
        from dcgan_probe.images.decoding import pixels
        from dcgan_probe.images.containers import Unreadable
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            pixels(open(sys.argv[1], "rb").read(), 64, 3)
        except Unreadable as error:
            print(error)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    line = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "bomb.png")]
    told, grown = subprocess.run(line, check=True, capture_output=True, text=True).stdout.split(
        "\n"
    )[:2]
    assert told == "claims more pixels than the 100 million allowed"
    assert int(grown) < 50_000  # kilobytes


KINDS = {
    "PNG": {},
    "TIFF": {},
    "TIFF, LZW": {"compression": "tiff_lzw"},
    "WEBP": {"lossless": True, "exact": True},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    "GIF": {},
    "JPEG2000": {},
    "PPM": {},
    "BMP": {},
    "JPEG": {"quality": 98},
}
MODES = {"AVIF": ("RGB", "RGBA"), "GIF": ("L", "P"), "JPEG2000": ("L", "RGB", "RGBA")}
MODES |= {"PPM": ("L", "RGB", "I;16"), "BMP": ("L", "RGB", "P"), "JPEG": ("L", "RGB")}
MODES |= {"WEBP": ("RGB", "RGBA")}
ALL = ("1", "L", "LA", "P", "P clear", "RGB", "RGBA", "I;16")
ORIENTED = ("PNG", "TIFF", "TIFF, LZW", "WEBP", "AVIF", "JPEG")


def cell(kind: str, mode: str, orientation: int) -> bytes:
    """A file of the table: format x what a pixel holds x orientation."""
    image = picture()
    options = dict(KINDS[kind])
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    elif mode in ("LA", "RGBA"):
        alpha = np.linspace(0, 255, SIDE**2).reshape(SIDE, SIDE).astype(np.uint8)
        image = image.convert(mode[:-1])
        image.putalpha(Image.fromarray(alpha))
    else:
        image = image.convert(mode.split()[0])
        if mode == "P clear":
            options["transparency"] = image.getpixel((3, 4))
    if orientation != 1:
        exif = Image.Exif()
        exif[0x112] = orientation
        options |= {"tiffinfo": {0x112: orientation}} if "TIFF" in kind else {"exif": exif}
    return encoded(image, kind.split(",")[0], **options)


def seen(data: bytes) -> Image.Image:
    """What Pillow shows on a white page."""
    image = by_pillow(data)
    if image.mode in ("I;16", "I"):  # I: of a PGM
        return Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8)).convert("RGB")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_of_formats_orientations_alpha_and_depths(kind):
    """Every cell against Pillow; lossy formats by up to 2 of 255, premultiplied alpha by 1."""
    for mode in MODES.get(kind, ALL):
        if mode == "P clear" and "TIFF" in kind:
            continue  # a TIFF has no such palette
        for orientation in range(1, 9) if kind in ORIENTED else (1,):
            data = cell(kind, mode, orientation)
            expected = np.asarray(seen(data)).transpose(2, 0, 1).astype(int)
            most = 3 if kind in ("AVIF", "JPEG") else 1
            off = np.abs(pixels(data, SIDE, 3).astype(int) - expected).max()
            assert off <= most, (kind, mode, orientation, off)


def test_a_grey_that_a_png_calls_transparent_lies_on_white():
    for depth, key in ((1, 1), (2, 2), (4, 5), (8, 200), (16, 40_000)):
        grey = np.arange(64).reshape(8, 8) * 1021 % 2**depth
        grey[0, 0] = key
        data = grey_png(grey, depth, key)
        wide = grey * (255 / (2**depth - 1))
        expected = np.rint(np.where(grey == key, 255, wide)).astype(int)
        assert np.abs(pixels(data, 8, 1)[0].astype(int) - expected).max() <= (depth == 16)


def grey_png(grey: np.ndarray, depth: int, key: int) -> bytes:
    """A PNG written by hand: Pillow writes neither 2 bits with a key nor 16."""

    def part(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    height, width = grey.shape
    rows = []
    for row in grey:
        bits = "".join(f"{value:0{depth}b}" for value in row)
        rows.append(b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big"))
    return (
        b"\x89PNG\r\n\x1a\n"
        + part(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0))
        + part(b"tRNS", struct.pack(">H", key))
        + part(b"IDAT", zlib.compress(b"".join(rows)))
        + part(b"IEND", b"")
    )


def test_alpha_by_hand():
    half = np.full((8, 8, 4), (200, 100, 50, 128), np.uint8)
    for kind in ("PNG", "TIFF", "WEBP"):
        data = encoded(Image.fromarray(half), kind, **KINDS[kind])
        assert pixels(data, 8, 3)[:, 0, 0].tolist() == [227, 177, 152]
    grey = Image.fromarray(np.full((8, 8, 2), (100, 128), np.uint8), "LA")
    for kind in ("PNG", "TIFF"):
        assert pixels(encoded(grey, kind), 8, 3)[:, 0, 0].tolist() == [177, 177, 177]
    deep = np.full((8, 8, 4), (50 * 257, 100 * 257, 200 * 257, 128 * 257), np.uint16)
    data = cv2.imencode(".png", deep)[1].tobytes()
    assert pixels(data, 8, 3)[:, 0, 0].tolist() == [227, 177, 152]


def test_what_is_wholly_transparent_is_told():
    clear = np.dstack([np.asarray(picture()), np.zeros((SIDE, SIDE), np.uint8)])
    for kind in ("PNG", "TIFF", "WEBP"):
        found = decode(encoded(Image.fromarray(clear), kind, **KINDS[kind]), SIDE, 3)
        assert found.transparent
        assert (found.pixels == 255).all()
    assert decode(encoded(Image.new("L", (8, 8)), "PNG", transparency=0), 8, 3).transparent
    clear[3, 4, 3] = 1
    assert not decode(encoded(Image.fromarray(clear)), SIDE, 3).transparent


def test_a_png_with_a_broken_profile_is_read_without_a_word(capfd):
    data = encoded(picture())
    profile = b"a\0\0xxxx"
    crc = zlib.crc32(b"iCCP" + profile)
    chunk = struct.pack(">I", len(profile)) + b"iCCP" + profile + struct.pack(">I", crc)
    cv2.imdecode(np.frombuffer(data[:33] + chunk + data[33:], np.uint8), cv2.IMREAD_COLOR)
    assert "libpng warning" in capfd.readouterr().err  # else this test could not fail
    assert np.array_equal(pixels(data[:33] + chunk + data[33:], SIDE, 3), pixels(data, SIDE, 3))
    assert capfd.readouterr().err == ""


def damaged_jpeg() -> bytes:
    """Two thirds of its pixels, and then its end."""
    data = encoded(picture(64, 64), "JPEG")
    return data[: len(data) * 2 // 3] + b"\xff\xd9"


@pytest.mark.skipif("glibc" not in platform.libc_ver(), reason="elsewhere libjpeg's lines remain")
def test_nothing_is_printed_of_a_damaged_jpeg(capfd):
    data = damaged_jpeg()
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert "Corrupt JPEG data" in capfd.readouterr().err  # else this test could not fail
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: pixels(data, 64, 3), range(100)))
    assert capfd.readouterr().err == ""
    assert all(np.array_equal(each, expected.transpose(2, 0, 1)) for each in found)
    # What others print is not lost, neither meanwhile nor after.
    with opencv.discarded_messages():
        os.write(2, b"descriptor, ")
        print("Python, ", end="", file=sys.stderr, flush=True)
    fprintf = ctypes.CDLL(None).fprintf
    fprintf(ctypes.c_void_p.in_dll(ctypes.CDLL(None), "stderr"), b"the C library")
    assert capfd.readouterr().err == "descriptor, Python, the C library"


def test_damaged_tags_of_a_grey_tiff_are_not_warned_of(recwarn):
    data = bytearray(encoded(Image.new("LA", (8, 8)), "TIFF", software="x" * 20))
    place = data.index((305).to_bytes(2, "little") + (2).to_bytes(2, "little"))
    data[place + 8 : place + 12] = (1 << 20).to_bytes(4, "little")  # where its text should be
    with pytest.raises(OSError, match="cannot identify"):
        Image.open(io.BytesIO(data))
    assert "Truncated File Read" in str(recwarn[0].message)
    recwarn.clear()
    with pytest.raises(Unreadable, match="cannot be decoded: cannot identify"):
        pixels(bytes(data), 8, 3)
    assert not recwarn.list


@pytest.mark.skipif("glibc" not in platform.libc_ver(), reason="elsewhere libtiff's lines remain")
def test_nothing_is_printed_of_damaged_pixels_of_a_grey_tiff(capfd, caplog):
    data = bytearray(encoded(Image.new("LA", (8, 8)), "TIFF", compression="tiff_lzw"))
    tag = data.index(struct.pack("<HHI", 273, 4, 1))
    data[tag + 8 : tag + 12] = (1 << 20).to_bytes(4, "little")  # where its pixels should be
    with pytest.raises(OSError):
        Image.open(io.BytesIO(data)).load()
    assert "Read error on strip 0" in capfd.readouterr().err  # else this test could not fail
    with pytest.raises(Unreadable, match="cannot be decoded"):
        pixels(bytes(data), 8, 3)
    assert capfd.readouterr().err == ""
    log = logging.getLogger("PIL.TiffImagePlugin")
    with decoding._without_messages():
        log.error("More samples per pixel than can be decoded")
    assert not caplog.records
    log.error("after")
    assert caplog.messages == ["after"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_pixels_are_counted_from_the_header(kind):
    data = encoded(picture(31, 17), kind)
    assert headers.claimed_pixels(data) == 31 * 17
    for cut in range(0, 40):
        headers.claimed_pixels(data[:cut])  # raises nothing
    if kind == "WEBP":
        assert headers.claimed_pixels(encoded(picture(31, 17), kind, lossless=True)) == 31 * 17


PEAK = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from dcgan_probe.images.decoding import pixels
data = open(sys.argv[1], "rb").read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with ThreadPoolExecutor(4) as pool:
    list(pool.map(lambda _: pixels(data, 64, 3), range(4)))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_large_transparent_images_take_the_memory_of_one(tmp_path):
    clear = np.zeros((8000, 8000, 4), np.uint8)
    done, data = cv2.imencode(".png", clear)
    (tmp_path / "a.png").write_bytes(data)
    run = [sys.executable, "-c", PEAK, str(tmp_path / "a.png")]
    kilobytes = int(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    assert kilobytes < 700_000  # 256 MB decoded and 192 MB on white, not four times as much
