"""dissect against the same written out another way: every filter, every sample, one at a time."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from scipy import stats
from sklearn.metrics import jaccard_score

import dcgan_probe as dp
from dcgan_probe import distributed, hooks
from dcgan_probe.cli.group import main
from dcgan_probe.distributed import Ranks
from dcgan_probe.errors import InputError
from dcgan_probe.metrics.intervals import RESAMPLES
from dcgan_probe.plugins.contract import Opener
from dcgan_probe.probes import dissect
from dcgan_probe.probes.dissect import effects
from dcgan_probe.probes.dissect.agreement import agreement, best_threshold, halves
from dcgan_probe.probes.dissect.effects import ObjectJudge, measure
from dcgan_probe.probes.dissect.probe import _judges
from dcgan_probe.recognition.samples import latents_of, maps_of


class Puts:
    """A detector that outputs what a function makes of the images."""

    name = "puts"
    about = {"made_for": "this test"}

    def __init__(self, function):
        self.function = function

    def __call__(self, images):
        return self.function(images)


BRIGHT = Puts(lambda images: images.mean(1) > 0.1)


def boxes(n: int = 6, **changes) -> dp.Boxes:
    drawn = tuple(dp.Box(i, "window", 4, 4, 20, 24) for i in range(n))
    given = {"seed": 0, "checkpoint": "ab" * 32, "source": "windows.json"} | changes
    return dp.Boxes(drawn, tuple(range(8)), (32, 32), **given)


def changes_by_hand(session, layer, f, z) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images before and after, and the absolute change, of the whole generator with a hook."""
    with torch.no_grad():
        before = session.generator(z)
        with hooks.ablate(session.generator, layer, [f]):
            after = session.generator(z)
    return before, after, (after - before).abs().mean(dim=1)


@pytest.mark.parametrize("seed", range(8))
def test_the_threshold_is_the_best_that_scikit_learn_finds_among_all(seed):
    rng = np.random.default_rng(seed)
    inside = rng.random(60) < 0.3
    # Few values, many of them zero: ties, as after a ReLU.
    values = np.maximum(rng.integers(-3, 6, 60) + 2 * inside, 0).astype(np.float32)
    threshold, score = best_threshold(values, inside)
    scores = {t: jaccard_score(inside, values > t) for t in np.unique(values)}
    assert score == pytest.approx(max(scores.values()))
    assert scores[np.float32(threshold)] == pytest.approx(score)


def test_a_dead_filter_marks_nothing():
    values, inside = np.zeros(9, np.float32), np.arange(9) < 3
    threshold, score = best_threshold(values, inside)
    assert score == 0
    assert not (values > threshold).any()


def test_held_out_images_have_no_say_in_the_threshold():
    rng = np.random.default_rng(0)
    inside = np.zeros((12, 4, 4), bool)
    inside[:7, :2, :2] = True
    maps = rng.normal(size=(12, 3, 4, 4)).astype(np.float32)
    maps[:, 1] += 3 * inside
    chosen, held_out = halves(inside)
    assert sorted([*chosen, *held_out]) == list(range(12))
    assert {int(inside[rows].any(axis=(1, 2)).sum()) for rows in (chosen, held_out)} == {3, 4}
    found = agreement(maps, inside)
    for f in range(3):
        marked = (maps[held_out, f] > found.threshold[f]).ravel()
        assert found.held_out_iou[f] == jaccard_score(inside[held_out].ravel(), marked)
    everything = np.ones(inside[held_out].size, bool)
    assert found.chance == jaccard_score(inside[held_out].ravel(), everything)
    other = maps.copy()
    other[held_out] = rng.normal(size=other[held_out].shape)
    assert np.array_equal(agreement(other, inside).threshold, found.threshold)
    assert found.held_out_iou.argmax() == 1


