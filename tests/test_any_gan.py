"""Every probe on networks that are not ours."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import other_gans
import pytest
import torch
from torch import nn

import dcgan_probe as dp
from dcgan_probe.checkpoints import modules
from dcgan_probe.edits import tails
from dcgan_probe.errors import InputError
from dcgan_probe.latents.concepts import Concept
from dcgan_probe.metrics import features as discriminator_features
from dcgan_probe.probes import (
    ablate,
    arithmetic,
    dissect,
    features,
    forget,
    invert,
    neighbours,
    sample,
    turn,
    visualize_d,
    walk,
)

GANS = {
    "residual": other_gans.residual,
    "conditional": other_gans.conditional,
    "upsample": other_gans.upsample,
    "big": other_gans.big,
    "style": other_gans.style,
}
PASSED = {
    "residual": ("blocks.0", "blocks.1", "relu"),
    "conditional": ("network.first", "network.blocks.0", "network.blocks.1", "network.last.0"),
    "upsample": ("2", "6", "10", "14"),
    "big": ("blocks.0", "blocks.1", "out.1"),
    "style": ("conv.0", "conv.1", "conv.2", "conv.3"),
}
# What outputs the first maps, as maps or before they have places.
FIRST = {
    "residual": "linear",
    "conditional": "network.first.0",
    "upsample": "0",
    "big": "linear",
    "style": "up.0",
}
SEEN = {
    "residual": ("blocks.0", "blocks.1", "relu"),
    "conditional": ("network.features.1", "network.features.3", "network.features"),
    "upsample": ("2", "5", "8"),
    "big": ("blocks.0", "blocks.1", "relu"),
    "style": ("blocks.0", "blocks.1", "relu"),
}


@pytest.fixture(params=GANS)
def gan(request) -> str:
    return request.param


@pytest.fixture
def session(gan) -> dp.Session:
    return dp.Session.from_modules(**GANS[gan](), device="cpu")


@pytest.fixture
def boxes(session) -> dp.Boxes:
    drawn = tuple(dp.Box(i, "window", 4, 4, 20, 24) for i in range(6))
    return dp.Boxes(
        drawn, tuple(range(8)), (32, 32), seed=0, checkpoint=session.checkpoint.sha256, source="b"
    )


@pytest.fixture
def folder(session, tmp_path) -> Path:
    for i, image in enumerate(dp.figures.pixels(session.sample(24, seed=9))):
        cv2.imwrite(str(tmp_path / f"{i:02}.png"), image[..., ::-1])
    return tmp_path


def test_every_convolution_of_a_discriminator_is_a_layer_after_its_activation(gan, session):
    network = session.discriminator
    done = []
    handles = [
        part.register_forward_hook(lambda _m, _i, out, name=name: done.append((name, out.shape)))
        for name, part in network.named_modules()
        if isinstance(part, torch.nn.Conv2d)
    ]
    score = network(session.sample(2))
    for handle in handles:
        handle.remove()
    expected = [shape for _, shape in done if shape[2:].numel() > 1 and shape != score.shape]
    found = discriminator_features.layers(network, every=True)
    assert [
        dp.hooks.activations(network, name, session.sample(2)).shape for name in found
    ] == expected
    assert len(expected) >= len(SEEN[gan])


def test_layers_are_what_is_passed_on_at_each_resolution(gan, session):
    assert tuple(session.config.hidden("generator")) == PASSED[gan]
    assert tuple(session.config.hidden("discriminator")) == SEEN[gan]
    assert discriminator_features.layers(session.discriminator) == SEEN[gan]
    for what, inputs in (("generator", session.latents(2)), ("discriminator", session.sample(2))):
        network = getattr(session, what)
        for layer in session.config.found[what]:
            maps = dp.hooks.activations(network, layer.name, inputs)
            assert maps.shape == (2, layer.filters, layer.height, layer.width)


def test_a_dcgan_of_ours_is_traced_to_the_layers_that_its_config_has(generator, discriminator):
    found = modules.checkpoint(generator, discriminator, (8, "uniform")).config
    for network in ("generator", "discriminator"):
        assert found.hidden(network) == generator.config.hidden(network)


def test_a_layer_passes_on_all_if_what_was_before_it_no_longer_matters(gan, session):
    """Found by autograd's graph; here by other first maps under the same maps of the layer."""
    generator, z = session.generator, session.latents(3)
    for layer in session.config.found["generator"]:
        maps = dp.hooks.activations(generator, layer.name, z)
        first = dp.hooks.layer(generator, FIRST[gan])
        handle = first.register_forward_hook(lambda _m, _i, out: out + torch.randn_like(out))
        with torch.no_grad(), dp.hooks.patch(generator, layer.name, maps):
            images = generator(z)
        handle.remove()
        assert torch.allclose(images, generator(z), atol=1e-6) == layer.passes_on, layer
    images = session.sample(3)
    for layer in session.config.found["discriminator"]:
        shape = (1, layer.filters, layer.height, layer.width)
        same = torch.rand(shape, generator=torch.manual_seed(0)).repeat(3, 1, 1, 1)
        with torch.no_grad(), dp.hooks.patch(session.discriminator, layer.name, same):
            output = session.discriminator(images)
        assert torch.allclose(output[0], output[1], atol=1e-6) == layer.passes_on, layer


