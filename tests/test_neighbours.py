"""neighbours finds copies, and only those; its numbers are scipy's and scikit-learn's."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from scipy.spatial import cKDTree
from scipy.stats import binomtest, mannwhitneyu
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn

import dcgan_probe as dp
from dcgan_probe.errors import InputError
from dcgan_probe.images import sources
from dcgan_probe.images.sources import to_range
from dcgan_probe.metrics import features
from dcgan_probe.plugins.contract import Opener
from dcgan_probe.probes import neighbours
from dcgan_probe.probes.neighbours import spaces
from dcgan_probe.probes.neighbours import verdict as verdicts
from dcgan_probe.training.recipe import Recipe
from dcgan_probe.training.trainer import Trainer

N = 100


def blots(n: int, seed: int, size: int = 32) -> np.ndarray:
    """Coloured blots, N x size x size x 3 uint8: a source that never runs dry."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n, 3, 3, 3)).astype(np.uint8)
    return np.stack([cv2.resize(c, (size, size), interpolation=cv2.INTER_LINEAR) for c in coarse])


def write(folder: Path, pixels: np.ndarray) -> Path:
    folder.mkdir()
    for i, image in enumerate(pixels):
        dp.figures.write_image(folder / f"{i:03d}.png", image)
    return folder


class Draws(nn.Module):
    """A generator that returns images of a pool, with noise: copies if the pool is the training
    set, a perfect generator if it is a fresh one."""

    def __init__(self, pool: np.ndarray, noise: float = 0.0):
        super().__init__()
        pixels = to_range(torch.from_numpy(pool.transpose(0, 3, 1, 2).copy()))
        self.pool = nn.Parameter(pixels, requires_grad=False)
        self.noise = noise

    def forward(self, z: Tensor) -> Tensor:
        which = ((z[:, 0].double() + 1) / 2 * len(self.pool)).long().clamp(0, len(self.pool) - 1)
        images = self.pool[which]
        draws = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
        return (images + self.noise * draws).clamp(-1, 1)


def drawing(session: dp.Session, generator: nn.Module, seed: int = 0) -> dp.Session:
    checkpoint = replace(session.checkpoint, generator=generator, name="drawn")
    return dp.Session(checkpoint, seed=seed, device="cpu")


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("sets")
    return write(folder / "train", blots(N, 1)), write(folder / "held", blots(N, 2))


def test_copies_are_told(session, sets):
    copying = drawing(session, Draws(blots(N, 1), noise=0.05))
    found = neighbours.run(copying, *sets, n=N)
    for near in found.own.near:
        assert near.verdict.name == verdicts.COPIED
        assert near.verdict.three_sample.closer > 0.9
        assert near.verdict.preference.share > 0.9
    # And which image was copied: by the latent, as the stub takes it.
    which = ((session.latents(N)[:, 0].double() + 1) / 2 * N).long().numpy()
    np.testing.assert_array_equal(found.own.near[0].nearest[:, 0], which)


def test_fresh_draws_are_no_copies(session, sets):
    fresh = drawing(session, Draws(blots(5000, 3)))
    found = neighbours.run(fresh, *sets, n=N)
    assert [near.verdict.name for near in found.own.near] == [verdicts.FINE] * 2


def test_samples_that_are_no_such_images_are_further(session, sets):
    noisy = drawing(session, Draws(blots(5000, 3), noise=0.5))
    verdict = neighbours.run(noisy, *sets, n=N, spaces=["pixels"]).own.near[0].verdict
    assert verdict.name == verdicts.FURTHER
    assert verdict.three_sample.closer < 0.1
    assert verdict.three_sample.p_closer > 0.99


def test_blurred_samples_are_closer_to_training_images_and_yet_no_copies(session, sets):
    """What the three-sample test alone takes for copies."""
    pool = blots(5000, 3).astype(float)
    blurred = drawing(session, Draws((pool * 0.4 + 0.6 * pool.mean()).astype(np.uint8)))
    verdict = neighbours.run(blurred, *sets, n=N, spaces=["pixels"]).own.near[0].verdict
    assert verdict.three_sample.p_closer < 1e-6
    assert verdict.name == verdicts.PLAIN


