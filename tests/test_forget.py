"""forget is the paper's section 6.3.1, checked against the same written out another way."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import jaccard_score

import dcgan_probe as dp
from dcgan_probe.edits import tails
from dcgan_probe.edits.comparison import edited
from dcgan_probe.edits.ranking import Ranking
from dcgan_probe.errors import InputError
from dcgan_probe.probes import dissect, forget
from dcgan_probe.probes.forget import choice, damage, judgement, settings
from dcgan_probe.probes.forget.figures import SHOWN, _chart_words
from dcgan_probe.probes.forget.guidance import Guidance
from dcgan_probe.probes.forget.traces import Traces
from dcgan_probe.recognition import judges
from dcgan_probe.recognition.box_detector import BoxDetector
from dcgan_probe.recognition.regression import cells_of, fit, held_out_accuracy, sparse
from dcgan_probe.recognition.retrained import Retrained
from dcgan_probe.recognition.samples import BoxedSamples, maps_of
from dcgan_probe.report import page


def run(session: dp.Session, drawn: dp.Boxes, **options) -> forget.Forgotten:
    return forget.run(session, drawn, **{"judges": (), "controls": 1, "n": 16} | options)


@pytest.fixture(scope="module")
def rooms() -> dp.Session:
    return dp.Session.open("rooms", device="cpu")


@pytest.fixture(scope="module")
def result(rooms):
    return forget.run(rooms, rooms.read_boxes(), controls=4, n=48)


def boxes(n: int = 6, **changes) -> dp.Boxes:
    drawn = tuple(dp.Box(i, "window", 4, 4, 20, 24) for i in range(n))
    given = {"seed": 0, "checkpoint": "ab" * 32, "source": "windows.json"} | changes
    return dp.Boxes(drawn, tuple(range(8)), (32, 32), **given)


def test_one_judge_needs_no_list_and_a_function_is_none(session):
    found = run(session, boxes(), layer="8x8", controls=1, n=16, judges="boxes")
    assert [proof.judge for proof in found.proofs] == ["boxes"]
    for judge in (lambda images: images.mean(1) > 0, [lambda images: images.mean(1) > 0]):
        with pytest.raises(InputError, match="^detector <lambda>: found no name, expected str"):
            run(session, boxes(), layer="8x8", judges=judge)
    with pytest.raises(InputError, match="^detector <lambda>: found no name, expected str"):
        dissect.run(session, boxes(), layer="8x8", judge=lambda images: images.mean(1) > 0)


def test_one_control_is_enough(session):
    found = run(session, boxes(), layer="8x8", controls=1, n=16, judges=["boxes"])
    (proof,) = found.proofs
    assert len(proof.each_random) == 1
    filters = [count for count, _, _ in proof.curve]
    assert [count for count, _, _ in proof.random_curve] == filters[:-1]


def test_weights_are_those_of_scikit_learn_on_the_places_that_the_paper_names(session):
    drawn = boxes()
    found = run(session, drawn, layer="8x8")
    with torch.no_grad():
        maps = session.generator[1](session.generator[0](session.latents(8, seed=0))).numpy()
    inside = drawn.mask((8, 8))
    rng = np.random.default_rng(session.seed)
    rows, targets = [], []
    for i in range(6):
        places = [(y, x) for y in range(8) for x in range(8)]
        ins = [p for p in places if inside[(i, *p)]]
        outs = np.array([k for k, p in enumerate(places) if not inside[(i, *p)]])
        outs = [places[k] for k in rng.choice(outs, len(ins), replace=False)]
        rows += [maps[i, :, y, x] for y, x in ins + outs]
        targets += [1] * len(ins) + [0] * len(outs)
    lbfgs = LogisticRegression(tol=1e-10, max_iter=100_000)
    expected = lbfgs.fit(np.array(rows, np.float64), targets).coef_[0]
    np.testing.assert_allclose(found.weights, expected, rtol=1e-4, atol=1e-5)
    assert sorted(found.selection.filters) == np.flatnonzero(expected > 0).tolist()
    assert found.selection.filters[0] == expected.argmax()
    assert found.cells == 6 * 20


def test_the_regression_ends_where_the_gradient_is_zero():
    rng = np.random.default_rng(0)
    scales = 10.0 ** rng.uniform(
        -2, 1, 40
    )  # with filters this unlike, the default solver stops short
    activations = (rng.normal(0, 1, (2000, 40)) * scales).astype(np.float32)
    inside = activations @ (rng.normal(0, 0.5, 40) / scales) + rng.logistic(0, 1, 2000) > 0
    found = fit(activations, inside)
    share = 1 / (1 + np.exp(-found.logit(activations.astype(np.float64))))
    gradient = (share - inside) @ activations + found.weights
    assert found.converged
    assert abs(gradient).max() < 1e-4 and abs((share - inside).sum()) < 1e-4


def test_filters_are_ranked_alike_in_whatever_order_sums_are_taken():
    rng = np.random.default_rng(1)
    activations = np.maximum(0, rng.normal(0, 1, (3000, 60))).astype(np.float32)
    inside = activations @ rng.normal(0, 0.3, 60) + rng.logistic(0, 2, 3000) > 0
    order = rng.permutation(3000)
    one, other = fit(activations, inside), fit(activations[order], inside[order])
    np.testing.assert_allclose(other.weights, one.weights, atol=1e-10)
    assert other.weights.argsort().tolist() == one.weights.argsort().tolist()


def test_a_filter_that_lights_up_in_boxes_is_found_and_held_out():
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(20, 5, 8, 8)).astype(np.float32)
    inside = np.zeros((20, 8, 8), bool)
    inside[:, 2:5, 2:5] = True
    maps[:, 3][inside] += 4
    maps[:, 1][inside] -= 4
    cells = cells_of(maps, inside, seed=0)
    assert len(cells.inside) == 2 * inside.sum()
    assert cells.inside.mean() == 0.5
    weights = fit(cells.activations, cells.inside).weights
    assert weights.argmax() == 3
    assert weights.argmin() == 1
    assert min(held_out_accuracy(cells)) > 0.95


def test_accuracy_on_noise_is_chance_because_it_is_held_out():
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(20, 300, 4, 4)).astype(np.float32)
    inside = np.zeros((20, 4, 4), bool)
    inside[:, :2] = True
    cells = cells_of(maps, inside, seed=0)
    model = fit(cells.activations, cells.inside)
    assert ((model.logit(cells.activations) > 0) == cells.inside).mean() > 0.9
    assert 0.4 < np.mean(held_out_accuracy(cells)) < 0.6


def test_places_outside_come_from_the_same_images():
    maps = np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1) * np.ones((4, 1, 4, 4), np.float32)
    inside = np.zeros((4, 4, 4), bool)
    inside[[1, 3], 0] = True
    cells = cells_of(maps, inside, seed=0)
    assert cells.activations[:, 0].tolist() == cells.images.tolist()
    for i in (1, 3):
        assert cells.inside[cells.images == i].sum() == 4
        assert (~cells.inside[cells.images == i]).sum() == 4


def test_the_change_is_that_of_the_edit_in_force(session):
    drawn = boxes()
    found = run(session, drawn, layer="8x8", controls=2)
    z = session.latents(8, seed=0)
    before = session.generate(z)
    with session.editing(found.selection):
        difference = (session.generate(z) - before).abs().mean(dim=1).numpy()
    inside = drawn.mask((32, 32))
    assert found.change.inside == pytest.approx(difference[inside].mean(), rel=1e-4)
    assert found.change.outside == pytest.approx(difference[~inside].mean(), rel=1e-4)
    assert len({change.inside for change in found.random}) == 2


def test_new_samples_are_none_that_boxes_were_drawn_on(session):
    found = run(session, boxes())
    new = dp.figures.pixels(session.generate(session.latents(16, start=8)))
    words = found.pictures.fresh.removesuffix(" of seed 0").replace(" and", ",")
    runs = [part.split(" to ") for part in words.removeprefix("samples ").split(", ")]
    shown = [i - 8 for run in runs for i in range(int(run[0]), int(run[-1]) + 1)]
    assert len(shown) == SHOWN and min(shown) >= 0
    assert np.array_equal(found.pictures.before, new[shown])


def test_latents_of_a_file_are_those_of_the_seed(session, tmp_path):
    np.save(tmp_path / "z.npy", session.latents(8, seed=0).numpy())
    by_seed = run(session, boxes())
    in_file = boxes(seed=None, latents="z.npy", source=str(tmp_path / "windows.json"))
    by_file = run(session, in_file)
    assert np.array_equal(by_seed.weights, by_file.weights)


def test_without_a_shape_that_fits_latents_are_refused(session, tmp_path):
    np.save(tmp_path / "z.npy", np.zeros((8, 3), np.float32))
    in_file = boxes(seed=None, latents="z.npy", source=str(tmp_path / "windows.json"))
    with pytest.raises(InputError, match=r"z\.npy: found float32 \(8, 3\), expected float32 N x 8"):
        run(session, in_file)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"checkpoint": "cd" * 32}, {}, "cdcdcdcd"),
        ({}, {"label": "door"}, "window"),
        ({}, {"layer": "9x9"}, "unknown layer '9x9'"),
        ({}, {"layer": "4x4.linear"}, "layer '4x4.linear': found 1-d values, expected maps"),
    ],
)
def test_what_does_not_fit_is_refused(session, changes, options, message):
    with pytest.raises(InputError, match=message):
        run(session, boxes(**changes), **options)


def test_boxes_that_hold_no_place_or_all_of_them_are_refused(session):
    small = replace(boxes(), boxes=(dp.Box(0, "window", 1, 1, 3, 3),))
    with pytest.raises(InputError, match="no location of layer '4x4' .*, expected layer 8x8"):
        run(session, small, layer="4x4")
    whole = replace(boxes(), boxes=(dp.Box(0, "window", 0, 0, 32, 32),))
    with pytest.raises(
        InputError, match="no location of layer '4x4' outside .* boxes that leave some"
    ):
        run(session, whole, layer="4x4")


def test_boxes_between_the_cells_are_counted(session):
    drawn = (*boxes().boxes, dp.Box(0, "window", 1, 1, 3, 3))
    found = run(session, replace(boxes(), boxes=drawn), layer="4x4")
    assert found.unresolved == 1
    assert "1 of 7 boxes hold no location of this layer" in str(found)


def test_a_regression_that_did_not_converge_says_so_at_the_top(session, monkeypatch):
    monkeypatch.setattr("dcgan_probe.recognition.regression.MAX_ITERATIONS", 1)
    found = run(session, boxes())
    assert not found.converged
    # Only an edit that destroys the image is said before it.
    assert any(
        line.startswith("THE REGRESSION DID NOT CONVERGE") for line in str(found).splitlines()[:2]
    )


def test_no_hook_is_left_on_the_generator(session):
    run(session, boxes())
    assert not any(part._forward_hooks for part in session.generator.modules())


def test_what_ships_has_at_least_52_boxes_on_150_samples(rooms):
    shipped = rooms.read_boxes()
    assert shipped.n == 150
    assert len(shipped.boxes) >= 52
    shipped.check(rooms.checkpoint.sha256)


def test_windows_of_the_rooms_are_where_the_filters_change_most(rooms, result):
    """A weak claim on purpose: inside more than outside, by more than the mean random set."""
    ratio = result.change.inside / result.change.outside
    random = [change.inside / change.outside for change in result.random]
    assert ratio > 2
    assert ratio > np.mean(random)
    assert min(result.accuracy) > 0.8


def test_a_saved_result_is_whole(result, tmp_path):
    result.save(tmp_path / "forget")
    assert {p.name for p in (tmp_path / "forget").iterdir()} == {
        "forget.png",
        "before.png",
        "after.png",
        "where.png",
        "selection.json",
        "result.json",
    }
    saved = json.loads((tmp_path / "forget/result.json").read_text())
    assert saved["filters_changed"] == [len(result.selection.filters)]
    assert dp.Selection.read(tmp_path / "forget/selection.json") == result.selection


def test_the_second_highest_convolution_layer():
    assert forget.default_layer(dp.Config(size=64)) == "16x16"
    assert forget.default_layer(dp.Config(size=32)) == "8x8"
    assert forget.default_layer(dp.Config(size=16)) == "8x8"


def test_maps_stream_in_batches(session):
    z = session.latents(70)
    with torch.no_grad():
        whole = session.generator[1](session.generator[0](z))
    torch.testing.assert_close(maps_of(session, z, "8x8"), whole)


def bright(images):
    """Mean brightness of blocks of 8 x 8 pixels, above that of the image."""
    blocks = torch.nn.functional.avg_pool2d(images.mean(1, keepdim=True), 8)
    blocks = blocks - blocks.mean((2, 3), keepdim=True)
    return torch.nn.functional.interpolate(blocks, images.shape[2:])[:, 0]


class Bright:
    """A judge that calls bright blocks the object."""

    name = "bright"
    about: dict = {}

    def __call__(self, images):
        return bright(images) > 0


def test_what_a_judge_says_is_what_the_edit_in_force_leaves(session):
    found = run(session, boxes(), layer="8x8", judges=[Bright()], controls=3, n=40)
    (proof,) = found.proofs
    z = session.latents(40, start=8)
    before = session.generate(z)
    with session.editing(*found.selections):
        after = session.generate(z)
    was, still = (bright(images) > 0 for images in (before, after))
    assert proof.chosen.area_left.value == pytest.approx((still.sum() / was.sum()).item(), rel=1e-4)
    change = (after - before).abs().mean(1)
    assert proof.chosen.inside == pytest.approx(change[was].mean().item(), rel=1e-4)
    away = judges.away_from(was)
    assert proof.chosen.outside.value == pytest.approx(change[away].mean().item(), rel=1e-4)
    for of in (proof.chosen, proof.random, proof.chosen_last):
        assert of.area_left.low <= of.area_left.value <= of.area_left.high
    assert len(proof.each_random) == 3
    assert np.mean([left for left, _ in proof.each_random]) == pytest.approx(
        proof.random.area_left.value
    )
    assert proof.curve[-1][0] == len(found.selection.filters)


def test_intervals_of_samples_are_those_of_scipy():
    from scipy.stats import bootstrap

    rng = np.random.default_rng(0)
    before = np.stack([rng.uniform(50, 100, 80), np.full(80, 900.0)])
    rows = np.stack(
        [before[0] * rng.uniform(0, 1, 80), rng.random(80), rng.random(80) * 90, before[0]]
    )
    found = judgement.measure_outcome(0, rows[None], before, 4, 1000).area_left
    expected = bootstrap(
        (rows[0], before[0]),
        lambda a, b, axis: a.sum(axis) / b.sum(axis),
        paired=True,
        method="percentile",
        rng=1,
    ).confidence_interval
    assert found.value == pytest.approx(rows[0].sum() / before[0].sum())
    assert found.low == pytest.approx(expected.low, abs=0.01)
    assert found.high == pytest.approx(expected.high, abs=0.01)


def test_judges_that_disagree_are_shown_to_disagree(session):
    found = run(session, boxes(), layer="8x8", judges=[Bright()], controls=3)
    (proof,) = found.proofs

    def judged(low: float, high: float) -> judgement.Proof:
        left = judgement.Interval((low + high) / 2, low, high)
        return replace(proof, chosen=replace(proof.chosen, area_left=left))

    apart = replace(found, proofs=(judged(0.0, 0.1), judged(0.3, 0.5)))
    assert any("THE JUDGES DISAGREE" in line for line in apart.doubts())
    together = replace(found, proofs=(judged(0.0, 0.3), judged(0.2, 0.5)))
    assert not any("THE JUDGES DISAGREE" in line for line in together.doubts())


def test_a_choice_that_leaves_more_than_it_was_to_leave_is_named(session):
    found = run(session, boxes(), layer="8x8", select="causal", judges=[Bright()], controls=3)
    (proof,) = found.proofs
    assert found.target == 0.1 and run(session, boxes(), layer="8x8", controls=3).target is None

    def judged(low: float, high: float, target: float | None = 0.1) -> list[str]:
        left = judgement.Interval((low + high) / 2, low, high)
        chosen = replace(proof, chosen=replace(proof.chosen, area_left=left))
        doubts = replace(found, proofs=(chosen,), target=target).doubts()
        return [line for line in doubts if "MORE IS LEFT THAN ASKED FOR" in line]

    assert "left is 0.450 (0.400 to 0.500), expected at most 0.1" in judged(0.4, 0.5)[0]
    assert not judged(0.05, 0.5) and not judged(0.4, 0.5, target=None)


def test_a_place_that_can_be_found_is_said_beside_what_inpainting_reaches():
    def found(value: float) -> Retrained:
        auc = judgement.Interval(value, value - 0.01, value + 0.01)
        return Retrained(auc, auc, auc, auc, 0.1, 40)

    names = {"as they are": 0.996, "chosen": 0.925, "inpainted": 0.974}
    traces = Traces("cells", {name: found(value) for name, value in names.items()})
    (line,) = traces.doubts("chosen", 0.01)
    assert line.startswith("THE PLACE CAN STILL BE FOUND by a new probe")
    numbers = "AUC 0.925 (0.915 to 0.935). Inpainted by OpenCV: 0.974; unedited: 0.996; chance: 0.5"
    assert line.endswith(numbers)
    assert not traces.doubts("chosen", 0.2)  # not gone: other doubts say so
    hidden = Traces("cells", traces.found | {"chosen": found(0.505)})
    assert not hidden.doubts("chosen", 0.01)


def test_the_caption_says_why_there_are_fewer_lowest_ranked_filters(session):
    for k, fewer in ((2, False), (6, True)):
        found = run(session, boxes(), layer="8x8", select="top", k=k, judges=[Bright()], controls=1)
        (proof,) = found.proofs
        others = found.filters - k
        assert proof.chosen_last.filters == min(k, others)
        words = _chart_words("square", proof)
        assert "Lowest-ranked: as many filters" in words and "Inpainted: pixels filled" in words
        assert (f"here {others}, as one layer has no more" in words) == fewer
    assert "lowest-ranked: area left" in str(found) and "chosen_last" in proof.values()


def test_filters_of_no_object_are_said_to_be_no_better_than_random(session):
    class Everywhere(Bright):
        def __call__(self, images):
            marks = torch.zeros(len(images), *images.shape[2:])
            marks[:, 4:20, 4:20] = 1
            return marks

    found = run(session, boxes(), layer="8x8", judges=[Everywhere()], controls=3)
    assert any(line.startswith("NO BETTER THAN RANDOM") for line in found.doubts())
    assert str(found).startswith("THE REGRESSION IS NO BETTER THAN CHANCE")


def test_a_poor_judge_and_an_edit_that_is_everywhere_are_named(session):
    poor = Bright()
    poor.about = {"held_out_iou": 0.2}
    found = run(session, boxes(), layer="8x8", judges=[poor], controls=3)
    (proof,) = found.proofs
    assert any("JUDGE bright IS NOT TO BE BELIEVED" in line for line in found.doubts())
    for inside, said in ((0.0, True), (1.0, False)):
        other = replace(proof, chosen=replace(proof.chosen, inside=inside))
        lines = replace(found, proofs=(other,)).doubts()
        assert any("AS MUCH CHANGES OUTSIDE" in line for line in lines) == said


def test_the_judge_of_boxes_is_scored_on_the_half_that_it_did_not_learn_from(rooms):
    drawn = rooms.read_boxes()
    # Rare, and on images of the same parity: every second image alone would have none of them.
    kept = sorted({box.image for box in drawn.boxes})[::4]
    few = drawn.only_images([i for i in drawn.images if i in kept or i % 2])
    few = replace(few, boxes=tuple(box for box in few.boxes if box.image in kept))
    choosing, (judge,) = judges.split(rooms, few, "window", ["boxes"])
    about = judge.about
    assert about["held_out_images"] == len(choosing.images)
    images = rooms.generate(rooms.latents(drawn.n, seed=drawn.seed)[list(choosing.images)])
    marked = (judge(images) > 0.5).numpy()
    expected = jaccard_score(choosing.mask((64, 64)).ravel(), marked.ravel())
    assert about["held_out_iou"] == pytest.approx(expected)
    low, high = about["held_out_iou_95"]
    assert low <= expected <= high and low < high


def test_a_judge_is_doubted_where_its_whole_interval_is_poor():
    unsure = {"held_out_iou": 0.45, "held_out_iou_95": [0.31, 0.62]}
    assert judges.doubt_judge("boxes", unsure) == []
    (line,) = judges.doubt_judge("boxes", unsure | {"held_out_iou_95": [0.31, 0.48]})
    assert line.startswith("JUDGE boxes IS NOT TO BE BELIEVED") and "0.45 (0.31 to 0.48)" in line


def ruined(images: torch.Tensor, how: str) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    if how == "grey mush":
        grey = torch.zeros(1, 1, *images.shape[2:])
        return grey + 0.02 * torch.rand(images.shape, generator=random)
    if how == "the same image":
        return images[:1].expand_as(images)
    if how == "flat colours":
        return images.mean((2, 3), keepdim=True).expand_as(images)
    return torch.rand(images.shape, generator=random) * 2 - 1


@pytest.mark.parametrize("how", ["grey mush", "the same image", "flat colours", "noise"])
@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_images_that_are_destroyed_are_said_to_be(rooms, how, scale):
    images = rooms.sample(40) * scale
    found = damage.measure_damage(images, ruined(images, how) * scale)
    assert found.doubts("window")[0].startswith("THE EDIT DESTROYS THE IMAGE: away from the window")


def test_damage_is_numpys_deviation_away_from_the_object(rooms):
    before = rooms.sample(40)
    away = torch.ones(40, 64, 64, dtype=torch.bool)
    away[:, 20:50, 10:40] = False
    after = before * 0.8
    after[~away[:, None].expand_as(after)] = 0.0
    found = damage.measure_damage(before, after, away)
    assert found.doubts("window") == []
    assert found.variety == pytest.approx(0.8) and found.contrast == pytest.approx(0.8)
    away[:] = True
    found = damage.measure_damage(before, after, away)
    x, y = before.numpy(), after.numpy()
    assert found.variety == pytest.approx((y.var(0).mean() / x.var(0).mean()) ** 0.5, rel=1e-5)
    within = (y.var((2, 3)).mean() / x.var((2, 3)).mean()) ** 0.5
    assert found.contrast == pytest.approx(within, rel=1e-5)
    assert found.moved == pytest.approx(np.abs(y - x).mean(), rel=1e-5)
    assert all(abs(share - 1) < 0.2 for share in found.by_chance)


def test_of_a_generator_that_has_collapsed_nothing_more_is_lost():
    same = torch.zeros(8, 3, 16, 16)
    found = damage.measure_damage(same, same)
    assert (found.variety, found.contrast, found.by_chance) == (1.0, 1.0, (1.0, 1.0))
    assert found.doubts("window") == []
    json.dumps(found.values(), allow_nan=False)


def test_an_edit_that_destroys_the_image_says_so_first_in_text_picture_and_report(rooms, tmp_path):
    few = rooms.read_boxes().only_images(range(12))
    result = run(rooms, few, select="top", k=125, replace="mean")
    first = str(result).splitlines()[0]
    assert first.startswith("THE EDIT DESTROYS THE IMAGE") and result.doubts()[0] == first
    result.save(tmp_path / "forget")
    written = json.loads((tmp_path / "forget" / "result.json").read_text())
    assert written["doubts"][0] == first
    assert "THE EDIT DESTROYS THE IMAGE" in page.html(tmp_path)
    with Image.open(tmp_path / "forget" / "forget.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    red = np.abs(pixels[:150] - [0xA3, 0x36, 0x00]).sum(2) < 30
    assert red.sum() > 100


class Blind(Bright):
    def __call__(self, images):
        return torch.zeros(len(images), *images.shape[2:])


def test_a_judge_that_finds_nothing_or_puts_out_no_mask_is_refused(session):
    with pytest.raises(InputError, match="detector bright: found no object on 16 fresh samples"):
        run(session, boxes(), layer="8x8", judges=[Blind()])

    class Wrong(Bright):
        def __call__(self, images):
            return images[:, :, :4, :4]

    with pytest.raises(InputError, match="detector bright: found"):
        run(session, boxes(), layer="8x8", judges=[Wrong()])


def test_the_judge_of_boxes_has_images_of_its_own(session):
    choose, judge = judges.halves(boxes())
    assert not set(choose.images) & set(judge.images)
    assert {*choose.images, *judge.images} == set(range(8))
    assert [len(part.boxes) for part in (choose, judge)] == [3, 3]
    with pytest.raises(InputError, match="found boxes on 1 image, expected 2 or more"):
        judges.halves(boxes(1))


def test_a_choice_of_no_filter_or_of_all_is_refused(session):
    for k, said in ((0, "no filter"), (32, "all 32 filters")):
        with pytest.raises(InputError, match=f"layer '8x8': found {said} to drop"):
            Ranking.drop("8x8", "ab" * 32, range(32), k)
    with pytest.raises(InputError, match="select top: found 2 layers, expected one"):
        run(session, boxes(), layer=["8x8", "16x16"], select="top")
    with pytest.raises(InputError, match="unknown rule 'best'"):
        run(session, boxes(), select="best")


def test_a_sparse_regression_finds_the_planted_filter_and_few_others():
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(30, 20, 8, 8)).astype(np.float32)
    inside = np.zeros((30, 8, 8), bool)
    inside[:, 2:5, 2:5] = True
    maps[:, 3][inside] += 3
    weights = sparse(cells_of(maps, inside, seed=0))
    assert weights.argmax() == 3
    assert (weights != 0).sum() < 10


def test_replacements_are_the_means_of_the_places(session):
    samples = BoxedSamples.draw(session, boxes(), "8x8")
    maps, inside = maps_of(session, session.latents(8), "8x8"), boxes().mask((8, 8))
    means = choice.replacements("mean", samples)
    np.testing.assert_allclose(means, maps.numpy().mean((0, 2, 3)), rtol=1e-4)
    away = maps.permute(0, 2, 3, 1).numpy()[~inside].mean(0)
    np.testing.assert_allclose(choice.replacements("outside", samples), away, rtol=1e-4)
    assert choice.replacements("zero", samples) == ()


class Guide:
    """A guide that knows bright from dark."""

    def logit(self, images):
        return 200 * bright(images)


@pytest.fixture
def guidance(session) -> Guidance:
    return Guidance.draw(session, "8x8", Guide(), start=100, n=48)


def test_the_effect_of_a_filter_is_measured_by_dropping_it(session, guidance):
    put = torch.zeros(guidance.maps.shape[1])
    found = choice.measure_dropped(guidance, [[3], [5, 7]], put, 24)
    for row, filters in zip(found, ([3], [5, 7]), strict=True):
        with dp.hooks.ablate(session.generator, "8x8", filters), torch.no_grad():
            images = session.generator(session.latents(24, start=100))
        left, outside = guidance.measure(images, slice(0, 24))
        assert row.tolist() == pytest.approx([left.item(), outside.item()], rel=1e-3, abs=1e-5)


def test_filters_are_dropped_by_effect_until_enough_goes_and_none_needlessly(guidance, monkeypatch):
    monkeypatch.setattr(choice, "SCANNED", choice.VERIFIED)
    count = guidance.maps.shape[1]
    put = torch.zeros(count)

    def measured(*sets):
        return choice.measure_dropped(guidance, sets, put, choice.VERIFIED)

    alone = measured(*([f] for f in range(count)))
    worth = (1 - alone[:, 0]) / (alone[:, 1] + choice.LEAST_CHANGE)
    easy = 1.01 * alone[int(worth.argmax()), 0].item()
    first = choice.rank_by_effect(guidance, (), easy)
    assert first.chosen.filters == (int(worth.argmax()),)
    assert (worth > 0).all()
    assert first.rest == tuple(worth.argsort()[:-1].tolist())  # the chosen last first

    every = measured(*([f for f in range(count) if bits >> f & 1] for bits in range(1, 2**count)))
    left = (every[:, 0].min().item() + 1) / 2
    chosen = list(choice.rank_by_effect(guidance, (), left).chosen.filters)
    assert len(chosen) > 1
    still, change = measured(chosen)[0].tolist()
    assert still <= left
    fewer = measured(*([f for f in chosen if f != one] for one in chosen))
    assert not ((fewer[:, 0] <= left) & (fewer[:, 1] < change)).any()
    # Of all sets of as many filters that leave as little, most change more.
    others = every[[bits.bit_count() == len(chosen) for bits in range(1, 2**count)]]
    assert (others[others[:, 0] <= left][:, 1] >= change).float().mean() > 0.5


def test_causal_stops_before_it_changes_more_than_it_may(guidance):
    free = choice.rank_by_effect(guidance, (), 0.1)
    put = torch.zeros(guidance.maps.shape[1])
    held = choice.rank_by_effect(guidance, (), 0.1, most=1e-6)
    assert not free.note and held.note.startswith("STOPPED EARLY: to leave 0.1 of the evidence")
    assert len(held.chosen.filters) <= len(free.chosen.filters)
    sets = [list(free.chosen.filters), list(held.chosen.filters)]
    outside = choice.measure_dropped(guidance, sets, put, choice.VERIFIED)[:, 1]
    assert outside[1] <= outside[0] + 1e-6


def test_an_object_that_is_rare_is_looked_for_where_it_is(guidance):
    assert (
        len(guidance.holding)
        and not guidance.evidence[guidance.holding].flatten(1).sum(1).eq(0).any()
    )
    rare = replace(guidance, evidence=guidance.evidence.clone())
    rare.evidence[:40] = 0
    rare = replace(rare, holding=rare.evidence.sum(dim=(1, 2)).nonzero().flatten())
    assert rare.holding.min() >= 40
    assert choice.measure_dropped(rare, [[3]], torch.zeros(8), 24).isfinite().all()
    left, _ = rare.measure(rare.before[:12], slice(0, 12))
    assert left == 0


def test_the_filters_of_all_layers_are_counted(session):
    found = run(session, boxes(), layer=["8x8", "16x16"], select="gates", left=0.9)
    assert found.filters == 8 + 4
    assert "(of 12)" in str(found)


def test_gates_that_are_all_left_open_are_refused(session, monkeypatch):
    monkeypatch.setattr(choice, "OPEN", 0.0)  # no gain is below it
    with pytest.raises(InputError, match="^layer 8x8, 16x16: found no filter that gates turns"):
        run(session, boxes(), layer=["16x16", "8x8"], select="gates")


def test_gates_leave_less_than_there_was_and_touch_no_more_than_there_is(session, guidance):
    values = {name: torch.zeros(maps) for name, maps in (("8x8", 32), ("16x16", 16))}
    values = {n: torch.zeros(maps_of(session, session.latents(1), n).shape[1]) for n in values}
    rankings = choice.rank_by_gates(guidance, values, 0.3)
    selections = [ranking.chosen for ranking in rankings]
    assert [edit.layer for edit in selections] == ["8x8", "16x16"]
    for edit, ranking in zip(selections, rankings, strict=True):
        assert all(0 <= gain < choice.OPEN for gain in edit.gains)
        assert sorted((*edit.filters, *ranking.rest)) == list(range(len(values[edit.layer])))
    z = session.latents(48, start=100)
    with session.editing(*selections):
        images = session.generate(z)
    assert guidance.measure(images, slice(None))[0] < 0.7
    base = tails.Tail(session.generator, "8x8").start(guidance.z, guidance.maps)
    torch.testing.assert_close(
        edited(session.generator, base, selections), images, atol=1e-5, rtol=1e-4
    )


def test_a_detector_of_boxes_finds_planted_squares_with_and_without_a_discriminator(session):
    random = torch.Generator().manual_seed(0)
    images = torch.rand(40, 3, 32, 32, generator=random) * 0.4 - 0.2
    inside = np.zeros((40, 32, 32), bool)
    for i, corner in enumerate(torch.randint(0, 20, (40, 2), generator=random).tolist()):
        y, x = corner
        inside[i, y : y + 10, x : x + 10] = True
        images[i, :, y : y + 10, x : x + 10] += 0.7
    for discriminator in (None, session.discriminator):
        detector = BoxDetector.learn(discriminator, images[::2], inside[::2])
        found = detector.score(images[1::2], inside[1::2])
        marked = (detector(images[1::2]) > 0.5).numpy()
        expected = jaccard_score(inside[1::2].ravel(), marked.ravel())
        assert found.value == pytest.approx(expected) and found.value > 0.5
        assert found.low < found.value < found.high
        probe = images[:2].clone().requires_grad_(True)
        detector(probe).sum().backward()
        assert probe.grad.abs().sum() > 0
    with pytest.raises(InputError, match="boxes: found all of the images inside"):
        BoxDetector.learn(None, images, np.ones_like(inside))


def test_a_detector_of_boxes_takes_images_to_the_discriminator(session):
    elsewhere = copy.deepcopy(session.discriminator).to("meta")
    maps = list(BoxDetector(elsewhere)._seen(torch.zeros(2, 3, 32, 32)))
    assert maps and all(each.device.type == "meta" for each in maps)


def test_guidance_again_from_the_same_images_overlaps_wholly(session, monkeypatch):
    monkeypatch.setattr(BoxedSamples, "only", lambda samples, images: samples)
    assert run(session, boxes(), layer="8x8", resamples=2).stability == 1.0


def test_stability_is_measured_on_random_halves_of_the_images(session, monkeypatch):
    drawn = []
    only = BoxedSamples.only

    def recorded(samples, images):
        drawn.append(sorted(images))
        return only(samples, images)

    monkeypatch.setattr(BoxedSamples, "only", recorded)
    all_boxes = boxes()
    found = run(session, all_boxes, layer="8x8", resamples=4)
    assert found.values()["overlap_under_resampling"] == found.stability < 1
    assert found.made_with["options"]["resamples"] == 4
    boxed = {box.image for box in all_boxes.boxes}
    for images in drawn[-4:]:
        assert len(set(images)) == len(images)
        assert len(boxed & set(images)) == -(-len(boxed) // 2)
        assert len(set(images) - boxed) == -(-len(set(all_boxes.images) - boxed) // 2)
    assert len({tuple(images) for images in drawn[-4:]}) > 1


def test_every_rule_that_can_be_asked_for_is_there():
    assert tuple(choice.RULES) == settings.RULE_NAMES


def test_a_last_batch_of_one_sample_counts_as_one_sample(session, guidance):
    count = choice.BATCH + 1
    few = replace(guidance, holding=guidance.holding[:count])
    assert len(few.holding) == count
    measured = choice.measure_dropped(few, [[3]], torch.zeros(guidance.maps.shape[1]), count)
    with dp.hooks.ablate(session.generator, "8x8", [3]), torch.no_grad():
        images = session.generator(guidance.z[few.holding])
    first, last = slice(0, choice.BATCH), slice(choice.BATCH, count)
    of_first, of_last = (
        torch.stack(guidance.measure(images[part], few.holding[part])) for part in (first, last)
    )
    expected = (choice.BATCH * of_first + of_last) / count
    torch.testing.assert_close(measured[0], expected, rtol=1e-3, atol=1e-5)
