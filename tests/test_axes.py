"""Axes that leave labels alone: the least squares, the projection, and the probes that use them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy.linalg import null_space
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from torch import nn

import dcgan_probe as dp
from dcgan_probe.errors import InputError
from dcgan_probe.figures.charts import spread
from dcgan_probe.latents import axes
from dcgan_probe.latents.concepts import Concept, Concepts
from dcgan_probe.metrics.intervals import Proportion
from dcgan_probe.probes import arithmetic, turn
from dcgan_probe.probes.arithmetic import trials
from dcgan_probe.probes.turn.curves import describe, rank
from dcgan_probe.probes.turn.figures import BOTTOM, HEIGHT, NAMED, NAMES, Line, chart_responses
from dcgan_probe.probes.turn.reading import READING
from dcgan_probe.probes.turn.result import Response
from dcgan_probe.recognition import keeping

# Of the classifier below: what each logit is of z, by hand.
LABELS = ("one", "two", "against one", "noise")
WEIGHTS = torch.zeros(3, 8)
WEIGHTS[0, 0], WEIGHTS[1, 0], WEIGHTS[1, 1], WEIGHTS[2, 0] = 2.0, 1.0, 2.0, -2.0


class Shown(nn.Module):
    """Draws z itself: its eight numbers in the first pixels of an image."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.1))

    def forward(self, z):
        flat = torch.zeros(len(z), 3 * 32 * 32)
        flat[:, :8] = self.scale * z
        return flat.view(-1, 3, 32, 32)


class Linear:
    """Reads z off the image: two logits that share a direction, an opposite, and pure noise."""

    name, labels, about = "linear", LABELS, {}

    def __call__(self, images):
        z = images.flatten(1)[:, :8] * 10
        noise = torch.sin(1000 * z.sum(1, keepdim=True)) * 3
        return torch.cat([z @ WEIGHTS.T, noise], 1).sigmoid()


@pytest.fixture
def shown(session, monkeypatch) -> dp.Session:
    monkeypatch.setattr(keeping, "SAMPLES", 300)
    checkpoint = dp.Checkpoint(session.config, Shown().eval(), None, {}, "shown", "cd" * 32)
    return dp.Session(checkpoint, seed=0, device="cpu")


def sampled(session, column, sign, count=3):
    """The first samples of seed 0 with a clearly positive or negative number of z."""
    z = session.latents(300)[:, column] * sign
    return tuple(f"0:{i}" for i in torch.nonzero(z > 0.8)[:count, 0].tolist())


@pytest.fixture
def concepts(shown) -> Concepts:
    named = {
        "low": Concept(sampled(shown, 0, -1), ("not one",)),
        "high": Concept(sampled(shown, 0, 1), ("one",)),
        "second": Concept(sampled(shown, 1, 1, 6)),
        "zeros": Concept((tuple([0.0] * 8),)),
    }
    return Concepts("cd" * 32, named)


def test_a_regression_is_that_of_numpy_and_its_r2_that_of_samples_left_out():
    random = np.random.default_rng(0)
    z = random.standard_normal((40, 5))
    y = z @ random.standard_normal((5, 3)) + 2 * random.standard_normal((40, 3)) + 1
    found = axes.regress(torch.from_numpy(z).float(), torch.from_numpy(y), "abc")
    z = torch.from_numpy(z).float().numpy().astype(float)
    expected = np.linalg.lstsq(np.column_stack([z, np.ones(40)]), y, rcond=None)[0]
    np.testing.assert_allclose(found.weights.numpy(), expected[:-1].T, atol=1e-8)
    predicted = cross_val_predict(LinearRegression(), z, y, cv=LeaveOneOut())
    r2 = 1 - ((y - predicted) ** 2).sum(0) / ((y - y.mean(0)) ** 2).sum(0)
    np.testing.assert_allclose(found.r2, r2, atol=1e-8)
    np.testing.assert_allclose(found.correlations.numpy(), np.corrcoef(y.T), atol=1e-8)
    np.testing.assert_allclose(found.deviations, y.std(0), atol=1e-8)
    moved = np.abs(expected[:-1].T @ np.eye(5)[2]) / y.std(0)
    assert found.most_moved(torch.eye(5)[2]) == "abc"[int(moved.argmax())]


def test_a_regression_does_not_depend_on_where_memory_lies():
    random = torch.Generator().manual_seed(0)
    z = torch.randn(400, 20, generator=random)
    values = z @ torch.randn(20, 3, generator=random) + torch.randn(400, 3, generator=random)
    held, found = [], set()
    for i in range(100):
        held.append(torch.empty(1 + i * 37 % 911))  # moves what is allocated next
        fitted = axes.regress(z, values, "abc")
        found.add((fitted.weights.numpy().tobytes(), fitted.r2))
    assert len(found) == 1