def test_an_exact_copy_is_at_distance_zero(session, sets):
    exact = drawing(session, Draws(blots(N, 1)))
    near = neighbours.run(exact, *sets, n=N, spaces=["pixels"]).own.near[0]
    assert (near.distances[:, 0] == 0).all()


def test_the_nearest_are_those_of_scikit_learn(session, sets):
    near = neighbours.run(session, *sets, n=30, spaces=["pixels"]).own.near[0]
    training = blots(N, 1).transpose(0, 3, 1, 2).reshape(N, -1).astype(float)
    samples = dp.figures.pixels(session.sample(30)).transpose(0, 3, 1, 2).reshape(30, -1)
    tree = NearestNeighbors(n_neighbors=5).fit(training)
    distances, indices = tree.kneighbors(samples.astype(float))
    np.testing.assert_array_equal(near.nearest, indices)
    # In grey levels, root mean square.
    wanted = distances / np.sqrt(training.shape[1])
    np.testing.assert_allclose(near.distances, wanted, rtol=1e-5)


def test_each_layer_of_the_features_says_as_much(session, sets):
    source = sources.ImageSource(sets[0], 32, 3)
    images = source.read(range(N))
    vectors = spaces.of_discriminator(session, source).vectors(images)
    network = session.discriminator
    layout = features.layout(network, features.layers(network))
    parts = {name: vectors[:, at] for name, at in layout.slices().items()}
    apart = {n: torch.pdist(part).square().mean().item() for n, part in parts.items()}
    assert sum(apart.values()) == pytest.approx(1, rel=1e-3)
    for value in apart.values():
        assert value == pytest.approx(1 / len(apart), rel=1e-3)


def test_without_held_out_images_there_is_no_verdict(session, sets, tmp_path):
    found = neighbours.run(session, sets[0], n=10, spaces=["pixels"])
    assert "no held-out images, so no verdict" in str(found)
    assert all(near.verdict is None for near in found.own.near)
    found.save(tmp_path / "out")
    saved = json.loads((tmp_path / "out/result.json").read_text())
    assert saved["samples"]["pixels"]["median_distance"]["held_out"] is None


def test_a_split_takes_the_control_out_of_the_images(session, sets):
    found = neighbours.run(session, sets[0], split=True, n=40, spaces=["pixels"])
    training, control = (set(names) for names in found.names)
    assert (len(training), len(control)) == (60, 40)
    assert not training & control
    assert "honest only if G was not trained on them" in str(found)


def test_a_control_that_was_trained_on_is_told_first(session, sets, tmp_path):
    mixed = np.concatenate([blots(60, 2), blots(N, 1)[:40]])
    found = neighbours.run(session, sets[0], write(tmp_path / "mixed", mixed), n=N)
    first = str(found).splitlines()[0]
    assert first.startswith("40 OF 100 HELD-OUT IMAGES ARE AMONG THE TRAINING IMAGES")


def saved_checkpoint(path: Path, config: dp.Config, seed: int) -> Path:
    network = dp.networks.initialise(dp.Generator(config), seed=seed)
    z = dp.latents.sample(config, 64, seed=0)
    dp.networks.estimate_statistics(network, [z])
    dp.checkpoints.save(dp.Checkpoint(config, network, None), path)
    return path