def test_effects_are_those_of_the_whole_generator_with_a_hook(session):
    """Of 40 samples: more than a batch, and the second batch is not full."""
    found = dissect.run(session, boxes(), layer="8x8", n=40, judge=BRIGHT).objects[0].effect
    z = session.latents(40, start=8)
    for f in (0, 3, 7):
        before, after, change = changes_by_hand(session, "8x8", f, z)
        inside = BRIGHT(before)
        assert found.area_left[f] == pytest.approx((BRIGHT(after).sum() / inside.sum()).item())
        assert found.inside[f] == pytest.approx(change[inside].mean().item(), rel=1e-4)
        assert found.outside[f] == pytest.approx(change[~inside].mean().item(), rel=1e-4)
    assert np.array_equal(found.size, 1 - found.area_left)
    assert found.pixels == inside.sum()


def test_without_a_detector_the_boxes_judge_on_their_own_samples(session):
    drawn = boxes()
    found = dissect.run(session, drawn, layer="8x8", n=1).objects[0]
    assert (found.judge, found.samples) == ("boxes", 8)
    assert "no detector" in str(found)
    assert "area_left" not in found.row(0)
    _, _, change = changes_by_hand(session, "8x8", 5, session.latents(8))
    inside = torch.from_numpy(drawn.mask((32, 32)))
    expected = change[inside].mean().item(), change[~inside].mean().item()
    row = found.row(5)
    assert (row["change_inside"], row["change_outside"]) == pytest.approx(expected, rel=1e-4)
    assert row["effect"] == pytest.approx(expected[0] - expected[1], rel=1e-3)


def test_the_only_filter_that_paints_is_the_only_one_with_an_effect(session):
    with torch.no_grad():
        weight = session.generator.get_submodule("32x32.conv").weight
        weight[[i for i in range(len(weight)) if i != 2]] = 0
    session = dp.Session(session.checkpoint, session.seed, "cpu")
    ground = session.generator.get_submodule("32x32.conv").bias
    bare = torch.zeros(1, 3, 1, 1) if ground is None else ground.tanh().view(1, 3, 1, 1)
    painted = Puts(lambda images: (images - bare).abs().amax(1) > 1e-3)
    found = dissect.run(session, boxes(), layer="16x16", n=8, judge=painted).objects[0]
    others = np.arange(len(weight)) != 2
    assert found.effect.area_left[2] == 0
    assert (found.effect.area_left[others] == 1).all()
    assert (found.effect.inside[others] == 0).all()
    assert found.by_effect()[0] == 2