def test_a_value_that_never_changes_is_explained_by_nothing():
    z = torch.randn(20, 3)
    found = axes.regress(z, torch.stack([z[:, 0], torch.ones(20)], 1), ("moves", "still"))
    assert found.r2 == (pytest.approx(1), 0)
    assert found.alike("still", ["moves"]) == pytest.approx(0, abs=1e-6)


def test_an_axis_held_is_the_nearest_of_all_that_keep_what_they_should():
    random = np.random.default_rng(1)
    axis, asked, kept = (random.standard_normal(shape) for shape in ((2, 9), (1, 9), (3, 9)))
    tensors = [torch.from_numpy(each) for each in (axis, asked, kept)]
    # All axes that keep it: any one of them, and whatever no function sees.
    rows = np.vstack([kept, asked])
    free = null_space(rows)
    goal = np.column_stack([np.zeros((2, 3)), axis @ asked.T])
    some = np.linalg.lstsq(rows, goal.T, rcond=None)[0].T
    nearest = some + (axis - some) @ free @ free.T
    np.testing.assert_allclose(axes.hold(*tensors).numpy(), nearest, atol=1e-12)
    shortest = some - some @ free @ free.T
    np.testing.assert_allclose(axes.hold(*tensors, rest=True).numpy(), shortest, atol=1e-12)
    # With nothing asked, and one direction kept: InterFaceGAN's n1 - (n1 . n2) n2.
    other = kept[0] / np.linalg.norm(kept[0])
    found = axes.hold(torch.from_numpy(axis[0]), torch.empty(0, 9), torch.from_numpy(kept[:1]))
    np.testing.assert_allclose(found.numpy(), axis[0] - (axis[0] @ other) * other, atol=1e-12)


class Coloured:
    """One of four colours, by the largest of four numbers of z, and whether a fifth is positive."""

    name, labels, about = "coloured", ("black", "blond", "red", "grey", "hat"), {}

    def __call__(self, images):
        z = images.flatten(1)[:, :5] * 30
        return torch.cat([z[:, :4].softmax(1), z[:, 4:].sigmoid()], 1)


def test_a_colour_is_not_kept_from_giving_way_to_another(shown):
    keeping.SAMPLES = 2000  # of the fixture's monkeypatch
    shown.keep("grey", torch.eye(8)[3:4])
    found = turn.run(shown, axis="grey", n=2, steps=3, classifier=Coloured(), keep=["all"])
    assert found.keeping.asked == ("grey",) and found.keeping.kept == ("hat",)
    others = ("black", "blond", "red")
    assert found.keeping.left_out == dict.fromkeys(others, "hardly ever together with grey")
    assert found.response.change("grey") > 0.3
    assert abs(found.response.change("hat")) < 0.05


def test_labels_exclude_each_other_if_chance_alone_would_bring_them_together():
    n = 1000
    shown = torch.zeros(n, 4, dtype=torch.bool)
    shown[:500, 0], shown[500:, 1] = True, True  # never together
    shown[::2, 2] = True  # independent of both
    shown[:9, 3] = True  # 4.5 expected with the second: too few to know
    found = keeping.exclusive(shown)
    assert found.tolist() == [[i + j == 1 for j in range(4)] for i in range(4)]


def test_functions_of_one_direction_count_once():
    one = torch.eye(6)[0]
    near = one + 1e-4 * torch.randn(6, generator=torch.Generator().manual_seed(0))
    axis = torch.arange(1.0, 7)
    found = axes.hold(axis, torch.eye(6)[1:2], torch.stack([one, -near]))
    assert torch.allclose(found, torch.tensor([0.0, 2, 3, 4, 5, 6]), atol=1e-2)


def test_all_leaves_out_opposites_and_what_no_line_explains(shown, concepts):
    found = turn.run(
        shown, "low", "high", concepts, n=2, steps=3, classifier=Linear(), keep=["all"]
    )
    assert found.keeping.asked == ("one",)
    assert found.keeping.kept == ("two",)
    assert set(found.keeping.left_out) == {"against one", "noise"}
    assert found.keeping.left_out["against one"] == "|correlation| with one: 1.00"
    assert str(found.keeping).startswith("Kept: two, everything without a label. Not kept: ")
    assert "below 0.1" in found.keeping.left_out["noise"]
    # z[0] as it was, z[1] against it so that "two" stays, and nothing else.
    plain = found.without.axis
    wanted = torch.zeros(8)
    wanted[0], wanted[1] = plain[0], -plain[0] / 2
    assert torch.allclose(found.axis, wanted, atol=0.02)
    assert found.response.changes["two"].high < 0.02
    assert abs(found.without.response.change("two")) > 0.05
    assert found.values()["keep"]["r2"]["two"] > 0.9
    one = found.response.changes["one"]
    assert one.value == pytest.approx(found.response.change("one"))
    assert one.low < one.value < one.high


