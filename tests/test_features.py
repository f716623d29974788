"""features against plain loops, scipy and scikit-learn, and what becomes of broken runs."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from scipy import io, stats
from sklearn.metrics import confusion_matrix
from sklearn.svm import LinearSVC
from torch.nn import functional as F

import dcgan_probe as dp
from dcgan_probe.errors import InputError
from dcgan_probe.images.sources import ImageSource
from dcgan_probe.images.subsets import Chosen
from dcgan_probe.metrics import feature_files
from dcgan_probe.metrics import features as of
from dcgan_probe.metrics.features import Layout
from dcgan_probe.networks.config import PRESETS
from dcgan_probe.plugins.contract import Opener
from dcgan_probe.probes import features
from dcgan_probe.probes.features import accuracy as accuracies
from dcgan_probe.probes.features import baselines, classifier, protocols
from dcgan_probe.storage import files

CLASSES = ("blank", "checked", "striped")


def patterns(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """n images of each of three textures in noise, N x 32 x 32 x 3 uint8, and their classes."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    bases = (np.zeros((32, 32)), ((x + y) // 2) % 2, (x // 2) % 2)
    labels = np.arange(3).repeat(n)
    noise = rng.normal(0, 70, (3 * n, 32, 32, 3))
    images = 100 + 60 * np.stack([bases[k] for k in labels])[..., None] + noise
    return images.clip(0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """30 images of each class for training, 20 for testing, in folders."""
    folder = tmp_path_factory.mktemp("data") / "set"
    for part, n, seed in (("train", 30, 0), ("test", 20, 1)):
        for i, (image, k) in enumerate(zip(*patterns(n, seed), strict=True)):
            path = folder / part / CLASSES[k] / f"{i:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            dp.figures.write_image(path, image)
    return folder


def read(paths: list[Path]) -> torch.Tensor:
    pixels = np.stack([cv2.imread(str(p))[..., ::-1].transpose(2, 0, 1) for p in paths])
    return torch.from_numpy(pixels.astype(np.float32)) / 127.5 - 1


def by_hand(network: torch.nn.Module, images: torch.Tensor) -> np.ndarray:
    """Every convolution block's output, pooled to 4 x 4 and flattened; torch alone."""
    kept = {}
    hooks = [
        block.register_forward_hook(lambda m, i, out, name=name: kept.update({name: out.clone()}))
        for name, block in network.named_children()
    ]
    rows = []
    with torch.no_grad():
        for image in images:
            network(image[None])
            pooled = [
                F.max_pool2d(maps, maps.shape[2] // 4).flatten()
                for maps in list(kept.values())[:-1]
            ]
            rows.append(torch.cat(pooled).numpy())
    for hook in hooks:
        hook.remove()
    return np.stack(rows)


def test_the_file_holds_what_a_plain_loop_finds(session, data, tmp_path):
    found = features.run(session, data, to=tmp_path / "f.npy").features
    paths = sorted(data.rglob("*.png"))
    expected = by_hand(session.discriminator, read(paths))
    np.testing.assert_allclose(np.load(tmp_path / "f.npy"), expected, rtol=1e-4, atol=1e-5)
    beside = json.loads((tmp_path / "f.npy.json").read_text())
    assert beside["about"]["names"] == [p.relative_to(data).as_posix() for p in paths]
    assert beside["about"]["sha256"] == "ab" * 32
    assert (beside["layers"], beside["filters"]) == (["16x16", "8x8", "4x4"], [4, 8, 16])
    assert len(found.layout) == 28 * 16 == found.values.shape[1]


def test_columns_are_named_for_the_cell_they_come_from(session, data):
    d = session.discriminator
    images = read(sorted(data.rglob("*.png"))[:2])
    names = of.layers(d, ["8x8", "4x4"])
    rows = of.extract(d, images, names, grid=2)
    maps = of.responses(d, images, names)
    columns = of.layout(d, names, grid=2).columns()
    assert len(columns) == rows.shape[1]
    for number in (0, 3, 30, 31, 32, 95):
        layer, filter, row, column = columns[number]
        side = maps[layer].shape[2] // 2
        cell = maps[layer][:, filter, row * side :, column * side :][..., :side, :side]
        assert torch.equal(rows[:, number], cell.amax((1, 2)))
        assert number in range(*of.layout(d, names, 2).slices()[layer].indices(len(columns)))


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("cifar10", ("32x32", "16x16a", "16x16", "8x8a", "8x8", "4x4")),
        ("cifar10-5x5", ("16x16a", "16x16", "8x8a", "8x8", "4x4a", "4x4")),
    ],
)
def test_the_paper_s_shape_has_28672_features(preset, expected):
    with torch.device("meta"):
        d = dp.Discriminator(PRESETS[preset])
    names = of.layers(d)
    assert names == expected
    layout = Layout(names, tuple(d.get_submodule(n).conv.out_channels for n in names), 4)
    assert layout.filters == (128, 128, 256, 256, 512, 512)
    assert len(layout) == 28_672