def test_two_checkpoints_are_asked_the_same(session, config, sets, tmp_path):
    path = saved_checkpoint(tmp_path / "epoch1.safetensors", config, seed=5)
    found = neighbours.run(session, *sets, n=40, spaces=["pixels"], before=path)
    alone = neighbours.run(dp.Session.open(str(path), device="cpu"), *sets, n=40, spaces=["pixels"])
    np.testing.assert_array_equal(found.before.pixels, alone.own.pixels)
    mine, theirs = found.before.near[0], alone.own.near[0]
    np.testing.assert_array_equal(mine.distances, theirs.distances)
    assert mine.verdict == theirs.verdict
    assert found.own.near[0].verdict != mine.verdict
    found.save(tmp_path / "out")
    drawn = cv2.imread(str(tmp_path / "out/before_after.png"))[..., ::-1]
    order = np.argsort(found.own.near[0].distances[:, 0], kind="stable")
    assert found.pairs.rows == (*order[:3], *order[20:23])  # closest, and in the middle of the rest
    for of in (found.before, found.own):
        near = of.near[0]
        for row in found.pairs.rows[::5]:
            numbers = near.nearest[row, 0], near.nearest_held_out[row]
            real = [
                dp.figures.read_image(folder / names[number])
                for folder, names, number in zip(sets, found.names, numbers, strict=True)
            ]
            shown = [of.pixels[row], *real]
            column = np.concatenate([image.repeat(2, 0).repeat(2, 1) for image in shown])
            for image in np.split(column, 3):
                match = cv2.matchTemplate(drawn.copy(), image.copy(), cv2.TM_SQDIFF_NORMED)
                assert match.min() < 1e-6


def test_two_runs_write_the_same_bytes(session, sets, tmp_path):
    for name in ("a", "b"):
        neighbours.run(session, *sets, n=40, spaces=["pixels"]).save(tmp_path / name)
    names = {p.name for p in (tmp_path / "a").iterdir()}
    assert names == {"pixels.png", "pixels.csv", "result.json"}
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_picture_and_the_table_show_what_was_found(session, sets, tmp_path):
    found = neighbours.run(session, *sets, n=40, spaces=["pixels"])
    found.save(tmp_path / "out")
    near = found.own.near[0]
    drawn = np.ascontiguousarray(cv2.imread(str(tmp_path / "out/pixels.png"))[..., ::-1])
    closest = int(near.distances[:, 0].argmin())
    assert near.shown()[0] == ("closest", closest)
    for image in (found.own.pixels[closest], blots(N, 1)[near.nearest[closest, 4]]):
        large = np.ascontiguousarray(image.repeat(2, 0).repeat(2, 1))
        assert cv2.matchTemplate(drawn, large, cv2.TM_SQDIFF_NORMED).min() < 1e-6
    rows = list(csv.DictReader((tmp_path / "out/pixels.csv").read_text().splitlines()))
    assert len(rows) == 40
    assert rows[closest]["training_image"] == f"{near.nearest[closest, 0]:03d}.png"
    assert float(rows[closest]["distance"]) == pytest.approx(near.distances[closest, 0], rel=1e-5)


def test_the_command_prints_and_writes(session, sets, tmp_path):
    session.out = tmp_path / "out"
    line = ["--images", sets[0], "--held-out", sets[1], "--n", 40, "--in", "pixels"]
    done = CliRunner().invoke(
        neighbours.neighbours,
        [str(a) for a in line],
        obj=Opener(lambda: session),
        catch_exceptions=False,
    )
    assert done.output.startswith("40 samples against 100 images of train; held out: 40 of 100")
    assert "\n  three-sample test: C_T " in done.output
    assert (tmp_path / "out/neighbours/pixels.png").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"split": True}, "--split: found --held-out as well, expected one of the two"),
        ({"n": 19}, "held: found 19 held-out images, expected at least 20"),
        ({"spaces": ["pixel"]}, "unknown space 'pixel', expected one of: pixels, features"),
        ({"before": "nowhere"}, "unknown checkpoint 'nowhere'"),
    ],
)
def test_mistakes_are_told_in_a_line(session, sets, given, message):
    with pytest.raises(InputError, match=message):
        neighbours.run(session, *sets, **given)


def test_too_few_images_are_refused(session, tmp_path, sets):
    one = write(tmp_path / "one", blots(1, 1))
    with pytest.raises(InputError, match="one: found 1 training images, expected at least 2"):
        neighbours.run(session, one)
    few = write(tmp_path / "few", blots(30, 1))
    with pytest.raises(InputError, match="few: --split: found 15 held-out images, expected at le"):
        neighbours.run(session, few, split=True)
    with pytest.raises(InputError, match="few: found 19 held-out images, expected at least 20"):
        neighbours.run(session, sets[0], few, n=19)


