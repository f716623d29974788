"""Putting an object in, on a generator whose maps become pixels, so that the answer is known."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import other_gans
import pytest
import torch
from test_erasing import SIDE, Judge, Squares, squares
from torch import nn

import dcgan_probe as dp
from dcgan_probe import figures, hooks
from dcgan_probe.edits import edit as edit_files
from dcgan_probe.edits.donors import Donors
from dcgan_probe.edits.places import PlaceEdit
from dcgan_probe.edits.regions import read_region
from dcgan_probe.errors import InputError
from dcgan_probe.probes import put
from dcgan_probe.probes.put.effect import Effects, Outcome, best, measure
from dcgan_probe.probes.put.evaluation import PASTED, PUT, TURNED_UP
from dcgan_probe.probes.put.options import read_sample
from dcgan_probe.probes.put.placing import overlap_of, place, step_of
from dcgan_probe.probes.put.rim import rim_steps, stands_out

AT = (8.0, 16.0, 16.0, 24.0)  # one of the 16 places of a square


@pytest.fixture(scope="module")
def session() -> dp.Session:
    return dp.Session.from_modules(generator=Squares(), latent=(5, "uniform"), device="cpu")


@pytest.fixture(scope="module")
def boxes(session: dp.Session) -> dp.Boxes:
    return squares(session, 40)


@pytest.fixture(scope="module")
def result(session: dp.Session, boxes: dp.Boxes) -> put.Put:
    return put.run(session, boxes, "square", AT, judges=[Judge()], n=48)


# --- where it lands -------------------------------------------------------------------------------


def test_it_lands_on_the_best_of_all_moves_by_whole_locations():
    random = np.random.default_rng(0)
    for _ in range(60):
        x0, y0, u0, v0 = random.integers(1, 30, 4).tolist()
        w, h, p, q = random.integers(4, 32, 4).tolist()
        box, at = dp.Box(0, "a", x0, y0, x0 + w, y0 + h), (u0, v0, u0 + p, v0 + q)
        found = place([box], at, (4.0, 8.0), 64)
        whole = [
            (x0 + 4 * i, y0 + 8 * j, x0 + w + 4 * i, y0 + h + 8 * j)
            for i, j in itertools.product(range(-20, 21), repeat=2)
        ]
        inside = [each for each in whole if min(each) >= 0 and max(each) <= 64]
        if found.fitting:
            most = max(overlap_of(at, each) for each in inside)
            assert found.fitting[0].overlap == pytest.approx(most)
            assert found.fitting[0].landed in inside
        else:
            assert found.leaving + found.cut == 1


def test_what_leaves_the_image_or_is_cut_by_it_is_counted_and_not_taken():
    drawn = [
        dp.Box(0, "a", 0, 8, 8, 16),  # cut on the left: may move up and down only
        dp.Box(1, "a", 8, 8, 40, 16),  # too wide for the place
        dp.Box(2, "a", 8, 8, 16, 16),
    ]
    found = place(drawn, (50, 24, 58, 32), (4.0, 4.0), 64)
    assert [each.box.image for each in found.fitting] == [2]
    assert found.fitting[0].landed == (48, 24, 56, 32) or found.fitting[0].rounded == (2, 0)
    assert (found.leaving, found.cut) == (1, 1)
    assert place(drawn[:1], (0, 24, 8, 32), (4.0, 4.0), 64).fitting[0].moved == (0, 16)


def test_a_step_is_of_whole_locations_of_every_layer():
    assert step_of([(8, 8), (16, 16)], 64) == (8, 8)
    assert step_of([(6, 6), (9, 9)], 36) == (12, 12)


# --- what it does ---------------------------------------------------------------------------------


def test_the_pixels_are_those_of_the_donor_moved_and_all_else_stays(session, result):
    """Maps become pixels one by one, so the answer is a copy of a rectangle of pixels."""
    edit = replace(result.edits[0], fill="mix", feather=0.0)
    assert edit.donors is not None
    z = session.latents(6, start=300)
    before = session.generate(z)
    donor = session.sample(edit.donors.indices[0] + 1)[-1]
    right, down = (int(by) for by in edit.moved)
    wanted = before.clone()
    locations = {"coarse": 8, "fine": 16}[edit.layers[-1]]
    wide = SIDE // locations
    x0, y0, x1, y1 = edit.where or ()
    copied = 0
    for row, column in itertools.product(range(locations), repeat=2):
        x, y = (column + 0.5) * wide, (row + 0.5) * wide
        if x0 <= x < x1 and y0 <= y < y1:
            rows, columns = (
                slice(row * wide, row * wide + wide),
                slice(column * wide, column * wide + wide),
            )
            source = donor[
                :,
                row * wide - down : row * wide - down + wide,
                column * wide - right : column * wide - right + wide,
            ]
            wanted[:, :, rows, columns] = source
            copied += 1
    assert copied >= 64 // wide**2
    with session.editing(edit):
        after = session.generate(z)
    torch.testing.assert_close(after, wanted, atol=1e-3, rtol=0)


def test_the_judge_finds_it_exactly_where_it_was_asked_for(session, result):
    outcome = result.judged["bright"].outcomes[PUT]
    assert result.donor.placed.landed == AT and result.donor.placed.rounded == (0, 0)
    assert outcome.there.value == outcome.iou.value == outcome.object.value == 1
    assert outcome.outside.value < 0.02
    assert result.judged["bright"].known == 1
    z = session.latents(48, start=40)
    red = session.generate(z)[:, 0, 16:24, 8:16] > 0
    free = torch.where(red.flatten(1).float().mean(1) < 0.1)[0]
    assert torch.equal(result.judged["bright"].free, free)


def test_the_change_outside_is_the_mean_over_pixels_beyond_two(session, result):
    z = session.latents(48, start=40)
    before = session.generate(z)
    with session.editing(*result.edits):
        change = (session.generate(z) - before).abs().mean(1).numpy()
    kept = result.judged["bright"].free.tolist()
    outside = [
        change[i, y, x]
        for i in kept
        for y, x in itertools.product(range(SIDE), repeat=2)
        if not (14 <= y < 26 and 6 <= x < 18)
    ]
    found = result.judged["bright"].outcomes[PUT].outside.value
    assert found == pytest.approx(float(np.mean(outside)), abs=1e-6)


def test_the_baselines_are_there(session, boxes, result):
    outcomes = result.judged["bright"].outcomes
    assert set(outcomes) == {PUT, PASTED, TURNED_UP}
    assert outcomes[PASTED].iou.value == 1 and outcomes[PASTED].outside.value == 0
    assert set(result.drift) == {"as they are", PUT, PASTED, TURNED_UP}
    assert f"square of sample 0:{result.donor.placed.box.image}" in str(result)


def test_the_donor_is_the_one_asked_for_and_is_moved(session, boxes):
    box = next(box for box in boxes.boxes if (box.x0, box.y0) != AT[:2])
    at = (9.0, 17.0, 17.0, 25.0)
    asked = put.run(
        session, boxes, None, at, (0, box.image), "coarse", "mix", judges=[Judge()], n=16
    )
    assert asked.edit.donors == Donors(0, (box.image,), unedited=True)
    # By a location of 4 pixels either way: 8 or 12 across, 16 or 20 down, whatever overlaps most.
    assert asked.donor.placed.landed == AT
    assert asked.donor.placed.rounded == (-1, -1)
    assert asked.edit.moved == (8 - box.x0, 16 - box.y0)
    with pytest.raises(InputError, match=r"--from 1:2: found seed 1, expected 0"):
        put.run(session, boxes, "square", AT, (1, 2))
    empty = next(i for i in boxes.images if i not in {b.image for b in boxes.boxes})
    with pytest.raises(InputError, match=rf"--from 0:{empty}: found no square boxed .* one of: 0:"):
        put.run(session, boxes, "square", AT, (0, empty))


def test_it_is_put_where_an_earlier_edit_has_erased(session, boxes, result):
    """The donor and the guide are drawn without the active edits, the samples with them."""
    bare = PlaceEdit(
        ("coarse",), session.checkpoint.sha256, fill="smooth", where=(0, 0, SIDE, SIDE)
    )
    z = session.latents(8, start=40)
    with session.editing(bare):
        erased = session.generate(z)
        with session.editing(*result.edits):
            after = session.generate(z)
    assert (erased[:, 0, 16:24, 8:16] < 0).all() and (after[:, 0, 16:24, 8:16] > 0).all()
    assert (after[:, 0, :12] < 0).all()


def test_a_file_of_it_is_the_same_edit(session, result, tmp_path):
    result.save(tmp_path / "put")
    read = edit_files.read(tmp_path / "put/edit.json")
    assert read == result.edits[0]
    values = json.loads((tmp_path / "put/result.json").read_text())
    assert values["landed"] == list(AT)
    assert values["fresh_samples"][0]["edits"]["put"]["there"]["value"] == 1


# --- what is measured -----------------------------------------------------------------------------


def test_a_rim_is_the_jump_across_it_beyond_those_beside_it():
    images = torch.rand(2, 3, 24, 24) * 0.1
    images[1, :, 8:16, 9:17] += 1
    found = rim_steps(images, (9, 8, 17, 16))
    most = []
    for image in images.double().numpy():
        values = []
        for by in range(-1, 6):
            x0, y0, x1, y1 = 9 - by, 8 - by, 17 + by, 16 + by
            jumps = []
            for at in (x0, x1):
                for y in range(y0, y1):
                    d = [
                        np.abs(image[:, y, at + k] - image[:, y, at + k - 1]).mean()
                        for k in (-1, 0, 1)
                    ]
                    jumps.append(d[1] - (d[0] + d[2]) / 2)
            for at in (y0, y1):
                for x in range(x0, x1):
                    d = [
                        np.abs(image[:, at + k, x] - image[:, at + k - 1, x]).mean()
                        for k in (-1, 0, 1)
                    ]
                    jumps.append(d[1] - (d[0] + d[2]) / 2)
            values.append(np.mean(jumps))
        most.append(max(values))
    np.testing.assert_allclose(found.numpy(), most, rtol=1e-4)
    assert found[1] > 0.9 > 0.1 > found[0]
    usual = torch.tensor([0.0, found[0], torch.nan, 2.0])
    assert stands_out(found, usual).tolist() == pytest.approx([0.5, 2 / 3])


def test_the_whole_image_has_no_rim():
    assert rim_steps(torch.zeros(2, 3, 8, 8), (0, 0, 8, 8)).isnan().all()


def test_marks_that_were_there_before_do_not_count():
    before = torch.full((1, 3, 16, 16), -1.0)
    before[:, :, 10:14, 10:14] = 1
    after = before.clone()
    after[:, :, 2:6, 2:5] = 1
    effects = measure(Judge(), before, after, (2, 2, 6, 6), (2, 2, 6, 6), torch.empty(0))
    assert effects.iou.item() == pytest.approx(12 / 16) and effects.there.item() == 1
    assert (
        effects.outside.item() == 0 and effects.rim.isnan().all() and effects.object.isnan().all()
    )


def effects(iou: float, outside: float, rim: float, spread: float = 0.02) -> Effects:
    noise = torch.tensor([-1.0, 1.0, 0.0, 0.5, -0.5, 0.0] * 3, dtype=torch.float64) * spread
    same = torch.ones_like(noise)
    return Effects(iou + noise, same, same, outside * same, rim * same)


@pytest.mark.parametrize(
    ("found", "taken"),
    [
        ([(0.8, 0.001, 0.5), (0.7, 0.001, 0.5)], 0),  # overlaps more
        ([(0.9, 0.03, 0.5), (0.7, 0.001, 0.5)], 1),  # changes too much outside
        ([(0.9, 0.05, 0.5), (0.9, 0.03, 0.5)], 1),  # all do
        ([(0.8, 0.001, 0.95), (0.8, 0.001, 0.7)], 1),  # has a seam
        ([(0.8, 0.001, 0.95), (0.7, 0.001, 0.7)], 0),  # overlap goes first
        ([(0.8, 0.015, 0.5), (0.8, 0.008, 0.55)], 1),  # neither has a seam
        ([(0.8, 0.001, 0.5), (0.8, 0.001, float("nan"))], 0),
    ],
)
def test_the_best_is_there_spares_the_rest_and_has_no_seam(found, taken):
    assert best([effects(*each) for each in found], seed=0) == taken


def test_means_and_intervals_are_of_what_is_known():
    values = torch.tensor([1.0, 0.0, torch.nan, 1.0], dtype=torch.float64)
    unknown = torch.full_like(values, torch.nan)
    outcome = Outcome.of(Effects(values, unknown, values, values, values), seed=0)
    assert outcome.iou.value == pytest.approx(2 / 3)
    assert 0 <= outcome.iou.low < 2 / 3 < outcome.iou.high <= 1
    assert outcome.values()["object"] is None and outcome.samples == 4


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "more", "message"),
    [
        ((8, 16, 40, 24), {}, "region 8,16,40,24: found x1 = 40, expected at most 32"),
        ((-1, 16, 16, 24), {}, "at: found -1,16,16,24, expected x0,y0,x1,y1 with 0 <= x0"),
        ((16, 16, 8, 24), {}, "at: found 16,16,8,24, expected x0,y0,x1,y1"),
        ((8, 16, 11, 24), {"layer": "coarse"}, "found a box of 3 x 8 pixels, expected at least 4"),
        ((8, 16, 9, 17), {}, "found a box of 1 x 1 pixels, expected at least 2 x 2, one location"),
        (AT, {"layer": "medium"}, "generator: unknown layer 'medium', expected one of: coarse"),
        (AT, {"label": "circle"}, "unknown label 'circle', expected one of: square"),
        (AT, {"fill": "smooth"}, "unknown fill 'smooth', expected one of: mix, clone"),
        (AT, {"n": 0}, "n: found 0, expected at least 1"),
    ],
)
def test_a_place_or_a_name_that_is_wrong_is_one_line(session, boxes, at, more, message):
    label = more.pop("label", "square")
    with pytest.raises(InputError, match=message):
        put.run(session, boxes, label, at, **more)


def test_boxes_that_cannot_be_used_are_told(session, boxes):
    other = replace(boxes, checkpoint="12" * 32)
    with pytest.raises(InputError, match="drawn on samples of checkpoint 12121212"):
        put.run(session, other, "square", AT)
    rows = replace(boxes, seed=None, latents="z.npy")
    with pytest.raises(InputError, match="boxes on samples of the file z.npy, expected samples of"):
        put.run(session, rows, "square", AT)
    wide = replace(boxes, boxes=tuple(dp.Box(i, "square", 1, 1, 31, 9) for i in range(9)))
    with pytest.raises(InputError, match="no boxed square that fits there: of 9, 9 would leave"):
        put.run(session, wide, "square", (0, 16, 8, 24), layer="coarse", fill="mix", judges=[])


@pytest.mark.parametrize("text", ["1,2,3", "1,2,3,x", "5,5,1,1", "nan,0,1,1"])
def test_a_place_that_is_no_place_is_refused(text):
    with pytest.raises(InputError, match="--at"):
        read_region(text, "--at")


def test_a_sample_is_a_seed_and_an_index():
    assert read_sample("3:142") == (3, 142)
    for text in ("142", "0:x", "-1:3"):
        with pytest.raises(InputError, match="--from: found"):
            read_sample(text)


def test_few_boxed_samples_are_enough_and_it_is_said(session, boxes):
    images = sorted({box.image for box in boxes.boxes})[:3]
    few = boxes.only_images(range(images[-1] + 1))
    found = put.run(session, few, "square", AT, judges=[Judge()], n=16)
    assert found.tried == () and found.doubts()[0].startswith("NOTHING WAS TRIED")
    assert found.judged["bright"].outcomes[PUT].there.value == 1


def test_a_generator_that_cannot_be_cut_works_and_says_so(session, boxes, result, capsys):
    """The forward of these squares asks z for more than its length."""
    with pytest.raises(hooks.Uncut):
        hooks.tail(session.generator, "coarse")
    put.run(session, boxes, "square", AT, None, "coarse", "mix", [Judge()], n=16)
    assert "cannot be cut behind layer coarse" in capsys.readouterr().err
    assert not result.cut and "slower" in str(result)


def test_a_generator_of_a_class_puts_into_that_class():
    of_class = dp.Session.from_modules(**other_gans.conditional(2), device="cpu")
    size = of_class.config.size
    drawn = tuple(dp.Box(i, "blob", 8, 8, 20, 20) for i in range(8))
    sha = of_class.checkpoint.sha256
    made = dp.Boxes(drawn, tuple(range(12)), (size, size), seed=0, checkpoint=sha)
    layer = list(of_class.config.hidden("generator"))[-1]
    found = put.run(of_class, made, "blob", (8, 8, 20, 20), None, layer, "mix", ["boxes"], n=16)
    z = of_class.latents(3, start=50)
    maps = hooks.activations(of_class.generator, layer, z)
    with of_class.editing(*found.edits), torch.no_grad():
        after = hooks.activations(of_class.generator, layer, z)
    index = found.edit.donors.indices[0]  # type: ignore[union-attr]
    donor = hooks.activations(of_class.generator, layer, of_class.latents(1, start=index))
    middle = maps.shape[2] * 14 // size
    torch.testing.assert_close(
        after[:, :, middle, middle], donor[:, :, middle, middle].expand(3, -1), atol=1e-3, rtol=1e-3
    )


def test_a_layer_of_one_location_has_nothing_to_move(session):
    class One(Squares):
        def __init__(self) -> None:
            super().__init__()
            self.dot = nn.Identity()

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return super().forward(self.dot(z[:, :, None, None]).flatten(1))

    one = dp.Session.from_modules(generator=One(), latent=(5, "uniform"), device="cpu")
    with pytest.raises(InputError, match="layer 'dot': found 1 x 1 locations, expected maps of"):
        put.run(one, squares(one, 20), "square", AT, None, "dot")


def test_nan_is_refused(boxes):
    broken = Squares()
    session = dp.Session.from_modules(generator=broken, latent=(5, "uniform"), device="cpu")
    drawn = squares(session, 20)
    broken.scale.data.fill_(torch.nan)
    with pytest.raises(InputError, match="found NaN or infinity in images of boxed samples"):
        put.run(session, drawn, "square", AT, judges=[Judge()])


# --- the command ----------------------------------------------------------------------------------


def test_it_acts_in_the_chain_until_it_is_undone_and_is_a_file(run, invoke, tmp_path):
    line = ["put", "--boxes", tmp_path / "boxes.json", "--at", "8,4,24,24", "--layer", "16x16"]
    line += ["--fill", "mix", "--judge", "boxes", "--n", "16"]
    run(*line, "sample", "--n", "4", "ablate", "--undo", "sample", "--n", "4")
    out = tmp_path / "out"
    edited, plain = out / "sample", out / "sample-again1"
    assert json.loads((out / "put/result.json").read_text())["generator_is_cut"] is True
    made = json.loads((edited / "result.json").read_text())["made_with"]
    assert made["edits"][0]["donors"]["unedited"] is True
    run(
        "--edit",
        out / "put/edit.json",
        "--force",
        "--out",
        tmp_path / "later",
        "sample",
        "--n",
        "4",
    )
    images = [sorted(path.glob("*.png")) for path in (edited, plain, tmp_path / "later/sample")]
    bytes_of = [[path.read_bytes() for path in each] for each in images]
    assert bytes_of[0] == bytes_of[2] and bytes_of[0] != bytes_of[1] and bytes_of[0]
    for wrong in (["--at", "8,4,24"], ["--at", "8,4,240,24"], ["--from", "0:7"], ["--object", "x"]):
        words = [*line, *wrong]
        found = invoke("--force", *words, expect=2)
        assert found.output.startswith("Error: ") and found.output.count("\n") == 1


def test_the_picture_says_what_is_against_it(result, monkeypatch, tmp_path):
    texts = []
    monkeypatch.setattr("dcgan_probe.probes.put.figures.chart_tried", lambda *_: None)
    monkeypatch.setattr(
        figures,
        "draw",
        lambda path, title, *_, warnings, **__: texts.extend([title, *warnings]),
    )
    result.draw(tmp_path)
    assert texts == ["Putting “square” into samples that have none there", *result.doubts()]
    texts.clear()
    (name, judged), *_ = result.judged.items()
    taken = replace(judged, free=judged.free[:0])
    pictures = replace(result.pictures, free=False)
    replace(result, judged={name: taken}, pictures=pictures).draw(tmp_path)
    assert texts[0] == "Putting “square” into samples"
    assert "EVERY SAMPLE SHOWS A SQUARE THERE ALREADY" in texts[-1]