def test_a_network_of_somebody_else_gives_as_many_features_as_it_has(data, tmp_path):
    config = dataclasses.replace(PRESETS["cifar10"], g_width=4, d_width=4)
    ours = dp.networks.initialise(dp.Discriminator(config), 0).eval()
    blocks = [
        (block.conv, getattr(block, "norm", None), block.act)
        for block in list(ours.children())[:-1]
    ]
    parts = [part for block in blocks for part in block if part is not None]
    theirs = torch.nn.Sequential(*parts, torch.nn.Flatten(), torch.nn.Linear(16 * 16, 1))
    session = dp.Session.from_modules(discriminator=theirs, image=(3, 32, 32), device="cpu")
    found = features.run(session, data, to=tmp_path / "f.npy", n=5).features
    assert found.layout.filters == (4, 4, 8, 8, 16, 16) and len(found.layout) == 28_672 // 32
    expected = by_hand(ours, read(drawn(data, 5)))
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-7)


def drawn(folder: Path, n: int) -> list[Path]:
    """The n images that a limit takes: drawn by seed 0, in the order of their names."""
    paths = sorted(folder.rglob("*.png"))
    return [paths[i] for i in sorted(np.random.default_rng(0).permutation(len(paths))[:n])]


def test_extraction_from_a_network_of_two_convolutions_a_resolution(tmp_path, data):
    config = dp.Config(size=32, g_width=2, d_width=4, z_size=4, d_depth=2)
    d = dp.networks.initialise(dp.Discriminator(config), 0).eval()
    deep = dp.Session(dp.Checkpoint(config, None, d, {}, "deep", "cd" * 32), device="cpu")
    found = features.run(deep, data, to=tmp_path / "f.npy", n=5).features
    expected = by_hand(d, read(drawn(data, 5)))
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-7)
    assert found.layout.filters == (4, 4, 8, 8, 16, 16)


def test_statistics_of_the_images_are_the_mean_over_their_batches(session, data, tmp_path):
    features.run(session, data, to=tmp_path / "f.npy", statistics="images", n=90)
    images = read(drawn(data, 90))
    own = dp.Discriminator(session.config)
    own.load_state_dict(session.discriminator.state_dict())
    for norm in dp.networks.norms(own):
        norm.reset_running_stats()
        norm.momentum = 1.0
    with torch.no_grad():
        own.train()(images)
    expected = by_hand(own.eval(), images)
    np.testing.assert_allclose(np.load(tmp_path / "f.npy"), expected, rtol=1e-3, atol=1e-4)
    stored = by_hand(session.discriminator, images)
    assert np.abs(stored - expected).max() > 0.1  # the session's own are still the stored ones


def test_features_are_found_again_and_others_are_not_replaced(session, data, tmp_path, monkeypatch):
    to = tmp_path / "f.npy"
    first = features.run(session, data, to=to, n=6)
    with monkeypatch.context() as patch:
        patch.setattr(of, "extract", None)
        again = features.run(session, data, to=to, n=6)
    assert np.array_equal(first.features.values, again.features.values)
    limited = features.run(session, data, to=tmp_path / "n.npy", n=6)
    assert limited.made_with["options"]["images"] == f"6 of 150 images of {data.name}"
    for other in ({"n": 5}, {"grid": 2}, {"layers": ["4x4"]}, {"statistics": "images"}):
        with pytest.raises(InputError, match=r"f\.npy: found other features, or a part"):
            features.run(session, data, to=to, **{"n": 6, **other})
    session.force = True
    assert len(features.run(session, data, to=to, n=5).features.values) == 5


