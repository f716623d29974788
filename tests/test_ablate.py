"""ablate shows any edit of the generator, and keeps it active for the commands after it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import dcgan_probe as dp
from dcgan_probe.edits.levels import levels, means
from dcgan_probe.errors import InputError
from dcgan_probe.probes import ablate
from dcgan_probe.storage import files

SHA = "ab" * 32


def boxes(*drawn: dp.Box, **changes) -> dp.Boxes:
    drawn = drawn or tuple(dp.Box(i, "window", 4, 4, 20, 24) for i in range(6))
    given = {"seed": 0, "checkpoint": SHA, "source": "windows.json"} | changes
    return dp.Boxes(drawn, tuple(range(8)), (32, 32), **given)


def maps(session: dp.Session, n: int, layer: str = "8x8") -> np.ndarray:
    """The first n samples' maps of a layer, filters x everything."""
    with torch.no_grad(), dp.hooks.record(session.generator, layer) as seen:
        session.generator(session.latents(n))
    return np.moveaxis(seen[layer].numpy(), 1, 0).reshape(seen[layer].shape[1], -1)


def test_means_are_those_of_numpy(session):
    expected = maps(session, 100)[[5, 1]].mean(axis=1, dtype=np.float64)
    np.testing.assert_allclose(
        means(session.generator, "8x8", [5, 1], session.latents(100)), expected, rtol=1e-6
    )


@pytest.mark.parametrize("n", [1, 64, 100])
def test_levels_are_percentiles_as_numpy_has_them(session, n):
    expected = np.percentile(maps(session, n)[[5, 1]], 99, axis=1, method="higher")
    found = np.array(levels(session.generator, "8x8", [5, 1], session.latents(n)))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_means_and_levels_of_units_without_places(session):
    values = maps(session, 100, "4x4.linear")[[3]]
    found = means(session.generator, "4x4.linear", [3], session.latents(100))
    np.testing.assert_allclose(found, values.mean(axis=1), rtol=1e-4)
    found = levels(session.generator, "4x4.linear", [3], session.latents(100))
    np.testing.assert_allclose(found, np.percentile(values, 99, axis=1, method="higher"), rtol=1e-5)


@pytest.mark.parametrize(
    ("layer", "filters", "n", "message"),
    [
        ("8x8", [99], 4, "layer '8x8': found filter 99, expected 0 to 7"),
        ("9x9", [0], 4, "unknown layer '9x9'"),
        ("8x8", [0], 0, "layer '8x8': found 0 samples to measure on, expected at least 1"),
    ],
)
def test_what_cannot_be_measured_is_refused(session, layer, filters, n, message):
    with pytest.raises(InputError, match=message):
        means(session.generator, layer, filters, session.latents(n))


def test_the_change_is_that_of_the_tail_on_edited_maps(session):
    edit = dp.Selection("8x8", (1, 5), SHA, gains=(0.5, 2.0), values=(1.0, 0.0))
    found = ablate.run(session, edit, n=10)
    z = session.latents(10)
    with torch.no_grad():
        seen = session.generator[1](session.generator[0](z))
        before = session.generator[3](session.generator[2](seen))
        seen[:, 1] = 0.5 * seen[:, 1] + 0.5
        seen[:, 5] *= 2
        after = session.generator[3](session.generator[2](seen))
    difference = (after - before).abs()
    assert found.change == {"everywhere": pytest.approx(difference.mean().item(), rel=1e-4)}
    assert found.samples == 10
    assert session.edits == []


def test_inside_and_outside_of_a_region(session):
    region = (4, 8, 20, 24)
    edit = dp.Selection("16x16", tuple(range(4)), SHA, values=(3.0,) * 4, where=region)
    found = ablate.run(session, edit, n=4)
    before = session.sample(4)
    with session.editing(edit):
        difference = (session.sample(4) - before).abs().mean(dim=1)
    inside = difference[:, 8:24, 4:20]
    total, part = difference.sum().item(), inside.sum().item()
    assert found.change["inside"] == pytest.approx(part / inside.numel(), rel=1e-4)
    rest = difference.numel() - inside.numel()
    assert found.change["outside"] == pytest.approx((total - part) / rest, rel=1e-3)
    # What comes after 16x16 spreads a cell over a few pixels, and no further.
    assert difference[:, :, 26:].max() == 0
    assert difference[:, 8:24, 4:20].min() > 0


