"""Edits by place: the equation they solve, what they leave alone, files, and how they compose."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from other_gans import ResidualG
from sklearn.linear_model import Ridge
from torch import Tensor, nn

import dcgan_probe as dp
from dcgan_probe import hooks
from dcgan_probe.edits import edit as edit_files
from dcgan_probe.edits.colours import Colours
from dcgan_probe.edits.donors import Donors, Part, Pool, match
from dcgan_probe.edits.extent import reach
from dcgan_probe.edits.filling import FILLS, fill, solve
from dcgan_probe.edits.places import PlaceEdit
from dcgan_probe.edits.regression import Linear, PlaceRegression, evidence
from dcgan_probe.edits.tails import Tail
from dcgan_probe.errors import InputError

SHA = "ab" * 32
LAYERS = ("8x8", "16x16")


# --- the equation ---------------------------------------------------------------------------------


def energy(h: Tensor, maps: Tensor, trust: Tensor, stiffness: float, like: Tensor) -> Tensor:
    """What `solve` minimises, term by term, as it is written."""
    data = (trust[:, None] * (h - maps).square()).sum()
    across = ((h - like)[..., 1:] - (h - like)[..., :-1]).square().sum()
    down = ((h - like)[..., 1:, :] - (h - like)[..., :-1, :]).square().sum()
    return data + stiffness * (across + down)


@pytest.mark.parametrize("height, width", [(4, 4), (5, 3), (1, 6), (7, 1)])
def test_the_solution_is_that_of_one_dense_system(height, width):
    maps, like = (
        torch.randn(2, 3, height, width).double(),
        torch.randn(2, 3, height, width).double(),
    )
    trust = torch.exp(torch.randn(2, height, width).double() * 4)
    # The Laplacian of the grid, from its edges.
    lap = np.zeros((height * width, height * width))
    for y in range(height):
        for x in range(width):
            for v, u in ((y, x + 1), (y + 1, x)):
                if v < height and u < width:
                    edge = np.zeros(height * width)
                    edge[y * width + x], edge[v * width + u] = 1, -1
                    lap += np.outer(edge, edge)
    wanted = torch.empty_like(maps)
    for i in range(2):
        t = np.diag(trust[i].flatten().numpy())
        for c in range(3):
            side = t @ maps[i, c].flatten().numpy() + 0.3 * lap @ like[i, c].flatten().numpy()
            found = np.linalg.solve(t + 0.3 * lap, side)
            wanted[i, c] = torch.from_numpy(found).view(height, width)
    torch.testing.assert_close(solve(maps, trust, 0.3, like), wanted, rtol=1e-8, atol=1e-8)


def test_the_energy_is_flat_at_the_solution():
    maps, like = torch.randn(1, 2, 4, 5).double(), torch.randn(1, 2, 4, 5).double()
    trust = torch.rand(1, 4, 5).double() + 0.1
    h = solve(maps, trust, 0.7, like).requires_grad_()
    energy(h, maps, trust, 0.7, like).backward()
    assert h.grad is not None and h.grad.abs().max() < 1e-10


def test_gradients_are_those_of_finite_differences():
    maps, like = (torch.randn(1, 2, 3, 3, dtype=torch.double, requires_grad=True) for _ in range(2))
    logit = torch.randn(1, 3, 3, dtype=torch.double, requires_grad=True)
    colours = Colours.of(torch.randn(4, 2, 3, 3), torch.randn(4, 1, 3, 3))
    for how in FILLS:
        assert torch.autograd.gradcheck(
            lambda m, z, d, how=how: fill(m, z, d, how, colours=colours), (maps, logit, like)
        )


def test_full_trust_keeps_and_no_trust_takes_the_donors_texture():
    maps, donor = torch.randn(1, 2, 6, 6).double(), torch.randn(1, 2, 6, 6).double()
    logit = torch.full((1, 6, 6), -torch.inf)
    logit[0, 2:4, 2:4] = 12
    for how in ("mix", "clone"):
        filled = fill(maps, logit, donor, how)
        assert torch.equal(filled[:, :, :2], maps[:, :, :2])
        assert not torch.allclose(filled[:, :, 2:4, 2:4], maps[:, :, 2:4, 2:4], atol=0.1)
    mixed = fill(maps, logit, donor, "mix")
    torch.testing.assert_close(mixed[:, :, 2:4, 2:4], donor[:, :, 2:4, 2:4], atol=1e-4, rtol=0)
    # A constant is cloned away: only gradients count.
    level = fill(torch.ones(1, 1, 6, 6), logit, torch.full((1, 1, 6, 6), 7.0), "clone")
    torch.testing.assert_close(level, torch.ones(1, 1, 6, 6), atol=1e-3, rtol=0)


def test_a_smooth_fill_stays_between_what_is_around():
    maps = torch.rand(1, 1, 8, 8) * 2 - 1
    logit = torch.full((1, 8, 8), -torch.inf)
    logit[0, 2:6, 2:6] = 12
    filled = fill(maps, logit, None, "smooth")
    assert filled.min() >= maps.min() - 1e-6 and filled.max() <= maps.max() + 1e-6


def test_only_non_negative_maps_are_kept_above_zero():
    maps, donor = torch.zeros(1, 1, 4, 4), torch.eye(4).view(1, 1, 4, 4) * 9
    logit = torch.zeros(1, 4, 4)
    assert fill(maps, logit, donor, "clone").min() < -0.1
    assert fill(maps, logit, donor, "clone", nonnegative=True).min() == 0


def test_half_precision_comes_back_as_half_precision():
    maps, donor = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    logit = torch.randn(2, 4, 4) * 3
    colours = Colours.of(maps, torch.randn(2, 3, 8, 8))
    for how in FILLS:
        half = fill(maps.half(), logit, donor.half(), how, colours=colours)
        assert half.dtype == torch.float16
        torch.testing.assert_close(
            half.float(), fill(maps, logit, donor, how, colours=colours), atol=0.02, rtol=0.02
        )


# --- colours --------------------------------------------------------------------------------------


def painted(count: int, colours: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Maps whose first 3 of 6 filters mix the colour of each of 6 x 6 places, and images of it.

    colours: count x 3, of the whole image; each place is a little off.
    """
    draws = torch.Generator().manual_seed(seed)
    at = colours.view(count, 3, 1, 1) + 0.2 * torch.randn(count, 3, 6, 6, generator=draws)
    mixing = torch.tensor([[1.0, 0.5, 0.0], [0.0, 2.0, 1.0], [-1.0, 0.0, 1.0]])
    others = torch.randn(count, 3, 6, 6, generator=draws)
    maps = torch.cat([torch.einsum("fc,nchw->nfhw", mixing, at), others], 1)
    return maps.double(), at.repeat_interleave(2, 2).repeat_interleave(2, 3).double()