def test_features_of_another_unsaved_network_are_not_taken(data, tmp_path):
    config = dp.Config(size=32, g_width=2, d_width=4, z_size=4)
    for seed in (0, 1):
        d = dp.networks.initialise(dp.Discriminator(config), seed).eval()
        unsaved = dp.Session(dp.Checkpoint(config, None, d), device="cpu")
        if seed == 0:
            features.run(unsaved, data, to=tmp_path / "f.npy", n=5)
    with pytest.raises(InputError, match="found other features"):
        features.run(unsaved, data, to=tmp_path / "f.npy", n=5)


@pytest.fixture
def small_files():
    """No file of this process may grow past 64 KiB, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_nothing_that_looks_whole(session, data, tmp_path, small_files):
    with pytest.raises(InputError, match=r"f\.npy: cannot be written: File too large"):
        features.run(session, data, to=tmp_path / "f.npy")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_told_before_anything_is_computed(session, data, tmp_path):
    with pytest.raises(InputError, match=r"GB free on its disk, expected .* for 150 x 10{16}1 fe"):
        feature_files.stored(
            tmp_path / "f.npy",
            Chosen([(ImageSource(data, 32, 3), range(150))]),
            lambda batch: pytest.fail("computed"),
            Layout(("x",), (10**17 + 1,), 1),
            {},
        )
    assert list(tmp_path.iterdir()) == []


def test_what_an_interrupted_run_left_is_no_set_of_features(session, data, tmp_path):
    to = tmp_path / "f.npy"
    features.run(session, data, to=to, n=6)
    files.beside(to, ".json").unlink()
    with pytest.raises(InputError, match=r"f\.npy\.json: found no description of features"):
        feature_files.read(to)
    session.force = True
    with pytest.raises(InputError, match="it is left unchanged, expected another name"):
        features.run(session, data, to=to, n=6)
    to.unlink()
    features.run(session, data, to=to, n=6)
    to.write_bytes(to.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"f\.npy: cannot be read as features"):
        feature_files.read(to)
    np.save(to, np.zeros((6, 3), np.float32))
    with pytest.raises(InputError, match="found float32 6 x 3, expected float32 6 x 448 as its"):
        feature_files.read(to)


def test_no_file_of_the_users_is_replaced_or_removed(session, data, tmp_path):
    """`windows.json` is what `label` calls boxes, and `.f.npy.backup` what an editor may leave."""
    mine = ["f.json", ".f.npy.backup", ".f.npy.ab12cd34.part"]
    for name in mine:
        (tmp_path / name).write_text("mine")
    features.run(session, data, to=tmp_path / "f.npy", n=6)
    assert [(tmp_path / name).read_text() for name in mine] == ["mine"] * 3
    session.force = True
    for theirs in ("g.npy", "h.npy.json"):
        (tmp_path / theirs).write_text('{"my": "notes"}')
        with pytest.raises(InputError, match="it is left unchanged, expected another name"):
            features.run(session, data, to=tmp_path / theirs.removesuffix(".json"), n=6)
        assert (tmp_path / theirs).read_text() == '{"my": "notes"}'


def test_killed_between_its_two_files_the_same_line_goes_on(session, data, tmp_path, monkeypatch):
    to = tmp_path / "f.npy"

    class Killed(BaseException):
        pass

    def killed(source, target, replace=os.replace):
        if Path(target) == to:
            raise Killed
        replace(source, target)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(files.os, "replace", killed)
        features.run(session, data, to=to, n=6)
    assert not to.exists() and files.beside(to, ".json").exists()
    assert len(features.run(session, data, to=to, n=6).features.values) == 6


def test_a_bit_that_flips_on_the_disk_is_noticed(session, data, tmp_path):
    to = tmp_path / "f.npy"
    features.run(session, data, to=to, n=6)
    held = bytearray(to.read_bytes())
    held[-100] ^= 1
    to.write_bytes(held)
    with pytest.raises(InputError, match="found other bytes than were written"):
        features.run(session, data, to=to, n=6)


def test_features_with_the_description_of_older_versions_are_read(session, data, tmp_path):
    to = tmp_path / "f.npy"
    features.run(session, data, to=to, n=6)
    whole = json.loads(files.beside(to, ".json").read_text())
    files.beside(to, ".json").unlink()
    del whole["crc32"]
    files.write_json(to.with_suffix(".json"), whole)
    assert len(features.run(session, data, to=to, n=6).features.values) == 6


def test_an_exception_in_the_middle_leaves_no_file(session, data, tmp_path):
    images = Chosen([(ImageSource(data, 32, 3), range(150))])
    for value, message in ((np.nan, "found NaN or infinite features"), (None, "stopped")):

        def compute(batch: torch.Tensor, value=value) -> torch.Tensor:
            if len(batch) < feature_files.BATCH:
                if value is None:
                    raise RuntimeError("stopped")
                return torch.full((len(batch), 1), value)
            return torch.zeros(len(batch), 1)

        with pytest.raises((InputError, RuntimeError), match=message):
            feature_files.stored(tmp_path / "f.npy", images, compute, Layout(("x",), (1,), 1), {})
        assert list(tmp_path.iterdir()) == []


def test_accuracy_and_confusion_are_those_of_scikit_learn(session, data, tmp_path):
    to = tmp_path / "f.npy"
    result = features.run(session, data, "folders", to=to, per_class=[None], c=[0.01])
    x = np.load(to)
    names = json.loads(files.beside(to, ".json").read_text())["about"]["names"]
    y = np.array([CLASSES.index(Path(name).parent.name) for name in names])
    test = np.array([name.startswith("test/") for name in names])
    theirs = LinearSVC(C=0.01, tol=1e-6, max_iter=10_000, random_state=0).fit(x[~test], y[~test])
    told = theirs.predict(x[test])
    point = result.rows[0].points[0]
    assert (point.labels, point.c, point.chosen) == (90, 0.01, {})
    assert point.score.mean == pytest.approx((told == y[test]).mean(), abs=1 / 60 + 1e-9)
    assert np.abs(result.confusion - confusion_matrix(y[test], told)).sum() <= 2
    assert result.counts == (90, 18, 60)


def test_layers_alone_and_their_shares(session, data, tmp_path):
    to = tmp_path / "f.npy"
    result = features.run(session, data, "folders", to=to, per_class=[None], c=[0.01])
    x, labels = np.load(to)[:90], np.arange(3).repeat(30)
    theirs = LinearSVC(C=0.01, tol=1e-6, max_iter=10_000, random_state=0).fit(x, labels)
    split = classifier.Split.of(np.zeros(150), np.arange(150) >= 90, 0.2, session.seed)
    squared = np.square(theirs.coef_ * x[split.train].std(0)).sum(0)
    layout = of.layout(session.discriminator, of.layers(session.discriminator))
    for layer, (name, at) in zip(result.layers, layout.slices().items(), strict=True):
        assert layer.layer == name
        assert layer.share == pytest.approx(squared[at].sum() / squared.sum(), rel=0.02)
    best = layout.columns()[16 * int(squared.reshape(-1, 16).sum(1).argmax())]
    assert (result.filters[0].layer, result.filters[0].filter) == (best.layer, best.filter)
    alone = features.run(
        session, data, "folders", to=tmp_path / "g.npy", layers=["8x8"], per_class=[None], c=[0.01]
    )
    assert alone.rows[0].points[0].score == result.layers[1].point.score


def test_intervals_are_those_of_scipy():
    draws = (0.61, 0.65, 0.58, 0.66)
    score = accuracies.Score(draws, 50)
    low, high = stats.t.interval(0.95, 3, np.mean(draws), stats.sem(draws))
    assert score.interval == pytest.approx((low, high))
    assert score.spread == pytest.approx(1.96 * np.std(draws))
    once = accuracies.Score((0.62,), 50)
    wilson = stats.binomtest(31, 50).proportion_ci(method="wilson")
    assert once.interval == pytest.approx((wilson.low, wilson.high))
    assert once.spread == 0


def test_no_row_is_used_for_two_things():
    labels = np.random.default_rng(0).integers(0, 3, 200)
    test = np.random.default_rng(1).random(200) < 0.3
    split = classifier.Split.of(labels, test, 40, seed=0)
    parts = [set(rows.tolist()) for rows in (split.train, split.valid, split.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 200
    assert len(parts[1]) == 40 and parts[2] == set(np.flatnonzero(test).tolist())
    drawn = split.draw(7, np.random.default_rng(0))
    assert np.bincount(labels[drawn]).tolist() == [7, 7, 7]
    assert set(drawn.tolist()) <= parts[0] and len(set(drawn.tolist())) == 21


def test_c_is_chosen_on_images_that_are_neither_trained_nor_tested_on(monkeypatch):
    """Held-out labels are swapped: C follows them, and the test labels have no say."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(90, 5)).astype(np.float32)
    split = classifier.Split.of(np.arange(90) % 3, np.arange(90) >= 60, 20, seed=0)
    seen = []

    class Machine:
        weights = np.ones((3, 5))

        def __init__(self, c: float):
            self.c = c

        def predict(self, rows: np.ndarray) -> np.ndarray:
            seen.append((self.c, len(rows)))
            truth = split.labels[split.valid if len(rows) == 20 else split.test]
            return truth if self.c == 2.0 else (truth + 1) % 3

    monkeypatch.setattr(classifier.LinearClassifier, "fit", lambda self, rows, c, *_: Machine(c))
    of_all = classifier.LinearClassifier(values, split, "cpu", 0)
    recipe = protocols.Protocol(grid=(1.0, 2.0, 3.0), draws=4, choosing=2)
    point, _, counts = of_all.point(5, recipe)
    assert (point.c, point.chosen) == (2.0, {1.0: 0.0, 2.0: 1.0, 3.0: 0.0})
    assert point.score.accuracies == (1.0,) * 4
    assert counts.tolist() == (40 * np.eye(3)).tolist()
    assert [c for c, rows in seen if rows == 30] == [2.0] * 4
    assert not point.edge


