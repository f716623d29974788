"""Training is the paper's recipe, repeatable, and goes on where it stopped."""

from __future__ import annotations

import json

import pytest
import torch
from torch.nn import functional as F

import dcgan_probe as dp
from dcgan_probe.errors import InputError
from dcgan_probe.training import loop
from dcgan_probe.training.loop import Recipe, Trainer, train

CONFIG = dp.Config(size=16, g_width=2, d_width=2, z_size=4)
IMAGES = torch.randint(
    0, 256, (20, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)
RECIPE = Recipe(batch=8, ema=0.9, seed=3)


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value.clone()
        for name in ("generator", "discriminator", "mean_generator")
        for key, value in getattr(trainer, name).state_dict().items()
    }


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a | b)


def test_a_step_is_what_the_paper_does_written_out():
    """One update of each network, real and generated images as separate batches."""
    trainer, other = Trainer(CONFIG, RECIPE, IMAGES), Trainer(CONFIG, RECIPE, IMAGES)
    g, d = other.generator.train(), other.discriminator.train()
    real = IMAGES[torch.from_numpy(other._order())].float() / 127.5 - 1
    z_d, z_g = other._z()
    one, zero = torch.ones(8), torch.zeros(8)
    entropy = F.binary_cross_entropy_with_logits
    loss_d = entropy(d(real), one) + entropy(d(g(z_d).detach()), zero)
    other.adam_d.zero_grad()
    loss_d.backward()
    other.adam_d.step()
    loss_g = entropy(d(g(z_g)), one)
    other.adam_g.zero_grad()
    loss_g.backward()
    other.adam_g.step()
    losses = trainer.step()
    assert losses["discriminator"] == pytest.approx(loss_d.item(), rel=1e-5)
    assert losses["generator"] == pytest.approx(loss_g.item(), rel=1e-5)
    for mine, theirs in (
        (trainer.generator, other.generator),
        (trainer.discriminator, other.discriminator),
    ):
        for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


def test_an_epoch_shows_every_image_once_in_an_order_of_its_own():
    trainer = Trainer(CONFIG, Recipe(batch=5), IMAGES)
    orders = []
    for epoch in range(2):
        rows = []
        for step in range(4):
            trainer.steps = epoch * 4 + step
            rows += trainer._order().tolist()
        assert sorted(rows) == list(range(20))
        orders.append(rows)
    assert orders[0] != orders[1]


def test_latents_never_come_twice():
    trainer = Trainer(CONFIG, RECIPE, IMAGES)
    seen = []
    for step in range(5):
        trainer.steps = step
        seen += [tuple(z.tolist()) for part in trainer._z() for z in part]
    assert len(set(seen)) == 5 * 16


def test_a_resumed_run_is_an_unbroken_one_bit_for_bit(tmp_path):
    whole = Trainer(CONFIG, RECIPE, IMAGES)
    sha = train(whole, tmp_path / "whole", steps=6, save_every=2)
    train(Trainer(CONFIG, RECIPE, IMAGES), tmp_path / "parts", steps=3, save_every=2)
    resumed = Trainer(CONFIG, RECIPE, IMAGES)
    again = train(resumed, tmp_path / "parts", steps=6, save_every=2)
    assert same(weights(whole), weights(resumed))
    assert sha == again
    logs = [(tmp_path / run / "losses.jsonl").read_text() for run in ("whole", "parts")]
    assert logs[0] == logs[1]
    assert [json.loads(line)["step"] for line in logs[0].splitlines()] == list(range(1, 7))


def test_resuming_with_other_settings_names_the_difference(tmp_path):
    train(Trainer(CONFIG, RECIPE, IMAGES), tmp_path, steps=1)
    other = Trainer(CONFIG, Recipe(batch=8, ema=0.9, seed=3, rate=1e-3), IMAGES)
    with pytest.raises(InputError, match=r"state\.pt: rate: found 0\.0002, expected 0\.001"):
        train(other, tmp_path, steps=2)


def test_a_damaged_state_is_refused_and_left_alone(tmp_path):
    (tmp_path / loop.STATE).write_bytes(b"no state")
    with pytest.raises(InputError, match=r"state\.pt: found no training state"):
        train(Trainer(CONFIG, RECIPE, IMAGES), tmp_path, steps=2)
    assert [p.name for p in tmp_path.iterdir()] == [loop.STATE]


def test_losses_that_are_not_finite_stop_the_run():
    trainer = Trainer(CONFIG, RECIPE, IMAGES)
    with torch.no_grad():
        trainer.generator[0].linear.weight.fill_(float("nan"))
    with pytest.raises(InputError, match="step 1: found losses .*nan.*, expected finite"):
        trainer.step()


def test_the_mean_generator_is_a_mean():
    trainer = Trainer(CONFIG, RECIPE, IMAGES)
    trainer.steps = 10_000
    mean = [p.clone() for p in trainer.mean_generator.parameters()]
    trainer.step()
    pairs = zip(
        mean, trainer.generator.parameters(), trainer.mean_generator.parameters(), strict=True
    )
    for before, now, after in pairs:
        torch.testing.assert_close(after, 0.9 * before + 0.1 * now)


def test_the_checkpoint_is_ready_to_probe(tmp_path):
    trainer = Trainer(CONFIG, RECIPE, IMAGES)
    trainer.step()
    before = weights(trainer)
    checkpoint = trainer.checkpoint({"data": "noise"})
    assert same(before, weights(trainer))
    assert not checkpoint.generator.training
    assert checkpoint.info["data"] == "noise"
    dp.checkpoints.save(checkpoint, tmp_path / "c.safetensors")
    z = torch.randn(3, 4)
    with torch.no_grad():
        loaded = dp.checkpoints.load(tmp_path / "c.safetensors").generator(z)
        torch.testing.assert_close(loaded, checkpoint.generator(z))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            IMAGES.float(),
            r"found torch\.float32 \(3, 16, 16\), expected torch\.uint8 \(3, 16, 16\)",
        ),
        (IMAGES[:, :1], r"found torch\.uint8 \(1, 16, 16\), expected"),
        (IMAGES[:5], "found 5, expected at least a batch of 8"),
    ],
)
def test_images_that_do_not_fit_are_refused(images, message):
    with pytest.raises(InputError, match=message):
        Trainer(CONFIG, RECIPE, images)