def test_images_of_another_size_are_refused_unless_asked_for(session, sets, tmp_path):
    large = write(tmp_path / "large", blots(N, 1, size=48))
    for images in ((large, sets[1]), (sets[0], large)):
        with pytest.raises(InputError, match=r"\d\.png: found 48 x 48 pixels, expected 32 x 32"):
            neighbours.run(session, *images, n=40)
    found = neighbours.run(session, large, sets[1], n=40, resize=True)
    assert len(found.own.near) == 2


def test_features_that_are_not_finite_are_refused(session, sets):
    with torch.no_grad():
        session.discriminator[1].conv.weight.fill_(torch.nan)
    session = dp.Session(session.checkpoint, device="cpu")
    with pytest.raises(InputError, match="found NaN or infinite features, expected finite"):
        neighbours.run(session, *sets, n=40)


def test_a_checkpoint_of_another_latent_is_refused(session, config, sets, tmp_path):
    path = saved_checkpoint(tmp_path / "z9.safetensors", replace(config, z_size=9), seed=0)
    with pytest.raises(InputError, match="z9: z_size: found 9, expected 8 as in untrained"):
        neighbours.run(session, *sets, before=path)
    normal = replace(config, z_distribution="normal")
    path = saved_checkpoint(tmp_path / "normal.safetensors", normal, seed=0)
    with pytest.raises(InputError, match="normal: z_distribution: found normal, expected uniform"):
        neighbours.run(session, *sets, before=path)


def test_a_checkpoint_without_discriminator_is_compared_by_pixels(session, sets):
    checkpoint = replace(session.checkpoint, discriminator=None)
    alone = dp.Session(checkpoint, device="cpu")
    found = neighbours.run(alone, *sets, n=40)
    assert [near.space for near in found.own.near] == ["pixels"]


@pytest.mark.slow
@pytest.mark.parametrize(("images", "copied"), [(32, True), (4000, False)])
def test_a_dcgan_is_told_that_was_trained_long_on_few_images(images, copied, tmp_path):
    config = dp.Config(size=16, g_width=16, d_width=16, z_size=8, z_distribution="normal")
    pixels = blots(images, 1, size=16)
    recipe = Recipe(batch=32, rate=1e-3, ema=0.99)
    trainer = Trainer(config, recipe, torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()))
    for _ in range(1500):
        trainer.step()
    dp.checkpoints.save(trainer.checkpoint(), tmp_path / "trained.safetensors")
    session = dp.Session.open(str(tmp_path / "trained.safetensors"), device="cpu")
    training = write(tmp_path / "train", pixels)
    held_out = write(tmp_path / "held", blots(300, 2, size=16))
    found = neighbours.run(session, training, held_out, n=300, spaces=["pixels"])
    verdict = found.own.near[0].verdict
    assert (verdict.name == verdicts.COPIED) == copied, verdict.numbers()
    if copied:
        assert verdict.preference.share > 3 * verdict.preference.expected


# The tests themselves, on distances.


@pytest.mark.parametrize("ties", [False, True])
def test_one_cell_is_the_test_of_scipy(ties):
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, 120), rng.normal(0.2, 1, 90)
    if ties:
        a, b = a.round(), b.round()
    cell = np.zeros(120, int), np.zeros(90, int)
    found = verdicts.three_sample(a, b, *cell)
    for alternative, p in (("less", found.p_closer), ("greater", found.p_further)):
        wanted = mannwhitneyu(
            a, b, use_continuity=False, alternative=alternative, method="asymptotic"
        )
        assert p == pytest.approx(wanted.pvalue, rel=1e-9)
    assert found.closer == pytest.approx(1 - mannwhitneyu(a, b).statistic / (120 * 90))
    assert found.closer == pytest.approx(roc_auc_score(np.repeat([0, 1], [120, 90]), [*a, *b]))