def test_colours_are_read_off_maps_and_a_shift_is_that_of_samples():
    maps, images = painted(40, torch.randn(40, 3, generator=torch.Generator().manual_seed(1)), 2)
    colours = Colours.of(maps, images)
    pooled = torch.nn.functional.adaptive_avg_pool2d(images, 6)
    unit = pooled.std((0, 2, 3), correction=0)
    fresh, shown = painted(5, torch.randn(5, 3, generator=torch.Generator().manual_seed(3)), 4)
    seen = torch.nn.functional.adaptive_avg_pool2d(shown, 6) / unit.view(1, 3, 1, 1)
    read = colours.read(fresh)
    for channel in range(3):
        pair = torch.stack([read[:, channel].flatten(), seen[:, channel].flatten()])
        assert torch.corrcoef(pair)[0, 1] > 0.98
    # One unit of the second colour: filters that have it move by it, others do not.
    by = torch.zeros(1, 3, 1, 1).double()
    by[0, 1] = 1
    moved = colours.shift(by).flatten()
    wanted = torch.tensor([0.5, 2.0, 0.0, 0.0, 0.0, 0.0]).double() * unit[1]
    torch.testing.assert_close(moved, wanted, atol=0.05, rtol=0)
    change = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(5)).double()
    torch.testing.assert_close(colours.read(colours.shift(change)), change)