def test_a_named_label_is_taken_out_and_the_rest_of_the_axis_stays(shown, concepts):
    found = turn.run(
        shown, "low", "high", concepts, n=2, steps=3, classifier=Linear(), keep=["two"]
    )
    rows = found.keeping.regression.rows(["two", "one"])
    moved, plain = rows @ found.axis.double(), rows @ found.without.axis.double()
    assert moved[0] == pytest.approx(0, abs=1e-5)
    assert moved[1] == pytest.approx(float(plain[1]), abs=1e-5)
    assert torch.allclose(found.axis[2:], found.without.axis[2:], atol=0.05)
    assert found.keeping.title == "--keep two"


def test_a_concept_is_kept_without_a_classifier(shown, concepts):
    found = turn.run(shown, "low", "high", concepts, n=2, steps=3, keep=["second"])
    middle = shown.latents(300, seed=2).mean(0)
    other = concepts.latents("second", shown.config).mean(0) - middle
    plain = found.without.axis
    by_hand = plain - (plain @ other) / (other @ other) * other
    assert torch.allclose(found.axis, by_hand, atol=1e-5)
    assert found.response is None
    total = arithmetic.run(shown, "high - low", concepts, keep=["second"])
    for figure in (found.figure(), total.figure()):  # no fit was made
        caption = " ".join(text.get_text() for text in figure.texts)
        assert "at right angles to the mean latent" in caption and "linear fit" not in caption
        assert "Kept roughly, by exemplars: second" in caption


def test_a_sum_keeps_what_it_should_of_its_base(shown, concepts, monkeypatch):
    monkeypatch.setattr(trials, "POOL", 300)
    monkeypatch.setattr(trials, "CLEAR", 0.6)
    named = {**concepts.named, "base": concepts.named["low"]}
    concepts = Concepts("cd" * 32, named)
    found = arithmetic.run(
        shown,
        "high - low + base",
        concepts,
        classifier=Linear(),
        keep=["two"],
        draws=20,
    )
    base = concepts.latents("base", shown.config, 3).mean(0)
    assert found.keeping.asked == ("one",)
    row = found.keeping.regression.rows(["two"])[0]
    assert (found.z[0] - base).double() @ row == pytest.approx(0, abs=1e-4)
    kept, plain = list(found.success.methods.values())[:2]
    assert list(found.success.methods)[:2] == ["mean of 3, --keep two", "mean of 3"]
    assert kept.kept["two"].count >= plain.kept["two"].count
    assert kept.kept["two"].count >= 19
    shares = [share.value for share in plain.kept.values()]
    assert plain.unchanged.value == pytest.approx(sum(shares) / len(shares))
    assert plain.unchanged.low < plain.unchanged.value < plain.unchanged.high
    assert np.array_equal(
        found.without, dp.figures.pixels(shown.generate(high(concepts, shown)))[0]
    )


def high(concepts, session):
    return concepts.latents("high", session.config, 3).mean(0, keepdim=True)


@pytest.mark.parametrize(
    ("keep", "classifier", "message"),
    [
        (["three"], True, "--keep: unknown label 'three', expected one of: one, two"),
        (["one"], True, "--keep one: found what is asked, expected something else"),
        (["noise"], True, r"--keep noise: found R\^2 .* below 0.1, expected a label that changes"),
        (["second"], None, None),
        (["three"], None, "--keep three: found no --classifier and no concept of that name"),
        (["all"], None, "--keep all: found no --classifier and no concept of that name"),
        (["high"], None, "--keep high: found what is asked, expected something else"),
    ],
)
def test_what_cannot_be_kept_is_refused(shown, concepts, keep, classifier, message):
    judge = Linear() if classifier else None
    options = {"n": 1, "steps": 2, "classifier": judge, "keep": keep}
    if message is None:
        assert turn.run(shown, "low", "high", concepts, **options).keeping.kept == ("second",)
        return
    with pytest.raises(InputError, match=message):
        turn.run(shown, "low", "high", concepts, **options)