def test_the_edits_in_force_act_before_and_after_alike(session):
    first, second = (dp.Selection("8x8", (f,), SHA) for f in (1, 5))
    both = ablate.run(session, dp.Selection("8x8", (1, 5), SHA), n=4).pictures.after
    with session.editing(first):
        found = ablate.run(session, second, n=4)
    assert np.array_equal(found.pictures.before, ablate.run(session, first, n=4).pictures.after)
    assert np.array_equal(found.pictures.after, both)
    assert "1 filter of 8x8 dropped" in found.pictures.caption


def test_each_sample_is_edited_inside_of_its_own_boxes(session):
    drawn = boxes(
        dp.Box(2, "window", 0, 0, 16, 32), dp.Box(5, "door", 16, 0, 32, 16), checkpoint=None
    )
    edit = dp.Selection("16x16", tuple(range(4)), SHA, values=(3.0,) * 4)
    found = ablate.run(session, edit, drawn)
    before = session.sample(8)
    expected = []
    for image, region in ((2, (0, 0, 16, 32)), (5, (16, 0, 32, 16))):
        alone = dp.Selection("16x16", edit.filters, SHA, values=edit.values, where=region)
        with session.editing(alone):
            changed = (session.sample(8)[image] - before[image]).abs().mean(dim=0)
        x0, y0, x1, y1 = region
        inside = torch.zeros(32, 32, dtype=torch.bool)
        inside[y0:y1, x0:x1] = True
        expected.append((changed, inside))
    changed, inside = (torch.stack(part) for part in zip(*expected, strict=True))
    assert found.samples == 2
    assert found.change["inside"] == pytest.approx(changed[inside].mean().item(), rel=1e-4)
    assert found.change["outside"] == pytest.approx(changed[~inside].mean().item(), rel=1e-4)
    assert not any(part._forward_hooks for part in session.generator.modules())


def test_boxed_samples_are_edited_alike_in_one_batch_and_in_many(session, monkeypatch):
    edit = dp.Selection("8x8", (1, 5), SHA)
    whole = ablate.run(session, edit, boxes())
    monkeypatch.setattr("dcgan_probe.probes.ablate.probe.BATCH", 4)
    parts = ablate.run(session, edit, boxes())
    assert parts.change == pytest.approx(whole.change, rel=1e-5)


def test_boxes_between_the_cells_are_counted(session):
    drawn = boxes(*boxes().boxes, dp.Box(0, "window", 1, 1, 3, 3))
    found = ablate.run(session, dp.Selection("4x4", (1,), SHA), drawn)
    assert found.unresolved == 1
    assert "1 of 7 boxes hold no location of this layer" in str(found)


@pytest.mark.parametrize(
    ("edit", "drawn", "message"),
    [
        ({}, boxes(checkpoint="cd" * 32), "cdcdcdcd"),
        ({"checkpoint": "cd" * 32}, boxes(), "found filters of checkpoint cdcdcdcd"),
        ({"filters": (99,)}, boxes(), "layer '8x8': found filter 99, expected 0 to 7"),
        ({"where": (0, 0, 16, 16)}, boxes(), "found a region and boxes, expected one of them"),
        (
            {"layer": "4x4"},
            boxes(dp.Box(0, "window", 1, 1, 3, 3)),
            "^windows.json: found no location of layer '4x4' .*, expected layer 8x8, the coarsest",
        ),
        ({"layer": "4x4.linear"}, boxes(), "layer '4x4.linear': found values without places"),
        ({}, dp.Boxes((), (0,), (32, 32), seed=0), "boxes: found no boxes, expected at least one"),
    ],
)
def test_boxes_that_do_not_fit_are_refused(session, edit, drawn, message):
    edit = {"layer": "8x8", "filters": (1,), "checkpoint": SHA} | edit
    with pytest.raises(InputError, match=message):
        ablate.run(session, dp.Selection(**edit), drawn)