def test_the_interval_is_that_of_a_bootstrap_over_samples(session):
    z = session.latents(48)
    (found,), _ = measure(session, "8x8", z, [ObjectJudge(boxes(), BRIGHT)], Ranks())
    f = int(np.argmax(found.interval[:, 1] - found.interval[:, 0]))
    before, after, _ = changes_by_hand(session, "8x8", f, z)
    areas = [BRIGHT(images).sum(dim=(1, 2)).double().numpy() for images in (before, after)]
    theirs = stats.bootstrap(
        areas,
        lambda b, a, axis: 1 - a.sum(axis) / b.sum(axis),
        paired=True,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    width = theirs.high - theirs.low
    assert width > 0.01
    assert abs(found.interval[f] - (theirs.low, theirs.high)).max() < 0.15 * width


def test_resamples_without_the_object_do_not_count_for_the_interval():
    """Of an edit that marks what was not marked: there, something is divided by nothing."""
    pixels = torch.full((1 + RESAMPLES, 2), 10.0).double()
    pixels[1:300, 0] = 0
    sums = torch.full((1 + RESAMPLES, 3, 3), 4.0).double()
    found = effects._effect(ObjectJudge(boxes(), BRIGHT), sums, pixels, 4)
    assert found.interval.tolist() == pytest.approx(np.full((3, 2), 0.6))


def test_the_strongest_samples_are_those_where_the_filter_is_highest(session):
    z = session.latents(50)
    _, strongest = measure(session, "8x8", z, [ObjectJudge(boxes(), BRIGHT)], Ranks())
    peaks = hooks.activations(session.generator, "8x8", z).amax(dim=(2, 3))
    expected = (-peaks).argsort(dim=0, stable=True)[: effects.SHOWN].T
    torch.testing.assert_close(
        peaks.T.gather(1, strongest), peaks.T.gather(1, expected), rtol=1e-4, atol=1e-5
    )


def test_a_filter_that_an_edit_in_force_drops_has_no_effect_left(session):
    with session.editing(dp.Selection("8x8", (3,), session.checkpoint.sha256)):
        found = dissect.run(session, boxes(), layer="8x8", n=4, judge=BRIGHT)
    effect = found.objects[0].effect
    assert effect.inside[3] == effect.outside[3] == 0
    assert (effect.outside > 0).sum() > 1
    assert found.made_with["edits"] == [{"layer": "8x8", "filters": [3]}]
    assert not any(part._forward_hooks for part in session.generator.modules())


def test_a_picture_names_its_samples_and_says_how_sure_it_is(session):
    """Each sample is drawn again by its name; the interval is that of the result."""
    for judge, first in ((BRIGHT, 8), (None, 0)):
        found = dissect.run(session, boxes(), layer="8x8", n=4, top=2, judge=judge).objects[0]
        names, below = found.pictures.labels[:2]
        assert below == ()
        f = found.by_effect()[0]
        count = 4 if judge else len(boxes().images)
        maps = hooks.activations(session.generator, "8x8", session.latents(count, start=first))
        order = (-maps[:, f].amax(dim=(1, 2))).argsort(stable=True)[: len(names)]
        assert list(names) == [f"0:{first + int(i)}" for i in order]
        low, high = found.effect.interval[f]
        told = found.pictures.rows[1]
        scale, digits = (100, 1) if judge else (1, 2)
        assert f"({scale * low:.{digits}f} to {scale * high:.{digits}f})" in told


def test_every_label_has_its_numbers_and_its_picture(session, tmp_path):
    doors = tuple(dp.Box(i, "a/door", 8, 20, 16, 32) for i in range(2, 8))
    both = replace(boxes(), boxes=(*boxes().boxes, *doors))
    found = dissect.run(session, both, layer="8x8", top=2)
    found.save(tmp_path / "dissect")
    names = {p.name for p in (tmp_path / "dissect").iterdir()}
    assert names == {"dissect.png", "dissect_2.png", "result.json"}
    saved = json.loads((tmp_path / "dissect/result.json").read_text())
    assert [each["label"] for each in saved["objects"]] == ["a/door", "window"]
    alone = dissect.run(session, both, layer="8x8", label="window", top=2).objects[0]
    assert saved["objects"][1] == alone.values()
    rows = saved["objects"][1]["filters"]
    assert [row["filter"] for row in rows] == list(range(len(alone.effect.size)))
    found = saved["objects"][1]["rank_correlation_of_iou"]
    looks = stats.rankdata([row["held_out_iou"] for row in rows])
    for name, of in (
        ("effect", [row["effect"] for row in rows]),
        ("change_inside_less_outside", alone.effect.inside - alone.effect.outside),
    ):
        assert found[name] == pytest.approx(np.corrcoef(looks, stats.rankdata(of))[0, 1])


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"checkpoint": "cd" * 32}, {}, "cdcdcdcd"),
        ({}, {"label": "door"}, "windows.json: unknown label 'door', expected one of: window"),
        ({}, {"layer": "9x9"}, "unknown layer '9x9', expected one of: 4x4"),
        ({}, {"layer": "4x4.linear"}, "layer '4x4.linear': found 1-d values, expected maps"),
        ({}, {"n": 0}, "n: found 0, expected at least 1"),
        ({}, {"top": 0}, "top: found 0, expected at least 1"),
        ({}, {"judge": "nobody"}, "unknown detector 'nobody', expected one of: cells, rooms"),
        ({}, {"judge": Puts(lambda x: x)}, r"detector puts: found 8 x 3 x 32 x 32 for 8 images"),
        (
            {},
            {"judge": Puts(lambda x: x.mean(1) > 2)},
            "detector puts: found no pixel of 'window' on 8 samples, expected some",
        ),
        (
            {},
            {"judge": Puts(lambda x: x.mean(1) > -2)},
            "found every pixel of 'window' on 8 samples, expected some outside",
        ),
    ],
)
def test_what_does_not_fit_is_refused(session, changes, options, message):
    with pytest.raises(InputError, match=message) as caught:
        dissect.run(session, boxes(**changes), **{"layer": "8x8", "n": 8} | options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        (
            (0.5, 0.5, 1.5, 1.5),
            "no location of layer '4x4' with its centre inside, expected layer 16x16",
        ),
        ((0, 0, 31, 31), "no location of layer '4x4' outside of the boxes, expected layer 16x16"),
        ((0, 0, 32, 32), "outside of the boxes, expected boxes that leave something out"),
        (None, "windows.json: found no boxes, expected at least one"),
    ],
)
def test_boxes_that_hold_no_cell_or_all_of_them_name_the_layer_that_would_do(session, box, message):
    drawn = () if box is None else tuple(dp.Box(i, "window", *box) for i in range(8))
    with pytest.raises(InputError, match=message):
        dissect.run(session, replace(boxes(), boxes=drawn), layer="4x4")