def test_a_recoloured_donor_keeps_its_texture_and_takes_the_colour_around():
    draws = torch.Generator().manual_seed(6)
    maps, images = painted(40, torch.randn(40, 3, generator=draws), 7)
    colours = Colours.of(maps, images)
    own, _ = painted(1, torch.tensor([[1.0, -1.0, 0.5]]), 8)
    texture = torch.randn(1, 6, 6, 6, generator=draws).double()
    texture = texture - colours.shift(colours.read(texture))  # all of it but colour
    donor = own + texture + colours.shift(torch.tensor([2.0, 1.0, -3.0]).double().view(1, 3, 1, 1))
    logit = torch.full((1, 6, 6), -torch.inf)
    logit[0, 2:4, 2:4] = 12
    filled = fill(own, logit, donor, "recolour", colours=colours)
    inside = (slice(None), slice(None), slice(2, 4), slice(2, 4))
    torch.testing.assert_close(filled[inside], (own + texture)[inside], atol=1e-3, rtol=0)
    assert (fill(own, logit, donor, "mix") - own - texture)[inside].abs().max() > 1


def test_grey_images_and_a_colour_that_no_filter_has_do_not_blow_a_shift_up():
    maps, images = painted(40, torch.randn(40, 3, generator=torch.Generator().manual_seed(1)), 2)
    noise = torch.randn(40, 1, 12, 12, generator=torch.Generator().manual_seed(9))
    images = torch.cat([images[:, :2], noise.double()], 1)
    shift = Colours.of(maps, images).shift(torch.ones(1, 3, 1, 1).double())
    assert shift.abs().max() < 10
    assert Colours.of(maps, images[:, :1]).shift(torch.ones(1, 1, 1, 1).double()).abs().max() < 10


# --- donors ---------------------------------------------------------------------------------------


def pool_of(maps: Tensor, p: Tensor) -> Pool:
    return Pool(lambda part: Part({"a": maps[part]}, {"a": p[part]}), len(maps))


def test_the_donor_is_the_one_that_fits_on_the_rim():
    own = torch.randn(1, 4, 8, 8)
    donors = torch.randn(120, 4, 8, 8)
    donors[77] = own[0]
    donors[77, :, 3:5, 3:5] = 50  # whatever it has at the place itself
    p = torch.zeros(1, 8, 8)
    p[0, 3:5, 3:5] = 1
    nothing = torch.zeros(120, 8, 8)
    found = match(pool_of(donors, nothing), {"a": own}, {"a": p})
    assert found.number.tolist() == [77]
    assert torch.equal(found.maps[0], donors[77])
    # One that has the object there itself is not taken.
    shows = nothing.clone()
    shows[77, 3:5, 3:5] = 1
    assert match(pool_of(donors, shows), {"a": own}, {"a": p}).number.tolist() != [77]


def test_the_misfit_is_the_mean_square_difference_on_the_rim():
    own, donors = torch.randn(2, 3, 8, 8).double(), torch.randn(60, 3, 8, 8).double()
    p = torch.zeros(2, 8, 8)
    p[0, 3:5, 2:4], p[1, 0:2, 5:8] = 0.9, 0.9
    found = match(pool_of(donors, torch.zeros(60, 8, 8)), {"a": own}, {"a": p})
    scale = donors[:50].std((0, 2, 3), correction=0) + 1e-4
    for i in range(2):
        ys, xs = torch.where(p[i] > 0)
        rim = torch.zeros(8, 8, dtype=torch.bool)
        rim[max(0, ys.min() - 1) : ys.max() + 2, max(0, xs.min() - 1) : xs.max() + 2] = True
        rim &= p[i] == 0
        apart = ((own[i] - donors) / scale.view(3, 1, 1)).square().mean(1)[:, rim].mean(1)
        assert found.number[i] == apart.argmin()
        assert found.misfit[i].item() == pytest.approx(apart.min().item(), rel=1e-4)