def test_cells_are_weighted_by_held_out_images():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, 200), rng.normal(0, 1, 300)
    of_a, of_b = rng.integers(0, 3, 200), rng.integers(0, 3, 300)
    of_b[:30] = 3  # no sample is in this cell
    of_a[:30], of_b[30:49] = 4, 4  # too few held-out images to count
    found = verdicts.three_sample(a, b, of_a, of_b)
    scores, sizes = [], []
    for cell in range(3):
        m, n = (of_a == cell).sum(), (of_b == cell).sum()
        u = mannwhitneyu(a[of_a == cell], b[of_b == cell]).statistic
        scores.append((u - m * n / 2) / np.sqrt(m * n * (m + n + 1) / 12))
        sizes.append(n)
    assert found.cells == 3
    assert found.held_out_share == pytest.approx(sum(sizes) / 300)
    assert found.c_t == pytest.approx(np.average(scores, weights=sizes))


def three_sets(seed: int, n: int = 80, copied: float = 0.0) -> tuple[np.ndarray, ...]:
    """Distances as `neighbours` has them, of points; a share of the samples are near copies."""
    rng = np.random.default_rng(seed)
    training, held_out, samples = (rng.normal(size=(m, 4)) for m in (300, n, n))
    many = round(copied * n)
    samples[:many] = training[:many] + 0.05 * rng.normal(size=(many, 4))
    tree = cKDTree(training)
    (d, i), (e, j) = tree.query(samples), cKDTree(held_out).query(samples)
    return d, i, e, j, tree.query(held_out)[0], samples[:, 0] > 0, held_out[:, 0] > 0


def verdict(d, i, e, j, h, sample_cells, held_out_cells) -> verdicts.Verdict:
    return verdicts.Verdict(
        verdicts.three_sample(d, h, sample_cells, held_out_cells),
        verdicts.preference(d, i, e, j, 300, len(h)),
    )


def test_false_alarms_are_as_rare_as_the_level_says(monkeypatch):
    monkeypatch.setattr(verdicts, "DRAWS", 199)
    found = [verdict(*three_sets(seed)) for seed in range(300)]
    for name, p in (
        ("closer", [v.three_sample.p_closer for v in found]),
        ("further", [v.three_sample.p_further for v in found]),
        ("prefers", [v.preference.p for v in found]),
    ):
        for level in (0.05, 0.2):
            alarms = int((np.array(p) <= level).sum())
            assert binomtest(alarms, 300, level).pvalue > 0.001, (name, level, alarms)
    assert sum(v.name == verdicts.COPIED for v in found) <= 4


def test_the_interval_covers(monkeypatch):
    monkeypatch.setattr(verdicts, "LEAST", 10)
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        a, b = rng.normal(0, 1, 60), rng.normal(1, 1, 60)
        cells = np.repeat([0, 1], 30)
        low, high = verdicts.three_sample(a, b, cells, cells).interval
        inside += low < 0.7602499 < high  # Phi(1 / sqrt 2)
    assert binomtest(inside, 400, 0.95).pvalue > 0.001


@pytest.mark.parametrize("copied", [0.5, 1.0])
def test_copies_of_a_part_are_told(copied):
    assert verdict(*three_sets(0, 300, copied)).name == verdicts.COPIED


def test_a_preference_is_one_of_all_ways_to_choose_the_training_images():
    """Against counting them: of 6 images 4 were trained on, 10 samples are nearest to three."""
    nearest = np.array([0] * 6 + [1] * 3)
    zeros, ones = np.zeros(10), np.ones(10)
    to_training, to_held_out = np.r_[zeros[:9], 1], np.r_[ones[:9], 0]
    found = verdicts.preference(
        to_training, np.r_[nearest, 0], to_held_out, np.zeros(10, int), 4, 2
    )
    takes = [6, 3, 0, 0, 1, 0]  # the last two were held out
    sums = [sum(takes[i] for i in chosen) for chosen in combinations(range(6), 4)]
    wanted = np.mean([s >= 9 for s in sums])
    assert found.share == 0.9
    assert found.expected == pytest.approx(4 / 6)
    assert found.p == pytest.approx(wanted, abs=4 * np.sqrt(wanted * (1 - wanted) / 9999))


def test_images_that_are_in_both_sets_say_nothing():
    zeros, rows = np.zeros(30), np.arange(30)
    found = verdicts.preference(zeros, rows, zeros, rows, 100, 100)
    assert (found.share, found.p) == (0.5, 1.0)
