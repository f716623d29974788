"""Choosing how to erase by place, on a generator whose object is known exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import dcgan_probe as dp
from dcgan_probe import hooks
from dcgan_probe.edits.donors import Donors
from dcgan_probe.errors import InputError
from dcgan_probe.figures.canvas import blank
from dcgan_probe.metrics.intervals import UNKNOWN, Interval
from dcgan_probe.probes import forget
from dcgan_probe.probes.forget import settings
from dcgan_probe.probes.forget.elsewhere import erase_elsewhere
from dcgan_probe.probes.forget.erased import _draw_trials
from dcgan_probe.probes.forget.figures import name_samples, rows_to_show
from dcgan_probe.recognition.erasing import FILLS, best, choose_erasing, erase_unjudged, resolving
from dcgan_probe.recognition.places import fit_places
from dcgan_probe.recognition.retrained import places_differ
from dcgan_probe.recognition.samples import collect_maps
from dcgan_probe.recognition.trials import Tried
from dcgan_probe.storage import json_values

SIDE = 32
DONORS = Donors(0, tuple(range(500, 540)))


class Squares(nn.Module):
    """Draws a ground, and a bright square in one of some places if z[0] is above 0, or always.

    The layers hold it in filter 0 and the ground in the others, up to noise of z.
    """

    def __init__(self, places: int = 16, always: bool = False) -> None:
        super().__init__()
        self.places, self.always = places, always
        self.scale = nn.Parameter(torch.ones(1))
        self.coarse, self.fine = nn.Identity(), nn.Identity()
        self.up = nn.Upsample(scale_factor=2)
        self.large = nn.Upsample(scale_factor=2)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        n = len(z)
        square = z.new_zeros(n, 1, 8, 8)
        place = ((z[:, 1] + 1) * 8).long().clamp(0, 15) % self.places
        shown = (z[:, 0] > 0) | self.always
        at = torch.arange(8)
        rows, columns = (place // 4 * 2).view(n, 1, 1), (place % 4 * 2).view(n, 1, 1)
        inside = ((at.view(1, 8, 1) - rows) // 2 == 0) & ((at.view(1, 1, 8) - columns) // 2 == 0)
        square[:, 0] = (inside & shown.view(n, 1, 1)).float()
        ground = torch.sin(z[:, 2:4, None, None] * 3 + at.view(1, 1, 8, 1) * 0.3) * 0.5 + 0.6
        noise = torch.sin(37 * z[:, 4:5, None, None] + 5 * at.view(1, 1, 8, 1) + 3 * at) * 0.05
        maps = torch.cat([square + noise.abs(), ground.expand(n, 2, 8, 8) + noise], 1) * self.scale
        maps = self.fine(self.up(self.coarse(maps)))
        images = torch.stack([maps[:, 0] * 2 - 1, maps[:, 1] - 0.6, maps[:, 2] - 0.6], 1)
        return self.large(images.clamp(-1, 1))


@pytest.fixture(scope="module")
def session() -> dp.Session:
    return dp.Session.from_modules(generator=Squares(), latent=(5, "uniform"), device="cpu")


def squares(session: dp.Session, n: int = 60) -> dp.Boxes:
    """Boxes as a person would draw them on the first n samples."""
    red = session.sample(n)[:, 0] > 0
    boxes = []
    for i in torch.where(red.flatten(1).any(1))[0].tolist():
        ys, xs = torch.where(red[i])
        x0, y0, x1, y1 = (int(e) for e in (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))
        boxes.append(dp.Box(i, "square", x0, y0, x1, y1))
    sha = session.checkpoint.sha256
    return dp.Boxes(tuple(boxes), tuple(range(n)), (SIDE, SIDE), seed=0, checkpoint=sha)


def test_the_layers_that_resolve_the_boxes_are_found(session):
    assert resolving(session, squares(session)) == ("coarse", "fine")
    tiny = dp.Boxes((dp.Box(0, "dot", 0, 0, 1, 1),), (0, 1), (SIDE, SIDE), seed=0)
    with pytest.raises(InputError, match="found boxes of 1 pixels, expected some that have two"):
        resolving(session, tiny)


def test_the_regression_is_calibrated_and_held_out(session):
    boxes = squares(session)
    maps = collect_maps(session, session.latents(60), ("coarse", "fine"))
    found = fit_places(maps, boxes.mask((SIDE, SIDE)))
    assert found.auc is not None and found.auc.low > 0.98 and found.better_than_chance
    fresh = session.latents(200, start=1000)
    seen = collect_maps(session, fresh, ("coarse", "fine"))
    p = torch.sigmoid(found.regression.logits(seen)["coarse"])
    truth = hooks.activations(session.generator, "coarse", fresh)[:, 0] > 0.5
    assert p[truth].mean() > 0.9 and p[~truth].mean() < 0.05
    assert p.mean().item() == pytest.approx(truth.float().mean().item(), rel=0.15)


def test_a_fold_has_not_seen_its_images(session):
    """Maps of an image that is in no other fold change only that fold's own regression not."""
    boxes = squares(session, 30)
    mask = boxes.mask((SIDE, SIDE))
    maps = collect_maps(session, session.latents(30), ("coarse",))
    before = fit_places(maps, mask)
    changed = mask.copy()
    image = int(np.flatnonzero(mask.any(axis=(1, 2)))[0])
    changed[image] = np.roll(mask[image], 16, axis=0)  # its boxes lie elsewhere
    after = fit_places(maps, changed)
    fold = int(before.fold_of[image])
    for i, (a, b) in enumerate(zip(before.parts, after.parts, strict=True)):
        moved = np.abs(np.subtract(a.own[0].weights, b.own[0].weights)).max()
        if i != fold:
            assert moved > 1e-4


