"""Near-duplicates are found by the paper's codes, and what cannot be believed is said."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.spatial
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from dcgan_probe.dedup import autoencoder, duplicates, hashing
from dcgan_probe.dedup.autoencoder import Autoencoder, Settings
from dcgan_probe.errors import InputError
from dcgan_probe.training import dataset

QUICK = Settings(noise=0.5, steps=20, batch=32)


def pictures(n: int, seed: int = 0) -> np.ndarray:
    """Smooth coloured patterns, all different: n x 3 x 32 x 32 uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n, 6, 6, 3), np.uint8)
    sized = [cv2.resize(c, (32, 32), interpolation=cv2.INTER_CUBIC) for c in coarse]
    return np.stack(sized).transpose(0, 3, 1, 2).copy()


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """120 pictures, of which 100 repeats 7, and 110 and 111 repeat 50."""
    images = pictures(120)
    images[100] = images[7]
    images[110] = images[111] = images[50]
    return images


@pytest.fixture(scope="module")
def archive(pixels: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "set.zip"
    with zipfile.ZipFile(path, "w") as file:
        for i, image in enumerate(pixels):
            done, data = cv2.imencode(".png", image.transpose(1, 2, 0)[..., ::-1])
            file.writestr(f"{i:03d}.png", data.tobytes())
    return path


def find_in(archive: Path, tmp_path: Path, force: bool = False, **settings: int) -> Path:
    to = tmp_path / "keep.txt"
    chosen = Settings(noise=0.5, steps=20, batch=32, **settings)
    cache = tmp_path / "cache"
    duplicates.run(tmp_path / "dedup", "cpu", force, archive, to, chosen, cache_folder=cache)
    return to


@given(
    arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.just(16)), elements=st.just(7)),
    st.lists(st.tuples(st.integers(0, 39), st.sampled_from([0, 7, 8, 15]), st.integers(0, 2))),
)
def test_groups_are_those_of_a_dictionary(codes, changes):
    for row, place, value in changes:
        codes[row % len(codes), place] = value
    expected: dict[bytes, list[int]] = {}
    for i, code in enumerate(codes):
        expected.setdefault(code.tobytes(), []).append(i)
    found = [group.tolist() for group in hashing.groups(codes)]
    assert found == [group for group in expected.values() if len(group) > 1]


@pytest.mark.parametrize("within", [1, 3, 8])
def test_codes_within_some_bits_are_those_of_comparing_all(within):
    """Each image, in order, is dropped if one kept before it is near; compared with scipy."""
    rng = np.random.default_rng(within)
    bits = (rng.random((12, 128)) < 0.3)[rng.integers(0, 12, 300)]
    bits ^= rng.random((300, 128)) < 0.02
    bits[200:220] = bits[0]
    apart = scipy.spatial.distance.cdist(bits, bits, "hamming") * 128
    expected: dict[int, list[int]] = {}
    for i in range(300):
        near = [kept for kept in expected if apart[kept, i] <= within + 0.5]
        expected.setdefault(near[0] if near else i, []).append(i)
    found = [group.tolist() for group in hashing.groups(np.packbits(bits, axis=1), within)]
    assert found == [group for group in expected.values() if len(group) > 1]


def test_contrasts_are_standard_scores_whatever_the_brightness_and_contrast():
    images = pictures(5) // 2
    scores = autoencoder.contrasts(images).numpy()
    flat = images.reshape(5, -1).astype(np.float64)
    factor = flat.std(1) / (flat.std(1) + 2.55)  # what a hundredth of 255 takes from the deviation
    expected = scipy.stats.zscore(flat, axis=1) * factor[:, None]
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    np.testing.assert_allclose(autoencoder.contrasts(images + 60).numpy(), scores, atol=1e-4)
    np.testing.assert_allclose(autoencoder.contrasts(images * 2).numpy(), scores, atol=0.15)
    assert autoencoder.contrasts(np.full((1, 3, 32, 32), 200, np.uint8)).abs().max() < 1e-4


def test_a_code_is_the_units_above_zero_written_out(pixels, monkeypatch):
    model = Autoencoder(seed=4)
    weight, bias = (p.detach().numpy() for p in model.encoder.parameters())
    units = autoencoder.contrasts(pixels).numpy() @ weight.T + bias
    assert np.abs(units).min() > 1e-7
    expected = np.packbits(units > 0, axis=1)
    assert (autoencoder.codes(model, pixels) == expected).all()
    monkeypatch.setattr(autoencoder, "BATCH", 7)
    assert (autoencoder.codes(model, pixels) == expected).all()
    assert model(torch.zeros(2, 3072)).shape == (2, 3072)
    assert sum(p.numel() for p in model.parameters()) == 2 * 3072 * 128 + 128 + 3072


