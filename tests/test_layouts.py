"""Public layouts of checkpoints: the networks that are opened do what plain modules do."""

from __future__ import annotations

import re
from pathlib import Path

import layouts
import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import dcgan_probe as dp
from dcgan_probe import checkpoints
from dcgan_probe.checkpoints import structure
from dcgan_probe.checkpoints.facts import Facts
from dcgan_probe.errors import InputError


def opened(tmp_path, layout, **facts):
    g, d = layouts.build(layout)
    torch.save(layout.save(g, d), tmp_path / "c.pth")
    return g, d, checkpoints.load(tmp_path / "c.pth", Facts(**{**layout.facts, **facts}))


@pytest.mark.parametrize("layout", layouts.LAYOUTS, ids=lambda layout: layout.name)
def test_a_layout_opens_as_its_plain_forward(tmp_path, layout):
    g, d, found = opened(tmp_path, layout)
    assert found.config.size == layout.size
    unit = isinstance(g[-1], nn.Sigmoid)
    with torch.no_grad():
        z = layouts.normal(16)
        own = (
            z
            if not getattr(found.config, "classes", 0)
            else torch.cat([z, torch.eye(10)[[found.config.label] * 16]], 1)
        )
        images = g(layouts.shaped(g, own))
        expected = 2 * images - 1 if unit else images.clamp(-1, 1)
        torch.testing.assert_close(found.generator(z), expected, atol=1e-5, rtol=1e-4)
        # Edits act on the same maps after a file of ours.
        checkpoints.save(found, tmp_path / "c.safetensors")
        again = checkpoints.load(tmp_path / "c.safetensors")
        assert again.config == found.config
        assert torch.equal(again.generator(z), found.generator(z))
        assert (found.discriminator is not None) or d is None or layout.save is not layouts.plain
        if found.discriminator is not None:
            scores = d(images).flatten(1)
            torch.testing.assert_close(
                found.discriminator(expected).view(scores.shape), scores, atol=1e-4, rtol=1e-4
            )
    session = dp.Session(found, device="cpu")
    assert session.sample(2).shape == (2, found.config.channels, layout.size, layout.size)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("z uniform", "z uniform"),
        ("eps 0.8", "eps 0.8"),
        ("LeakyReLU in the generator", "slope 0.2 in the generator"),
        ("one-hot class behind z", "the last 10 of 26 inputs a one-hot class"),
        ("sigmoid, shown by D", "output sigmoid"),
        ("eps 0.8 and LeakyReLU", "slope 0.2 in the generator; eps 0.8;"),
        (
            "upsampling and convolutions, norms last in D",
            "norms behind the activations of the discriminator",
        ),
        ("pytorch/examples", "assumed: z normal (16), output tanh, slope 0 in the generator"),
    ],
)
def test_what_was_assumed_and_what_the_statistics_show_is_said(tmp_path, name, words, capsys):
    layout = next(each for each in layouts.LAYOUTS if each.name == name)
    _, _, found = opened(tmp_path, layout)
    assert words in " ".join(found.remarks)
    assert words in capsys.readouterr().err
    assert all("\n" not in remark for remark in found.remarks)


def test_a_class_among_many_inputs_is_found_by_what_the_first_norm_must_hold(tmp_path):
    """Ten classes behind 100 numbers: the variance is 1.08 of the stored, the means are noise."""
    torch.manual_seed(0)
    g = layouts.up(4, 4, 4, 4, widths=(64, 16, 8), channels=1, z=110)

    def draw(n):
        labels = nn.functional.one_hot(torch.randint(0, 10, (n,)), 10).float()
        return torch.cat([torch.randn(n, 100), labels], 1)[:, :, None, None]

    g = layouts.trained(g, [draw(64) for _ in range(20)])
    torch.save(g.state_dict(), tmp_path / "c.pth")
    found = checkpoints.load(tmp_path / "c.pth")
    assert (found.config.z_size, found.config.classes) == (100, 10)
    z = draw(4)
    with torch.no_grad():  # latents with a class of their own behind them keep it
        torch.testing.assert_close(found.generator(z.flatten(1)), g(z))