@pytest.mark.parametrize("best", [3e-6, 1e-3, 5.0])
def test_the_grid_is_left_where_its_end_is_best(best):
    def accuracy(c: float) -> float:
        return -abs(np.log(c / best))

    c, found = classifier.choose(accuracy, protocols.GRID, extend=True)
    assert abs(np.log(c / best)) < np.log(10) / 4 + 0.5
    assert min(found) < c < max(found)
    kept, found = classifier.choose(accuracy, protocols.GRID, extend=False)
    assert tuple(found) == protocols.GRID
    assert kept == min(found, key=lambda c: abs(np.log(c / best)))


def test_of_equally_good_c_the_smallest_is_taken():
    assert classifier.choose(lambda c: 0.5, [0.1, 1.0, 10.0], extend=False)[0] == 0.1


def test_the_command_extracts_and_with_labels_classifies(session, data, tmp_path):
    def said(*arguments: object) -> str:
        command = [str(a) for a in ("--images", data, *arguments)]
        obj = Opener(lambda: session)
        done = CliRunner().invoke(features.features, command, obj=obj, catch_exceptions=False)
        return done.output

    session.out = tmp_path / "out"
    extracted = said("--layers", "8x8,4x4", "--grid", 2)
    assert f"{tmp_path}/out/features.npy: 150 x 96 float32" in extracted
    assert [p.name for p in (tmp_path / "out/features").iterdir()] == ["result.json"]
    classified = said(
        "--labels", "folders", "--per-class", "9", "--draws", 2, "--to", tmp_path / "f.npy"
    )
    assert "9 a class, 27 labels: " in classified
    result = json.loads((tmp_path / "out/features-2/result.json").read_text())
    assert [row["name"] for row in result["rows"]] == ["discriminator"]
    for wrong in (["--per-class", "9,x"], ["--c", "0,1"]):
        assert "Invalid value" in said("--labels", "folders", *wrong)


