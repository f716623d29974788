"""Pictures hold the pixels they claim to hold, and come out the same each time."""

from __future__ import annotations

import base64
import re

import cv2
import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from dcgan_probe import figures
from dcgan_probe.errors import InputError


def test_pixels_round_and_clamp():
    images = torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0]).view(5, 1, 1, 1)
    assert figures.pixels(images)[:, 0, 0].tolist() == [[v] * 3 for v in (0, 0, 128, 255, 255)]


def test_signed_gradients_are_grey_at_zero_and_scaled_each_to_itself():
    signal = torch.zeros(2, 1, 2, 2)
    signal[0, 0, 0] = torch.tensor([4.0, -4.0])
    grey = figures.signed(signal)
    assert grey[1].tolist() == [[[128] * 3] * 2] * 2
    assert (grey[0, 0, 0, 0], grey[0, 0, 1, 0], grey[0, 1, 0, 0]) == (255, 0, 128)


def test_tiles_are_whole_number_zooms_without_smoothing():
    images = np.random.default_rng(0).integers(0, 256, (3, 2, 2, 3), np.uint8)
    sheet = figures.tile(images, columns=2, zoom=3, gap=1)
    assert sheet.shape == (13, 13, 3)
    assert (sheet[0:6:3, 7:13:3] == images[1]).all()
    assert (sheet[7:, 7:] == 255).all()


def test_a_figure_holds_its_images_pixel_for_pixel_and_is_the_same_twice(tmp_path):
    images = np.random.default_rng(1).integers(0, 200, (2, 3, 8, 8, 3), np.uint8)
    for name in ("a.png", "b.png"):
        figures.draw(
            tmp_path / name,
            "Title",
            [figures.Block("heading", images)],
            ["one", "two"],
            "Caption.",
            4,
        )
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    drawn = cv2.imread(str(tmp_path / "a.png"))[..., ::-1]
    sheet = figures.tile(images.reshape(6, 8, 8, 3), 3, 4)
    height, width = sheet.shape[:2]
    places = [
        (y, x)
        for y in range(drawn.shape[0] - height + 1)
        for x in range(drawn.shape[1] - width + 1)
        if (drawn[y, x] == sheet[0, 0]).all()
        and (drawn[y : y + height, x : x + width] == sheet).all()
    ]
    assert len(places) == 1


def test_a_chart_keeps_its_size_in_the_picture(tmp_path):
    figure = figures.blank(300, 150)
    axes = figure.add_axes((1 / 3, 1 / 3, 1 / 3, 1 / 3))
    axes.set_axis_off()
    axes.imshow(np.zeros((1, 1, 3)), aspect="auto")
    figure.text(0, 0.5, "\N{FULL BLOCK}", color="red", ha="left")
    images = np.full((1, 1, 200, 200, 3), 255, np.uint8)
    block = figures.Block("", images)
    figures.draw(tmp_path / "a.png", "", [block], [""], "", 1, below=figure)
    drawn = figures.read_image(tmp_path / "a.png")
    ys, xs = np.nonzero((drawn == 0).all(2))
    assert (np.ptp(ys) + 1, np.ptp(xs) + 1) == (50, 100)
    assert 200 < ys.min() < 200 + 60  # without the white above it
    left = xs.min() - 100
    red = np.nonzero((drawn == (255, 0, 0)).all(2))[1]
    assert left <= red.min() < left + 5  # what stands in the chart moves with it


def test_labels_of_points_hide_nothing():
    figure = figures.blank(300, 200)
    axes = figure.subplots()
    axes.plot([0, 1, 2], [0, 1, 0], "o-")
    axes.margins(0.3)
    # Below and left is room at both ends, but not at the peak.
    figures.charts.label_points(axes, [(0, 0), (1, 1), (2, 0)], ["15", "30", "45"])
    at = [(text.get_text(), text.get_ha(), text.get_va()) for text in axes.texts]
    assert at == [("15", "right", "top"), ("30", "left", "bottom"), ("45", "right", "top")]
    figures.charts.label_points(axes, [(1, 1)] * 9, [str(number) for number in range(9)])
    assert [text.get_text() for text in axes.texts] == ["15", "30", "45", "0"]
    for bars, side in ((False, "right"), (True, "left")):
        axes.clear()
        axes.set_xlim(0, 2)
        axes.set_ylim(0, 2)
        if bars:
            axes.errorbar([1], [1], yerr=[0.8], fmt="none")
        figures.charts.label_points(axes, [(1.1, 1)], ["15"])
        assert axes.texts[0].get_ha() == side


def test_labels_stand_beneath_their_images(tmp_path):
    images = np.full((2, 2, 50, 50, 3), 200, np.uint8)
    lines = [["", ""], ["", "\N{FULL BLOCK}"]]
    figures.draw(tmp_path / "a.png", "", [figures.Block("", images, lines)], ["", ""], "", 2)
    drawn = figures.read_image(tmp_path / "a.png")
    ys, xs = np.nonzero((drawn == 200).all(2))
    dark = np.nonzero((drawn < 100).all(2))
    assert (np.ptp(ys), np.ptp(xs)) == (2 * 100 + 17 + 2 - 1, 2 * 100 + 2 - 1)
    assert ys.max() < dark[0].min() and dark[0].max() < ys.max() + 17
    assert abs(dark[1].mean() - (xs.max() - 49.5)) < 1


