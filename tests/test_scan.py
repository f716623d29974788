"""The streaming scan finds what a plain search over everything finds."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dcgan_probe.attribution import responses
from dcgan_probe.errors import InputError


def images(n: int) -> torch.Tensor:
    return torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(5)) * 2 - 1


@pytest.mark.parametrize("size", [1, 7, 40])
def test_top_responses_are_those_of_a_search_over_all(discriminator, size):
    x = images(40)
    top = responses.top_responses(discriminator, "8x8", x.split(size), k=4)
    maps = discriminator[1](discriminator[0](x)).detach()
    strongest = maps.flatten(2).max(dim=2).values  # images x filters
    for f in range(maps.shape[1]):
        order = strongest[:, f].argsort(descending=True, stable=True)[:4]
        assert top.images[f].tolist() == order.tolist()
        torch.testing.assert_close(top.values[f], strongest[order, f])
        for j in range(4):
            at = maps[top.images[f, j], f, top.rows[f, j], top.columns[f, j]]
            torch.testing.assert_close(top.values[f, j], at)


def test_equal_responses_stay_in_the_order_of_the_images():
    network = nn.Sequential(nn.Conv2d(1, 2, 1)).eval()
    top = responses.top_responses(network, "0", torch.zeros(6, 1, 4, 4).split(2), k=3)
    assert top.images.tolist() == [[0, 1, 2], [0, 1, 2]]


def test_fewer_images_than_asked_for_are_refused(discriminator):
    with pytest.raises(InputError, match="found 3 images, expected at least 5"):
        responses.top_responses(discriminator, "8x8", [images(3)], k=5)
    with pytest.raises(InputError, match="found 0 images, expected at least 1"):
        responses.top_responses(discriminator, "8x8", [], k=1)


def test_a_layer_without_feature_maps_is_refused(discriminator):
    with pytest.raises(InputError, match="layer 'score': outputs 0-d values"):
        responses.top_responses(discriminator, "score", [images(3)], k=1)


def test_training_mode_is_refused(discriminator):
    with pytest.raises(InputError, match="found a network in training mode"):
        responses.top_responses(discriminator.train(), "8x8", [images(3)], k=1)


def test_receptive_fields_are_those_that_arithmetic_gives(discriminator):
    # Kernel 5, stride 2, padding 2: after L layers neuron i sees 2^L i +- 2 (2^L - 1).
    for layers, name in enumerate(["16x16", "8x8", "4x4"], start=1):
        last = 32 // 2**layers - 1
        places = torch.tensor([[0, 0], [1, last]])
        reach, step = 2 * (2**layers - 1), 2**layers
        expected = []
        for row, column in places.tolist():
            x0, y0 = (max(0, step * i - reach) for i in (column, row))
            x1, y1 = (min(32, step * i + reach + 1) for i in (column, row))
            expected.append([x0, y0, x1, y1])
        found = responses.receptive_fields(discriminator, name, (3, 32, 32), places)
        assert found.tolist() == expected