def conditional(size, classes=10, alike=False):
    """A generator that takes cat([one-hot, z]); alike: the rows of both ends are the same."""
    torch.manual_seed(0)
    g = layouts.up(4, 4, 4, 4, widths=(64, 16, 8), channels=1, z=size + classes)

    def draw(n):
        labels = nn.functional.one_hot(torch.randint(0, classes, (n,)), classes).float()
        return torch.cat([labels, torch.randn(n, size)], 1)[:, :, None, None]

    g = layouts.trained(g, [draw(64)])
    # Its statistics by hand: mean and variance of the rows of the class, and of z.
    with torch.no_grad():
        if alike:
            g[0].weight[-classes:] = g[0].weight[:classes]
        of_class, z = g[0].weight[:classes], g[0].weight[classes:]
        mean = of_class.mean(0)
        variance = z.square().sum(0) + of_class.var(0, correction=0)
        g[1].running_mean = mean.mean((1, 2))
        g[1].running_var = variance.mean((1, 2)) + mean.var((1, 2), correction=0)
        momentum, g[1].momentum = g[1].momentum, 0.0  # the others are measured
        g.train()(draw(512))
        g[1].momentum = momentum
    return g.eval(), draw


def test_a_class_before_z_is_told_from_one_behind_it(tmp_path):
    g, draw = conditional(100)
    torch.save(g.state_dict(), tmp_path / "c.pth")
    for label, number in ((None, 0), ("3/10", 3)):
        found = checkpoints.load(tmp_path / "c.pth", Facts(label=label))
        assert (found.config.z_size, found.config.classes) == (100, 10)
        assert found.config.class_first
        assert "the first 10 of 110 inputs a one-hot class;" in found.remarks[-1]
        assert "as well allow" not in found.remarks[-1]
        z = torch.randn(4, 100)
        one_hot = torch.eye(10)[[number] * 4]
        with torch.no_grad():
            right = g(torch.cat([one_hot, z], 1)[:, :, None, None])
            torch.testing.assert_close(found.generator(z), right)
    checkpoints.save(found, tmp_path / "c.safetensors")
    again = checkpoints.load(tmp_path / "c.safetensors")
    assert torch.equal(again.generator(z), found.generator(z))
    behind = checkpoints.load(tmp_path / "c.pth", Facts(label="3/10:last"))
    assert behind.sha256 != found.sha256
    words = (
        r"contradict --class 3/10:last: .* is \d+\.\d\d as said, \d+\.\d\d with the class before z"
    )
    assert re.search(words, behind.remarks[-1])


@pytest.mark.parametrize(
    ("name", "facts", "words"),
    [
        ("pytorch/examples", {"slope": 0.2}, "--slope 0.2: what enters main.4 .* with slope 0$"),
        ("z uniform", {"z": "normal"}, "--z normal: what enters main.1 .* with z uniform$"),
        ("pytorch/examples", {"z": "uniform"}, "--z uniform: what enters main.1 .* with z normal$"),
        ("pytorch/examples", {"size": 40}, "--size 40: what enters .* with size 32$"),
        ("pytorch/examples", {"eps": 0.8}, "--eps 0.8: what enters .* with eps 1e-05$"),
        (
            "pytorch/examples",
            {"z": "uniform", "slope": 0.2},
            "--z uniform, --slope 0.2: .* with z normal, slope 0$",
        ),
    ],
)
def test_what_is_said_against_the_statistics_is_a_warning_with_both_numbers(
    tmp_path, name, facts, words
):
    layout = next(each for each in layouts.LAYOUTS if each.name == name)
    g, _, found = opened(tmp_path, layout, **facts)
    warnings = [remark for remark in found.remarks if "WARNING" in remark]
    assert len(warnings) == 1
    assert re.search(words, warnings[0])
    assert not any("fit" in remark for remark in found.remarks)
    said, shown = map(float, re.findall(r"by (\d+\.\d\d)", warnings[0]))
    # The norm that is named, with what a plain forward gives it; and the same as said.
    norm = g[int(re.search(r"what enters \S*?(\d+) ", warnings[0])[1])]
    torch.manual_seed(0)
    z = layouts.shaped(g, layout.draw(4096))
    assert shown == pytest.approx(_ratio(g, norm, z), abs=0.03)
    if facts == {"slope": 0.2}:
        g[2] = nn.LeakyReLU(0.2)
        assert said == pytest.approx(_ratio(g, norm, z), abs=0.03)
    if facts == {"z": "uniform"}:
        z = layouts.shaped(g, layouts.uniform(4096))
        assert said == pytest.approx(_ratio(g, norm, z), abs=0.03)


