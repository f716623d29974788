"""Pictures can be read where they are shown: text is large enough, whole, and on nothing else."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text
from matplotlib.transforms import Bbox

import dcgan_probe as dp
from dcgan_probe import figures
from dcgan_probe.figures import canvas, charts, output, panels
from dcgan_probe.figures.lettering import balance, text_width, wrap
from dcgan_probe.metrics.intervals import Interval
from dcgan_probe.probes.features.figures import draw_accuracy, draw_layers
from dcgan_probe.probes.forget.figures import LOW, _chart, blank_panels, draw_traces
from dcgan_probe.probes.forget.judgement import EditOutcome, Proof

LEAST = 11  # pixels of a font, where the picture is shown `canvas.PAGE` pixels wide
# Pixels of white between two parts, likewise. It is 16 to 24 in the figures below; a legend that
# hangs below one of two charts, or what matplotlib leaves around a chart, made it 40 to 57.
EMPTY = 30
# A sentence that begins with a small letter, unless that is a checkpoint's name and hash.
SENTENCE = r"(?:^|[.!?] )(?!\S+ \([0-9a-f]{8}\))([a-z][^.]*)"
GLASSES = "glasses_short - plain_short + plain_long"
# BOXES and IMAGES stand for files that the test makes.
LINES = {
    "ablate": ["ablate", "--layer", "8x8", "--filters", "1-3", "--where", "8,8,20,20"],
    "arithmetic": ["--model", "faces", "arithmetic", GLASSES, "--keep", "all", "--draws", "4"]
    + ["--classifier", "faces"],
    "concepts": ["--model", "faces", "concepts", "suggest", "smiling", "--shows", "smile"]
    + ["--concepts", "CONCEPTS", "--n", "60"],
    "directions": ["--model", "faces", "directions", "--n", "60", "--components", "3"],
    "dissect": ["dissect", "--boxes", "BOXES", "--n", "8", "--layer", "16x16", "--top", "3"],
    "evaluate": ["evaluate", "--images", "IMAGES", "--n", "20"],
    "features": ["features", "--images", "IMAGES", "--labels", "folders"],
    "forget": ["forget", "--boxes", "BOXES", "--layer", "8x8", "--n", "16", "--controls", "2"],
    "forget by places": ["--model", "rooms", "forget", "--by", "places", "--n", "32"]
    + ["--controls", "1"],
    "invert": ["invert", "IMAGE", "--starts", "2", "--steps", "3"],
    "neighbours": ["neighbours", "--images", "IMAGES", "--held-out", "OTHERS", "--n", "20"],
    "put": ["put", "--boxes", "BOXES", "--at", "16,12,32,32", "--judge", "boxes", "--n", "16"],
    "put by trials": ["--model", "rooms", "put", "--at", "34,16,54,35", "--n", "16"],
    "sample": ["sample", "--n", "20", "--numbered"],
    "train": ["train", "--images", "IMAGES", "--size", "16", "--g-width", "4", "--d-width", "4"]
    + ["--batch", "8", "--steps", "4", "--save-every", "2"],
    "turn": ["--model", "faces", "turn", "--from", "left", "--to", "right", "--n", "4"]
    + ["--classifier", "faces"],
    "visualize-d": ["visualize-d", "--n", "12", "--filters", "0-3"],
    "visualize-d of many": ["visualize-d", "--n", "20", "--k", "12", "--filters", "0-9"],
    "walk of many": ["walk", "--points", "4", "--steps", "20"],
    "walk": ["walk", "--points", "4", "--steps", "5"],
}

# Samples that commands draw by themselves. As much is tried, and so drawn, as without this.
FEW = {
    "probes.arithmetic.trials.POOL": 400,
    "probes.put.choice.PLACES": 2,
    "probes.put.choice.RECIPIENTS": 2,
    "probes.put.choice.SAMPLES": 4,
    "recognition.erasing.DONORS": 24,
    "recognition.erasing.PRELIMINARY": 12,
    "recognition.erasing.SAMPLES": 16,
    "recognition.keeping.SAMPLES": 400,
    "recognition.trials.FEWEST": 8,
    "recognition.trials.SAMPLES": 16,
    "recognition.trials.USUAL": 8,
}


@pytest.fixture
def drawn(monkeypatch) -> list[Figure]:
    """The figures that are written, in their order."""
    figures: list[Figure] = []
    whole = output._encoded

    def encoded(figure: Figure, *rest: Any) -> bytes:
        figures.append(figure)
        return whole(figure, *rest)

    monkeypatch.setattr(output, "_encoded", encoded)
    return figures


def visible(axes: Axes) -> Iterator[Text]:
    """Every text that axes draw, beside their ticks out of view."""
    yield from (axes.title, axes._left_title, axes._right_title, *axes.texts)  # type: ignore[attr-defined]
    for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
        yield axis.label
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if low <= tick.get_loc() <= high:
                yield from (tick.label1, tick.label2)
    if (legend := axes.get_legend()) is not None:
        yield from legend.get_texts()


def texts(figure: Figure) -> dict[Text, Bbox]:
    """Every text that a figure shows, with its place in pixels."""
    FigureCanvasAgg(figure).draw()
    found = [*figure.texts, *(text for axes in figure.axes for text in visible(axes))]
    for legend in figure.legends:
        found += legend.get_texts()
    return {
        text: Text.get_window_extent(text)  # of an annotation without its arrow
        for text in found
        if text.get_visible() and text.get_text().strip()
    }


def shown(figure: Figure) -> float:
    """How much smaller a page shows a figure."""
    return min(1.0, canvas.PAGE / float(figure.bbox.width))


def faults(figure: Figure) -> list[str]:
    """What cannot be read in a figure, as a page shows it."""
    places = texts(figure)
    wrong = []
    for text, box in places.items():
        words = repr(text.get_text())
        pixels = text.get_fontsize() * figure.dpi / 72 * shown(figure)
        if pixels < LEAST - 0.01:
            wrong.append(f"{words} is {pixels:.1f} pixels high")
        if box.x0 < 0 or box.y0 < 0 or box.x1 > figure.bbox.x1 or box.y1 > figure.bbox.y1:
            wrong.append(f"{words} is cut")
        inner = box.padded(-2)
        for axes in figure.axes:
            if text.axes is not axes and any(covers(image, inner) for image in axes.images):
                wrong.append(f"{words} is on an image")
            for line in axes.lines:
                path = line.get_path().transformed(line.get_transform())
                if line.get_linestyle() != "None" and path.intersects_bbox(inner, filled=False):
                    wrong.append(f"{words} is on the line {line.get_label()}")
    for start in re.finditer(SENTENCE, caption(figure)):
        wrong.append(f"the sentence {start[1]!r} begins with a small letter")
    for (one, place), (other, beside) in combinations(places.items(), 2):
        if overlap(place.padded(-1), beside.padded(-1)):
            wrong.append(f"{one.get_text()!r} is on {other.get_text()!r}")
    return wrong


def caption(figure: Figure) -> str:
    """What a figure says of itself, without the ends of its lines."""
    return " ".join(t.get_text() for t in figure.texts if t.get_color() == canvas.PALE)


def highest_blank(figure: Figure) -> float:
    """Pixels of the highest white band from side to side between two parts, as a page shows it."""
    agg = FigureCanvasAgg(figure)
    agg.draw()
    drawn = np.flatnonzero((np.asarray(agg.buffer_rgba())[..., :3] != 255).any((1, 2)))
    return float((np.diff(drawn).max(initial=1) - 1) * shown(figure))


def covers(image: AxesImage, box: Bbox) -> bool:
    """Whether anything but white of an image is in a box."""
    place, pixels = image.axes.bbox, image.get_array()
    height, width = pixels.shape[:2]
    x0, x1 = np.clip((np.array([box.x0, box.x1]) - place.x0) / place.width, 0, 1) * width
    y0, y1 = np.clip((place.y1 - np.array([box.y1, box.y0])) / place.height, 0, 1) * height
    inside = pixels[int(y0) : math.ceil(y1), int(x0) : math.ceil(x1)]
    return bool((inside != 255).any())


def overlap(a: Bbox, b: Bbox) -> bool:
    return bool(a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 and b.y0 < a.y1)


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_all_text_can_be_read(run, drawn, tmp_path, monkeypatch, line):
    for constant, few in FEW.items():
        monkeypatch.setattr(f"dcgan_probe.{constant}", few)
    pixels = figures.pixels(
        dp.Session.open(tmp_path / "model.safetensors", device="cpu").sample(60)
    )
    for name, first in (("images/a", 0), ("images/b", 20), ("others", 40)):
        (tmp_path / name).mkdir(parents=True)
        for i, image in enumerate(pixels[first : first + 20]):
            figures.write_image(tmp_path / name / f"{i}.png", image)
    files = {
        "BOXES": tmp_path / "boxes.json",
        "CONCEPTS": tmp_path / "concepts.json",
        "IMAGES": tmp_path / "images",
        "IMAGE": tmp_path / "images/a/0.png",
        "OTHERS": tmp_path / "others",
    }
    run(*(files.get(word, word) for word in line))
    assert drawn
    assert [fault for figure in drawn for fault in faults(figure)] == []
    assert max(map(highest_blank, drawn)) <= EMPTY
    for figure in drawn:  # of charts side by side each says what it shows, unless they share rows
        alone = [
            axes
            for axes in figure.axes
            if axes.axison and len(axes.get_shared_y_axes().get_siblings(axes)) == 1
        ]
        tops = [round(axes.get_position().y1, 2) for axes in alone]
        for axes, top in zip(alone, tops, strict=True):
            assert tops.count(top) == 1 or axes.get_title(loc="left")


def test_titles_of_two_judges_fit_where_random_sets_and_the_last_leave_more():
    much, change = Interval(9.99, 9.9, 10.1), Interval(0.1, 0.09, 0.11)
    outcome = EditOutcome(4, much, much, 0.1, change, None)
    many = tuple((2.0 + i, 0.1) for i in range(19))
    proof = Proof("boxes", {}, 16, 16, outcome, outcome, outcome, many, ((2, 0.5, 0.05),), ())
    figure = _chart([proof, proof], [])
    assert faults(figure) == []
    # The legend shows marks as the chart does: with error bars over it, a circle is a diamond.
    assert not figure.legends[0].findobj(LineCollection)


@pytest.mark.parametrize("columns", [1, 4, 20])
def test_text_grows_with_a_picture_that_a_page_reduces(drawn, tmp_path, columns):
    images = np.zeros((2, columns, 64, 64, 3), np.uint8)
    blocks = [panels.Block(f"a heading of some words, number {i}", images) for i in range(2)]
    rows = ["the first row\nsecond line", "the second"]
    path = f"a folder/{'with a long name' * 9}"
    panels.draw(tmp_path / "a.png", "A title " * 12, blocks, rows, f"Of {path}. " * 3)
    assert [fault for figure in drawn for fault in faults(figure)] == []


def test_words_of_headings_stay_whole(drawn, tmp_path):
    images = np.zeros((1, 10, 64, 64, 3), np.uint8)
    names = ("nearest random", "considerably", "of many")
    parts = zip(names, (1, 1, 10), strict=True)
    blocks = [panels.Block(name, images[:, :columns]) for name, columns in parts]
    panels.draw(tmp_path / "a.png", "Title", blocks, [""], "Caption.", zoom=2)
    (figure,) = drawn
    assert {"nearest\nrandom", "considerably"} <= {text.get_text() for text in texts(figure)}
    assert faults(figure) == []


def test_faults_are_found(tmp_path):
    figure = canvas.blank(300, 200)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], label="rising")
    axes.text(0.5, 0.5, "in the way", fontsize=9)
    axes.text(0.5, 0.5, "twice", fontsize=9)
    figure.text(0.9, 0.5, "out of the picture", fontsize=9)
    figure.text(0.1, 0.95, "tiny", fontsize=6)
    image = figure.add_axes((0, 0, 0.2, 0.2))
    image.imshow(np.zeros((2, 2)))
    image.set_axis_off()
    figure.text(0.05, 0.1, "before a picture", fontsize=9)
    figure.text(0.1, 0.8, "Of rooms. windows replaced.", fontsize=9, color=canvas.PALE)
    figure.text(0.1, 0.7, "rooms (0123abcd), seed 0.", fontsize=9, color=canvas.PALE)
    found = "; ".join(faults(figure))
    for fault in (
        "'in the way' is on the line rising",
        "'in the way' is on 'twice'",
        "'out of the picture' is cut",
        "'tiny' is 8.3 pixels high",
        "'before a picture' is on an image",
        "the sentence 'windows replaced' begins with a small letter",
    ):
        assert fault in found
    assert "'rooms" not in found


def test_lines_are_broken_where_they_end():
    words = "one two three four five six seven eight nine ten " * 3
    lines = wrap(words, 12, 100)
    assert " ".join(lines).split() == words.split()
    assert all(text_width(line, 12) <= 100 for line in lines)
    longer = [f"{a} {b.split()[0]}" for a, b in zip(lines, lines[1:], strict=False)]
    assert all(text_width(line, 12) > 100 for line in longer)
    assert "".join(wrap("/a/path/that/is/long" * 5, 12, 100)) == "/a/path/that/is/long" * 5
    assert wrap("smiling_woman", 12, text_width("smiling_wo", 12)) == ["smiling_", "woman"]


def test_the_number_of_a_seed_has_no_line_of_its_own(session):
    name, room = session.caption(), text_width(session.caption(), 12) - 1
    assert wrap(name, 12, room)[-1] == "seed\N{NO-BREAK SPACE}0"


def test_titles_do_not_end_in_a_line_of_one_word():
    words = "Forgetting “white cell”: 128 filters of 8x8 and 16x16 turned down"
    assert wrap(words, 17, 608, bold=True)[1:] == ["down"]
    first, second = (text_width(line, 17, bold=True) for line in balance(words, 17, 608, bold=True))
    assert abs(first - second) < 80 and first + second > 608
    for text in ("short", "", "a" * 200, f"before {'a' * 200}"):
        assert balance(text, 17, 608) == wrap(text, 17, 608)


def test_labels_of_points_keep_off_large_marks():
    figure = canvas.blank(300, 240)
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.plot(0.5, 0.5, "o", markersize=24)
    charts.label_points(axes, [(0.62, 0.5)], ["32"])
    (place,) = (text.get_window_extent() for text in axes.texts)
    middle = np.array(axes.transData.transform((0.5, 0.5)))
    nearest = np.clip(middle, place.min, place.max)
    assert np.hypot(*(nearest - middle)) > 12 * figure.dpi / 72


def test_an_odd_panel_leaves_no_ground_empty_beside_it():
    figure, panels = blank_panels(3, LOW)
    figure.tight_layout()
    left, right, below = (axes.get_position() for axes in panels)
    assert (below.x0, below.x1) == (left.x0, right.x1)
    assert below.height * figure.bbox.height < LOW < left.height * figure.bbox.height


@pytest.mark.parametrize("low", [0.1, 0.45, 0.9])
def test_chance_is_named_below_what_a_probe_finds(low):
    _, (axes, _) = blank_panels(2)
    found = {"as they are": SimpleNamespace(beyond=Interval(1.0, 1.0, 1.0))}
    found["chosen"] = SimpleNamespace(beyond=Interval(low + 0.05, low, low + 0.1))
    draw_traces(axes, SimpleNamespace(found=found))
    left, right = axes.get_xlim()
    shown = [tick for tick in axes.get_xticks() if left <= tick <= right]
    assert np.isclose(shown, 0.5).any() and len(shown) <= 6


@pytest.mark.parametrize(("high", "top"), [(0.51, 60), (0.34, 40), (0.36, 60), (0.97, 100)])
def test_the_axis_of_accuracy_ends_near_the_highest(drawn, tmp_path, high, top):
    score = SimpleNamespace(mean=high - 0.1, interval=(high - 0.2, high))
    points = [SimpleNamespace(labels=labels, score=score) for labels in (100, 500)]
    row = SimpleNamespace(name="pixels", features=3072, points=points)
    draw_accuracy(tmp_path / "a.png", [row], [], 0.1, "Caption.")
    draw_accuracy(tmp_path / "b.png", [row], [], 0.5, "Caption.")  # of two classes
    one, other = drawn
    assert one.axes[0].get_ylim() == (0, top)
    assert other.axes[0].get_ylim() == (0, max(60, top))
    assert faults(one) == faults(other) == []


def test_numbers_of_layers_are_off_the_lines(drawn, tmp_path):
    ends = ((0.32, 0.41), (0.40, 0.49), (0.02, 0.04))
    scores = [SimpleNamespace(mean=sum(span) / 2, interval=span) for span in ends]
    layers = [
        SimpleNamespace(layer=f"{i}x{i}", share=share, point=SimpleNamespace(score=score))
        for i, (score, share) in enumerate(zip(scores, (0.0, 0.42, 0.58), strict=True))
    ]
    draw_layers(tmp_path / "a.png", layers, 0.468, 0.1, "Caption.")
    (figure,) = drawn
    assert faults(figure) == []
