"""visualize-d shows the responses that are there, and the gradients that caused them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

import dcgan_probe as dp
from dcgan_probe.errors import InputError
from dcgan_probe.probes import visualize_d
from dcgan_probe.probes.visualize_d.figures import HATCH, SIDE, draw_responses


def test_every_response_is_what_the_network_says_of_its_image(session):
    found = visualize_d.run(session, n=20, layer="8x8", filters=[0, 3], k=3)
    images = session.sample(20)
    with torch.no_grad():
        maps = session.discriminator[1](session.discriminator[0](images))
    of = found.trained
    for i, f in enumerate([0, 3]):
        for j in range(3):
            at = maps[of.images[i, j], f, of.rows[i, j], of.columns[i, j]]
            torch.testing.assert_close(of.values[i, j], at)
            shown = dp.figures.pixels(images[of.images[i, j]][None])[0]
            assert np.array_equal(of.photographs[i, j], shown)
        assert of.values[i, 0] == maps[:, f].max()


def test_the_signal_lies_in_the_receptive_field(session):
    of = visualize_d.run(session, n=12, layer="16x16", filters=range(4), k=2).trained
    for i, j in np.ndindex(4, 2):
        x0, y0, x1, y1 = of.fields[i, j].tolist()
        outside = of.guided[i, j].clone()
        outside[:, y0:y1, x0:x1] = 0
        assert outside.abs().max() == 0
        assert of.guided[i, j].abs().max() > 0


def test_images_come_from_a_folder_too(session, tmp_path):
    rng = np.random.default_rng(0)
    for i in range(6):
        dp.figures.write_image(tmp_path / f"{i}.png", rng.integers(0, 256, (40, 50, 3), np.uint8))
    found = visualize_d.run(session, images=tmp_path, n=5, filters=np.int64(0), k=2)
    assert found.images == f"5 of 6 images of {tmp_path.name}"
    assert found.trained.images.max() <= 4


def test_all_filters_go_onto_numbered_pages(session, tmp_path):
    found = visualize_d.run(session, n=6, filters="all", k=1)
    count = session.discriminator[2].conv.out_channels
    assert found.filters == tuple(range(count))
    assert count == 16
    visualize_d.run(session, n=6, layer="4x4", filters=[*range(16), 0], k=1).save(tmp_path / "out")
    pages = sorted(p.name for p in (tmp_path / "out").glob("*.png"))
    assert pages == [f"filters_{i:02d}.png" for i in (1, 2, 3)]
    assert cv2.imread(str(tmp_path / "out" / pages[0])) is not None


@pytest.mark.parametrize("x", [0, 12, 20])  # at the left edge, in the middle, at the right
def test_both_tiles_show_the_receptive_field_and_nothing_else(x):
    """Of 12 x 8 fields, one is whole; the other lacks 4 columns if an edge of the image cuts it."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 100, (1, 2, 32, 32, 3), np.uint8)
    guided = torch.from_numpy(rng.normal(size=(1, 2, 3, 32, 32)))
    wide = 12 if x == 12 else 8
    right = 32 if x == 20 else x + wide
    fields = torch.tensor([[[10, 4, 22, 12], [right - wide, 4, right, 12]]])
    drawn = draw_responses(images, guided, fields)[0]
    zoom = round(SIDE / 12)
    second = drawn[: 16 * zoom : zoom, 12 * zoom + dp.figures.panels.GAP :: zoom]
    assert second.shape == (16, 12, 3)
    signals = dp.figures.signed(guided[0])
    left = 4 if x == 0 else 0  # where the tile holds what is beside the image
    for tile, of in ((second[:8], images[0, 1]), (second[8:], signals[1])):
        field = of[4:12, right - wide : right]
        np.testing.assert_array_equal(tile[:, left : left + wide], field)
        rest = np.delete(tile, range(left, left + wide), axis=1)
        assert set(np.unique(rest)) <= {HATCH, 255}
        assert rest.shape[1] == 12 - wide and (not rest.size or (rest == HATCH).any())


def test_many_responses_go_onto_lines_of_a_few(session):
    of = visualize_d.run(session, n=12, layer="16x16", filters=[0], k=7).trained
    one, seven = (
        draw_responses(of.photographs[:, :n], of.guided[:, :n], of.fields[:, :n]) for n in (4, 7)
    )
    assert seven.shape[2] == one.shape[2]
    assert (seven[0, -20:, -20:] == 255).all()  # four, then three


def test_the_random_network_is_seeded(session):
    first, again = (visualize_d.run(session, n=6, filters=[0], k=1) for _ in range(2))
    assert torch.equal(first.untrained.guided, again.untrained.guided)
    other = dp.Session(session.checkpoint, seed=1, device="cpu")
    assert not torch.equal(
        visualize_d.run(other, n=6, filters=[0], k=1).untrained.guided, first.untrained.guided
    )


def test_concentration_runs_from_haze_to_a_stroke():
    haze, stroke = torch.ones(1, 1, 3, 10, 10), torch.zeros(1, 1, 3, 10, 10)
    stroke[..., :10, 3] = 1
    assert visualize_d.concentration(haze) == pytest.approx(0.1)
    assert visualize_d.concentration(stroke) == pytest.approx(1)


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ([], "found no filters"),
        ([16], "found filter 16, expected 0 to 15"),
        ("some", "found 'some', expected numbers or 'all'"),
        (["1"], r"found \['1'\] as filters, expected a list of whole numbers"),
        ([0.5], "found 1-d float32 as filters"),
    ],
)
def test_filters_that_are_not_there_are_refused(session, filters, message):
    with pytest.raises(InputError, match=message):
        visualize_d.run(session, n=6, filters=filters)


def test_a_checkpoint_without_a_discriminator_is_refused(session):
    import dataclasses

    alone = dp.Session(dataclasses.replace(session.checkpoint, discriminator=None), device="cpu")
    with pytest.raises(InputError, match="untrained: found no discriminator, expected one"):
        visualize_d.run(alone)


def test_trained_filters_of_the_authors_are_less_of_a_haze_than_random_ones():
    found = visualize_d.run(dp.Session.open("svhn", device="cpu"), n=200, filters=range(6), k=3)
    trained, random = (
        visualize_d.concentration(r.guided) for r in (found.trained, found.untrained)
    )
    assert trained > random