def test_colours_on_the_rim_count_as_much_as_all_filters():
    """Filter 0 paints; donor 5 fits in 15 filters and has another colour, donor 9 the reverse."""
    donors = torch.randn(50, 16, 4, 4)
    images = torch.nn.functional.interpolate(donors[:, :1], scale_factor=2)
    own = torch.randn(1, 16, 4, 4)
    donors[5, 1:], donors[5, 0] = own[0, 1:], own[0, 0] + 3
    donors[9, 0], donors[9, 1:] = own[0, 0], own[0, 1:] + 1
    images[5], images[9] = (
        torch.nn.functional.interpolate(donors[i : i + 1, :1], scale_factor=2)[0] for i in (5, 9)
    )
    p = torch.zeros(1, 4, 4)
    p[0, 1, 1] = 1
    nothing = torch.zeros(50, 4, 4)

    def taken(images: Tensor | None) -> int:
        pool = Pool(lambda part: Part({"a": donors[part]}, {"a": nothing[part]}), 50, images)
        return int(match(pool, {"a": own}, {"a": p}).number)

    assert taken(None) == 5 and taken(images) == 9
    # The readout is that of scikit-learn's ridge regression on standardised values.
    x = donors.permute(0, 2, 3, 1).reshape(-1, 16).double().numpy()
    y = images[:, :, ::2, ::2].reshape(-1).double().numpy()
    scale = x.std(0) + 1e-4
    model = Ridge(alpha=0.01 * len(x)).fit((x - x.mean(0)) / scale, (y - y.mean()) / y.std())
    pool = Pool(lambda part: Part({"a": donors[part]}, {"a": nothing[part]}), 50, images)
    read = pool.views["a"](own)[0, 16].numpy()
    wanted = np.einsum("cx,c->x", own[0].flatten(1).double().numpy(), model.coef_ / scale)
    assert read == pytest.approx(wanted, abs=1e-3)


def test_a_pool_that_is_drawn_anew_gives_the_same_as_one_that_is_kept(monkeypatch):
    donors, own = torch.randn(130, 4, 8, 8), torch.randn(3, 4, 8, 8)
    p = (torch.rand(3, 8, 8) > 0.8).float()
    kept = match(pool_of(donors, torch.zeros(130, 8, 8)), {"a": own}, {"a": p})
    monkeypatch.setattr("dcgan_probe.edits.donors.KEEP_BYTES", 0)
    drawn = match(pool_of(donors, torch.zeros(130, 8, 8)), {"a": own}, {"a": p})
    assert torch.equal(kept.number, drawn.number) and torch.equal(kept.maps, drawn.maps)


def test_donors_are_named_by_seed_and_index(config):
    z = Donors(3, (2000, 5, 17)).latents(config)
    assert torch.equal(z[1], dp.latents.sample(config, 1, 3, 5)[0])
    assert torch.equal(z[0], dp.latents.sample(config, 1, 3, 2000)[0])
    with pytest.raises(InputError, match="donors"):
        Donors(0, (1, 1))


# --- where ----------------------------------------------------------------------------------------


def regression_of(generator: nn.Module, config: dp.Config, bias: float = -1.0) -> PlaceRegression:
    """Of random weights: whatever it marks is somewhere, and differs between samples."""
    random = torch.Generator().manual_seed(5)
    maps = hooks.collect(generator, LAYERS, dp.latents.sample(config, 1, 0))

    def linear(count: int, scale: float, at: float) -> Linear:
        return Linear(tuple((torch.randn(count, generator=random) * scale).tolist()), at)

    own = tuple(linear(h.shape[1], 2.0, 0.0) for h in maps.values())
    joint = tuple(linear(27, 0.5, bias) for _ in maps)
    return PlaceRegression(LAYERS, own, joint)


def test_the_evidence_is_here_around_and_in_the_image_with_products():
    a = torch.randn(1, 4, 4)
    values = evidence({"a": a}, (4, 4))
    soft = torch.asinh(a[0])
    assert values.shape == (1, 9, 4, 4)
    torch.testing.assert_close(values[0, 0], soft)
    torch.testing.assert_close(values[0, 1, 1, 1], soft[:3, :3].mean())
    assert (values[0, 2] == soft.max()).all()
    torch.testing.assert_close(values[0, 3], soft * soft)
    torch.testing.assert_close(values[0, 4, 1, 1], soft[1, 1] * soft[:3, :3].mean())


def test_the_joint_logit_is_the_regression_of_the_evidence():
    own = {name: torch.randn(3, side, side) for name, side in (("a", 4), ("b", 8))}
    weights = tuple((torch.randn(27) * 0.3).tolist())
    zero = Linear((1.0,), 0.0)
    both = PlaceRegression(("a", "b"), (zero, zero), (Linear(weights, 0.2), Linear(weights, -0.1)))
    found = both.logits({name: logit[:, None] for name, logit in own.items()})
    for (name, side), joint in zip((("a", 4), ("b", 8)), both.joint, strict=True):
        wanted = joint(evidence(own, (side, side)))
        torch.testing.assert_close(found[name], wanted.clamp(-12, 12), rtol=1e-5, atol=1e-5)