def _ratio(g, norm, z):
    """The median, over maps, of the variance that enters a norm over the stored one."""
    entering = []
    handle = norm.register_forward_pre_hook(lambda _m, inputs: entering.append(inputs[0]))
    with torch.no_grad():
        g(z)
    handle.remove()
    return (entering[0].var((0, 2, 3)) / norm.running_var).median().item()


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("pytorch/examples", {"slope": 0.0, "z": "normal", "size": 32, "eps": 1e-5}),
        ("eps 0.8 and LeakyReLU", {"slope": 0.2, "eps": 0.8}),
        ("one-hot class behind z", {"label": "3/10:last"}),
        ("28x28, last padding 3", {"size": 28}),
    ],
)
def test_what_is_said_with_the_statistics_is_no_warning(tmp_path, name, facts):
    layout = next(each for each in layouts.LAYOUTS if each.name == name)
    _, _, found = opened(tmp_path, layout, **facts)
    assert "batch-norm statistics fit" in found.remarks[-1]
    assert "(of --model or convert)" in found.remarks[-1]  # other options that open files have none
    assert not any("WARNING" in remark for remark in found.remarks)


def test_a_class_that_may_be_at_either_end_is_said(tmp_path):
    g, _ = conditional(100, alike=True)
    torch.save(g.state_dict(), tmp_path / "c.pth")
    found = checkpoints.load(tmp_path / "c.pth")
    other = "first" if not found.config.class_first else "last"
    words = f"but the statistics as well allow the {other} 10: --class K/10:{other}"
    assert words in found.remarks[-1]
    said = checkpoints.load(tmp_path / "c.pth", Facts(label=f"0/10:{other}"))
    assert "as well allow" not in said.remarks[-1]


def test_statistics_that_do_not_fit_are_a_warning(tmp_path):
    layout = layouts.LAYOUTS[0]
    g, d = layouts.build(layout)
    for part in g:
        if isinstance(part, nn.BatchNorm2d):
            part.running_var *= torch.rand_like(part.running_var) * 20
    torch.save(g.state_dict(), tmp_path / "c.pth")
    assert "statistics do not fit" in checkpoints.load(tmp_path / "c.pth").remarks[-1]


def test_untouched_statistics_are_refused_and_estimated_where_that_is_asked(tmp_path, monkeypatch):
    monkeypatch.setattr("dcgan_probe.checkpoints.statistics.BATCHES", 4)
    g, _ = layouts.build(layouts.LAYOUTS[0])
    for part in g:
        if isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()
    torch.save(g.state_dict(), tmp_path / "ema.pth")
    with pytest.raises(InputError, match="never updated .*--statistics estimate measures them"):
        checkpoints.load(tmp_path / "ema.pth")
    found = checkpoints.load(tmp_path / "ema.pth", Facts(statistics="estimate"))
    alive, _ = layouts.build(layouts.LAYOUTS[0])
    z = layouts.normal(64)
    with torch.no_grad():
        images, right = found.generator(z), alive(z[:, :, None, None])
    assert (images - right).abs().mean() < 0.1 * right.std()
    assert "means over 4 batches" in found.info["statistics"]


