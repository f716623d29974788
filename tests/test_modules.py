"""Networks that are not ours: what is taken of them and what is refused, and factories by name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import other_gans
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import dcgan_probe as dp
from dcgan_probe.checkpoints import modules
from dcgan_probe.cli.group import main
from dcgan_probe.edits import tails
from dcgan_probe.errors import InputError
from dcgan_probe.metrics import features
from dcgan_probe.probes import forget, invert, sample, visualize_d, walk

# torch warns of its own code when it loads what compiles.
lets_torch_warn = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def group(tmp_path):
    store = f"file://{tmp_path}/store"
    torch.distributed.init_process_group("gloo", store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@lets_torch_warn
def test_what_only_makes_a_network_faster_is_left_off(group):
    given = other_gans.residual()
    plain = dp.Session.from_modules(**given, device="cpu")
    wrappers = {
        "compile": torch.compile,
        "DataParallel": nn.DataParallel,
        "DDP": nn.parallel.DistributedDataParallel,
        "both": lambda network: torch.compile(nn.DataParallel(network)),
    }
    for wrap in wrappers.values():
        # DDP wants something to train.
        g, d = (given[part].requires_grad_(True) for part in ("generator", "discriminator"))
        session = dp.Session.from_modules(wrap(g), wrap(d), 16, device="cpu")
        assert session.generator is given["generator"]
        assert session.checkpoint.sha256 == plain.checkpoint.sha256
        assert torch.equal(session.sample(2), plain.sample(2))


def test_identity_is_that_of_weights_class_and_latents():
    def sha(latent=16, change=None, **given) -> str:
        parts = {**other_gans.residual(), **given, "latent": latent}
        if change:
            change(parts["generator"])
        return modules.checkpoint(**parts).sha256

    def nudge(g):
        with torch.no_grad():
            g.to_rgb.bias[0] += 1e-6

    class Renamed(other_gans.ResidualG):
        pass

    same = [sha(), sha((16, "normal"))]
    others = [
        sha(change=nudge),
        sha((16, "uniform")),
        sha(generator=other_gans.alive(Renamed)),
        *(modules.checkpoint(**other_gans.conditional(y)).sha256 for y in (1, 2)),
    ]
    assert len(set(same)) == 1
    assert len({*same, *others}) == 1 + len(others)


class Puts(nn.Module):
    """Puts out what a function makes of an honest image."""

    def __init__(self, change):
        super().__init__()
        self.linear, self.change = nn.Linear(4, 3 * 8 * 8), change

    def forward(self, z):
        return self.change(torch.tanh(self.linear(z)).view(-1, 3, 8, 8))


class Compiled(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.compile(Puts(lambda x: x))

    def forward(self, z):
        return self.inner(z)


def compiled_in_place() -> nn.Module:
    network = Puts(lambda x: x)
    network.compile()
    return network


def noisy(x: torch.Tensor) -> torch.Tensor:
    return (x + 0.5 * torch.rand(1)).clamp(-1, 1)


REFUSED = {
    "generator: found 4 x 2 x 8 x 8, expected N x 1 or 3": lambda: Puts(lambda x: x[:, :2]),
    "generator: found 4 x 3 x 8 x 5, expected N x 1 or 3 x S x S": lambda: Puts(
        lambda x: x[..., :5]
    ),
    "generator: found 4 x 192, expected": lambda: Puts(lambda x: x.flatten(1)),
    "generator: found numbers from -1.* to 1.*, expected .* in": lambda: Puts(lambda x: 1.7 * x),
    r"generator: found numbers from 0.* brought there by 2 \* x - 1": lambda: Puts(
        lambda x: (x + 1) / 2
    ),
    "generator: outputs a tuple, expected one tensor": lambda: Puts(lambda x: (x, x)),
    "generator: found NaN or infinite": lambda: Puts(lambda x: x / 0),
    "generator: found an output to which no gradient leads": lambda: Puts(lambda x: x.detach()),
    "generator: found another output of the same input in another batch": lambda: Puts(noisy),
    "generator: found another output of the same input in another": lambda: nn.Sequential(
        Puts(lambda x: x), nn.BatchNorm2d(3, track_running_stats=False), nn.Tanh()
    ),
    "generator: found 1 x 3 x 8 x 8 from 4 x 4, expected one for each": lambda: Puts(
        lambda x: x[:1]
    ),
    "generator: found RuntimeError: .* from 4 x 4 numbers, expected a forward": lambda: nn.Linear(
        9, 3
    ),
    "generator: found weights of float64, expected float32": lambda: Puts(lambda x: x).double(),
    "generator: outputs bfloat16, expected float32": lambda: Puts(lambda x: x.bfloat16()),
    "generator: found weights without a shape, as of nn.LazyLinear": lambda: nn.Sequential(
        nn.LazyLinear(48), nn.Unflatten(1, (3, 4, 4)), nn.Tanh()
    ),
    "generator: found no weights": lambda: nn.Unflatten(1, (1, 2, 2)),
    "generator: inner: found a part that is compiled": Compiled,
    "generator: Puts: found a part that is compiled": compiled_in_place,
    "generator: found a function, expected an nn.Module": lambda: noisy,
}


@lets_torch_warn
@pytest.mark.parametrize("line", REFUSED)
def test_generators_that_no_probe_can_take_are_refused_in_one_line(line):
    with pytest.raises(InputError, match=line) as raised:
        dp.Session.from_modules(generator=REFUSED[line](), latent=4, device="cpu")
    assert "\n" not in str(raised.value)


@lets_torch_warn
def test_torchscript_is_refused():
    with torch.no_grad():
        scripted = torch.jit.trace(nn.Linear(4, 3), torch.zeros(1, 4))
    with pytest.raises(InputError, match="found TorchScript"):
        dp.Session.from_modules(generator=scripted, latent=4)


@pytest.mark.parametrize(
    ("latent", "line"),
    [
        (None, "latent: found None, expected a size"),
        (0, "latent: found 0, expected a size"),
        ((4, "cauchy"), "latent: unknown distribution 'cauchy', expected one of: uniform, normal"),
        (lambda n, rng: torch.zeros(n), "latent: drew 4 for n = 4, expected n x z_size"),
        (lambda n, rng: torch.zeros(3, 4), "latent: drew 3 x 4 for n = 4"),
        (lambda n: torch.zeros(n, 4), "latent: found TypeError.*, expected a function of n and a"),
        (lambda n, rng: torch.rand(n, 4), "latent: found a function that draws other numbers"),
        ((4,), r"latent: found \(4,\), expected a size"),
        (True, "latent: found True, expected a size"),
    ],
)
def test_latents_that_are_none_are_refused(latent, line):
    with pytest.raises(InputError, match=line):
        dp.Session.from_modules(generator=Puts(lambda x: x), latent=latent)


def test_own_latents_are_checked_before_they_are_computed_with():
    session = dp.Session.from_modules(generator=Puts(lambda x: x), latent=np.int64(4), device="cpu")
    z = session.latents(3)
    session.keep("mine", z.double().numpy())
    assert torch.equal(session.kept["mine"], z)
    assert torch.equal(session.generate(z.numpy()), session.sample(3))
    for wrong in (z[:, :3], z[0], z[:, :, None, None]):
        found = " x ".join(map(str, wrong.shape))
        with pytest.raises(InputError, match=f"found latents {found}, expected n x 4"):
            session.generate(wrong)
        with pytest.raises(InputError, match=f"mine: found latents {found}, expected n x 4"):
            session.keep("mine", wrong)
    with pytest.raises(InputError, match="generate: found NaN or infinite numbers"):
        session.generate(z / 0)


def test_networks_that_change_under_a_session_are_told():
    given = other_gans.residual()
    g, d = given["generator"], given["discriminator"]
    session = dp.Session.from_modules(**given, device="cpu")
    sample.run(session, 2)
    g.train()
    before = [each.clone() for each in g.state_dict().values()]
    for use in (lambda: session.sample(2), session.made_with):
        with pytest.raises(InputError, match="ResidualG: generator: found training mode"):
            use()
    assert all(map(torch.equal, before, g.state_dict().values()))
    g.eval()
    d.train()
    with pytest.raises(InputError, match="ResidualG: discriminator: found training mode"):
        visualize_d.run(session, n=8, filters=[0], k=1)
    d.eval()
    session.made_with()
    g.to_rgb.weight.data.mul_(2)  # counted by no version of the tensor
    with pytest.raises(
        InputError, match="ResidualG: generator: found weights or buffers that were"
    ):
        sample.run(session, 2)
    sample.run(dp.Session.from_modules(**given, device="cpu"), 2)


@pytest.mark.parametrize(
    "wrap", [lambda g: g, lambda g: nn.Sequential(nn.Conv2d(16, 16, 1), nn.Flatten(), g)]
)
def test_an_edit_by_another_session_of_the_same_module_is_known(wrap, capsys):
    given = {"generator": wrap(other_gans.residual()["generator"]), "latent": 16, "device": "cpu"}
    first = dp.Session.from_modules(**given)
    second = dp.Session.from_modules(**given)
    (layer, *_) = first.config.hidden("generator")
    whole = first.sample(2)
    first.edit(edit := dp.Selection(layer, (0, 1), first.checkpoint.sha256))
    assert second.edits == [edit] and second.made_with()["edits"] == [edit.change()]
    assert not torch.equal(second.sample(2), whole)
    capsys.readouterr()
    third = dp.Session.from_modules(**given)  # as by running a cell of a notebook again
    assert "another session edits this generator" in capsys.readouterr().err
    assert third.checkpoint.sha256 == first.checkpoint.sha256
    first.close()
    assert second.edits == third.edits == []
    assert torch.equal(third.sample(2), whole)


def test_a_gan_may_lack_a_network(tmp_path):
    given = other_gans.residual()
    only_d = dp.Session.from_modules(
        discriminator=given["discriminator"], image=(3, 32, 32), device="cpu"
    )
    assert only_d.config.size == 32
    with pytest.raises(InputError, match="ResidualD: found no generator, expected one"):
        sample.run(only_d, 2)
    only_g = dp.Session.from_modules(generator=given["generator"], latent=16, device="cpu")
    assert forget.default_layer(only_g.config) == "blocks.1"
    with pytest.raises(InputError, match="ResidualG: found no discriminator, expected one"):
        visualize_d.run(only_g)
    with pytest.raises(InputError, match=r"expected image=\(channels, height, width\)"):
        dp.Session.from_modules(discriminator=given["discriminator"])
    with pytest.raises(InputError, match="found no generator and no discriminator"):
        dp.Session.from_modules()


def test_a_checkpoint_of_others_is_not_written_as_one_of_ours(tmp_path):
    found = modules.checkpoint(**other_gans.residual())
    with pytest.raises(InputError, match="found modules of other code"):
        dp.checkpoints.save(found, tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


FACTORY = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    layers = nn.Linear(8, 3 * 64), nn.Unflatten(1, (3, 8, 8)), nn.Tanh()
    return {"generator": nn.Sequential(*layers), "latent": 8}

def wrong():
    return build()["generator"]

def raises():
    raise KeyError("weights.pth")

def misspelt():
    return {"generater": None}
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / "my_gan.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "my_gan", raising=False)


def test_a_factory_on_the_command_line(package, tmp_path):
    line = ["--model", "my_gan:build", "--out", "out", "--device", "cpu", "--json"]
    found = CliRunner().invoke(main, [*line, "sample", "--n", "3"])
    assert found.exit_code == 0, found.output
    made = json.loads(found.stdout.splitlines()[0])["made_with"]
    assert made["checkpoint"]["name"] == "my_gan:build"
    assert len(made["checkpoint"]["sha256"]) == 64
    assert len(list(Path("out/sample/images").glob("*.png"))) == 3


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("my_gan:wrong", "my_gan:wrong: found a Sequential, expected a dict of generator, disc"),
        ("my_gan:raises", "my_gan:raises: found KeyError: 'weights.pth', expected modules"),
        ("my_gan:misspelt", "my_gan:misspelt: unknown argument 'generater', expected one of: gen"),
        ("my_gan:absent", "my_gan:absent: found AttributeError"),
        ("no_such_gan:build", "no_such_gan:build: found ModuleNotFoundError"),
    ],
)
def test_a_factory_that_makes_no_gan_is_a_line(package, name, line):
    found = CliRunner().invoke(main, ["--model", name, "sample"])
    assert found.exit_code == 2
    assert found.output.startswith(f"Error: {line}"), found.output
    assert found.output.count("\n") == 1


def test_no_code_runs_but_by_the_form_of_a_factory(package):
    Path("my_gan.py").write_text("raise SystemExit('ran')")
    for name in ("my_gan", "my_gan.py", "./my_gan:build", "my_gan:build()", "hub:my/gan"):
        with pytest.raises(InputError):
            dp.checkpoints.load(name)
    assert "my_gan" not in sys.modules


def test_help_says_that_a_factory_runs_code():
    found = subprocess.run(
        [sys.executable, "-m", "dcgan_probe", "--help"], capture_output=True, text=True, check=True
    )
    assert "package.module:factory, which runs your code" in " ".join(found.stdout.split())


@pytest.mark.parametrize("path", [r"C:\gans\mine.pth", "C:/gans/mine.pth", r"\\server\gans\a.pth"])
def test_a_path_of_windows_is_no_factory(path):
    with pytest.raises(InputError, match="^unknown checkpoint "):
        dp.Session.open(path)


def small(**parts: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(16, 16 * 16), nn.Unflatten(1, (16, 4, 4)), nn.ReLU())
    for name, part in {
        "up": nn.Upsample(scale_factor=4),
        **parts,
        "conv": nn.Conv2d(16, 8, 3, padding=1),
        "relu": nn.ReLU(),
        "last": nn.Conv2d(8, 3, 3, padding=1),
        "tanh": nn.Tanh(),
    }.items():
        network.add_module(name, part)
    return network


class Squeezed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 8, 3, stride=2), nn.Linear(8, 1)

    def forward(self, x):
        return self.linear(self.conv(x).relu().mean((2, 3))).squeeze()


def test_a_score_without_the_dimension_of_one_image_is_taken():
    session = dp.Session.from_modules(small(), Squeezed(), 16, device="cpu")
    walk.run(session, 2, steps=2)
    neighbours = features.extract(session.discriminator, session.sample(1), ["conv"])
    assert neighbours.shape == (1, 8 * 16)


def test_an_image_without_the_dimension_of_the_batch_is_not():
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = small()

        def forward(self, z):
            return self.network(z).squeeze()

    with pytest.raises(InputError, match=r"generator: found 3 x 16 x 16 from one input, expected"):
        dp.Session.from_modules(Bare(), latent=16)


def test_an_eval_that_returns_nothing_is_taken():
    class Own(nn.Sequential):
        def eval(self):
            super().eval()

        def to(self, *args):
            super().to(*args)

    dp.Session.from_modules(Own(small()), latent=16, device="cpu").sample(1)


def test_padding_and_what_does_not_depend_on_z_are_no_layers():
    class Noisy(nn.Module):
        """Adds a fixed noise by a layer of its own, as StyleGAN2 does."""

        def __init__(self) -> None:
            super().__init__()
            self.to_noise = nn.Conv2d(1, 8, 1)
            self.register_buffer("noise", torch.randn(1, 1, 16, 16))
            self.network = small(pad=nn.ReflectionPad2d(1), blur=nn.Conv2d(16, 16, 3))
            self.network.relu.register_forward_hook(
                lambda _m, _i, out: out + self.to_noise(self.noise.expand(len(out), -1, -1, -1))
            )

        def forward(self, z):
            return self.network(z)

    session = dp.Session.from_modules(Noisy(), latent=16, device="cpu")
    names = session.config.layers("generator")
    assert "network.blur" in names
    assert not {"to_noise", "network.pad"} & set(names)
    assert session.config.hidden("generator") == {"network.2": (4, 4), "network.relu": (16, 16)}


def test_scores_of_patches_are_no_maps_flattened_or_not():
    seen = nn.Sequential(nn.Conv2d(3, 8, 4, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 4, 2, 1), nn.ReLU())
    for end in ((), (nn.Flatten(),)):
        d = nn.Sequential(*seen, nn.Conv2d(8, 1, 1), *end)
        session = dp.Session.from_modules(discriminator=d, image=(3, 16, 16), device="cpu")
        assert session.config.hidden("discriminator") == {"1": (8, 8), "3": (4, 4)}


@pytest.mark.parametrize(
    ("fade", "passed_on"),
    [
        (lambda new, old: 1.0 * new + old * (1 - 1.0), {"network.3", "new"}),
        (lambda new, old: old * 0 + new, {"network.3", "new"}),
        (lambda new, old: torch.mul(old, 0.0) + new, {"network.3", "new"}),
        (lambda new, old: 0.5 * new + 0.5 * old, set()),
    ],
)
def test_a_branch_that_is_faded_out_does_not_lead_around(fade, passed_on):
    """As a progressive GAN has one to the colours of its last resolution but one."""

    class Growing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = nn.Sequential(
                nn.Linear(8, 64), nn.Unflatten(1, (16, 2, 2)), nn.Upsample(scale_factor=4)
            )
            self.network.append(nn.ConvTranspose2d(16, 8, 4, 2, 1))
            self.old, self.new = nn.Conv2d(16, 3, 1), nn.Conv2d(8, 3, 1)

        def forward(self, z):
            before = self.network[:3](z)
            old = nn.functional.interpolate(self.old(before), scale_factor=2)
            return torch.tanh(fade(self.new(self.network[3](before)), old))

    session = dp.Session.from_modules(Growing(), latent=8, device="cpu")
    on = {layer.name for layer in session.config.found["generator"] if layer.passes_on}
    assert on == {"network.1", "network.2", *passed_on}
    z = session.latents(3)
    with dp.hooks.ablate(session.generator, "network.3", [1, 2]), torch.no_grad():
        edited = session.generator(z)
    start = tails.Tail(session.generator, "network.3").start(z)
    torch.testing.assert_close(start.without([1, 2]), edited)


def test_a_discriminator_without_maps_is_as_none_to_what_would_see_by_it(tmp_path):
    d = nn.Sequential(nn.Flatten(), nn.Linear(768, 1))
    with_d, without = (
        dp.Session.from_modules(small(), each, 16, device="cpu") for each in (d, None)
    )
    assert walk.run(with_d, 2, steps=3).values() == walk.run(without, 2, steps=3).values()
    near = [invert.run(each, without.sample(1)[0], starts=2, steps=2) for each in (with_d, without)]
    assert torch.equal(near[0].z, near[1].z)
    with pytest.raises(InputError, match="found no layer of feature maps, expected one"):
        features.layers(with_d.discriminator)


def test_layers_of_fewer_places_than_the_grid_are_taken_by_name_only():
    d = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 4, 8), nn.ReLU(), nn.Flatten()
    )
    session = dp.Session.from_modules(discriminator=d, image=(3, 16, 16), device="cpu")
    layers = features.layers(session.discriminator)
    assert features.layers(session.discriminator, grid=4) == layers[:1]
    assert features.layers(session.discriminator, ["3"], grid=4) == ("3",)
    with pytest.raises(InputError, match="maps of 9 x 9 places or more, expected one"):
        features.layers(session.discriminator, grid=9)