def test_what_is_not_connected_to_a_sign_is_left_alone():
    logit = torch.full((1, 3, 9), -6.0)
    logit[0, 1, 1], logit[0, 1, 2], logit[0, 1, 7] = 0.0, -3.0, -3.5
    reached = reach(logit, 2.0) > -torch.inf
    assert reached[0, 1, 1] and reached[0, 1, 2]
    assert not reached[0, 1, 7] and reached.sum() == 2


def test_nan_and_wrong_weights_are_refused():
    ok = PlaceRegression(("a",), (Linear((1.0, 2.0), 0.0),), (Linear((0.1,) * 9, 0.0),))
    assert ok.logits({"a": torch.zeros(1, 2, 4, 4)})["a"].shape == (1, 4, 4)
    with pytest.raises(InputError, match="layer 'a': found NaN"):
        ok.logits({"a": torch.full((1, 2, 4, 4), torch.nan)})
    with pytest.raises(InputError, match="found 2 weights for 3 values"):
        ok.logits({"a": torch.zeros(1, 3, 4, 4)})
    with pytest.raises(InputError, match="values without places"):
        ok.logits({"a": torch.zeros(1, 2)})


# --- active edits ---------------------------------------------------------------------------------


def erasure(session: dp.Session, **changes) -> PlaceEdit:
    regression = regression_of(session.generator, session.config)
    begin = PlaceEdit(
        LAYERS,
        SHA,
        "window",
        regression,
        widen=1.0,
        fill="clone",
        donors=Donors(0, tuple(range(60, 80))),
    )
    return replace(begin, **changes)


FORMS = {
    "mix": {"fill": "mix"},
    "clone": {},
    "recolour": {"fill": "recolour"},
    "recolour, one donor": {"fill": "recolour", "donors": Donors(0, (61,))},
    "smooth": {"fill": "smooth", "donors": None},
    "one layer": {"layers": ("16x16",)},
    "region": {"regression": None, "where": (8, 8, 24, 24)},
    "both": {"where": (0, 0, 16, 32)},
}


@pytest.mark.parametrize("form", FORMS)
def test_in_force_it_is_what_is_put_together_by_hand(session, form):
    edit = erasure(session, **FORMS[form])
    z = session.latents(7)
    generator, config = session.generator, session.config
    with torch.no_grad():
        maps = hooks.collect(generator, LAYERS, z)
        plan = edit.planner(generator, config)
        functions, logits = plan(maps), plan.logits(maps)
        first, *later = edit.layers
        edited = functions[first](maps[first])
        with hooks.patch(generator, first, edited):
            if later:
                became = hooks.collect(generator, ("16x16",), z)["16x16"]
                p = torch.sigmoid(logits["16x16"])[:, None]
                mixed = (1 - p) * maps["16x16"] + p * became
                with hooks.patch(generator, "16x16", mixed):
                    wanted = generator(z)
            else:
                wanted = generator(z)
    plain = session.generate(z)
    with session.editing(edit):
        found = session.generate(z)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    assert (found - plain).abs().amax((1, 2, 3)).max() > 1e-2
    assert torch.equal(session.generate(z), plain)


@pytest.mark.parametrize("form", FORMS)
def test_a_tail_gives_the_images_of_the_whole(session, form):
    edit = erasure(session, **FORMS[form])
    z = session.latents(5)
    with session.editing(edit):
        wanted = session.generate(z)
    plan = edit.planner(session.generator, session.config)
    base = Tail(session.generator, edit.seen[0]).start(z)
    with torch.no_grad():
        torch.testing.assert_close(base.planned(edit.seen, plan), wanted, atol=1e-5, rtol=0)


def test_the_result_does_not_depend_on_the_batch(session):
    z = session.latents(9)
    with session.editing(erasure(session)), torch.no_grad():
        whole = session.generator(z)
        parts = torch.cat([session.generator(part) for part in z.split([1, 5, 3])])
        order = torch.randperm(9)
        mixed = torch.empty_like(whole)
        mixed[order] = session.generator(z[order])
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=0)
    torch.testing.assert_close(mixed, whole, atol=1e-5, rtol=0)


def test_gradients_flow_through_it(session):
    z = session.latents(2).requires_grad_()
    with session.editing(erasure(session, fill="smooth", donors=None, widen=0.0)):
        loss = session.generator(z).square().sum()
        (gradient,) = torch.autograd.grad(loss, z)
        step = torch.zeros_like(z)
        step[0, 3] = 1e-3
        with torch.no_grad():
            up, down = (session.generator(z + s * step).square().sum() for s in (1, -1))
    assert gradient[0, 3].item() == pytest.approx((up - down).item() / 2e-3, rel=0.05, abs=0.05)