def test_boxes_are_drawn_at_their_edges():
    drawn = figures.outlined(
        np.zeros((8, 8, 3), np.uint8), [(2, 1, 6, 5)], zoom=2, colour="#FF0000"
    )
    ys, xs = np.nonzero(drawn[..., 0])
    assert (xs.min(), ys.min(), xs.max(), ys.max()) == (4, 2, 11, 9)
    assert (drawn[4:8, 6:10] == 0).all()


def test_rows_are_filled_up_with_white():
    images = np.arange(5 * 2 * 2 * 3, dtype=np.uint8).reshape(5, 2, 2, 3)
    rows = figures.grid(images, columns=3)
    assert rows.shape == (2, 3, 2, 2, 3)
    assert (rows.reshape(6, 2, 2, 3)[:5] == images).all() and (rows[1, 2] == 255).all()


def test_strips_hold_the_images_side_by_side(tmp_path):
    before, after = np.random.default_rng(2).integers(0, 256, (2, 4, 8, 8, 3), np.uint8)
    figures.strips.write(tmp_path, before, after)
    for name, images in (("before", before), ("after", after)):
        strip = figures.read_image(tmp_path / f"{name}.png")
        assert (strip.reshape(8, 4, 8, 3).swapaxes(0, 1) == images).all()


def test_a_film_of_several_images_holds_them_side_by_side(tmp_path):
    frames = np.random.default_rng(3).integers(0, 256, (2, 3, 64, 64, 3), np.uint8)
    figures.film.write_tiled(tmp_path / "film.png", frames, columns=3)
    found, film = cv2.imreadanimation(str(tmp_path / "film.png"))
    assert found and len(film.frames) == 2
    first = film.frames[0][..., 2::-1]
    assert first.shape == (256, 3 * 258 - 2, 3)  # at least 256 pixels high
    assert (first[::4, 516:772:4] == frames[0, 2]).all()


def test_what_does_not_change_in_a_gif_stays_still(tmp_path):
    """One set of colours and no dither: what moves elsewhere changes no pixel here."""
    y, x = np.mgrid[:64, :64]
    frames = np.stack([np.stack([2 * x, 3 * y, x + y], -1)] * 3).astype(np.uint8)
    frames[1:, 40:, 40:] = np.random.default_rng(0).integers(0, 256, (2, 24, 24, 3))
    figures.film.write(tmp_path / "film.gif", frames)
    with Image.open(tmp_path / "film.gif") as film:
        seen = [np.array(frame.convert("RGB")) for frame in ImageSequence.Iterator(film)]
    assert len(seen) == 3
    for frame in seen[1:]:
        np.testing.assert_array_equal(frame[:40], seen[0][:40])
        np.testing.assert_array_equal(frame[:, :40], seen[0][:, :40])
    assert np.abs(seen[0][:40].astype(int) - frames[0][:40]).mean() < 8


def test_a_label_is_below_its_frame(tmp_path):
    frames = np.random.default_rng(0).integers(0, 200, (3, 64, 90, 3), np.uint8)
    drawn = figures.film.label(frames, ["one", "two words that do not fit into a line", "one"])
    np.testing.assert_array_equal(drawn[:, :64], frames)
    one, two, again = drawn[:, 64:]
    np.testing.assert_array_equal(one, again)
    assert one[0].min() == one[-1].min() == two[:, -1].min() == 255  # nothing is cut off
    ink = [(band < 128).any(axis=(1, 2)) for band in (one, two)]
    assert 5 < ink[0].sum() < 16 and ink[1].sum() > 2 * ink[0].sum()


def test_no_text_is_taken_for_mathematics(tmp_path):
    """A name with two ``$`` was an error of matplotlib's, or was drawn in another font."""

    def drawn(name: str) -> np.ndarray:
        figure = figures.blank(300, 200)
        axes = figure.subplots()
        axes.plot([1, 2], [1, 2], label=name)
        axes.set_xticks([1, 2], [name, "b"])
        axes.set_title(name)
        figure.text(0, 0, name)
        figures.charts.legend(axes)
        figures.save(tmp_path / "a.png", figure)
        drawn = figures.read_image(tmp_path / "a.png")
        assert drawn is not None
        return drawn

    assert drawn("US$^$").shape == (200, 300, 3)
    # As many strokes as the letters have: what is parsed loses its dollars and turns italic.
    assert (drawn("a$b$") != drawn("a$b")).any()
    assert drawn("photos\udcff").shape == (200, 300, 3)  # a name that is no UTF-8


def test_powers_of_ten_stay_what_they_are(tmp_path):
    figure = figures.blank(300, 200)
    axes = figure.subplots()
    axes.plot([1, 2], [1e-3, 1])
    axes.set_yscale("log")
    figures.save(tmp_path / "a.png", figure)
    assert axes.get_yticklabels()[0].get_parse_math()