def test_noise_is_no_better_than_chance_and_nothing_is_erased(session):
    random = np.random.default_rng(0)
    boxes = tuple(
        dp.Box(i, "nothing", x, y, x + 8, y + 8)
        for i in range(40)
        for x, y in [random.integers(0, 24, 2).tolist()]
    )
    drawn = dp.Boxes(boxes, tuple(range(40)), (SIDE, SIDE), seed=0)
    found = choose_erasing(session, drawn, "nothing", donors=DONORS)
    assert found.edit is None and found.chosen is None
    assert found.doubts[0].startswith("THE REGRESSION IS NO BETTER THAN CHANCE")
    result = forget.run(session, drawn, by="places", judges=(), n=16)
    assert result.edits == () and str(result).splitlines()[0] == found.doubts[0]
    anyway = choose_erasing(session, drawn, "nothing", donors=DONORS, anyway=True)
    assert anyway.edit is not None
    assert any(doubt.startswith("NOTHING LEARNS FROM THE BOXES") for doubt in anyway.doubts)


def test_the_squares_go_and_the_rest_stays(session):
    boxes = squares(session)
    found = choose_erasing(session, boxes, "square", donors=DONORS)
    assert found.edit is not None and found.chosen in found.tried
    z = session.latents(100, start=2000)
    before = session.generate(z)
    with session.editing(found.edit):
        after = session.generate(z)
    was = before[:, 0] > 0
    assert (after[:, 0] > 0)[was].float().mean() < 0.05
    none = ~was.flatten(1).any(1)
    assert (after[none] - before[none]).abs().mean() < 0.01
    assert found.edit.nonnegative == bool(
        min(h.min() for h in collect_maps(session, z, ("coarse", "fine")).values()) >= 0
    )
    assert {each.fill for each in found.tried} == set(FILLS) == set(settings.FILLS)


