"""evaluate says of samples what the metrics say of them, and the floor beside it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import dcgan_probe as dp
from dcgan_probe import metrics
from dcgan_probe.errors import InputError
from dcgan_probe.images.sources import to_range
from dcgan_probe.plugins.contract import Opener
from dcgan_probe.probes import evaluate
from dcgan_probe.probes.evaluate import sets
from dcgan_probe.probes.evaluate.comparison import ScaleComparison, Spread
from dcgan_probe.probes.evaluate.figures import chart_comparisons
from dcgan_probe.recognition import inception
from dcgan_probe.storage import files


def write(folder: Path, pixels: np.ndarray) -> Path:
    folder.mkdir()
    for i, image in enumerate(pixels):
        dp.figures.write_image(folder / f"{i:03d}.png", image)
    return folder


def save(network: nn.Module, path: Path) -> Path:
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(network, (torch.zeros(2, 3, 32, 32),), dynamic_shapes=(batch,))
    torch.export.save(program, path)
    return path


@pytest.fixture(autouse=True)
def few_pairs(monkeypatch) -> None:
    monkeypatch.setattr(sets, "PAIRS", 20)


@pytest.fixture
def held_out(tmp_path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3), np.uint8)
    return write(tmp_path / "held", np.stack([cv2.GaussianBlur(i, (0, 0), 2) for i in noise]))


@pytest.fixture(scope="module")
def extractor(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.AvgPool2d(15), nn.Flatten())
    return save(network.eval(), tmp_path_factory.mktemp("extractor") / "small.pt2")


def test_the_numbers_are_those_of_the_metrics_on_each_split(session, held_out, extractor):
    found = evaluate.run(session, held_out, n=20, features=extractor)
    assert (found.count, found.images) == (10, "20 of 24 images of held")
    drawn = np.sort(np.random.default_rng(session.seed).permutation(24)[:20])
    files = [sorted(held_out.iterdir())[i] for i in drawn]
    pixels = np.stack([cv2.imread(str(p))[..., ::-1].transpose(2, 0, 1) for p in files])
    held = to_range(torch.from_numpy(pixels))
    network = torch.export.load(extractor).module()
    rng = np.random.default_rng(0)
    for split in range(4):
        order, seed = rng.permutation(20), int(rng.integers(2**32))
        one, other = held[order[:10]], held[order[10:]]
        drawn = dp.figures.pixels(session.generate(session.latents(10, start=10 * split)))
        samples = to_range(torch.from_numpy(drawn).permute(0, 3, 1, 2))
        for which, images in (("samples", samples), ("held_out", other)):
            wanted = metrics.sliced_wasserstein(images, one, seed, projections=128)
            for scale, value in wanted.items():
                got = getattr(found.wasserstein[scale], which).values[split]
                assert got == pytest.approx(value, rel=1e-5)
            alike = getattr(found.similarity, which).values[split]
            assert alike == pytest.approx(metrics.diversity(images, 20, seed), rel=1e-5)
            seen = network(images).detach(), network(one).detach()
            between = metrics.frechet_distance(*seen).distance
            got = getattr(found.frechet.distance, which).values[split]
            assert got == pytest.approx(between, rel=1e-3, abs=1e-9)
            got = getattr(found.frechet.kernel, which).values[split]
            assert got == pytest.approx(metrics.kernel_distance(*seen), rel=1e-3, abs=1e-6)
            for name, expected in zip(
                ("precision", "recall"), metrics.precision_recall(*seen), strict=True
            ):
                assert getattr(getattr(found.frechet, name), which).values[split] == expected


def test_images_of_the_same_generator_are_no_further_than_the_floor(session, tmp_path):
    others = dp.figures.pixels(session.sample(120, seed=99))
    found = evaluate.run(session, write(tmp_path / "same", others))
    for of in found.wasserstein.values():
        assert of.samples.mean == pytest.approx(of.held_out.mean, rel=0.25)


def test_edits_in_force_are_in_the_samples(session, held_out):
    plain = evaluate.run(session, held_out)
    with session.editing(dp.Selection("8x8", (0, 1, 2), "ab" * 32)):
        edited = evaluate.run(session, held_out)
    for of, same in (("samples", False), ("held_out", True)):
        assert (
            getattr(plain.wasserstein["mean"], of) == getattr(edited.wasserstein["mean"], of)
        ) == same
    assert "filters of 8x8 dropped" in edited.caption


def test_two_runs_write_the_same_bytes(session, held_out, extractor, tmp_path):
    for name in ("a", "b"):
        evaluate.run(session, held_out, features=extractor).save(tmp_path / name)
    for name in ("evaluate.png", "result.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    saved = json.loads((tmp_path / "a/result.json").read_text())
    assert saved["images_on_each_side"] == 12
    assert saved["frechet"]["sha256"] == files.sha256(extractor)
    assert saved["made_with"]["options"]["features"]["name"] == "small.pt2"
    assert len(saved["sliced_wasserstein_x1000"]["32"]["held_out"]) == 4


def test_the_picture_shows_the_samples_and_the_images(session, held_out, tmp_path):
    found = evaluate.run(session, held_out)
    found.save(tmp_path / "out")
    drawn = cv2.imread(str(tmp_path / "out/evaluate.png"))[..., ::-1]
    for image in (found.samples[0], found.held_out[0]):
        large = np.ascontiguousarray(image.repeat(4, 0).repeat(4, 1))
        match = cv2.matchTemplate(np.ascontiguousarray(drawn), large, cv2.TM_SQDIFF_NORMED)
        assert match.min() < 1e-6


def test_samples_and_floor_are_said_with_equal_decimals(session, held_out):
    found = evaluate.run(session, held_out)
    scales = {
        "16": ScaleComparison(samples=Spread((22.0, 22.2)), held_out=Spread((8.617,))),
        "mean": ScaleComparison(samples=Spread((9.999,)), held_out=Spread((0.0997,))),
    }
    alike = ScaleComparison(samples=Spread((0.111,)), held_out=Spread((0.0997,)))
    said = str(dataclasses.replace(found, wasserstein=scales, similarity=alike))
    assert "16x16: 22.1 (22.0 to 22.2), floor 8.6 (8.6 to 8.6)" in said
    assert "mean: 10.0 (10.0 to 10.0), floor 0.1 (0.1 to 0.1)" in said
    assert "samples 0.111 (0.111 to 0.111), held-out images 0.100 (0.100 to 0.100)" in said
    panels = [("distance", scales), ("similarity", {"": alike})]
    chart = chart_comparisons(panels, 400, 300)
    assert [text.get_text() for text in chart.axes[0].texts] == ["22.1", "10.0", "8.6", "0.1"]
    assert [text.get_text() for text in chart.axes[1].texts] == ["0.111", "0.100"]


def test_too_few_images_for_the_features_are_told_first(session, held_out, tmp_path):
    wide = save(nn.Sequential(nn.AvgPool2d(8), nn.Flatten()).eval(), tmp_path / "wide.pt2")
    found = evaluate.run(session, held_out, features=wide)
    first = str(found).splitlines()[0]
    assert first.startswith("DO NOT BELIEVE THE FRÉCHET DISTANCE: 12 images for 48 features")


def test_the_command_prints_and_writes(session, held_out, extractor, tmp_path):
    session.out = tmp_path / "out"
    arguments = ["--images", held_out, "--n", 8, "--features", extractor]
    done = CliRunner().invoke(
        evaluate.evaluate,
        [str(a) for a in arguments],
        obj=Opener(lambda: session),
        catch_exceptions=False,
    )
    assert "4 samples against 4 held-out images" in done.output
    assert f"features of small.pt2 ({files.sha256(extractor)[:8]}), 4 images on" in done.output
    assert (tmp_path / "out/evaluate/evaluate.png").exists()


def test_too_few_images_are_refused(session, held_out):
    with pytest.raises(InputError, match=r"held: found 3 images to use, expected at least 4"):
        evaluate.run(session, held_out, n=3)


def test_features_that_change_from_call_to_call_are_refused(session, held_out, tmp_path):
    network = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Dropout()).train()
    path = save(network, tmp_path / "drops.pt2")
    with pytest.raises(InputError, match=r"drops\.pt2: found other features when .* in eval mode"):
        evaluate.run(session, held_out, features=path)


class Puts(nn.Module):
    def __init__(self, what: str):
        super().__init__()
        self.what = what

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.what == "maps":
            return x * 2
        if self.what == "one":
            return x.mean().reshape(1, 1)
        return (x.flatten(1)[:, :4] - 2).log()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("maps", r"found an output of 24 x 3 x 32 x 32 for 24 images, expected 24 x D"),
        ("one", r"found an output of 1 x 1 for 24 images, expected 24 x D"),
        ("nan", "found NaN or infinity in features"),
    ],
)
def test_what_is_no_set_of_features_is_refused(session, held_out, tmp_path, what, message):
    path = save(Puts(what), tmp_path / "puts.pt2")
    with pytest.raises(InputError, match=f"puts.pt2: {message}"):
        evaluate.run(session, held_out, features=path)


def test_weights_of_inception_make_it_fid_and_say_how_few_images_there_are(
    session, held_out, tmp_path, monkeypatch
):
    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(12, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.avg_pool2d(x, 16).flatten(1)

    path = tmp_path / "weights.pth"
    torch.save(Small().state_dict(), path)
    with pytest.raises(InputError, match=r"weights\.pth: found SHA-256 .*, expected 6726825d"):
        evaluate.run(session, held_out, features=path)
    monkeypatch.setattr(inception, "SHA256", files.sha256(path)[:8])
    with pytest.raises(InputError, match="found no weights of FID's Inception network"):
        evaluate.run(session, held_out, features=path)
    monkeypatch.setattr(inception, "Inception", Small)
    found = evaluate.run(session, held_out, features=path)
    said = str(found)
    assert "12 IMAGES ON EACH SIDE: FID, precision and recall are published for 10,000" in said
    assert "\n  FID: " in said and "\n  KID: " in said
    assert found.values()["doubts"] == said.splitlines()[:2]  # as many features as images
    assert found.values()["frechet"]["inception_of_fid"] is True


def test_inception_resizes_as_tensorflow_1_did_and_has_the_published_weights_names():
    images = torch.rand(1, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    found = inception.resize(images, 19)
    for y, x in ((0, 0), (3, 11), (18, 18), (9, 17)):
        down, right = y * 7 / 19, x * 7 / 19
        top, left = int(down), int(right)
        below, beside = min(top + 1, 6), min(left + 1, 6)
        a, b = down - top, right - left
        expected = (
            (1 - a) * (1 - b) * images[0, :, top, left]
            + (1 - a) * b * images[0, :, top, beside]
            + a * (1 - b) * images[0, :, below, left]
            + a * b * images[0, :, below, beside]
        )
        torch.testing.assert_close(found[0, :, y, x], expected)
    with torch.device("meta"):
        network = inception.Inception()
        assert network.eval()(torch.zeros(2, 3, 299, 299)).shape == (2, 2048)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    # Of torchvision's inception_v3, of which the published file has these names.
    assert shapes["Mixed_6e.branch7x7dbl_5.conv.weight"] == (192, 192, 1, 7)
    assert shapes["Mixed_7c.branch3x3dbl_3b.conv.weight"] == (384, 384, 3, 1)
    assert shapes["Mixed_7a.branch7x7x3_4.bn.running_var"] == (192,)
    # As many as torchvision's without its auxiliary classifier, and 8 classes more.
    assert sum(part.numel() for part in network.parameters()) == 23_834_568 + 8 * 2049


def test_an_extractor_that_is_none_is_refused(session, held_out):
    with pytest.raises(InputError, match=r"000\.png: found a file of another kind, expected a fil"):
        evaluate.run(session, held_out, features=held_out / "000.png")