def test_outside_of_a_region_the_maps_come_back_bit_for_bit(session):
    edit = PlaceEdit(LAYERS, SHA, fill="smooth", where=(8, 8, 24, 24))
    z = session.latents(3)
    before = hooks.collect(session.generator, ("16x16",), z)["16x16"]
    with session.editing(edit):
        after = hooks.collect(session.generator, ("16x16",), z)["16x16"]
    same = (before == after).all(1)
    outside = torch.ones(16, 16, dtype=torch.bool)
    outside[4:12, 4:12] = False
    assert same[:, outside].all() and not same[:, ~outside].all()


def test_edits_compose_in_the_order_in_which_they_are_made(session):
    """Against a network whose maps are changed by hand, one edit after the other."""
    erase = erasure(session, fill="smooth", donors=None)
    drop = dp.Selection("16x16", (0, 2), SHA)
    z = session.latents(4)
    generator, config = session.generator, session.config
    dropped = torch.tensor([0, 2])
    with torch.no_grad(), hooks.ablate(generator, "16x16", [0, 2]):
        seen_dropped = hooks.collect(generator, LAYERS, z)
    with torch.no_grad():
        seen = hooks.collect(generator, LAYERS, z)

    def images(maps: dict[str, Tensor], drop_first: bool) -> Tensor:
        functions = erase.planner(generator, config)(maps)
        with hooks.edit(generator, "8x8", functions["8x8"]):
            became = hooks.collect(generator, ("16x16",), z)["16x16"]
        if drop_first:
            became = became.index_fill(1, dropped, 0)
        after = functions["16x16"](became)
        if not drop_first:
            after = after.index_fill(1, dropped, 0)
        with hooks.patch(generator, "16x16", after):
            return generator(z)

    with torch.no_grad():
        first, last = images(seen_dropped, True), images(seen, False)
    with session.editing(drop, erase):
        torch.testing.assert_close(session.generate(z), first, atol=1e-5, rtol=0)
    with session.editing(erase, drop):
        torch.testing.assert_close(session.generate(z), last, atol=1e-5, rtol=0)
    assert (first - last).abs().max() > 1e-3


def test_two_objects_are_erased_one_after_the_other(session):
    left = PlaceEdit(("16x16",), SHA, fill="smooth", where=(0, 0, 16, 32))
    other = erasure(session)
    z = session.latents(3)
    session.edit(left)
    once = session.generate(z)
    plan = other.planner(session.generator, session.config)  # of the edited generator
    with torch.no_grad():
        maps = hooks.collect(session.generator, LAYERS, z)
        functions = plan(maps)
    session.edit(other)
    twice = session.generate(z)
    assert [str(each) for each in session.edits] == [str(left), str(other)]
    assert session.undo() == other
    first, second = (
        hooks.edit(session.generator, name, function) for name, function in functions.items()
    )
    with torch.no_grad(), first, second:
        torch.testing.assert_close(twice, session.generator(z), atol=1e-5, rtol=0)
    torch.testing.assert_close(session.generate(z), once, atol=0, rtol=0)
    session.close()


def test_a_transplant_moves_the_donors_maps_by_whole_locations(session):
    edit = PlaceEdit(
        ("16x16",),
        SHA,
        "window",
        where=(16, 8, 24, 16),
        fill="mix",
        donors=Donors(0, (11,)),
        moved=(12, -4),
    )
    z = session.latents(2)
    donor = hooks.activations(session.generator, "16x16", session.latents(1, start=11))
    with session.editing(edit), torch.no_grad():
        after = hooks.activations(session.generator, "16x16", z)
    torch.testing.assert_close(after[0, :, 4:8, 8:12], donor[0, :, 6:10, 2:6], atol=1e-4, rtol=0)
    for moved in ((1, 0), (0, 3)):
        with pytest.raises(InputError, match="multiples of 2, a location of layer 16x16"):
            replace(edit, moved=moved).planner(session.generator, session.config)