def test_samples_that_are_alike_are_said_of_a_file(tmp_path):
    g, _ = layouts.build(layouts.LAYOUTS[0])
    with torch.no_grad():
        g[-2].weight.mul_(1e-4)
    torch.save(g.state_dict(), tmp_path / "c.pth")
    remarks = checkpoints.load(tmp_path / "c.pth").remarks
    assert "WARNING: 32 samples are alike: another z changes nothing" in remarks[-1]


def test_of_two_generators_one_is_chosen_or_asked_for(tmp_path):
    g, _ = layouts.build(layouts.LAYOUTS[0])
    state = layouts.prefixed("main.", g)
    torch.save({"g": state, "g_ema": state}, tmp_path / "both.pth")
    found = checkpoints.load(tmp_path / "both.pth")
    assert "took g, not g_ema: --weights NAME chooses" in found.remarks[0]
    torch.save({"one": state, "two": state}, tmp_path / "both.pth")
    with pytest.raises(InputError, match=r"second generator \(one, two\).* --weights NAME"):
        checkpoints.load(tmp_path / "both.pth")
    assert checkpoints.load(tmp_path / "both.pth", Facts(weights="two")).generator is not None


def test_what_is_left_out_is_said(tmp_path):
    g, _ = layouts.build(layouts.LAYOUTS[0])
    other = {"a.weight": torch.ones(4, 5, 3, 3), "b.weight": torch.ones(7, 9, 3, 3)}
    torch.save({"netG": layouts.prefixed("main.", g), "encoder": other}, tmp_path / "c.pth")
    found = checkpoints.load(tmp_path / "c.pth")
    assert "left out: " in found.remarks[0]
    assert "encoder: tensor b.weight: found 7x9x3x3 behind 4x5x3x3" in found.remarks[0]


def test_safetensors_are_sorted_by_number(tmp_path):
    g = layouts.up(2, 4, 4, 4, 4)
    g, d = layouts.build(layouts.Layout("more than ten", lambda: g))
    tensors = {name: tensor.contiguous() for name, tensor in g.state_dict().items()}
    safetensors.torch.save_file(tensors, tmp_path / "c.safetensors")
    z = layouts.normal(4)
    with torch.no_grad():
        torch.testing.assert_close(
            checkpoints.load(tmp_path / "c.safetensors").generator(z), g(z[:, :, None, None])
        )


def test_folders_of_state_dicts(tmp_path):
    g, d = layouts.build(layouts.LAYOUTS[0])
    for epoch in (3, 24):
        torch.save(layouts.prefixed("main.", g), tmp_path / f"netG_epoch_{epoch}.pth")
        torch.save(layouts.prefixed("main.", d), tmp_path / f"netD_epoch_{epoch}.pth")
    found = checkpoints.load(tmp_path)
    assert found.generator is not None
    assert found.discriminator is not None
    expected = "took netD_epoch_24.pth, netG_epoch_24.pth, not 2 older files"
    assert expected in found.remarks[0]
    hub = tmp_path / "hub"
    hub.mkdir()
    torch.save(g.state_dict(), hub / "pytorch_model.bin")
    (hub / "config.json").write_text('{"architectures": ["DCGAN"]}')
    assert checkpoints.load(hub).generator is not None


