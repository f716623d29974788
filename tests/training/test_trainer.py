"""A step does to the weights what the recipe says, and nothing else."""

from __future__ import annotations

import copy
import dataclasses
import io

import pytest
import torch
from torch.nn import functional as F

import dcgan_probe as dp
from dcgan_probe.errors import InputError
from dcgan_probe.training import launch
from dcgan_probe.training.augment import augment
from dcgan_probe.training.minibatches import Minibatches
from dcgan_probe.training.recipe import Recipe
from dcgan_probe.training.trainer import R1_EVERY, Trainer

CONFIG = dp.Config(size=16, g_width=2, d_width=2, z_size=4)
IMAGES = torch.randint(
    0, 256, (40, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
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


def real_images(number: int) -> torch.Tensor:
    """Minibatch `number`, without the trainer's own way to bring it into range."""
    rows = Minibatches(IMAGES, 8, 3, torch.device("cpu")).rows(number)
    return IMAGES[torch.from_numpy(rows)].float() / 127.5 - 1


def written_out(trainer: Trainer, name: str, l2: float) -> tuple[float, float]:
    """One step as the papers and their code have it, with torch's own loss and plain Adam."""
    g, d = trainer.generator.train(), trainer.discriminator.train()
    adam_g = torch.optim.Adam(g.parameters(), 2e-4, (0.5, 0.999))
    adam_d = torch.optim.Adam(d.parameters(), 2e-4, (0.5, 0.999))
    entropy = F.binary_cross_entropy_with_logits
    one, zero = torch.ones(8), torch.zeros(8)

    def decay(network: torch.nn.Module) -> None:
        """What the authors add to every gradient, that of gains and biases too."""
        for weight in network.parameters():
            weight.grad += l2 * weight.detach()

    def turn_of_g(fake: torch.Tensor) -> float:
        loss = entropy(d(fake), one)
        adam_g.zero_grad()
        loss.backward()
        decay(g)
        adam_g.step()
        return loss.item()

    def turn_of_d(real: torch.Tensor, fake: torch.Tensor) -> float:
        adam_d.zero_grad()
        loss = entropy(d(real), one) + entropy(d(fake.detach()), zero)
        loss.backward()
        decay(d)
        adam_d.step()
        return loss.item()

    if name == "paper":
        # The code of the authors: the generator with the first minibatch, which it does not look
        # at, then the discriminator with the second.
        z_g, z_d = trainer._z(2)
        loss_g = turn_of_g(g(z_g))
        return turn_of_d(real_images(1), g(z_d)), loss_g
    (z,) = trainer._z(1)
    fake = g(z)
    loss_d = turn_of_d(real_images(0), fake)
    return loss_d, turn_of_g(fake)


@pytest.mark.parametrize(("name", "l2"), [("paper", 1e-5), ("shared", 0.0), ("paper", 0.3)])
def test_a_step_is_the_recipe_written_out(name, l2):
    recipe = Recipe(name, batch=8, ema=0.9, seed=3)
    if recipe.l2 != l2:  # so much that nobody can miss it
        recipe = dataclasses.replace(recipe, l2=l2)
    trainer, other = Trainer(CONFIG, recipe, IMAGES), Trainer(CONFIG, recipe, IMAGES)
    expected = written_out(other, name, l2)
    assert trainer.step().tolist() == pytest.approx(expected, rel=1e-5)
    for part in ("generator", "discriminator"):
        pairs = zip(
            getattr(trainer, part).state_dict().items(),
            getattr(other, part).state_dict().values(),
            strict=True,
        )
        for (key, mine), theirs in pairs:
            torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-4, msg=key)


def test_the_generators_turn_leaves_no_gradient_in_the_discriminator():
    trainer = Trainer(CONFIG, RECIPE, IMAGES)
    trainer.generator.train()
    trainer.discriminator.train()
    before = [p.clone() for p in trainer.discriminator.parameters()]
    trainer._update_g(trainer.generator(trainer._z(1)[0]))
    assert all(p.grad is None for p in trainer.discriminator.parameters())
    pairs = zip(before, trainer.discriminator.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert all(p.requires_grad for p in trainer.discriminator.parameters())


def test_an_epoch_shows_every_image_once_in_an_order_of_its_own():
    minibatches = Minibatches(IMAGES, 5, 0, torch.device("cpu"))
    orders = [[r for i in range(8) for r in minibatches.rows(8 * e + i)] for e in range(2)]
    assert [sorted(rows) for rows in orders] == [list(range(40))] * 2
    assert orders[0] != orders[1]
    assert minibatches.rows(3).tolist() == orders[0][15:20]


@pytest.mark.parametrize(("count", "world", "sizes"), [(40, 1, [8] * 5), (43, 1, [8] * 5 + [3])])
def test_images_left_over_come_in_a_smaller_minibatch(count, world, sizes):
    images = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 16, 16)
    minibatches = Minibatches(images, 8, 0, torch.device("cpu"), True, world)
    for epoch in range(2):
        parts = [minibatches.rows(epoch * len(sizes) + i) for i in range(len(sizes))]
        assert [len(part) for part in parts] == sizes
        assert sorted(row for part in parts for row in part) == list(range(count))
    assert len(minibatches.flips(len(sizes) - 1)) == sizes[-1]


@pytest.mark.parametrize(("world", "left"), [(1, 5), (2, 4), (3, 0)])
def test_images_left_over_are_as_many_for_each_process_and_two_at_least(world, left):
    minibatches = Minibatches(IMAGES, 35, 0, torch.device("cpu"), True, world)
    assert minibatches.per_epoch == 1 + (left > 0)
    assert minibatches.size(1 if left else 0) == (left or 35)


@pytest.mark.parametrize("name", ["paper", "shared"])
def test_a_turn_has_as_many_latents_as_its_minibatch_has_images(name):
    trainer = Trainer(CONFIG, Recipe(name, batch=16), IMAGES)  # 16, 16, 8 images an epoch
    seen = []
    trainer.discriminator.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    for _ in range(3):
        trainer.step()
    expected = {
        # G's turn and D's, of minibatches 0 and 1, 2 and 3, 4 and 5; D sees real ones and its own.
        "paper": [16, 16, 16, 8, 16, 16, 16, 8, 8],
        "shared": [16, 16, 16, 16, 16, 16, 8, 8, 8],
    }
    assert seen == expected[name]


def test_an_older_state_goes_on_as_it_was_trained(tmp_path):
    before = Recipe("shared", batch=16, seed=3, l2=0.0, leftover=False)
    whole = Trainer(CONFIG, before, IMAGES)
    whole.step()
    state = torch.load(io.BytesIO(whole.state({})), weights_only=True)
    del state["checksum"]
    for name in ("l2", "leftover", "augment", "decay_steps", "r1"):
        del state["settings"][f"recipe.{name}"]
    torch.save(state, tmp_path / "state.pt")
    said = Trainer.saved_recipe(tmp_path / "state.pt")
    assert Recipe.from_dict(said) == before
    members = {name: said[name] for name in launch.UNSAID}
    resumed = Trainer(CONFIG, Recipe("shared", seed=3, **members), IMAGES)
    resumed.load_state(tmp_path / "state.pt")
    for _ in range(2):
        whole.step(), resumed.step()
    assert same(weights(whole), weights(resumed))
    with pytest.raises(InputError, match=r"recipe\.batch: found 16, expected 64 as asked for"):
        Trainer(CONFIG, Recipe("shared", seed=3), IMAGES.repeat(2, 1, 1, 1)).load_state(
            tmp_path / "state.pt"
        )
    (tmp_path / "damaged.pt").write_bytes(b"PK")
    assert Trainer.saved_recipe(tmp_path / "damaged.pt") == {}


def test_a_bit_that_flips_in_a_state_is_noticed(tmp_path):
    trainer = Trainer(CONFIG, Recipe("shared", batch=16), IMAGES)
    trainer.step()
    whole = trainer.state({"best": None})
    (tmp_path / "state.pt").write_bytes(whole)
    assert trainer.load_state(tmp_path / "state.pt") == {"best": None}
    first = next(trainer.generator.parameters())
    place = whole.index(first.detach().numpy().tobytes()[:32])
    flipped = bytearray(whole)
    flipped[place + 3] ^= 1
    (tmp_path / "state.pt").write_bytes(flipped)
    with pytest.raises(InputError, match="no training state that can be read.*other bytes"):
        trainer.load_state(tmp_path / "state.pt")


def test_flips_mirror_about_half_of_the_images_and_no_others():
    minibatches = Minibatches(IMAGES, 20, 0, torch.device("cpu"))
    rows, flips = minibatches.rows(0), minibatches.flips(0)
    got, plain = minibatches.read(rows, flips), minibatches.read(rows)
    assert 0 < flips.sum() < 20
    for image, original, flipped in zip(got, plain, flips, strict=True):
        assert torch.equal(image, original.flip(2) if flipped else original)
    counts = [minibatches.flips(i).sum() for i in range(200)]
    assert 9 < sum(counts) / 200 < 11


def test_latents_never_come_twice():
    trainer = Trainer(CONFIG, RECIPE, IMAGES)
    seen = []
    for step in range(5):
        trainer.steps = step
        seen += [tuple(z.tolist()) for part in trainer._z(2) for z in part]
    assert len(set(seen)) == 5 * 16


def test_the_rate_falls_linearly_from_half_way_to_the_end():
    recipe = dataclasses.replace(RECIPE, decay_steps=8)
    trainer = Trainer(CONFIG, recipe, IMAGES)
    seen = []
    for _ in range(8):
        trainer.step()
        rates = {g["lr"] for a in (trainer.adam_g, trainer.adam_d) for g in a.param_groups}
        assert len(rates) == 1
        seen += rates
    assert seen == pytest.approx([2e-4] * 5 + [1.5e-4, 1e-4, 0.5e-4])
    before = weights(trainer)
    trainer.step()  # at a rate of 0 no weight moves
    after = weights(trainer)
    for network in ("generator", "discriminator"):
        for name, _ in getattr(trainer, network).named_parameters():
            assert torch.equal(before[f"{network}.{name}"], after[f"{network}.{name}"])


@pytest.mark.parametrize("name", ["paper", "shared"])
def test_the_discriminator_sees_only_augmented_images(name, monkeypatch):
    recipe = dataclasses.replace(RECIPE, name=name, augment=True)
    trainer = Trainer(CONFIG, recipe, IMAGES)
    made, seen = [], []

    def recorded(images, rng):
        made.append(augment(images, rng))
        return made[-1]

    monkeypatch.setattr("dcgan_probe.training.trainer.augment", recorded)
    trainer.discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    trainer.step()
    assert len(seen) == len(made) == 3
    assert all(torch.equal(a, b) for a, b in zip(made, seen, strict=True))


def test_real_and_generated_images_are_augmented_in_float32(monkeypatch):
    """In bfloat16 sums are coarser, and the discriminator would know generated images by that."""
    recipe = dataclasses.replace(RECIPE, augment=True, precision="bfloat16")
    trainer = Trainer(CONFIG, recipe, IMAGES)
    seen = []

    def recorded(images, rng):
        seen.append(images.dtype)
        return augment(images, rng)

    monkeypatch.setattr("dcgan_probe.training.trainer.augment", recorded)
    trainer.step()
    assert seen == [torch.float32] * 3


def gradients_of_d(r1: float, steps: int) -> list[torch.Tensor]:
    """What a step adds to D's weights before Adam, after `steps` of a counter that only counts."""
    trainer = Trainer(CONFIG, dataclasses.replace(RECIPE, r1=r1), IMAGES)
    trainer.steps = steps
    trainer.step()
    return [p.grad.clone() for p in trainer.discriminator.parameters()]


def test_r1_adds_the_gradient_of_half_the_squared_slope_at_real_images():
    """Against torch.func on the bare network: the mean of |slope|^2 is its squared norm over N."""
    trainer = Trainer(CONFIG, RECIPE, IMAGES)
    d, real = trainer.discriminator.train(), trainer._real()
    names = [name for name, _ in d.named_parameters()]
    for module in d.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # torch.func forbids running statistics
            module.running_mean = module.running_var = module.num_batches_tracked = None

    def penalty(*values):
        weights = dict(zip(names, values, strict=True))
        slope = torch.func.grad(lambda x: torch.func.functional_call(d, weights, x).sum())
        return slope(real).norm() ** 2 / len(real) / 2

    expected = torch.func.grad(penalty, argnums=tuple(range(len(names))))(*d.parameters())
    plain, penalised = gradients_of_d(0.0, 0), gradients_of_d(9.0, 0)
    for name, a, b, more in zip(names, plain, penalised, expected, strict=True):
        torch.testing.assert_close(
            b - a, R1_EVERY * 9 * more, atol=1e-4, rtol=1e-3, msg=lambda m, name=name: name + m
        )
    assert max(float((16 * 9 * more).detach().norm()) for more in expected) > 0.1


def test_r1_acts_on_every_16th_step_and_leaves_the_reported_loss():
    for steps in (1, 15):
        pairs = zip(gradients_of_d(0.0, steps), gradients_of_d(0.5, steps), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(gradients_of_d(0.0, 16)[0], gradients_of_d(0.5, 16)[0])
    plain, penalised = (
        Trainer(CONFIG, dataclasses.replace(RECIPE, r1=r1), IMAGES).step() for r1 in (0.0, 0.5)
    )
    assert plain[0] == penalised[0]


def test_r1_of_compiled_networks_is_refused():
    with pytest.raises(InputError, match="r1: found 0.5, expected 0 with compile"):
        Trainer(CONFIG, dataclasses.replace(RECIPE, r1=0.5), IMAGES, compiled=True)


def test_bfloat16_keeps_weights_and_losses_in_float32_and_learns_the_same():
    plain = Trainer(CONFIG, RECIPE, IMAGES)
    half = Trainer(CONFIG, dataclasses.replace(RECIPE, precision="bfloat16"), IMAGES)
    losses = [t.step() for t in (plain, half)]
    assert losses[1].dtype == torch.float32
    assert {p.dtype for p in half.parameters()} == {torch.float32}
    assert not torch.equal(*losses)
    torch.testing.assert_close(*losses, atol=0.02, rtol=0.02)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # torch.compile warns of torch's own code
def test_compiled_networks_learn_the_same_and_count_every_batch_once():
    plain, compiled = (Trainer(CONFIG, RECIPE, IMAGES, compiled=c) for c in (False, True))
    for _ in range(3):
        losses = [t.step() for t in (plain, compiled)]
        torch.testing.assert_close(*losses, atol=1e-4, rtol=1e-4)
    a, b = weights(plain), weights(compiled)
    for name in a:
        torch.testing.assert_close(a[name], b[name], atol=1e-4, rtol=1e-3, msg=name)


def test_the_mean_generator_is_a_mean_with_its_statistics():
    trainer = Trainer(CONFIG, RECIPE, IMAGES)
    trainer.steps = 10_000
    mean = {k: v.clone() for k, v in trainer.mean_generator.state_dict().items()}
    trainer.step()
    now, after = trainer.generator.state_dict(), trainer.mean_generator.state_dict()
    assert any(name.endswith("running_var") for name in mean)
    for name, value in after.items():
        if name.endswith("num_batches_tracked"):
            assert value == now[name] == 2
        else:
            torch.testing.assert_close(value, 0.9 * mean[name] + 0.1 * now[name], msg=name)


def test_the_checkpoint_is_ready_to_probe_and_leaves_training_as_it_is(tmp_path):
    trainer = Trainer(CONFIG, RECIPE, IMAGES)
    trainer.step()
    before = weights(trainer)
    checkpoint = trainer.checkpoint({"data": "noise"})
    assert same(before, weights(trainer))
    assert not checkpoint.generator.training
    assert checkpoint.info["data"] == "noise"
    assert checkpoint.info["recipe"]["name"] == "paper"
    dp.checkpoints.save(checkpoint, tmp_path / "c.safetensors")
    z = torch.randn(3, 4)
    with torch.no_grad():
        loaded = dp.checkpoints.load(tmp_path / "c.safetensors").generator(z)
        torch.testing.assert_close(loaded, checkpoint.generator(z))


def test_a_state_taken_up_again_goes_on_as_if_nothing_had_been(tmp_path):
    whole = Trainer(CONFIG, RECIPE, IMAGES)
    whole.step()
    (tmp_path / "state.pt").write_bytes(whole.state({"mine": [1.5]}))
    resumed = Trainer(CONFIG, RECIPE, IMAGES)
    assert resumed.load_state(tmp_path / "state.pt") == {"mine": [1.5]}
    for trainer in (whole, resumed):
        trainer.step()
    assert same(weights(whole), weights(resumed))
    assert resumed.steps == 2


def test_training_starts_from_the_networks_of_a_checkpoint(tmp_path):
    first = Trainer(CONFIG, RECIPE, IMAGES)
    first.step()
    dp.checkpoints.save(first.checkpoint(), tmp_path / "c.safetensors")
    start = dp.checkpoints.load(tmp_path / "c.safetensors")
    trainer = Trainer(CONFIG, RECIPE, IMAGES, start=start)
    for name, part in (("generator", start.generator), ("discriminator", start.discriminator)):
        assert same(getattr(trainer, name).state_dict(), part.state_dict())
    assert same(trainer.mean_generator.state_dict(), start.generator.state_dict())
    assert trainer.steps == 0 and not trainer.adam_g.state
    trainer.step()
    assert trainer.checkpoint().info["start_from"] == start.sha256
    # The file is not changed by training, and a state resumes from the same file alone.
    assert same(
        start.generator.state_dict(),
        dp.checkpoints.load(tmp_path / "c.safetensors").generator.state_dict(),
    )
    (tmp_path / "state.pt").write_bytes(trainer.state({}))
    Trainer(CONFIG, RECIPE, IMAGES, start=start).load_state(tmp_path / "state.pt")
    with pytest.raises(InputError, match=rf"start_from: found '{start.sha256}', expected ''"):
        Trainer(CONFIG, RECIPE, IMAGES).load_state(tmp_path / "state.pt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": dataclasses.replace(CONFIG, g_width=3)}, "g_width: found 3, expected 2"),
        ({"config": dataclasses.replace(CONFIG, d_depth=2)}, "d_depth: found 2, expected 1"),
        ({"discriminator": None}, "found no discriminator, expected both networks"),
    ],
)
def test_a_checkpoint_that_training_cannot_start_from_is_refused(change, message):
    whole = Trainer(CONFIG, RECIPE, IMAGES).checkpoint()
    with pytest.raises(InputError, match=message):
        Trainer(CONFIG, RECIPE, IMAGES, start=dataclasses.replace(whole, **change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recipe": {"rate": 1e-3}}, r"recipe\.rate: found 0\.0002, expected 0\.001 as asked for"),
        ({"recipe": {"name": "shared"}}, r"recipe\.name: found 'paper', expected 'shared'"),
        ({"config": {"g_width": 3}}, r"network\.g_width: found 2, expected 3"),
        ({"data": "other"}, "data: found '', expected 'other'"),
        ({"images": IMAGES[:24]}, "images: found 40, expected 24"),
    ],
)
def test_resuming_with_other_settings_names_the_difference(tmp_path, change, message):
    change = copy.deepcopy(change)
    (tmp_path / "state.pt").write_bytes(Trainer(CONFIG, RECIPE, IMAGES).state({}))
    other = Trainer(
        dataclasses.replace(CONFIG, **change.pop("config", {})),
        dataclasses.replace(RECIPE, **change.pop("recipe", {})),
        change.pop("images", IMAGES),
        **change,
    )
    with pytest.raises(InputError, match=rf"state\.pt: {message}"):
        other.load_state(tmp_path / "state.pt")


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


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "papr"}, "unknown recipe 'papr', expected one of: paper, shared"),
        ({"precision": "fp8"}, "unknown precision 'fp8', expected one of: float32, bfloat16"),
        ({"batch": 1}, "recipe: batch: found 1, expected at least 2"),
        ({"rate": 0.0}, "recipe: rate: found 0.0, expected above 0"),
        ({"rate": float("inf")}, "recipe: rate: found inf, expected above 0 and at most 1"),
        ({"decay_steps": -1}, "recipe: decay_steps: found -1, expected at least 0"),
        ({"ema": 1.0}, "recipe: ema: found 1.0, expected at least 0 and below 1"),
    ],
)
def test_recipes_that_cannot_be_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        Recipe(**values)