def test_the_picture_shows_samples_edit_and_change(session):
    region = (4, 4, 20, 24)
    edit = dp.Selection("8x8", (1, 5), SHA, where=region)
    found = ablate.run(session, edit, n=20).pictures
    before, zoom = dp.figures.pixels(session.sample(6)), 4
    with session.editing(edit):
        after = dp.figures.pixels(session.sample(6))
    for shown, images in ((found.before, before), (found.after, after)):
        assert shown.shape == (6, 128, 128, 3)
        expected = cv2.resize(images[3], (128, 128), interpolation=cv2.INTER_NEAREST)
        outlined = (shown[3] != expected).any(axis=2)
        frame = slice(4 * zoom - 2, 24 * zoom + 2), slice(4 * zoom - 2, 20 * zoom + 2)
        assert outlined.any()
        outlined[frame] = False
        assert not outlined.any()
    assert found.change.shape == (6, 128, 128, 3)
    assert "samples 0 to 5 of seed 0" in found.caption


@pytest.fixture
def run(run, model, tmp_path):
    """The command on an untrained network, whose boxes are those of this file."""
    boxes(checkpoint=files.sha256(model)).write(tmp_path / "boxes.json")
    return run


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def images(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((folder / "images").iterdir())]


def test_an_edit_stays_in_force_and_its_file_takes_it_up_again(run, tmp_path):
    line = ["ablate", "--layer", "8x8", "--filters", "5,0-2,1", "--gain", 0.5, "--replace", "mean"]
    line += ["--where", "4,4,20,24"]
    output = run("sample", "--n", 4, *line, "sample", "--n", 4)
    assert "4 filters of 8x8 at 0.5 around their mean inside 4,4,20,24\n" in output
    out = tmp_path / "out"
    assert {p.name for p in (out / "ablate").iterdir()} == {
        "ablate.png",
        "before.png",
        "after.png",
        "selection.json",
        "result.json",
    }
    found = dp.Selection.read(out / "ablate/selection.json")
    assert (found.layer, found.filters, found.where) == ("8x8", (0, 1, 2, 5), (4, 4, 20, 24))
    assert found.gains == (0.5,) * 4
    assert found.about["measured_on"] == {"samples": 256, "seed": 0, "edits": []}
    session = dp.Session.open(str(tmp_path / "model.safetensors"), device="cpu")
    assert found.values == pytest.approx(
        means(session.generator, "8x8", found.filters, session.latents(256))
    )
    saved = read(out / "ablate/result.json")
    assert saved["made_with"]["options"]["edit"] == found.change()
    assert saved["change"] == ablate.run(session, found).change
    edited = images(out / "sample-2")
    assert read(out / "sample-2/result.json")["made_with"]["edits"] == [found.change()]
    assert images(out / "sample") != edited
    run("--out", tmp_path / "again", "--edit", out / "ablate/selection.json", "sample", "--n", 4)
    assert images(tmp_path / "again/sample") == edited


def test_undo_lifts_the_last_edit_of_the_chain(run, tmp_path):
    chain = ["ablate", "--layer", "8x8", "--filters", "1,5", "sample", "--n", 2]
    chain += ["ablate", "--layer", "16x16", "--filters", "0", "sample", "--n", 2]
    output = run("sample", "--n", 2, *chain, *["ablate", "--undo", "sample", "--n", 2] * 2)
    assert "lifted: 1 filter of 16x16 dropped\n" in output
    out = tmp_path / "out"
    plain, one, both, lifted, none = (
        images(out / name) for name in ("sample", *(f"sample-{i}" for i in range(2, 6)))
    )
    assert plain == none
    assert one == lifted
    assert len({tuple(each) for each in (plain, one, both)}) == 3
    assert [p.name for p in (out / "ablate-3").iterdir()] == ["result.json"]
    left = read(out / "ablate-3/result.json")["made_with"]["edits"]
    assert left == [{"layer": "8x8", "filters": [1, 5]}]