def test_the_authors_second_network_has_strides_on_every_other_layer(tmp_path, monkeypatch):
    """Kernels 3x3, strides on layers 2, 4, 6; a plain forward written out here."""
    monkeypatch.setattr("dcgan_probe.checkpoints.statistics.BATCHES", 2)
    rng = np.random.default_rng(0)
    g = [(8, 128), (8, 8), (8, 6), (6, 6), (6, 4), (4, 4), (4, 3)]
    d = [(4, 3), (4, 4), (6, 4), (6, 6), (8, 6), (8, 8)]
    number = 1
    arrays = {}

    def save(kind, shape):
        nonlocal number
        values = rng.normal(0, 0.2, shape).astype(np.float32)
        np.save(tmp_path / f"30_{kind}_params.jl_{number:02d}.npy", values)
        arrays[kind, number] = torch.from_numpy(values)
        number += 1

    for i, (a, b) in enumerate(g):
        save("gen", (a, b) if i == 0 else (a, b, 3, 3))
        if i < len(g) - 1:
            save("gen", (b,)), save("gen", (b,))
    number = 1
    for i, (a, b) in enumerate(d):
        save("discrim", (a, b, 3, 3))
        if i:
            save("discrim", (a,)), save("discrim", (a,))
    save("discrim", (8 * 16, 1))
    found = checkpoints.load(tmp_path)
    assert found.config.size == 32
    assert found.config.z_distribution == "uniform"
    assert tuple(found.config.hidden("discriminator").values()) == tuple(
        (s, s) for s in (32, 16, 16, 8, 8, 4)
    )
    images = found.generator(torch.rand(4, 8) * 2 - 1).detach()
    assert images.shape == (4, 3, 32, 32)
    # The discriminator by plain functions, with the statistics that were estimated.
    x, at = images, 1
    stats = dict(found.discriminator.named_buffers())
    names = found.config.layers("discriminator")
    for i in range(6):
        x = nn.functional.conv2d(x, arrays["discrim", at].flip(2, 3), None, 1 + i % 2, 1)
        at += 1
        if i:
            mean, var = (stats[f"{names[i]}.norm.running_{of}"] for of in ("mean", "var"))
            gain, bias = arrays["discrim", at], arrays["discrim", at + 1]
            x = nn.functional.batch_norm(x, mean, var, gain, bias, eps=1e-8)
            at += 2
        x = nn.functional.leaky_relu(x, 0.2)
    scores = x.flatten(1) @ arrays["discrim", at]
    torch.testing.assert_close(found.discriminator(images), scores[:, 0], atol=1e-4, rtol=1e-4)


def test_a_folder_may_hold_an_optimiser_beside(tmp_path):
    g, _ = layouts.build(layouts.LAYOUTS[0])
    torch.save(layouts.prefixed("main.", g), tmp_path / "netG.pth")
    alone = checkpoints.load(tmp_path).sha256
    optimiser = torch.optim.Adam(g.parameters())
    torch.save(optimiser.state_dict(), tmp_path / "optG.pth")
    found = checkpoints.load(tmp_path)
    assert found.sha256 == alone
    assert any("left out: " in remark and "optG.pth" in remark for remark in found.remarks)


def test_what_lies_beside_a_chain_is_refused_or_said(tmp_path):
    """An embedding may be part of the generator; what lies beside both networks is not."""
    g, d = layouts.build(layouts.LAYOUTS[0])
    tensors = {**layouts.prefixed("main.", g), "label_emb.weight": torch.randn(10, 10)}
    torch.save(tensors, tmp_path / "c.pth")
    with pytest.raises(InputError, match=r"label_emb.weight: found shape 10x10 beside the chain"):
        checkpoints.load(tmp_path / "c.pth")
    tensors = {**layouts.prefixed("g.", g), **layouts.prefixed("d.", d), "e.weight": torch.ones(4)}
    torch.save(tensors, tmp_path / "c.pth")
    assert "left out: " in (remark := checkpoints.load(tmp_path / "c.pth").remarks[0])
    assert "e.weight: found shape 4" in remark


def test_a_norm_that_is_missing_is_not_made_up_for_by_other_strides(tmp_path):
    g, _ = layouts.build(layouts.LAYOUTS[0])
    state = {name: t for name, t in g.state_dict().items() if not name.startswith("1.")}
    torch.save(state, tmp_path / "c.pth")
    found = checkpoints.load(tmp_path / "c.pth")
    assert found.config.size == 32
    assert "WARNING: the batch-norm statistics do not fit" in found.remarks[-1]