def test_edits_from_a_layer_on_are_those_of_the_whole_network(session):
    z = session.latents(3)
    for name in session.config.layers("generator"):
        base = tails.Tail(session.generator, name).start(z)
        filters = list(range(min(2, base.maps.shape[1])))
        with dp.hooks.ablate(session.generator, name, filters), torch.no_grad():
            expected = session.generator(z)
            torch.testing.assert_close(base.without(filters), expected, atol=1e-4, rtol=1e-3)


class AsksTheInput(nn.Module):
    """After its layer it asks something of z."""

    def __init__(self, ask):
        super().__init__()
        self.first = nn.Sequential(nn.Linear(16, 4 * 64), nn.Unflatten(1, (4, 8, 8)))
        self.last, self.ask = nn.Conv2d(4, 3, 3, padding=1), ask

    def forward(self, z):
        images = torch.tanh(self.last(self.first(z)))
        return images + 0 * torch.ones(1, device=images.device).expand(self.ask(z), 1, 1, 1)


@pytest.mark.parametrize("ask", [lambda z: z.shape[0], lambda z: z.size(0), lambda z: z.size()[0]])
def test_the_number_of_inputs_may_be_asked_after_a_layer(ask):
    network, z = AsksTheInput(ask), torch.randn(3, 16)
    maps = dp.hooks.activations(network, "first", z)
    torch.testing.assert_close(dp.hooks.tail(network, "first")(maps), network(z))


def test_another_size_of_the_input_may_not_be_asked():
    network = AsksTheInput(lambda z: z.shape[0] * z.shape[1] // 16)
    with pytest.raises(InputError, match="the input also reaches .* around it"):
        dp.hooks.tail(network, "first")


def test_an_unknown_layer_lists_those_at_the_top(gan, session):
    top = {
        "residual": "linear, blocks.0, blocks.1, blocks.2, norm, relu, to_rgb",
        "conditional": "network.first, network.blocks.0, network.blocks.1, network.blocks.2",
        "upsample": "0, 1, 2, 3, 4, 5",
        "big": "linear, blocks.0, blocks.1, blocks.2, out",
        "style": "mapping, up.0, up.1, up.2, up.3, conv.0",
    }
    with pytest.raises(InputError, match=f"expected one of: {top[gan]}"):
        dp.hooks.layer(session.generator, "conv9")


def test_every_probe_runs_and_saves(gan, session, boxes, folder, tmp_path):
    layer = "blocks.1.conv1" if "blocks.1.conv1" in session.config.layers("generator") else None
    layer = layer or forget.default_layer(session.config)
    edit = dp.Selection(layer, (0, 1), session.checkpoint.sha256)
    one, other = (tuple(f"{seed}:{i}" for i in range(3)) for seed in (5, 6))
    named = {"one": Concept(one), "other": Concept(other)}
    concepts = dp.Concepts(session.checkpoint.sha256, named)
    results = {
        "sample": sample.run(session, 4),
        "forget": forget.run(session, boxes, controls=2, n=16, judges=["boxes"]),
        "ablate": ablate.run(session, edit, n=4),
        "dissect": dissect.run(session, boxes, n=8, top=2),
        "walk": walk.run(session, 3, steps=3),
        "arithmetic": arithmetic.run(session, "one - other", concepts),
        "turn": turn.run(session, "one", "other", concepts, n=2, steps=3),
        "invert": invert.run(session, session.sample(1, seed=4)[0], starts=2, steps=4),
        "visualize-d": visualize_d.run(session, n=16, filters=[0, 1], k=2),
        "features": features.run(session, folder, to=tmp_path / "features.npy"),
        "neighbours": neighbours.run(session, folder, n=4),
    }
    for name, result in results.items():
        assert result.values() is not None
        if gan != "upsample":
            continue  # pictures of colours are those of the other tests
        result.save(tmp_path / "out" / name)
        found = dp.load_result(tmp_path / "out" / name)
        assert found.made_with["checkpoint"]["sha256"] == session.checkpoint.sha256


@pytest.mark.parametrize("select", ["paper", "causal", "gates"])
def test_forget_runs_in_a_layer_that_values_lead_around(gan, session, boxes, select, monkeypatch):
    from dcgan_probe.probes.forget import choice, gates

    monkeypatch.setattr(gates, "STEPS", 3)
    monkeypatch.setattr(choice, "SCANNED", 8)
    around = [of for of in session.config.found["generator"] if not of.passes_on and of.height > 4]
    if not around:
        pytest.skip("nothing leads around any layer")
    layer = around[0].name
    found = forget.run(
        session, boxes, layer=layer, controls=2, n=16, judges=["boxes"], select=select, left=0.9
    )
    assert found.selection.layer == layer
    z = session.latents(4)
    with session.editing(*found.selections):
        images = session.generate(z)
    assert not torch.equal(images, session.generate(z))
    result = dissect.run(session, boxes, layer=layer, n=8, top=2)
    assert len(result.objects[0].effect.size) == around[0].filters


def test_forget_chooses_with_the_filters_of_the_layer_it_says(gan, session, boxes):
    found = forget.run(session, boxes, controls=2, n=16, judges=["boxes"])
    assert found.selection.layer == PASSED[gan][-2]
    with session.editing(*found.selections), torch.no_grad():
        without = session.sample(2)
        with dp.hooks.record(session.generator, found.selection.layer) as seen:
            session.generator(session.latents(2))
    assert not torch.equal(without, session.sample(2))
    # The hook of `record` came after the edit's.
    assert seen[found.selection.layer][:, list(found.selection.filters)].abs().max() == 0


class Guided(torch.autograd.Function):
    """ReLU and LeakyReLU that let only positive gradients through, as Springenberg et al. say."""

    @staticmethod
    def forward(ctx, x, slope):
        ctx.save_for_backward(x)
        ctx.slope = slope
        return torch.where(x > 0, x, slope * x)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient.clamp_min(0) * torch.where(x > 0, 1.0, ctx.slope), None


class GuidedLayer(nn.Module):
    def __init__(self, slope: float):
        super().__init__()
        self.slope = slope

    def forward(self, x):
        return Guided.apply(x, self.slope)


def test_guided_backprop_is_that_of_a_network_whose_activations_have_the_rule(gan, session):
    layer, images, of = SEEN[gan][1], session.sample(3), torch.tensor([0, 1, 2])
    ours = dp.GuidedBackprop(session.discriminator).attribute_neurons(images, layer, of, of, of, of)
    network = dp.networks.copied(session.discriminator)
    for part in list(network.modules()):
        for name, child in part.named_children():
            if isinstance(child, nn.ReLU | nn.LeakyReLU):
                setattr(part, name, GuidedLayer(getattr(child, "negative_slope", 0.0)))
    images.requires_grad_()
    neurons = dp.hooks.activations(network, layer, images)[of, of, of, of]
    (theirs,) = torch.autograd.grad(neurons.sum(), images)
    torch.testing.assert_close(ours, theirs)


def test_another_activation_than_relu_is_refused_by_name():
    d = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Conv2d(4, 4, 3), nn.LeakyReLU(0.2))
    network = nn.Sequential(d, nn.Flatten(), nn.LazyLinear(1))
    network(torch.zeros(1, 3, 16, 16))
    session = dp.Session.from_modules(discriminator=network, image=(3, 16, 16), device="cpu")
    with pytest.raises(InputError, match="found Silu, expected ReLU and LeakyReLU"):
        zero = torch.tensor([0])
        dp.GuidedBackprop(session.discriminator).attribute_neurons(
            torch.zeros(1, 3, 16, 16), "0", zero, zero, zero, zero
        )