def test_an_axis_of_which_nothing_is_left_is_refused(shown, concepts):
    middle = shown.latents(300, seed=2).mean(0)
    half = tuple(torch.lerp(middle, concepts.latents("high", shown.config).mean(0), 0.5).tolist())
    start = tuple(middle.tolist())
    named = {**concepts.named, "mean": Concept((start,)), "half": Concept((half,))}
    with pytest.raises(InputError, match="--keep high: found nothing left of the axis"):
        turn.run(shown, "mean", "half", Concepts("cd" * 32, named), exemplars=1, keep=["high"], n=1)


def test_too_few_samples_for_a_regression_are_refused(shown, concepts, monkeypatch):
    monkeypatch.setattr(keeping, "SAMPLES", 9)
    with pytest.raises(InputError, match="found 9 samples of 8 numbers, expected at least 10"):
        turn.run(shown, "low", "high", concepts, classifier=Linear(), keep=["two"], n=1)


def test_a_sum_that_is_its_base_has_nothing_to_keep(shown, concepts):
    with pytest.raises(InputError, match="found a sum that is high itself"):
        arithmetic.run(shown, "high", concepts, keep=["second"])


def test_a_turn_takes_a_direction_of_the_line_or_of_a_file(shown, concepts, tmp_path):
    directions = torch.eye(8)[:2]
    shown.keep("direction1", directions[1:])
    dp.latents.write(tmp_path / "d.safetensors", directions, "cd" * 32)
    options = {"n": 1, "steps": 2, "classifier": Linear(), "keep": ["one"]}
    found = turn.run(shown, axis="direction1", **options)
    assert torch.equal(found.without.axis, directions[1])
    assert found.keeping.asked == ("two",)  # measured: what z[1] moves most
    second = turn.run(shown, axis=f"{tmp_path}/d.safetensors:2", n=1, steps=2)
    assert torch.equal(second.axis, directions[1])
    for axis, message in (
        ("direction9", "--axis: unknown direction 'direction9', expected one of: direction1, FILE"),
        (f"{tmp_path}/d.safetensors:3", "found 2 directions, expected one of them"),
        (f"{tmp_path}/none.safetensors:1", "none.safetensors: found no"),
    ):
        with pytest.raises(InputError, match=message):
            turn.run(shown, axis=axis, n=1)
    with pytest.raises(InputError, match="expected --from and --to, or --axis, and not both"):
        turn.run(shown, "low", axis="direction1")


def test_both_axes_are_in_the_result_and_the_picture(shown, concepts, tmp_path):
    found = turn.run(
        shown, "low", "high", concepts, n=2, steps=3, classifier=Linear(), keep=["all"]
    )
    found.save(tmp_path / "turn")
    values = json.loads((tmp_path / "turn/result.json").read_text())
    for response in (values["response"], values["without_keep"]["response"]):
        change = response["change"]["two"]
        assert change["low"] <= change["mean"] <= change["high"]
        assert len(response["mean_intervals"]["one"]) == 3
    picture = dp.figures.read_image(tmp_path / "turn/turn.png")
    alone = turn.run(shown, "low", "high", concepts, n=2, steps=3, classifier=Linear())
    alone.save(tmp_path / "alone")
    assert picture.shape[0] >= dp.figures.read_image(tmp_path / "alone/turn.png").shape[0]


class Product:
    """Two labels: the sign of a number of z, and that of the product of two."""

    name, labels, about = "product", ("sign", "product"), {}

    def __call__(self, images):
        z = images.flatten(1)[:, :8] * 10
        return torch.stack([z[:, 0], z[:, 0] * z[:, 1]], 1).mul(9).sigmoid()


def test_samples_that_differ_are_counted_where_the_mean_stays(shown):
    shown.kept["far"] = torch.eye(8)[:1] * 30
    found = turn.run(shown, axis="far", n=1, steps=3, classifier=Product()).response
    # Each product has another sign at the other end, half of them each way.
    assert abs(found.change("product")) < 0.2
    assert found.differs["product"].count == found.differs["sign"].count == 200
    # A random direction of length 30 changes a sign where it goes farther than z is from 0.
    random = np.random.default_rng(3)
    z, way = random.standard_normal((2, 200_000, 8))
    way *= 30 / np.linalg.norm(way, axis=1, keepdims=True)
    near, far = z - way, z + way
    for label, values in (("sign", (near[:, 0], far[:, 0])), ("product", None)):
        before, after = values or (near[:, 0] * near[:, 1], far[:, 0] * far[:, 1])
        low, high = found.differs_at_random[label].interval
        assert low < ((before > 0) != (after > 0)).mean() < high