@pytest.mark.parametrize("fill", ["mix", "smooth"])
def test_a_feathered_edit_sets_in_from_the_edges_of_its_region(session, fill):
    """Four pixels a way on 16x16 of 32 pixels: two locations; the left side is the image's."""
    donors = None if fill == "smooth" else Donors(0, (11,))
    edit = PlaceEdit(("16x16",), SHA, where=(0, 8, 24, 24), fill=fill, donors=donors, feather=4.0)
    z = session.latents(2)
    maps = hooks.collect(session.generator, ("16x16",), z)
    planner = edit.planner(session.generator, session.config)
    p = torch.sigmoid(planner.logits(maps)["16x16"])
    for row in range(16):
        for column in range(16):
            x, y = 2 * column + 1, 2 * row + 1
            if not (x < 24 and 8 <= y < 24):
                assert (p[:, row, column] == 0).all()
                continue
            wanted = min(24 - x, y - 8, 24 - y) / 4
            found = p[:, row, column]
            torch.testing.assert_close(found, torch.full((2,), min(wanted, 1.0)), atol=1e-4, rtol=0)
    after = planner(maps)["16x16"](maps["16x16"])
    outside = p == 0
    same = (after == maps["16x16"]).all(1)
    assert same[outside].all() and not same[p > 0.2].all()
    if donors is not None:
        donor = hooks.activations(session.generator, "16x16", session.latents(1, start=11))
        mixed = torch.lerp(maps["16x16"], donor.expand(2, -1, -1, -1), p[:, None])
        torch.testing.assert_close(after, mixed, atol=1e-4, rtol=0)


def test_an_unedited_donor_is_drawn_as_the_checkpoint_draws_it(session):
    begin = PlaceEdit(
        ("16x16",), SHA, where=(8, 8, 24, 24), fill="mix", donors=Donors(0, (11,), unedited=True)
    )
    erase = PlaceEdit(("16x16",), SHA, fill="smooth", where=(4, 4, 28, 28))
    drop = dp.Selection("8x8", (0, 1), SHA)
    z = session.latents(2)
    plain = hooks.activations(session.generator, "16x16", session.latents(1, start=11))
    after = {}
    for unedited in (True, False):
        put = replace(begin, donors=Donors(0, (11,), unedited))
        with session.editing(drop, erase, put), torch.no_grad():
            after[unedited] = hooks.activations(session.generator, "16x16", z)[:, :, 4:12, 4:12]
    place = plain[:, :, 4:12, 4:12].expand(2, -1, -1, -1)
    torch.testing.assert_close(after[True], place, atol=1e-4, rtol=0)
    assert (after[False] - place).abs().max() > 1e-2


def test_a_probe_in_force_sees_the_edited_maps(session):
    """Hooks that come later act once, on the forward that counts."""
    edit = erasure(session, fill="smooth", donors=None)
    z = session.latents(3)
    with session.editing(edit), torch.no_grad():
        seen = hooks.activations(session.generator, "16x16", z)
        with hooks.record(session.generator, "16x16") as recorded:
            images = session.generator(z)
        assert torch.equal(recorded["16x16"], seen)
        with hooks.patch(session.generator, "16x16", seen.clone()):
            torch.testing.assert_close(session.generator(z), images, atol=1e-6, rtol=0)
        base = Tail(session.generator, "16x16").start(z)
        torch.testing.assert_close(base.images(), images, atol=1e-5, rtol=0)
        # A cut between its layers: the whole is run.
        between = Tail(session.generator, "8x8").start(z)
        torch.testing.assert_close(between.images(), images, atol=1e-5, rtol=0)
    older = hooks.ablate(session.generator, "4x4", [1, 3])
    with older, torch.no_grad():
        maps = hooks.collect(session.generator, LAYERS, z)
        functions = edit.planner(session.generator, session.config)(maps)
        first, second = (
            hooks.edit(session.generator, name, function) for name, function in functions.items()
        )
        with first, second:
            wanted = session.generator(z)
    with older, session.editing(edit), torch.no_grad():
        torch.testing.assert_close(session.generator(z), wanted, atol=1e-5, rtol=0)