UNUSUAL = {
    "complex": lambda tensor: tensor.to(torch.complex64),
    "sparse": lambda tensor: tensor.to_sparse(),
    "quantized": lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8),
    "float8": lambda tensor: tensor.to(torch.float8_e4m3fn),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", UNUSUAL)
def test_tensors_that_are_not_dense_floats_are_named(tmp_path, kind):
    g = layouts.up(4, 4, 4, 4)
    tensors = {**g.state_dict(), "0.weight": UNUSUAL[kind](g[0].weight.detach())}
    torch.save(tensors, tmp_path / "c.pth")
    words = rf"c.pth: found {kind} .*expected dense.*; package.module:factory"
    with pytest.raises(InputError, match=words) as raised:
        checkpoints.load(tmp_path / "c.pth")
    assert "\n" not in str(raised.value)


def test_a_path_that_does_not_exist_is_said_with_the_way_out(tmp_path):
    words = "c.pth.*found no .*; package.module:factory opens any network"
    for load in (checkpoints.load, lambda path: checkpoints.convert([path])):
        with pytest.raises(InputError, match=words) as raised:
            load(tmp_path / "c.pth")
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("size", "kernels"),
    [(48, (6, 4, 4, 4)), (96, (6, 4, 4, 4, 4)), (96, (3, 4, 4, 4, 4, 4))],
)
def test_sizes_that_are_three_times_a_power_of_two(tmp_path, size, kernels):
    layout = layouts.Layout(
        f"{size}x{size}",
        lambda: layouts.up(*kernels),
        lambda: layouts.down(*reversed(kernels)),
        size,
    )
    g, d, found = opened(tmp_path, layout)
    z = layouts.normal(2)
    with torch.no_grad():
        images = g(layouts.shaped(g, z))
        scores = d(images)
    assert images.shape == (2, 3, size, size)
    torch.testing.assert_close(found.generator(z), images, atol=1e-5, rtol=1e-4)
    scores = scores.flatten()
    torch.testing.assert_close(found.discriminator(images), scores, atol=1e-4, rtol=1e-4)


def test_folders_of_other_libraries_and_empty_ones_are_named(tmp_path):
    with pytest.raises(InputError, match=r"found no files of weights.*package.module:factory"):
        checkpoints.load(tmp_path)
    (tmp_path / "model-1.data-00000-of-00001").write_bytes(b"x")
    with pytest.raises(InputError, match=r"files of TensorFlow .*package.module:factory"):
        checkpoints.load(tmp_path)
    archive = tmp_path / "netG.pth"
    archive.write_bytes(b"0" * 257 + b"ustar" + b"0" * 300)
    with pytest.raises(InputError, match=r"a tar archive, to be unpacked first.*any-gan.md"):
        checkpoints.load(archive)


@pytest.mark.parametrize("name", ["a.h5", "a.onnx", "a.pb"])
def test_files_of_other_libraries_are_named_and_the_way_out_is_said(tmp_path, name):
    (tmp_path / name).write_bytes((b"\x89HDF\r\n\x1a\n" if name == "a.h5" else b"\x08\x07") * 20)
    words = {"a.h5": "an HDF5 file", "a.onnx": "ONNX", "a.pb": "TensorFlow"}[name]
    with pytest.raises(InputError, match=f"{words}.*; package.module:factory.*any-gan.md"):
        checkpoints.load(tmp_path / name)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_named(tmp_path):
    with torch.no_grad():
        network = torch.jit.trace(nn.Linear(4, 3), torch.zeros(1, 4))
    network.save(tmp_path / "c.pt")
    with pytest.raises(InputError, match="a TorchScript archive.*package.module:factory"):
        checkpoints.load(tmp_path / "c.pt")


ROOT = Path(__file__).resolve().parent.parent


def test_the_page_lists_every_layout():
    text = (ROOT / "docs" / "layouts.md").read_text(encoding="utf-8")
    for layout in layouts.LAYOUTS:
        assert f"| {layout.name} |" in text, "run benchmarks/checkpoints/layouts.py"