def test_layer_and_fill_are_taken_as_they_are_asked_for(session):
    boxes = squares(session)
    found = choose_erasing(session, boxes, "square", ("fine",), "smooth", donors=DONORS)
    assert found.edit is not None
    assert found.edit.layers == ("fine",) and found.edit.donors is None
    assert {(each.layers, each.fill) for each in found.tried} == {(("fine",), "smooth")}
    for changes, message in (
        ({"layers": ("9x9",)}, "unknown layer '9x9'"),
        ({"fill": "paint"}, "unknown fill 'paint'"),
    ):
        with pytest.raises(InputError, match=message):
            choose_erasing(session, boxes, "square", **changes)


def test_three_boxes_are_enough_to_choose_with_fresh_samples(session):
    boxes = squares(session)
    images = sorted({box.image for box in boxes.boxes})[:3]
    few = boxes.only_images(range(images[-1] + 1))
    found = choose_erasing(session, few, "square", donors=DONORS)
    assert found.edit is not None and found.chosen is not None and found.chosen.samples > 8
    unjudged = erase_unjudged(session, few, "square")
    assert unjudged.layers == ("coarse", "fine") and unjudged.fill == "recolour"


def test_an_object_that_fills_the_image_is_said_to(session):
    boxes = tuple(dp.Box(i, "all", 0, 0, SIDE, SIDE) for i in range(0, 40, 2))
    drawn = dp.Boxes(boxes, tuple(range(40)), (SIDE, SIDE), seed=0)
    found = choose_erasing(session, drawn, "all", donors=DONORS, anyway=True)
    assert any(doubt.startswith("THE OBJECT FILLS THE IMAGE on 20 of 20") for doubt in found.doubts)
    nearly = replace(drawn, boxes=tuple(dp.Box(i, "all", 1, 1, 31, 31) for i in range(40)))
    found = choose_erasing(session, nearly, "all", donors=DONORS)
    assert found.edit is None and found.doubts[0].startswith("THE REGRESSION CANNOT BE TESTED")
    everywhere = replace(drawn, boxes=tuple(dp.Box(i, "all", 0, 0, SIDE, SIDE) for i in range(40)))
    with pytest.raises(InputError, match="found everything inside of boxes"):
        choose_erasing(session, everywhere, "all")


def test_an_object_that_is_always_at_one_place_is_told_from_samples_without_it():
    one = dp.Session.from_modules(generator=Squares(1), latent=(5, "uniform"), device="cpu")
    found = choose_erasing(one, squares(one), "square", fill="mix", donors=DONORS)
    assert found.edit is not None and found.chosen is not None
    assert all(np.isfinite(each.beyond.value) for each in found.tried)
    options = {"by": "places", "fill": "mix", "judges": [Judge()], "controls": 1}
    result = forget.run(one, squares(one), layer="coarse", n=48, **options)
    probes = result.traces[0].found
    assert probes["as they are"].beyond.value > 0.95 > probes["erased"].beyond.value
    mask = torch.zeros(6, 4, 4, dtype=torch.bool)
    mask[:, 1, 1:] = True
    assert not places_differ(mask)
    mask[:3] = mask[:3].roll(2, 1)
    assert places_differ(mask)


def test_where_all_donors_show_the_object_it_is_said():
    everywhere = Squares(1, always=True)
    one = dp.Session.from_modules(generator=everywhere, latent=(5, "uniform"), device="cpu")
    found = choose_erasing(one, squares(one), "square", fill="mix", donors=DONORS)
    assert [doubt.split(":")[0] for doubt in found.doubts[-1:]] == [
        "NO DONOR FITS 40 of 40 samples"
    ]
    assert found.doubts[0].startswith("NO CHOICE LEAVES 0.10 OR LESS of what a guide sees")
    options = {"by": "places", "fill": "mix", "judges": [Judge()], "controls": 1}
    result = forget.run(one, squares(one), layer="coarse", n=16, **options)
    assert "NO DONOR FITS" in "".join(str(result).splitlines()[:3])