def test_undo_lifts_an_edit_of_the_command_line(run, tmp_path):
    run("ablate", "--layer", "8x8", "--filters", "0-7")
    edit = tmp_path / "out/ablate/selection.json"
    run("--out", tmp_path / "two", "--edit", edit, "ablate", "--undo", "sample", "--n", 2)
    run("sample", "--n", 2)
    assert images(tmp_path / "two/sample") == images(tmp_path / "out/sample")


def test_a_selection_is_taken_up_and_changed(run, tmp_path):
    run("ablate", "--layer", "8x8", "--filters", "1,5", "--gain", 2, "--replace", "mean")
    path = tmp_path / "out/ablate/selection.json"
    output = run("--out", tmp_path / "b", "ablate", "--selection", path, "--replace", 0.25)
    assert "2 filters of 8x8 at 2 around 0.25" in output
    output = run("--out", tmp_path / "c", "ablate", "--selection", path, "--gain", 0)
    assert "2 filters of 8x8 replaced by their mean" in output
    output = run("--out", tmp_path / "d", "ablate", "--selection", path, "--replace", "zero")
    assert "2 filters of 8x8 at 2\n" in output
    assert dp.Selection.read(tmp_path / "d/ablate/selection.json").about == {"chosen": "by hand"}


def test_insert_turns_filters_up_to_their_level(run, tmp_path):
    line = ["ablate", "--layer", "8x8", "--filters", "1,5", "--insert", "--where", "8,8,20,24"]
    assert "2 filters of 8x8 replaced by their 99th percentile inside 8,8,20,24" in run(*line)
    found = dp.Selection.read(tmp_path / "out/ablate/selection.json")
    session = dp.Session.open(str(tmp_path / "model.safetensors"), device="cpu")
    assert found.values == pytest.approx(
        levels(session.generator, "8x8", (1, 5), session.latents(256))
    )
    assert found.gains == ()


def test_an_edit_inside_of_boxes_is_not_left_in_force(run, tmp_path):
    line = ["ablate", "--layer", "8x8", "--filters", "1,5", "--where", tmp_path / "boxes.json"]
    output = run("sample", "--n", 2, *line, "sample", "--n", 2)
    assert "this edit is of the boxed samples only: later commands do not see it" in output
    out = tmp_path / "out"
    assert images(out / "sample") == images(out / "sample-2")
    assert {p.name for p in (out / "ablate").iterdir()} == {
        "ablate.png",
        "before.png",
        "after.png",
        "boxes.json",
        "result.json",
    }
    assert dp.Boxes.read(out / "ablate/boxes.json") == dp.Boxes.read(tmp_path / "boxes.json")
    saved = read(out / "ablate/result.json")
    assert saved["samples"] == 6
    assert saved["made_with"]["options"]["edit"] == {"layer": "8x8", "filters": [1, 5]}


def test_all_filters_of_a_layer_may_go(run, tmp_path):
    run("ablate", "--layer", "8x8", "--filters", "0-7", "sample", "--n", 2)
    first, second = images(tmp_path / "out/sample")
    assert first == second


def test_the_same_line_twice_writes_the_same_bytes(run, tmp_path):
    line = ["ablate", "--layer", "8x8", "--filters", "1,5", "--replace", "mean"]
    run(*line)
    run("--out", tmp_path / "again", *line)
    for path in (tmp_path / "out/ablate").iterdir():
        assert path.read_bytes() == (tmp_path / "again/ablate" / path.name).read_bytes(), path.name


