"""walk, arithmetic and turn compute what they say, on networks whose pictures mean nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import mpmath
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation, Slerp
from scipy.stats import binomtest

import dcgan_probe as dp
from dcgan_probe import latents
from dcgan_probe.errors import InputError
from dcgan_probe.figures import film
from dcgan_probe.latents.concepts import Concept, Concepts
from dcgan_probe.metrics import features
from dcgan_probe.metrics.intervals import Proportion
from dcgan_probe.plugins.contract import Opener
from dcgan_probe.probes import arithmetic, turn, walk
from dcgan_probe.probes.arithmetic import trials
from dcgan_probe.probes.arithmetic.question import Question
from dcgan_probe.probes.arithmetic.success import Method, Success
from dcgan_probe.probes.turn.result import MEASURED
from dcgan_probe.probes.walk.figures import chart_steps
from dcgan_probe.probes.walk.result import PARTS


class Bright:
    """Brightness as a probability, and redness against blue."""

    name, labels, about = "bright", ("bright", "red", "tall"), {"known": True}

    def __call__(self, images):
        means = images.mean((2, 3)) * 0.5 + 0.5
        red = torch.sigmoid(20 * (means[:, 0] - means[:, 2]))
        tall = torch.sigmoid(20 * images.mean((1, 3))[:, :16].mean(1))
        return torch.stack([torch.sigmoid(20 * (means.mean(1) - 0.5)), red, tall], 1)


@pytest.fixture
def concepts(session) -> Concepts:
    return Concepts(
        session.checkpoint.sha256,
        {
            "light": Concept(("1:2", "1:3", "1:4"), ("bright",)),
            "dark": Concept(("1:5", "1:6", "1:7", "1:8"), ("not bright",)),
            "few": Concept(("1:9",)),
        },
    )


def test_a_spherical_way_turns_at_an_even_pace_as_scipy_has_it():
    random = np.random.default_rng(0)
    a, b = random.standard_normal((2, 3)).astype(np.float32)
    at = torch.linspace(0, 1, 7)
    found = latents.between(torch.tensor(a), torch.tensor(b), at, "spherical")
    axis = np.cross(a, b) / np.linalg.norm(np.cross(a, b))
    angle = np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    turns = Slerp([0, 1], Rotation.from_rotvec([0 * axis, angle * axis]))(at.numpy())
    expected = turns.apply(a / np.linalg.norm(a))
    lengths = np.linalg.norm(a) + at.numpy() * (np.linalg.norm(b) - np.linalg.norm(a))
    assert np.allclose(found.numpy(), expected * lengths[:, None], atol=1e-6)


@pytest.mark.parametrize("apart", [1.0, 1e-2, 1e-4, 1e-5])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_spherical_way_is_exact_to_single_precision(apart, sign):
    random = np.random.default_rng(0)
    a, noise = random.standard_normal((2, 100)).astype(np.float32)
    b = sign * a + np.float32(apart) * noise
    at = torch.linspace(0, 1, 9)
    found = latents.between(torch.tensor(a), torch.tensor(b), at, "spherical").double().numpy()
    with mpmath.workdps(40):
        x, y = (mpmath.matrix(each.tolist()) for each in (a, b))
        along = [mpmath.sqrt(sum(v * v for v in each)) for each in (x, y)]
        x, y = x / along[0], y / along[1]
        angle = mpmath.acos(sum(v * w for v, w in zip(x, y, strict=True)))
        for t, row in zip(map(mpmath.mpf, at.tolist()), found, strict=True):
            turned = mpmath.sin((1 - t) * angle) * x + mpmath.sin(t * angle) * y
            turned *= ((1 - t) * along[0] + t * along[1]) / mpmath.sin(angle)
            np.testing.assert_allclose(row, [float(v) for v in turned], rtol=0, atol=1e-6)


def test_ways_between_special_latents():
    a, at = torch.tensor([1.0, 2.0]), torch.linspace(0, 1, 3)
    assert torch.allclose(
        latents.between(a, 3 * a, at, "spherical"), torch.lerp(a, 3 * a, at.view(-1, 1))
    )
    zero = torch.zeros(2)
    assert torch.equal(latents.between(zero, a, at, "spherical"), at.view(-1, 1) * a)
    assert torch.equal(latents.between(a, zero, at), (1 - at).view(-1, 1) * a)
    with pytest.raises(InputError, match="found opposite latents"):
        latents.between(a, -a, at, "spherical")


def test_a_walk_goes_through_its_points(session, concepts):
    found = walk.run(session, ["0:3", "light", "0:7"], steps=5, closed=True, concepts=concepts)
    assert found.points == ("0:3", "light", "0:7", "0:3")
    light = session.latents(5, seed=1)[2:5].mean(0)
    ends = torch.stack([session.latents(4)[3], light, session.latents(8)[7], session.latents(4)[3]])
    for track in found.tracks.values():
        assert track.z.shape == (3, 5, 8)
        assert torch.allclose(track.z[:, 0], ends[:-1], atol=1e-6)
        assert torch.allclose(track.z[:, -1], ends[1:], atol=1e-6)
    pictures = dp.figures.pixels(session.generate(found.tracks["linear"].z[1]))
    assert np.array_equal(found.tracks["linear"].pixels[1], pictures)


@pytest.mark.parametrize("way", walk.WAYS)
@pytest.mark.parametrize("closed", [False, True])
def test_a_film_goes_to_the_last_point_and_a_loop_shows_each_point_once(session, way, closed):
    found = walk.run(session, 3, steps=2, ways=(way,), closed=closed, video="gif").tracks[way]
    points = dp.figures.pixels(session.sample(3))
    at = [int(np.abs(found.frames.astype(int) - one).sum((1, 2, 3)).argmin()) for one in points]
    assert at == [0, 24, 48]
    assert len(found.frames) == (72 if closed else 49)
    seam = found.frames[[0, -1]].astype(int)
    assert closed == (np.abs(seam[0] - seam[1]).mean() < 10)


def test_a_step_is_as_long_as_the_features_say(session):
    found = walk.run(session, 3, steps=4, ways=("linear",)).tracks["linear"]
    d = session.discriminator
    images = session.generate(found.z[1])
    with torch.no_grad():
        seen = []
        for name in ("16x16", "8x8", "4x4"):
            maps = features.responses(d, images, [name])[name]
            maps = maps / maps.square().sum(1, keepdim=True).sqrt()
            seen.append((maps[1:] - maps[:-1]).square().sum(1).mean((1, 2)))
    assert np.allclose(found.lengths[1], torch.stack(seen).mean(0).sqrt(), rtol=1e-4)


def test_without_a_discriminator_a_step_is_as_long_as_pixels_say(session):
    session.checkpoint = replace(session.checkpoint, discriminator=None)
    result = walk.run(session, 3, steps=4, ways=("linear",))
    found, images = result.tracks["linear"], session.generate(result.tracks["linear"].z[1])
    wanted = np.sqrt(((images[1:] - images[:-1]).numpy() ** 2).mean((1, 2, 3)))
    assert np.allclose(found.lengths[1], wanted, rtol=1e-5)
    assert result.unrelated > found.lengths.mean()
    assert result.values()["measured_in"] == "pixels, root mean square"


def test_a_walk_draws_one_path_and_measures_both(session, tmp_path):
    both = walk.run(session, 3, steps=4)
    both.save(tmp_path / "both")
    walk.run(session, 3, steps=4, ways=("linear",)).save(tmp_path / "one")
    widths = [dp.figures.read_image(tmp_path / f"{n}/walk.png").shape[1] for n in ("both", "one")]
    assert widths[0] == widths[1]
    chart = chart_steps({w: t.lengths for w, t in both.tracks.items()}, both.points, 1.0, 600)
    axes = chart.axes[0]
    sizes = {tick.get_fontsize() for tick in (*axes.get_xticklabels(), *axes.get_yticklabels())}
    assert len(sizes) == 1
    assert len(axes.lines) == 2 + 1 + len(both.points)  # paths, the dashed line, the points
    assert axes.get_xlabel() == "sample (seed:index)"
    named = chart_steps({"linear": np.ones((1, 3))}, ("smiling", "0:4"), 1.0, 600)
    assert named.axes[0].get_xlabel() == "point: a sample (seed:index) or a name"


def test_a_jump_is_told_from_a_fast_change(session):
    class Jumping(torch.nn.Module):
        def forward(self, z):
            return torch.where(z[:, :1, None, None] > 0, 1.0, -1.0) * self.picture

    even = walk.run(session, 2, steps=3, ways=("linear",)).tracks["linear"]
    jumping = Jumping()
    jumping.picture = torch.nn.Parameter(session.sample(1))
    checkpoint = dp.Checkpoint(
        session.config, jumping.eval(), session.discriminator, {}, "jumping", "cd" * 32
    )
    jumps = dp.Session(checkpoint, seed=0, device="cpu")
    z = jumps.latents(50)
    a, b = (int((z[:, 0] * sign > 0.2).nonzero()[0]) for sign in (1, -1))
    jump = walk.run(jumps, [f"0:{a}", f"0:{b}"], steps=3, ways=("linear",)).tracks["linear"]
    assert jump.largest_part == pytest.approx(1)
    assert 1 / PARTS - 1e-3 <= even.largest_part < 0.6


def test_the_nearest_images_are_those_of_scipy(session, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    pixels = dp.figures.pixels(session.sample(30, seed=5))
    for i, image in enumerate(pixels):
        dp.figures.write_image(folder / f"{i:02d}.png", image)
    found = walk.run(session, 3, steps=4, ways=("linear",), images=folder)
    flat = torch.from_numpy(pixels).permute(0, 3, 1, 2).flatten(1) / 127.5 - 1
    own = session.generate(found.tracks["linear"].z.flatten(0, 1)).flatten(1)
    distances, rows = cKDTree(flat.numpy()).query(own.numpy())
    assert found.nearest.names.ravel().tolist() == [f"{i:02d}.png" for i in rows]
    assert np.allclose(found.nearest.distances.ravel(), distances / 3072**0.5, atol=1e-5)
    assert np.array_equal(found.nearest.pixels.reshape(-1, 32, 32, 3), pixels[rows])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"points": ["0:1"]}, "found 1 point, expected two"),
        ({"points": ["0:1", "nobody"]}, "unknown concept 'nobody'"),
        ({"points": ["0:1", "few"]}, "concepts.few: found 1 exemplar, expected at least 3"),
        ({"steps": 1}, "steps: found 1, expected at least 2"),
        ({"ways": ["round"]}, "unknown way 'round', expected one of: linear, spherical"),
    ],
)
def test_a_walk_that_cannot_be_is_refused(session, concepts, arguments, message):
    with pytest.raises(InputError, match=message):
        walk.run(session, **arguments, concepts=concepts)


def test_a_sum_is_the_sum_of_means_and_is_kept(session, concepts):
    found = arithmetic.run(session, "light - 0.5 * dark + 0:1", concepts, name="me")
    z = session.latents(9, seed=1)
    expected = z[2:5].mean(0) - 0.5 * z[5:8].mean(0) + session.latents(2)[1]
    assert torch.allclose(found.z[0], expected, atol=1e-6)
    assert torch.equal(session.kept["me"], found.z)
    assert np.array_equal(found.neighbours[1, 1], dp.figures.pixels(session.generate(found.z))[0])
    images = session.generate(z), session.generate(session.latents(2))
    pixels = images[0][2:5].mean(0) - 0.5 * images[0][5:8].mean(0) + images[1][1]
    assert np.abs(found.in_pixels.astype(int) - dp.figures.pixels(pixels[None])[0]).max() <= 1
    again = arithmetic.run(session, "me + me", None)
    assert torch.allclose(again.z, 2 * found.z)


def test_only_exemplars_are_labelled_as_exemplars(session, concepts):
    found = arithmetic.run(session, "light - 0.5 * dark + 0:1", concepts)
    labels = [text.get_text() for text in found.figure().texts]
    counts = [labels.count(f"exemplar {i}") for i in (1, 2, 3, 4)]
    assert counts == [3, 2, 2, 0]  # a sample is one exemplar, a concept three
    assert labels.count("+ noise") == 8
    assert labels.count("sum of pixels") == 1


def test_a_success_says_how_many_draws_are_shown(session, concepts, monkeypatch):
    monkeypatch.setattr(trials, "CLEAR", 0.6)
    found = arithmetic.run(session, "light", concepts, classifier=Bright(), draws=12)
    figure = found.figure("success")
    assert "The first 10 of 12 draws of 3" in " ".join(text.get_text() for text in figure.texts)
    labels = [axes.get_legend_handles_labels()[1] for axes in figure.axes]
    assert ["meets the target", "other labels unchanged"] in labels
    method = found.success.methods["single exemplars"]
    spans = [list(line.get_xdata()) for axes in figure.axes for line in axes.lines]
    assert list(method.has.interval) in spans
    assert [method.unchanged.low, method.unchanged.high] in spans


def test_edits_in_force_are_drawn(session, concepts):
    plain = arithmetic.run(session, "light", concepts).neighbours
    with session.editing(dp.Selection("8x8", (0, 1, 2), session.checkpoint.sha256)):
        edited = arithmetic.run(session, "light", concepts).neighbours
    assert not np.array_equal(plain, edited)


def test_success_is_high_for_a_concept_itself_and_low_for_its_opposite(
    session, concepts, monkeypatch
):
    monkeypatch.setattr(trials, "CLEAR", 0.6)
    found = trials.measure(session, {"light": 1.0}, concepts, Bright(), draws=60)
    assert found.asked == ("bright",)
    assert found.changed == ()
    alone, random = found.methods["base alone"], found.methods["random direction"]
    assert alone.values() == random.values()  # the sum is the base: its length is no change
    assert set(alone.kept) == {"red", "tall"}
    assert alone.values()["kept_mean_interval"] == [1, 1]
    # What was drawn clearly is bright: each picture is, and so is their mean image.
    assert found.methods["single exemplars"].has.count == 60
    assert found.methods["sum of pixels"].has.count == 60


def test_the_opposite_of_what_is_asked_is_no_other_label(session, concepts, monkeypatch):
    class Two(Bright):
        labels = ("bright", "dim")

        def __call__(self, images):
            bright = super().__call__(images)[:, 0]
            return torch.stack([bright, 1 - bright], 1)

    monkeypatch.setattr(trials, "CLEAR", 0.6)
    found = trials.measure(session, {"light": 1.0}, concepts, Two(), draws=60)
    assert all(method.kept == {} for method in found.methods.values())
    assert found.methods["base alone"].unchanged is None


def test_a_condition_that_all_of_a_mean_meet_is_asked_for(session, concepts):
    """Six sixths are 0.9999999999999999."""
    found = Question.read(
        {f"c{i}": 1 / 6 for i in range(6)},
        Concepts("cd" * 32, {f"c{i}": Concept(("1:2",), ("bright", "not red")) for i in range(6)}),
        Bright(),
    )
    assert found.asked == {"bright": True, "red": False}


def test_twice_a_concept_asks_for_what_the_concept_shows():
    shows = {"light": ("bright", "not red"), "dark": ("not bright", "not red")}
    named = {name: Concept(("1:2",), each) for name, each in shows.items()}
    for factors, bright in (
        ({"light": 2.0, "dark": -1.0}, True),  # 2 * 1 - 0
        ({"light": -1.0, "dark": 2.0}, False),  # -1 + 2 * 0
        ({"light": 3.0, "dark": -2.0}, True),
    ):
        found = Question.read(factors, Concepts("cd" * 32, named), Bright())
        assert found.asked == {"bright": bright, "red": False}
    half = Question.read({"light": 0.5, "dark": 0.5}, Concepts("cd" * 32, named), Bright())
    assert half.asked == {"red": False}


def test_more_draws_than_half_of_the_pool_are_refused(session, concepts):
    with pytest.raises(InputError, match="found 1001 draws, expected at most 1000"):
        arithmetic.run(session, "light - dark", concepts, classifier=Bright(), draws=1001)


def test_what_cannot_be_measured_is_refused(session, concepts):
    for factors, message in (
        ({"light": 0.5, "dark": 0.5}, "no label says anything about"),
        ({"few": 1.0}, "few: found nothing that it shows"),
        ({"0:1": 1.0}, "0:1: found nothing that it shows"),
    ):
        with pytest.raises(InputError, match=message):
            trials.measure(session, factors, concepts, Bright())


def test_intervals_are_wilsons():
    share = Proportion(7, 40)
    expected = binomtest(7, 40).proportion_ci(method="wilson")
    # Wilson (1927), by hand.
    n, p, z = 40, 7 / 40, 1.959964
    middle = (p + z * z / 2 / n) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / 4 / n / n)
    assert share.interval == pytest.approx((middle - half, middle + half), abs=1e-5)
    assert share.interval == pytest.approx((expected.low, expected.high))


def test_a_turn_adds_the_axis_to_samples(session, concepts):
    found = turn.run(
        session, "dark", "light", concepts, n=3, steps=5, reach=2.0, classifier=Bright()
    )
    z = session.latents(9, seed=1)
    axis = z[2:5].mean(0) - z[5:8].mean(0)
    assert torch.allclose(found.axis, axis, atol=1e-6)
    assert found.at == (-2, -1, 0, 1, 2)
    own = session.latents(3)
    assert np.array_equal(found.pixels[:, 2], dp.figures.pixels(session.generate(own)))
    assert np.array_equal(found.pixels[:, 4], dp.figures.pixels(session.generate(own + 2 * axis)))
    others = session.latents(MEASURED, seed=1)
    last = Bright()(session.generate(others + 2 * axis))
    assert found.response.mean["red"][-1] == pytest.approx(last[:, 1].mean().item(), abs=1e-5)


def test_a_turn_without_an_axis_is_refused(session, concepts):
    with pytest.raises(InputError, match="found no axis from light to light"):
        turn.run(session, "light", "light", concepts)
    with pytest.raises(InputError, match="steps: found 1, expected at least 2"):
        turn.run(session, "light", "dark", concepts, steps=1)


@pytest.mark.parametrize("ending", [".mp4", ".png", ".gif"])
def test_a_film_has_its_frames(tmp_path, ending):
    frames = np.zeros((12, 32, 48, 3), np.uint8)
    frames[..., 0] = 230
    frames[:, :, :, 1] = (np.arange(12) * 16)[:, None, None]
    for name in ("a", "b"):
        film.write(tmp_path / f"{name}{ending}", frames)
    video = cv2.VideoCapture(str(tmp_path / f"a{ending}"))
    seen = []
    while (read := video.read())[0]:
        seen.append(read[1][..., ::-1])
    assert np.shape(seen) == frames.shape
    assert np.abs(np.stack(seen).astype(int) - frames).max() < 40  # two of them lose colours
    assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()
    with pytest.raises(InputError, match="unknown kind of film '.avi'"):
        film.write(tmp_path / "a.avi", frames)


def chain(session, tmp_path, *commands):
    """Run commands on a session as the command line does."""
    session.out, session.force = tmp_path, True
    opener = Opener(lambda: session)
    for command, *arguments in commands:
        result = CliRunner().invoke(command, arguments, obj=opener, standalone_mode=False)
        if result.exception:
            raise result.exception
    return tmp_path


def test_a_chain_walks_to_what_arithmetic_made(session, concepts, tmp_path):
    concepts.write(tmp_path / "c.json")
    given = ("--concepts", str(tmp_path / "c.json"))
    out = chain(
        session,
        tmp_path / "out",
        (arithmetic.arithmetic, *given, "--name", "sum", "light - dark + 0:4"),
        (walk.walk, *given, "--through", "0:4,sum", "--steps", "3", "--video", "gif"),
        (turn.turn, *given, "--from", "dark", "--to", "sum", "--n", "2", "--video", "mp4"),
    )
    for name in ("arithmetic/arithmetic.png", "walk/walk.png", "turn/turn.png"):
        assert dp.figures.read_image(out / name) is not None
    for name, shape in (("walk/linear.gif", (256, 256)), ("turn/turn.mp4", (256, 514))):
        _, frame = cv2.VideoCapture(str(out / name)).read()
        assert frame.shape[:2] == shape
    z = latents.read(out / "arithmetic/z.safetensors", session.config, session.checkpoint.sha256)
    ends = latents.read(out / "walk/linear.safetensors", session.config, session.checkpoint.sha256)
    assert torch.allclose(ends[-1], z[0])
    result = json.loads((out / "walk/result.json").read_text())
    assert result["points"] == ["0:4", "sum"]
    assert result["made_with"]["options"]["concepts"] == "c.json"
    with pytest.raises(InputError, match="expression, character 9: found"):
        chain(session, tmp_path / "o2", (arithmetic.arithmetic, *given, "light - * dark"))
    assert not (tmp_path / "o2").exists()


@pytest.mark.parametrize("count", [29, 30])
def test_a_concept_of_few_clear_samples_is_named(count):
    method = Method(
        has=Proportion(7, 40), kept={}, unchanged=None, drift=1.0, pixels=np.zeros((1, 8, 8, 3))
    )
    found = Success(
        classifier="bright",
        about={},
        base="light",
        asked=("bright",),
        changed=(),
        exemplars=3,
        candidates={"light": count, "dark": 300},
        floor=1.0,
        methods={"mean of 3": method},
    )
    few = "FEW CLEAR SAMPLES: light 29. 40 draws of 3 exemplars repeat them"
    assert [doubt.partition(",")[0] for doubt in found.doubts()] == [few] * (count == 29)
    assert str(found).startswith("FEW CLEAR SAMPLES" if count == 29 else "target")