def test_ends_of_a_short_axis_differ_in_the_samples_that_numpy_counts(shown):
    shown.kept["short"] = torch.eye(8)[:1] * 0.7
    found = turn.run(shown, axis="short", n=1, steps=3, classifier=Product()).response
    z = shown.latents(200, shown.seed + 1).numpy()[:, 0]
    assert found.differs["sign"].count == int((abs(z) < 0.7).sum())


def test_a_label_that_changes_between_the_ends_is_ranked_coloured_and_reported():
    response = Response(
        classifier="own",
        about={},
        mean={"calm": [0.1, 0.2, 0.3], "back": [0.9, 0.4, 0.95], "up": [0.0, 0.5, 1.0]},
        spans={},
        changes={},
        rises={"calm": 1.0, "back": 0.5, "up": 1.0},
        differs={"calm": Proportion(0, 8), "back": Proportion(4, 8), "up": Proportion(8, 8)},
        differs_at_random=dict.fromkeys(("calm", "back", "up"), Proportion(2, 8)),
    )
    assert list(response.ranked) == ["up", "back", "calm"]
    assert "; back 0.90 to 0.95, but 0.40 in between; calm" in str(response)
    assert str(response).endswith(": up 100% (25%), back 50% (25%), calm 0% (25%)")
    assert response.values()["range"]["back"] == pytest.approx(0.55)
    assert describe([0.2, 0.1, 0.9]) == "0.20 to 0.90, but 0.10 in between"
    assert describe([0.2, 0.5, 0.9]) == describe([0.2, 0.15, 0.9]) == "0.20 to 0.90"
    found = READING.finding({"response": response.values()})
    assert found == "up 0.00 to 1.00; next most back 0.90 to 0.95, but 0.40 in between"


def test_a_colour_is_the_same_label_on_both_axes():
    other = {"a": [0.5, 0.5, 0.5], "b": [0.2, 0.9, 0.2], "c": [0.0, 0.1, 0.2]}
    order = rank({"a": [0.0, 0.5, 1.0], "b": [0.5, 0.5, 0.5], "c": [0.3, 0.3, 0.3]}, other)
    assert order == ["a", "b", "c"]
    means = {
        side: {label: Line(curves[label], [(0.0, 1.0)] * 3, Proportion(1, 4)) for label in order}
        for side, curves in (("before", dict.fromkeys("abc", [0.1, 0.2, 0.3])), ("after", other))
    }
    panels = chart_responses((-1.0, 0.0, 1.0), means, 600).axes
    drawn = [
        {text.get_text(): text.get_color() for text in axes.texts if text.get_text()}
        for axes in panels
    ]
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0].values())) == 3
    lines = [[line.get_color() for line in axes.lines] for axes in panels]
    assert lines[0] == lines[1] == [drawn[0][f"{label} 25%"] for label in reversed(order)]


def test_a_chart_names_as_many_lines_as_there_is_room_for(tmp_path):
    at, spans = (-1.0, 0.0, 1.0), [(0.1, 0.2)] * 3
    lines = {f"label {i}": Line([i / 60] * 3, spans, Proportion(i, 40)) for i in range(40)}

    def drawn(n: int) -> np.ndarray:
        chart = chart_responses(at, {"": dict(list(lines.items())[:n])}, 600)
        dp.figures.save(tmp_path / "chart.png", chart)
        return dp.figures.read_image(tmp_path / "chart.png")

    few, many = drawn(NAMED), drawn(40)
    assert few.shape == many.shape == (HEIGHT, 600, 3)
    # Below the last name stands how many have none; where all have one, nothing does.
    corner = np.s_[int(HEIGHT * (1 - BOTTOM)) + 9 :, 600 - NAMES + 10 :]
    assert (few[corner] == 255).all() and not (many[corner] == 255).all()


def test_names_at_the_ends_of_lines_do_not_overlap():
    random = np.random.default_rng(0)
    for values in ([0.5] * 9, [0.0, 0.0, 1.0, 1.0], random.random(12), [0.3], []):
        places = spread(list(values), 0.068)
        assert sorted(range(len(values)), key=lambda i: (values[i], i)) == list(np.argsort(places))
        assert all(0 <= place <= 1 for place in places)
        gaps = np.diff(sorted(places))
        assert (gaps >= 0.068 - 1e-9).all()
    assert spread([0.1, 0.5, 0.9], 0.068) == pytest.approx([0.1, 0.5, 0.9])