def tried(left: float, outside: float, value: float, low: float, samples: int = 40) -> Tried:
    found, usual = Interval(value, low, value + 0.1), Interval(0.4, 0.3, 0.5)
    seen = Interval(left, left, left)
    return Tried(("a",), "mix", 2.0, seen, outside, found, usual, usual, samples, 0)


def test_the_best_is_hard_to_find_and_changes_little():
    hard = tried(0.01, 0.05, 0.52, 0.44)
    as_hard = tried(0.01, 0.01, 0.55, 0.47)
    easy = tried(0.01, 0.001, 0.80, 0.7)
    leaves = tried(0.40, 0.001, 0.50, 0.4)
    fewer = tried(0.0, 0.0, 0.5, 0.4, samples=8)
    assert best([hard, as_hard, easy, leaves, fewer], left=0.05) is as_hard
    assert best([hard, as_hard], left=0.05, negligible=0.06) is hard
    assert best([easy, leaves], left=0.05) is easy
    assert best([leaves, tried(0.3, 1, 0.9, 0.8)], left=0.05).left.value == 0.3
    patched = replace(hard, patch=Interval(0.7, 0.65, 0.75))
    assert best([patched, as_hard], left=0.05) is as_hard
    unreal = replace(hard, unreal=Interval(0.7, 0.65, 0.75))
    assert best([unreal, as_hard], left=0.05) is as_hard
    # Samples cannot tell 0.07 from the limit of 0.05.
    unsure = replace(hard, left=Interval(0.07, 0.04, 0.1))
    assert best([unsure, easy], left=0.05) is unsure
    nothing = Interval(*[float("nan")] * 3)
    unknown = [replace(each, beyond=nothing, patch=nothing) for each in (hard, as_hard)]
    assert best(unknown, left=0.05).outside == 0.01


class Judge:
    name, about = "bright", {"held_out_iou": 1.0}

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, 0] > 0


def test_random_controls_erase_at_the_places_of_other_samples(session):
    """A square is in 1 of 16 places: the same edit elsewhere leaves about 15 of 16 squares."""
    edit = choose_erasing(session, squares(session), "square", ("coarse",), "mix", donors=DONORS)
    assert edit.edit is not None
    z = session.latents(120, start=3000)
    before = session.generate(z)
    first, second = erase_elsewhere(session, edit.edit, z, 2)
    was = before[:, 0] > 0
    holds = was.flatten(1).any(1)
    left = ((first[:, 0] > 0) & was)[holds].flatten(1).sum(1) / was[holds].flatten(1).sum(1)
    assert 0.75 < left.mean() < 0.99 and (left > 0.99).float().mean() > 0.7
    # Each is the edit at just the places that another sample passed on, whatever the batch.
    changed = (first - before).abs().flatten(1).amax(1) > 1e-6
    assert not changed[~holds].any() and not torch.equal(first, second)
    assert torch.equal(first, erase_elsewhere(session, edit.edit, z, 1)[0])
    assert erase_elsewhere(session, edit.edit, z[~holds][:3], 2) == ()


def test_the_picture_shows_samples_with_the_object(session):
    images = session.sample(64)
    holds = (images[:, 0] > 0).flatten(1).any(1)
    rows = rows_to_show(images, images, [Judge()])
    assert rows == torch.where(holds)[0][:6].tolist()
    assert rows_to_show(images[~holds], images[~holds], [Judge()]) == [0]
    after = images.clone()
    after[5] += 1
    assert 5 in rows_to_show(images, after, [])
    assert name_samples([0, 2, 5], 150, 0) == "samples 150, 152 and 155 of seed 0"
    assert name_samples([1, 2, 3, 5, 6], 150, 0) == "samples 151 to 153, 155 and 156 of seed 0"
    assert name_samples([0, 1, 2], 0, 0) == "samples 0 to 2 of seed 0"
    assert name_samples([3], 0, 7) == "sample 3 of seed 7"