def test_any_network_is_edited_where_its_tail_cannot_be_cut():
    torch.manual_seed(1)
    session = dp.Session.from_modules(generator=ResidualG(), latent=16, device="cpu")
    edit = PlaceEdit(
        ("blocks.1.conv1",), session.checkpoint.sha256, fill="smooth", where=(8, 8, 24, 24)
    )
    z = session.latents(3)
    plain = session.generate(z)
    with session.editing(edit):
        whole = session.generate(z)
    assert (whole - plain).abs().max() > 1e-4
    base = Tail(session.generator, "blocks.1.conv1").start(z)
    with torch.no_grad():
        images = base.planned(edit.seen, edit.planner(session.generator, session.config))
    torch.testing.assert_close(images, whole, atol=1e-5, rtol=0)
    assert hooks.activations(session.generator, "blocks.1.conv1", z).min() < 0


# --- files and bad input --------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_a_file_gives_the_same_edit_and_the_same_image_bit_for_bit(session, tmp_path, form):
    edit = erasure(session, **FORMS[form], about={"boxes": 3})
    edit.write(tmp_path / "edit.json")
    again = edit_files.read(tmp_path / "edit.json")
    assert again == edit and again.change() == edit.change()
    with session.editing(edit):
        images = session.sample(4)
    with session.editing(again):
        assert torch.equal(session.sample(4), images)
        assert session.made_with()["edits"] == [edit.change()]
        assert str(edit) in session.caption()


def test_a_selection_is_read_as_one(tmp_path):
    selection = dp.Selection("8x8", (1, 5), SHA)
    selection.write(tmp_path / "selection.json")
    assert edit_files.read(tmp_path / "selection.json") == selection


@pytest.mark.parametrize(
    "change, message",
    [
        ({"layers": []}, "layers: .*expected one layer or more"),
        ({"layers": ["16x16", "8x8"]}, "found 16x16, 8x8, expected them in the order of the data"),
        ({"layers": ["32x32"]}, "unknown layer '32x32'"),
        ({"fill": "paint"}, "unknown fill 'paint', expected one of: mix, recolour, clone, smooth"),
        ({"fill": "smooth"}, "fill smooth: found donors"),
        ({"widen": float("nan")}, "widen: .*expected a finite number"),
        ({"where": [5, 5, 5, 9]}, "expected x0,y0,x1,y1"),
        ({"where": [0, 0, 40, 9]}, "found x1 = 40, expected at most 32"),
        ({"where": [8.2, 8.2, 8.6, 8.6]}, "found no location of layer"),
        ({"donors": {"seed": 0, "indices": []}}, "donors"),
        ({"feather": -1}, r"feather: found -1\.0, expected 0, or with a region more"),
        ({"feather": "a"}, "feather: found"),
        (
            {"donors": {"seed": 0, "indices": [1], "unedited": 1}},
            "unedited: found 1, expected true",
        ),
        ({"donors": {"seed": -1, "start": 0, "n": 2}}, "seed: found -1"),
        ({"checkpoint": "cd" * 32}, "found locations of checkpoint cdcdcdcd, expected .*abab"),
        ({"format": "dcgan-probe/selection/2"}, "format: found"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(session, tmp_path, change, message):
    path = tmp_path / "edit.json"
    erasure(session).write(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=message) as caught, session.editing(edit_files.read(path)):
        pass
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert not session.edits


def test_broken_numbers_of_a_regression_are_refused(session, tmp_path):
    path = tmp_path / "edit.json"
    erasure(session).write(path)
    value = json.loads(path.read_text())
    value["regression"]["8x8"]["own"]["weights"][2] = float("nan")
    path.write_text(json.dumps(value))
    with pytest.raises(InputError, match=r'regression\["8x8"\].own.weights\[2\]: .*finite'):
        edit_files.read(path)
    value["regression"]["8x8"]["own"]["weights"] = [1.0, 2.0]
    path.write_text(json.dumps(value))
    with pytest.raises(InputError, match="found 2 weights"), session.editing(edit_files.read(path)):
        pass


class OneLocation(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale, self.one = nn.Parameter(torch.ones(1)), nn.Identity()

    def forward(self, z: Tensor) -> Tensor:
        maps = self.one(z[:, :3, None, None] * self.scale)
        return torch.tanh(nn.functional.interpolate(maps, scale_factor=8))


def test_a_layer_of_one_location_is_refused():
    session = dp.Session.from_modules(generator=OneLocation(), latent=4, device="cpu")
    edit = PlaceEdit(("one",), session.checkpoint.sha256, fill="smooth", where=(0, 0, 8, 8))
    with pytest.raises(InputError, match="layer 'one': found no places to tell apart"):
        edit.planner(session.generator, session.config)