def test_a_matplotlibrc_changes_no_figure(tmp_path):
    images = np.zeros((1, 1, 8, 8, 3), np.uint8)

    def draw(name: str) -> bytes:
        figures.draw(tmp_path / name, "Title", [figures.Block("", images)], [""], "Caption $x$.")
        return (tmp_path / name).read_bytes()

    plain = draw("plain.png")
    with matplotlib.rc_context({"font.weight": "bold", "savefig.bbox": "tight", "text.color": "r"}):
        assert draw("changed.png") == plain
        assert matplotlib.rcParams["font.weight"] == "bold"  # nor do ours change the user's


def _drawn(folder) -> None:
    images = np.random.default_rng(4).integers(0, 200, (1, 2, 8, 8, 3), np.uint8)
    chart = figures.blank(300, 150)
    chart.subplots().plot([1, 2], label="$x$")
    figures.draw(folder / "a.png", "Title", [figures.Block("", images)], [""], "", 4, below=chart)


def test_a_figure_is_also_a_pdf_and_an_svg_the_same_each_time(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with figures.also("pdf", "svg"):
            _drawn(tmp_path / name)
    names = ("a.pdf", "a.png", "a.svg")
    one, two = ([(tmp_path / f / n).read_bytes() for n in names] for f in ("one", "two"))
    assert one == two
    assert one[0].startswith(b"%PDF") and b"CreationDate" not in one[0]
    _drawn(tmp_path)
    assert sorted(path.name for path in tmp_path.glob("a.*")) == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == one[1]


def test_samples_in_an_svg_are_images_without_smoothing(tmp_path):
    with figures.also("svg"):
        _drawn(tmp_path)
    text = (tmp_path / "a.svg").read_text()
    images = re.findall(r'<image [^>]*?xlink:href="data:image/png;base64,\s*([^"]+)"', text)
    drawn = cv2.imdecode(np.frombuffer(base64.b64decode(images[0]), np.uint8), cv2.IMREAD_COLOR)
    wanted = np.random.default_rng(4).integers(0, 200, (2, 8, 8, 3), np.uint8)
    sheet = figures.tile(wanted, 2, 4)[..., ::-1]
    assert len(images) == 1 and "image-rendering:pixelated" in text
    assert any(np.array_equal(each, sheet) for each in (drawn, drawn[::-1]))
    assert "<path" in text  # the chart is drawn as lines


def test_a_zoom_enlarges_the_png_by_a_whole_number(tmp_path):
    (tmp_path / "three").mkdir()
    _drawn(tmp_path)
    with figures.also(zoom=3):
        _drawn(tmp_path / "three")
    small, large = (figures.read_image(f / "a.png") for f in (tmp_path, tmp_path / "three"))
    assert large.shape == (3 * small.shape[0], 3 * small.shape[1], 3)
    wanted = np.random.default_rng(4).integers(0, 200, (2, 8, 8, 3), np.uint8)
    sheet = figures.tile(wanted, 2, 4)
    y, x = np.argwhere((small == sheet[0, 0]).all(2))[0]
    assert (large[3 * y : 3 * y + 96, 3 * x : 3 * x + 96 : 3] == sheet[:, :32].repeat(3, 0)).all()


@pytest.mark.parametrize(
    ("formats", "zoom", "said"),
    [
        (("eps",), 1, "unknown format of figures 'eps', expected one of: pdf, svg"),
        ((), 5, "zoom: found 5, expected a whole number from 1 to 4"),
        ((), 1.5, "zoom: found 1.5, expected a whole number from 1 to 4"),
    ],
)
def test_other_formats_are_refused(formats, zoom, said):
    with pytest.raises(InputError, match=said), figures.also(*formats, zoom=zoom):
        pass


def test_rows_of_a_grid_are_as_long_as_asked_for():
    images = np.arange(5 * 2 * 2 * 3, dtype=np.uint8).reshape(5, 2, 2, 3)
    with figures.also(columns=2):
        rows = figures.grid(images, columns=4)
    assert rows.shape[:2] == (3, 2)
    assert figures.grid(images, columns=9).shape[:2] == (1, 5)  # nothing is empty
    with pytest.raises(InputError, match="columns: found 0"), figures.also(columns=0):
        pass


def test_half_a_film_is_not_saved_as_a_whole_one(tmp_path, monkeypatch):
    frames = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8)

    class Full:
        """A disk with room for three frames. Not a subclass: OpenCV's types crash as bases."""

        fourcc = cv2.VideoWriter.fourcc

        def __init__(self, *arguments, whole=cv2.VideoWriter):
            self.film, self.written = whole(*arguments), 0
            self.isOpened, self.release = self.film.isOpened, self.film.release

        def write(self, frame):
            self.written += 1
            if self.written <= 3:
                self.film.write(frame)

    monkeypatch.setattr(figures.film.cv2, "VideoWriter", Full)
    with pytest.raises(InputError, match="found 3 of 6 frames"):
        figures.film.write(tmp_path / "film.mp4", frames)
    assert not (tmp_path / "film.mp4").exists()