def test_the_walk_from_the_tutorial_to_a_forgotten_object(tmp_path, monkeypatch):
    """The lines of the page, run on a small network in the tutorial's class."""
    page = (ROOT / "docs" / "from-the-tutorial.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len([line for line in code.splitlines() if line and "import" not in line]) <= 10
    monkeypatch.chdir(tmp_path)

    class Tutorial(nn.Module):
        def __init__(self, main):
            super().__init__()
            self.main = main

        def forward(self, x):
            return self.main(x)

    def draw(n):
        return torch.randn(n, 100)

    layout = layouts.Layout(
        "tutorial",
        lambda: layouts.up(4, 4, 4, 4, z=100),
        lambda: layouts.down(4, 4, 4, 4),
        32,
        draw,
    )
    g, d = layouts.build(layout)
    names = {"netG": Tutorial(g), "netD": Tutorial(nn.Sequential(*d, nn.Sigmoid()))}
    before, after = code.split("session = ")
    exec(before, names)
    sha = checkpoints.load("gan.safetensors").sha256
    drawn = tuple(dp.Box(i, "glasses", 4, 4, 20, 24) for i in range(6))
    boxes = dp.Boxes(drawn, tuple(range(12)), (32, 32), seed=0, checkpoint=sha)
    boxes.write(tmp_path / "glasses.json")
    exec(f"session = {after}", names)
    assert (tmp_path / "out" / "forget" / "forget.png").is_file()
    assert (tmp_path / "out" / "sample" / "sheet.png").is_file()
    assert len(names["session"].edits) == 1


@pytest.mark.parametrize(
    "wrap", [nn.utils.spectral_norm, nn.utils.parametrizations.spectral_norm], ids=["old", "new"]
)
def test_spectral_norm_of_as_many_inputs_as_outputs_is_applied_the_right_way(wrap):
    torch.manual_seed(0)
    ups = [wrap(nn.ConvTranspose2d(8, n, 4, 2, 1)) for n in (8, 8, 3)]
    for _ in range(3):
        nn.Sequential(*ups)(torch.randn(2, 8, 1, 1))
    (network,) = structure.find_networks(nn.Sequential(*ups).eval().state_dict(), "netG.pth")
    nn.Sequential(*ups)(torch.randn(2, 8, 1, 1))  # the old one brings its weight up to date
    for layer, up in zip(network.layers, ups, strict=True):
        torch.testing.assert_close(layer.weight, up.weight)


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize(
    "wrap", [nn.utils.weight_norm, nn.utils.parametrizations.weight_norm], ids=["old", "new"]
)
def test_weight_norm_is_applied(wrap, dim):
    torch.manual_seed(0)
    bare = nn.ConvTranspose2d(8, 6, 4, 2, 1), nn.ConvTranspose2d(6, 6, 4, 2, 1), nn.Conv2d(6, 3, 3)
    layers = [wrap(layer, dim=dim) for layer in bare]
    state = nn.Sequential(*layers).state_dict()
    state = {name: 1.5 * each if each.dim() < 4 else each for name, each in state.items()}
    nn.Sequential(*layers).load_state_dict(state)
    (network,) = structure.find_networks(state, "netG.pth")
    nn.Sequential(*layers)(torch.randn(2, 8, 1, 1))  # the old one brings its weight up to date
    for stored, layer in zip(network.layers, layers, strict=True):
        torch.testing.assert_close(stored.weight, layer.weight)


def test_a_file_that_is_opened_leaves_the_random_numbers_of_gpus_alone(tmp_path, monkeypatch):
    g, d = layouts.build(layouts.LAYOUTS[0])
    for name, part in (("netG", g), ("netD", d)):
        torch.save(part.state_dict(), tmp_path / f"{name}.pth")
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    before = torch.get_rng_state()
    checkpoints.load(tmp_path)
    assert torch.equal(torch.get_rng_state(), before) and not seeded