def svhn(folder: Path, train: int = 20, test: int = 20) -> Path:
    """A stand-in of SVHN's two files, with its layout and its labels 1 to 10 (here 1 to 3)."""
    folder.mkdir()
    for name, n, seed in (("train_32x32", train, 0), ("test_32x32", test, 1)):
        images, labels = patterns(n, seed)
        order = np.random.default_rng(seed).permutation(len(labels))
        x = images[order].transpose(1, 2, 3, 0)
        io.savemat(folder / f"{name}.mat", {"X": x, "y": (labels[order] + 1)[:, None]})
    return folder


def test_the_svhn_protocol_is_one_command(session, tmp_path):
    session.out = tmp_path / "out"
    arguments = ["--protocol", "svhn-1000", "--images", svhn(tmp_path / "svhn")]
    arguments += ["--valid", 15, "--per-class", 9, "--draws", 5, "--beside", "pixels,random"]
    done = CliRunner().invoke(
        features.features,
        [str(a) for a in arguments],
        obj=Opener(lambda: session),
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    assert "departs from the protocol svhn-1000: valid 15, not 10000; per_class 9" in done.output
    assert "published: DCGAN + L2-SVM: 77.52% with 100 a class" in done.output
    written = sorted(path.name for path in (tmp_path / "out/features").iterdir())
    assert written == ["accuracy.png", "confusion.png", "layers.png", "result.json"]
    result = json.loads((tmp_path / "out/features/result.json").read_text())
    assert [row["name"] for row in result["rows"]] == ["discriminator", "pixels", "random"]
    point = result["rows"][0]["points"][0]
    assert list(map(float, point["validation_accuracy"])) == list(protocols.GRID)
    assert len(point["accuracy"]["draws"]) == 5
    assert sum(map(sum, result["confusion"])) == 5 * 60
    assert result["rows"][0]["detail"].endswith("averaged over 45 training images")
    assert result["classes"] == ["1", "2", "3"]
    assert point["accuracy"]["interval_95"][0] > 1 / 3  # chance


def test_the_svhn_protocol_is_that_of_the_authors():
    recipe = protocols.find("svhn-1000")
    assert recipe.grid == (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)
    assert (recipe.valid, recipe.per_class) == (10_000, (100,))
    assert (recipe.choosing, recipe.draws, recipe.extend) == (10, 100, False)
    assert recipe.with_options(valid=10_000, draws=None) == (recipe, ())


def test_two_runs_write_the_same_bytes(session, data, tmp_path):
    for name in ("a", "b"):
        done = features.run(
            session, data, "folders", to=tmp_path / f"{name}.npy", per_class=[5, None], draws=2
        )
        made = {**done.made_with, "options": {**done.made_with["options"], "to": ""}}
        dataclasses.replace(done, made_with=made).save(tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_kmeans_features_tell_textures_apart(session, data, tmp_path, monkeypatch):
    monkeypatch.setattr(baselines, "CENTROIDS", 40)
    monkeypatch.setattr(baselines, "PATCHES", 4000)
    result = features.run(
        session,
        data,
        "folders",
        to=tmp_path / "f.npy",
        per_class=[None],
        c=[0.1],
        beside=["kmeans"],
    )
    row = result.rows[1]
    assert (row.name, row.features) == ("kmeans", 4 * 40)
    assert row.points[0].score.interval[0] > 1 / 3  # chance


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": ["9x9"]}, "unknown layer '9x9', expected one of: 16x16, 8x8, 4x4"),
        ({"grid": 5}, r"layer 4x4: found 4 x 4 places, expected 5"),
        ({"statistics": "mine"}, "unknown statistics 'mine', expected one of: stored, images"),
        ({"per_class": [5]}, "--per-class: found no labels beside it, expected --labels"),
        ({"beside": ["pixels"]}, "--beside: found no labels beside it, expected --labels"),
        ({"protocol": "mnist"}, "unknown protocol 'mnist', expected one of: cifar10, svhn-1000"),
        ({"labels": "folders", "beside": ["hog"]}, "unknown baseline 'hog', expected one of: pix"),
        (
            {"labels": "folders", "per_class": [25]},
            "class .*: found .. training images beside 18 to",
        ),
        ({"labels": "folders", "valid": 90}, "--valid: found 90, expected to hold out at least on"),
        ({"protocol": "svhn-1000"}, r"set: found no train_32x32\.mat, expected train_32x32"),
        ({"to": "f.txt"}, r"f\.txt: found a name of another kind, expected one that ends in \.npy"),
    ],
)
def test_what_cannot_be_done_is_told(session, data, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        features.run(session, data, **options)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_features_that_are_not_numbers_are_told(session, data, tmp_path):
    with torch.no_grad():
        session.discriminator.get_submodule("8x8.conv").weight[0] = float("nan")
    session = dp.Session(session.checkpoint, device="cpu")
    with pytest.raises(InputError, match="discriminator: found NaN or infinite features"):
        features.run(session, data, to=tmp_path / "f.npy")
    assert list(tmp_path.iterdir()) == []