LAYER = ["--layer", "8x8", "--filters", "1,5"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "ablate: found neither --filters nor --selection, expected one of them"),
        (
            [*LAYER, "--selection", "x"],
            "ablate: found both --filters and --selection, expected one",
        ),
        (["--selection", "x", "--layer", "8x8"], "--layer: found it beside --selection"),
        (["--selection", "no.json"], "no.json: found no such file, expected a file of filters"),
        (
            ["--filters", "1"],
            "--filters: found no --layer, expected one of: 4x4, 8x8, 16x16, 32x32",
        ),
        (["--layer", "9x9", "--filters", "1"], "unknown layer '9x9', expected one of: 4x4, 8x8"),
        (["--layer", "8x8", "--filters", "5,8"], "layer '8x8': found filter 8, expected 0 to 7"),
        (["--layer", "8x8", "--filters", "0-999999999"], "layer '8x8': found filter 8, expected"),
        (["--layer", "8x8", "--filters", "3-1"], "--filters: found '3-1', expected numbers like"),
        (["--layer", "8x8", "--filters", ""], "--filters: found '', expected numbers like 3,17"),
        (["--layer", "8x8", "--filters", "1,,2"], "--filters: found '', expected numbers like"),
        (["--layer", "8x8", "--filters", "-1"], "--filters: found '-1', expected numbers like"),
        (["--layer", "8x8", "--filters", "1" * 5000], "expected numbers like 3,17,40-52"),
        ([*LAYER, "--gain", "nan"], "gains[0]: found NaN, expected a finite number"),
        ([*LAYER, "--replace", "x"], "--replace: found 'x', expected zero, mean or a number"),
        ([*LAYER, "--replace", "inf"], "values[0]: found Infinity, expected a finite number"),
        ([*LAYER, "--insert", "--replace", "mean"], "found both --insert and --replace, expected"),
        ([*LAYER, "--where", "1,2,3"], "--where: found '1,2,3', expected x0,y0,x1,y1 in pixels"),
        ([*LAYER, "--where", "9,2,3,4"], "where: found 9,2,3,4, expected x0,y0,x1,y1 with 0 <="),
        ([*LAYER, "--where", "0,0,nan,4"], "--where: found '0,0,nan,4', expected x0,y0,x1,y1"),
        ([*LAYER, "--where", "0,0,40,4"], "region 0,0,40,4: found x1 = 40, expected at most 32"),
        ([*LAYER, "--where", "no.json"], "no.json: found no such file, expected a file of boxes"),
        (
            ["--layer", "4x4", "--filters", "1", "--where", "8,8,12,12"],
            "expected layer 8x8, the coarsest that has one",
        ),
        (
            ["--layer", "4x4.linear", "--filters", "1", "--where", "8,8,12,12"],
            "layer '4x4.linear': found values without places, expected maps",
        ),
        (["--undo"], "undo: found no active edit, expected one"),
        (["--undo", "--gain", "0"], "--undo: found other options beside it, expected it alone"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(run, tmp_path, arguments, message):
    output = run("ablate", *arguments, expect=2)
    assert message in output
    assert output.count("\n") == 1, output
    assert not (tmp_path / "out").exists()


def test_filters_that_put_out_nothing_cannot_be_inserted(run, tmp_path):
    run("ablate", "--layer", "8x8", "--filters", "1,5")
    line = ["--edit", tmp_path / "out/ablate/selection.json", "--force"]
    output = run(*line, "ablate", "--layer", "8x8", "--filters", "1,5", "--insert", expect=2)
    assert "--insert: found 8x8 filters that output nothing on 256 samples, expected" in output


def test_a_selection_without_filters_is_refused(run, tmp_path):
    dp.Selection("8x8", (), SHA).write(tmp_path / "none.json")
    output = run("ablate", "--selection", tmp_path / "none.json", expect=2)
    assert "none.json: found no filters, expected at least one" in output


def test_boxes_on_a_file_of_latents_are_read_again_from_the_result(session, tmp_path, monkeypatch):
    monkeypatch.setattr("dcgan_probe.probes.ablate.figures.figures.draw", lambda *_, **__: None)
    (tmp_path / "mine").mkdir()
    np.save(tmp_path / "mine" / "z.npy", session.latents(3).numpy())
    sha = session.checkpoint.sha256
    drawn = (dp.Box(1, "window", 4, 4, 24, 24),)
    path = tmp_path / "mine" / "boxes.json"
    dp.Boxes(drawn, (0, 1, 2), (32, 32), latents="z.npy", checkpoint=sha).write(path)
    result = ablate.run(session, dp.Selection("8x8", (1,), sha), dp.Boxes.read(path))
    result.save(tmp_path / "out" / "ablate")
    again = dp.Boxes.read(tmp_path / "out" / "ablate" / "boxes.json")
    assert again.latents_path.resolve() == (tmp_path / "mine" / "z.npy").resolve()
    assert ablate.run(session, dp.Selection("8x8", (1,), sha), again).change == result.change