def test_a_step_of_training_is_adam_on_the_clean_image_written_out(pixels):
    """The first step of Adam is the rate against the sign of the gradient, but for the tiniest."""
    settings = Settings(noise=0.7, dropout=0.25, steps=1, batch=16, rate=1e-3, seed=3)
    trained, model = autoencoder.fit(pixels, settings), Autoencoder(seed=3)
    draws = torch.Generator().manual_seed(4)
    rows = torch.randint(len(pixels), (16,), generator=draws)
    noise = torch.randn(16, 3072, generator=draws)
    on = torch.rand(16, 128, generator=draws) < 0.75
    clean = autoencoder.contrasts(pixels[rows])
    code = (model.encoder(clean + 0.7 * noise)).clamp(min=0) * on / 0.75
    ((model.decoder(code) - clean) ** 2).mean().backward()
    for after, before in zip(trained.parameters(), model.parameters(), strict=True):
        step = before.grad / (before.grad.abs() + 1e-8)
        torch.testing.assert_close(after, before - 1e-3 * step, atol=2e-5, rtol=0)


def test_training_learns_to_take_noise_away(pixels):
    clean = autoencoder.contrasts(pictures(200, seed=1))
    noisy = clean + torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))

    def error(model: Autoencoder) -> float:
        with torch.no_grad():
            return float((model(noisy) - clean).square().mean())

    many = pictures(2000, seed=2)
    before = error(Autoencoder())
    after = error(autoencoder.fit(many, Settings(noise=1.0, dropout=0.1, steps=60, batch=64)))
    variance = float((clean - autoencoder.contrasts(many).mean(0)).square().mean())
    assert after < variance < before


def test_training_is_repeatable_and_of_its_seed(pixels):
    a, b, c = (autoencoder.fit(pixels, Settings(steps=2, seed=s)) for s in (3, 3, 4))
    assert torch.equal(a.encoder.weight, b.encoder.weight)
    assert not torch.equal(a.encoder.weight, c.encoder.weight)


def test_training_leaves_the_random_numbers_of_torch_alone(pixels):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    autoencoder.fit(pixels, Settings(steps=1))
    assert torch.equal(torch.rand(1), expected)


def test_likeness_is_the_least_correlation_with_the_first(pixels, monkeypatch):
    monkeypatch.setattr(autoencoder, "BATCH", 2)
    found = autoencoder.likeness(pixels, [np.array([7, 100]), np.array([0, 1, 2, 3])])
    flat = pixels.reshape(len(pixels), -1).astype(np.float64)
    least = min(np.corrcoef(flat[0], flat[i])[0, 1] for i in (1, 2, 3))
    np.testing.assert_allclose(found, [1, least], atol=1e-5)
    assert autoencoder.likeness(pixels, []).shape == (0,)


def test_chance_likeness_is_exceeded_by_one_pair_in_a_hundred():
    images = pictures(150)
    table = np.corrcoef(images.reshape(150, -1).astype(np.float64))
    share = (table[np.triu_indices(150, 1)] > autoencoder.chance_likeness(images)).mean()
    assert share == pytest.approx(0.01, abs=0.004)


def test_usage_counts_dead_units_and_entropy_as_scipy_does():
    rng = np.random.default_rng(0)
    bits = rng.random((5000, 128)) < np.linspace(0.1, 0.9, 128)
    bits[:, :3], bits[:, 3:5] = False, True
    used = hashing.usage(np.packbits(bits, axis=1))
    share = bits.mean(0)
    expected = scipy.stats.entropy(np.stack([share, 1 - share]), base=2).sum()
    assert (used.never, used.always) == (3, 2)
    assert used.entropy == pytest.approx(expected)


def test_dead_codes_are_said_in_words():
    """All units off puts all images in one group; nothing of it may pass in silence."""
    images = pictures(300)
    model = Autoencoder()
    torch.nn.init.constant_(model.encoder.bias, -1e6)
    codes = autoencoder.codes(model, images)
    groups = hashing.groups(codes)
    alike, chance = autoencoder.likeness(images, groups), autoencoder.chance_likeness(images)
    said = autoencoder.warnings(300, groups, alike, chance, hashing.usage(codes))
    assert [len(g) for g in groups] == [300]
    words = ("TOO POOR: at most 0 bits", "ONE GROUP HOLDS 300", "MANY ARE DROPPED: 299", "RANDOM")
    assert len(said) == len(words)
    assert all(word in line for word, line in zip(words, said, strict=True))


def test_repeated_images_are_found_and_the_first_is_kept(pixels):
    found = duplicates.find(pixels, QUICK)
    together = {i: number for number, group in enumerate(found.groups) for i in group.tolist()}
    assert together[7] == together[100]
    assert together[50] == together[110] == together[111]
    assert {100, 110, 111} <= set(found.dropped.tolist())
    assert not {7, 50} & set(found.dropped.tolist())