def test_one_image_with_a_box_cannot_be_halved(session):
    message = "windows.json: layer '8x8': 'window': found 1 image with a place inside a box"
    with pytest.raises(InputError, match=message):
        dissect.run(session, boxes(1), layer="8x8")


def test_one_detector_is_not_asked_for_two_objects(session):
    both = replace(boxes(), boxes=(*boxes().boxes, dp.Box(0, "door", 8, 20, 16, 32)))
    with pytest.raises(InputError, match="detector puts: found 2 labels .* one of: door, window"):
        dissect.run(session, both, layer="8x8", judge=BRIGHT)


def test_without_boxes_the_command_asks_for_them(tmp_path):
    line = ["--model", "svhn", "--device", "cpu", "--out", str(tmp_path), "dissect"]
    done = CliRunner().invoke(main, line)
    assert done.exit_code == 2
    assert done.output == "Error: no boxes ship with svhn, expected --boxes FILE\n"


@pytest.mark.slow
def test_two_processes_write_what_one_does(tmp_path, config, generator, discriminator):
    model = tmp_path / "model.safetensors"
    sha = dp.checkpoints.save(dp.Checkpoint(config, generator, discriminator), model)
    replace(boxes(), checkpoint=sha).write(tmp_path / "boxes.json")
    given = ["--model", model, "--device", "cpu", "--out", tmp_path / "out", "--force"]
    line = [
        str(a) for a in [*given, "dissect", "--layer", "8x8", "--boxes", "boxes.json", "--n", 9]
    ]
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--"]
    written = []
    for start in ([], torchrun):
        done = subprocess.run(
            [sys.executable, "-m", *start, "dcgan_probe", *line],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("wrote ") == 1
        out = tmp_path / "out/dissect"
        written.append({p.name: p.read_bytes() for p in out.iterdir()})
    assert written[0].keys() == {"dissect.png", "result.json"}
    assert written[0] == written[1]


def test_windows_of_the_rooms_are_seen_by_some_filters():
    rooms = dp.Session.open("rooms", device="cpu")
    drawn = dp.Boxes.read(dp.checkpoints.shipped_boxes("rooms"))
    assert [judge.name for judge in _judges(rooms, [drawn], None)] == ["rooms"]
    maps = maps_of(rooms, latents_of(rooms, drawn), "16x16").numpy()
    found = agreement(maps, drawn.mask((16, 16)))
    assert found.held_out_iou.max() > 3 * found.chance


def test_the_generator_stays_on_the_gpu_that_the_session_is_on(monkeypatch):
    second = torch.device("cuda:1")
    monkeypatch.setattr(distributed, "choose_device", torch.device)  # there may be no GPU
    with distributed.joined(str(second)) as own:
        assert own.device == second
    moved = []
    network = SimpleNamespace(to=moved.append)
    opened = SimpleNamespace(device=second, generator=network, read_boxes=lambda path: None)
    opened.start = opened.save = lambda _: None
    monkeypatch.setattr("dcgan_probe.probes.dissect.probe.run", lambda *_: None)
    context = click.Context(click.Command("dcgan-probe"), obj=Opener(lambda: opened))
    command = importlib.import_module("dcgan_probe.probes.dissect.command").dissect
    command.invoke(command.make_context("dissect", [], parent=context))
    assert moved == [second]