def test_forget_by_places_measures_what_the_edit_in_force_leaves(session, tmp_path):
    result = forget.run(session, squares(session), by="places", judges=[Judge()], n=64)
    z = session.latents(64, start=60)
    before = session.generate(z)
    with session.editing(*result.edits):
        after = session.generate(z)
    was, still = before[:, 0] > 0, after[:, 0] > 0
    outcome = result.outcomes["bright"]
    left = outcome.erased.area_left.value
    assert left == pytest.approx((still.sum() / was.sum()).item(), abs=1e-6)
    assert outcome.random is not None and outcome.better_than_random
    found = result.traces[0].found
    assert set(found) == {"as they are", "erased", "at other places", "inpainted"}
    assert found["as they are"].beyond.value > 0.95
    assert found["erased"].beyond.value < found["as they are"].beyond.value
    result.save(tmp_path / "forget")
    assert dp.edits.read(tmp_path / "forget" / "edit.json") == result.edits[0]
    assert (tmp_path / "forget" / "forget.png").exists()
    half = (0.0, 0.0, 16.0, 32.0)
    kept = forget.run(session, squares(session), by="places", judges=(), n=16, where=half)
    assert kept.edits[0] == replace(result.edits[0], where=half)
    with pytest.raises(InputError, match="expected them by filters only"):
        forget.run(session, squares(session), by="places", select="causal")
    with pytest.raises(InputError, match="expected them by places only"):
        forget.run(session, squares(session), fill="mix")
    with pytest.raises(InputError, match="unknown way to forget 'magic'"):
        forget.run(session, squares(session), by="magic")


def test_one_small_box_teaches_nothing_and_is_told(session):
    one = dp.Boxes((dp.Box(3, "dot", 4, 4, 12, 12),), tuple(range(40)), (SIDE, SIDE), seed=0)
    with pytest.raises(InputError, match="boxes: found too few to recognise the object by"):
        choose_erasing(session, one, "dot", donors=DONORS, anyway=True)


def test_nothing_seen_is_not_little_left():
    unknown = tried(float("nan"), 0.0, 0.5, 0.5)
    little = tried(0.01, 0.2, 0.9, 0.8)
    assert best([unknown, little], 0.02) is little
    assert best([unknown, tried(0.5, 0.2, 0.9, 0.8)], 0.02).left.value == 0.5
    assert unknown.values()["left"] is None


def test_a_discriminator_without_maps_is_done_without(session):
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 1))
    both = dp.Session.from_modules(
        generator=Squares(), discriminator=flat, latent=(5, "uniform"), device="cpu"
    )
    found = choose_erasing(both, squares(both), "square", fill="mix", donors=DONORS)
    assert found.chosen is not None and found.chosen.left.value < 0.1


def test_an_edit_that_looks_better_than_the_sample_is_drawn():
    below = Interval(0.42, 0.36, 0.47)
    one = Tried(("a",), "mix", 2.0, below, 0.01, below, below, below, 40, 0)
    assert one.found == Interval(0.5, 0.36, 0.5)
    _draw_trials(blank(400, 300).subplots(), (one,), one)


def test_what_could_not_be_measured_is_null_in_json(session):
    unknown = replace(tried(0.05, 0.0, 0.5, 0.5), beyond=UNKNOWN, patch=UNKNOWN)
    assert unknown.values()["beyond"] is None and unknown.values()["patch"] is None
    json_values.check(unknown.values(), "Tried")
    drawn = tuple(dp.Box(i, "all", 1, 1, 31, 31) for i in range(12))
    boxes = dp.Boxes(drawn, tuple(range(12)), (SIDE, SIDE), seed=0)
    result = forget.run(session, boxes, by="places", judges=(), n=4)
    assert result.erasing.places.auc is not None
    assert np.isnan(result.erasing.places.auc.value)
    json_values.check(result.values(), "Erased")
    assert result.values()["held_out_auc"] is None
    assert "on held-out boxed samples: not measured" in str(result)