def test_the_command_writes_a_list_that_train_reads_and_what_it_left_out(archive, tmp_path):
    kept = dataset.read_names(find_in(archive, tmp_path))
    found = json.loads((tmp_path / "dedup" / "dedup.json").read_text())
    assert kept == sorted(kept)
    edited = tmp_path / "edited.txt"  # as Windows' editor saves it
    edited.write_bytes("\ufeff".encode() + "\r\n".join(kept).encode())
    assert dataset.read_names(edited) == kept
    dropped = [name for group in found["groups"] for name in group["dropped"]]
    assert sorted([*kept, *dropped]) == [f"{i:03d}.png" for i in range(120)]
    assert (found["images"], found["kept"], found["dropped"]) == (120, len(kept), len(dropped))
    assert {"100.png", "110.png", "111.png"} <= set(dropped)
    assert all(group["kept"] < min(group["dropped"]) for group in found["groups"])
    with Image.open(tmp_path / "dedup" / "duplicates.png") as picture:
        assert picture.height > 2 * 66


def test_the_same_line_writes_the_same_bytes_and_only_with_force(archive, tmp_path):
    find_in(archive, tmp_path, seed=3)
    written = [tmp_path / "keep.txt", *sorted((tmp_path / "dedup").iterdir())]
    before = [path.read_bytes() for path in written]
    with pytest.raises(InputError, match="already holds results"):
        find_in(archive, tmp_path, seed=3)
    find_in(archive, tmp_path, force=True, seed=3)
    assert [path.read_bytes() for path in written] == before
    (tmp_path / "dedup").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"keep\.txt: already exists, expected a new file"):
        find_in(archive, tmp_path, seed=3)


def test_an_interruption_says_what_was_lost_and_writes_nothing(archive, tmp_path, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(autoencoder, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt, match="interrupted: nothing was written"):
        find_in(archive, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_no_duplicates_is_a_result_too(tmp_path, archive, monkeypatch):
    every = np.arange(120 * 16, dtype=np.uint64).view(np.uint8).reshape(-1, 16)[:120]
    monkeypatch.setattr(autoencoder, "codes", lambda *_: every)
    folder, to = tmp_path / "dedup", tmp_path / "keep.txt"
    settings = Settings(noise=0.5, steps=20, batch=32)
    found = duplicates.run(
        folder, "cpu", False, archive, to, settings, cache_folder=tmp_path / "cache"
    )
    assert str(found).startswith("0 groups")
    assert len(dataset.read_names(to)) == 120
    assert [path.name for path in (tmp_path / "dedup").iterdir()] == ["dedup.json"]


def test_grey_images_and_one_that_does_not_decode(tmp_path):
    (tmp_path / "set").mkdir()
    for i, image in enumerate(pictures(4)):
        Image.fromarray(image[0]).save(tmp_path / "set" / f"{i}.png")
    (tmp_path / "set" / "4.png").write_bytes(b"no image")
    kept = dataset.read_names(find_in(tmp_path / "set", tmp_path))
    found = json.loads((tmp_path / "dedup" / "dedup.json").read_text())
    assert "4.png" not in kept
    assert found["images"] == 4
    assert [name for name, reason in found["made_with"]["data"]["skipped"]] == ["4.png"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "found no"),
        (["a.png"], "found one image, expected at least two"),
        (["a.png", "b\nc.png"], r"found the name 'b\\nc\.png', expected one line"),
    ],
)
def test_data_that_cannot_be_compared_is_refused_in_a_line(tmp_path, names, message):
    (tmp_path / "set").mkdir()
    for name in names:
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "set" / name)
    with pytest.raises(InputError, match=message) as error:
        find_in(tmp_path / "set", tmp_path)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "keep.txt").exists()


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((3, 3, 32, 32), np.float32), r"found float32 \(3, 3, 32, 32\), expected uint8"),
        (np.zeros((3, 1, 32, 32), np.uint8), r"found uint8 \(3, 1, 32, 32\), expected uint8"),
        (np.zeros((1, 3, 32, 32), np.uint8), "found 1, expected at least 2"),
    ],
)
def test_pixels_that_do_not_fit_are_refused(pixels, message):
    with pytest.raises(InputError, match=message):
        autoencoder.fit(pixels)


def test_killed_between_its_two_files_the_same_line_goes_on(archive, tmp_path):
    settings = autoencoder.Settings(steps=2)
    out, to = tmp_path / "dedup", tmp_path / "keep.txt"
    duplicates.run(out, "cpu", False, archive, to, settings, cache_folder=tmp_path / "c")
    first = (out / "dedup.json").read_bytes(), to.read_bytes()
    to.unlink()
    other = autoencoder.Settings(steps=3)
    with pytest.raises(InputError, match="already holds results"):
        duplicates.run(out, "cpu", False, archive, to, other, cache_folder=tmp_path / "c")
    duplicates.run(out, "cpu", False, archive, to, settings, cache_folder=tmp_path / "c")
    assert ((out / "dedup.json").read_bytes(), to.read_bytes()) == first


def test_force_replaces_no_list_that_dedup_did_not_write(archive, tmp_path):
    to = tmp_path / "notes.txt"
    to.write_text("mine")
    settings = autoencoder.Settings(steps=2)
    with pytest.raises(InputError, match="it is left unchanged, expected another name"):
        duplicates.run(tmp_path / "dedup", "cpu", True, archive, to, settings)
    assert to.read_text() == "mine"