def test_the_untrained_twin_has_no_weight_of_the_trained(session):
    twin = dp.networks.untrained(session.discriminator, seed=0)
    embeddings = ("of_class",)
    for (name, ours), theirs in zip(
        session.discriminator.named_parameters(), twin.parameters(), strict=True
    ):
        if not any(word in name for word in embeddings):
            assert not torch.equal(ours, theirs), name
    assert discriminator_features.layers(twin) == discriminator_features.layers(
        session.discriminator
    )


def test_latents_of_a_function_are_named_by_seed_and_index():
    session = dp.Session.from_modules(**other_gans.upsample(), device="cpu")
    whole = session.latents(1030)
    torch.testing.assert_close(whole.norm(dim=1), torch.full((1030,), 4.0))
    assert torch.equal(session.latents(3, start=1023), whole[1023:1026])
    assert not torch.equal(session.latents(3, seed=1), whole[:3])


def test_boxes_of_other_weights_are_refused(boxes):
    other = dp.Session.from_modules(other_gans.alive(other_gans.ResidualG, 5), latent=16)
    with pytest.raises(InputError, match="found boxes drawn on samples of checkpoint"):
        forget.run(other, boxes)


def test_the_first_lines_of_the_docs_run(tmp_path, monkeypatch, capsys):
    page = Path(__file__).parent.parent / "docs" / "any-gan.md"
    code = page.read_text().split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(page), "exec"), {})
    printed = capsys.readouterr().out.strip()
    assert f"# {printed}: layers" in code
    assert dp.load_result("out/ablate").made_with["checkpoint"]["name"] == "Sequential"


def test_the_wrapper_of_the_docs_is_the_one_that_is_tested():
    page = Path(__file__).parent.parent / "docs" / "any-gan.md"
    source = Path(other_gans.__file__).read_text()
    assert "class OfClass" in source
    body = source.split("class OfClass(nn.Module):")[1].split("\n\n\n")[0].split("\n\n", 1)[1]
    assert body.rstrip() in page.read_text()


def test_the_numbers_of_one_sample_do_not_depend_on_the_others(session):
    together, alone = session.sample(5), session.generate(session.latents(5)[3:4])
    np.testing.assert_allclose(together[3:4], alone, atol=1e-4)
