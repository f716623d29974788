import json
import os
import pickle
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from dcgan_probe import checkpoints, networks
from dcgan_probe.checkpoints import statistics
from dcgan_probe.checkpoints.native import FORMAT, Checkpoint
from dcgan_probe.errors import InputError
from dcgan_probe.latents import sampling
from dcgan_probe.networks.config import Config
from dcgan_probe.networks.dcgan import Discriminator, Generator

SMALL = Config(size=16, g_width=3, d_width=4, z_size=5)


def build(config=SMALL, parts=("generator", "discriminator")):
    made = {}
    for part, network in [("generator", Generator), ("discriminator", Discriminator)]:
        if part in parts:
            made[part] = networks.initialise(network(config), seed=1).eval()
    return Checkpoint(config, made.get("generator"), made.get("discriminator"), {"note": "é"})


def refusal(path, *words):
    """The message for a file, which must be one line with the file's name and these words."""
    with pytest.raises(InputError) as caught:
        checkpoints.load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert Path(path).name in message
    assert "expected" in message
    for word in words:
        assert word in message, message
    return message


# What goes out comes back


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    config=st.builds(
        Config,
        size=st.sampled_from([16, 32]),
        channels=st.sampled_from([1, 3]),
        g_width=st.integers(1, 4),
        d_width=st.integers(1, 4),
        kernel=st.sampled_from([4, 5]),
        z_size=st.integers(1, 9),
        z_distribution=st.sampled_from(["uniform", "normal"]),
        norm_per_unit=st.booleans(),
        norm_eps=st.sampled_from([1e-8, 1e-5]),
    ),
    parts=st.sampled_from([("generator",), ("discriminator",), ("generator", "discriminator")]),
)
def test_what_is_saved_is_what_is_loaded(tmp_path_factory, config, parts):
    path = tmp_path_factory.mktemp("round") / "mine.safetensors"
    saved = build(config, parts)
    sha = checkpoints.save(saved, path)
    first = path.read_bytes()
    assert checkpoints.save(saved, path) == sha
    assert path.read_bytes() == first
    loaded = checkpoints.load(path)
    assert (loaded.config, loaded.info, loaded.name) == (config, {"note": "é"}, "mine")
    assert loaded.sha256 == sha
    for part in ("generator", "discriminator"):
        before, after = getattr(saved, part), getattr(loaded, part)
        assert (after is None) == (part not in parts)
        if after is not None:
            assert not any(module.training for module in after.modules())
            assert before.state_dict().keys() == after.state_dict().keys()
            for name, value in before.state_dict().items():
                assert torch.equal(value, after.state_dict()[name])
    assert checkpoints.save(loaded, path) == sha


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_not_utf8_are_opened(tmp_path):
    path = tmp_path / os.fsdecode(b"mod\xe8le.safetensors")
    checkpoints.save(build(), path)
    assert checkpoints.load(path).config == SMALL
    latents = tmp_path / os.fsdecode(b"z\xe8.safetensors")
    sampling.write(latents, torch.ones(2, SMALL.z_size), "ab" * 32)
    assert sampling.read(latents, SMALL, "ab" * 32).shape == (2, SMALL.z_size)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="mod.*damaged or truncated"):
        checkpoints.load(path)


def test_the_shipped_names_open():
    assert "svhn" in checkpoints.shipped()
    checkpoint = checkpoints.load("svhn")
    assert checkpoint.name == "svhn"
    assert checkpoint.config == Config(
        size=32, g_width=64, d_width=64, z_size=100, z_distribution="normal"
    )
    assert "MIT" in checkpoint.info["license"]
    with torch.no_grad():
        assert checkpoint.generator(torch.zeros(1, 100)).shape == (1, 3, 32, 32)


def test_a_name_that_is_not_there_lists_those_that_are():
    message = refusal("svnh", "unknown checkpoint 'svnh'", "svhn")
    assert "of a file or folder, hub:org/name; found no file or folder of this name" in message
    assert "; package.module:factory opens any network" in message


# Our own format


def rewrite(path, change=None, about=None):
    """Save a good checkpoint with its tensors and its metadata changed."""
    checkpoints.save(build(), path)
    tensors = safetensors.torch.load_file(path)
    with safetensors.safe_open(path, "pt") as file:
        known = json.loads(file.metadata()["dcgan_probe"])
    if change:
        change(tensors)
    if about:
        about(known)
    safetensors.torch.save_file(tensors, path, {"dcgan_probe": json.dumps(known)})


def edit(name, value):
    """A change that gives a tensor of a good checkpoint another value."""
    return lambda tensors: tensors.update({name: value(tensors[name])})


def with_nan(tensor):
    return torch.where(torch.arange(tensor.numel()).reshape(tensor.shape) == 1, np.nan, tensor)


CONV = "generator.8x8.conv.weight"
OWN = {
    "wrong shape": (edit(CONV, lambda t: t[:, :2].clone()), (CONV, "6x2x5x5", "6x3x5x5")),
    "missing": (lambda t: t.pop(CONV), (CONV, "found none", "float32 of shape 6x3x5x5")),
    "extra": (lambda t: t.update(extra=torch.zeros(2)), ("extra", "no such tensor")),
    "integers": (edit(CONV, lambda t: t.int()), (CONV, "found int32", "float32")),
    "complex": (edit(CONV, lambda t: t.to(torch.complex64)), (CONV, "expected float32")),
    "nan": (edit(CONV, with_nan), (CONV, "found NaN or infinity", "finite")),
    "infinity": (edit(CONV, lambda t: t.double() * 1e300), (CONV, "found NaN or infinity")),
    "variance": (
        edit("generator.4x4.norm.running_var", lambda t: t - 2),
        ("generator.4x4.norm.running_var", "variance below 0"),
    ),
    "nothing": (lambda t: t.clear(), ("found no tensor of a network", "generator.*")),
}
ABOUT = {
    "future": (lambda a: a.update(format="dcgan-probe/checkpoint/3"), ("checkpoint/3", FORMAT)),
    "no format": (lambda a: a.pop("format"), ("found format None", FORMAT)),
    "unknown field": (lambda a: a["config"].update(depth=3), ("unknown field 'depth'", "size,")),
    "missing field": (lambda a: a["config"].pop("kernel"), ("kernel: found none",)),
    "wrong value": (lambda a: a["config"].update(size=48), ("size: found 48", "power of two")),
    "huge": (lambda a: a["config"].update(g_width=10**15), ("g_width: found 1000000000000000",)),
    "no config": (lambda a: a.update(config=[]), ("found no config",)),
    "other config": (
        lambda a: a["config"].update(g_width=1024),
        ("generator.", "expected float32 of shape"),
    ),
}


@pytest.mark.parametrize("case", OWN)
def test_tensors_that_do_not_fit_are_refused(tmp_path, case):
    change, words = OWN[case]
    rewrite(tmp_path / "bad.safetensors", change)
    refusal(tmp_path / "bad.safetensors", *words)


@pytest.mark.parametrize("case", ABOUT)
def test_metadata_that_does_not_fit_is_refused(tmp_path, case):
    about, words = ABOUT[case]
    rewrite(tmp_path / "bad.safetensors", about=about)
    refusal(tmp_path / "bad.safetensors", *words)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_become_float32(tmp_path, dtype):
    rewrite(tmp_path / "half.safetensors", edit(CONV, lambda t: t.to(dtype)))
    weight = checkpoints.load(tmp_path / "half.safetensors").generator.get_parameter(CONV[10:])
    assert weight.dtype == torch.float32
    torch.testing.assert_close(
        weight, build().generator.get_parameter(CONV[10:]), rtol=1e-2, atol=0
    )


@pytest.mark.parametrize("keep", [9, 100, -1])
def test_a_truncated_safetensors_file_is_refused(tmp_path, keep):
    path = tmp_path / "short.safetensors"
    checkpoints.save(build(), path)
    path.write_bytes(path.read_bytes()[:keep])
    refusal(path, "damaged or truncated file", "a whole safetensors file")


def test_a_safetensors_header_that_claims_terabytes_is_refused(tmp_path):
    path = tmp_path / "huge.safetensors"
    claim = {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}
    header = json.dumps({"generator.4x4.linear.weight": claim}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(100))
    refusal(path, "damaged or truncated file")


# Files that hold no weights

JUNK = {
    "empty": (b"", "found an empty file"),
    "page": (b"\n<!DOCTYPE html><html>404</html>", "an HTML page, probably a failed download"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    "random": (np.random.default_rng(0).bytes(4096), "found unknown content"),
    "text": (b'{"message": "Not Found"}', "found unknown content"),
    "zeros": (bytes(100), "found unknown content"),
}


@pytest.mark.parametrize("name", ["netG.pth", "mine.safetensors"])
@pytest.mark.parametrize("kind", JUNK)
def test_files_that_hold_no_weights_are_named_for_what_they_are(tmp_path, kind, name):
    data, found = JUNK[kind]
    (tmp_path / name).write_bytes(data)
    refusal(tmp_path / name, found)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    start=st.sampled_from(
        [
            b"",
            b"PK\x03\x04",
            b"\x80\x02",
            b"\x80\x04",
            b"\x93NUMPY\x01\x00",
            b"\x10" + bytes(7) + b"{",
            b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
        ]
    ),
    rest=st.binary(max_size=60),
)
def test_random_bytes_are_refused_in_one_line(tmp_path_factory, start, rest):
    path = tmp_path_factory.getbasetemp() / "random.pth"
    path.write_bytes(start + rest)
    refusal(path)


# Files of torch.save


def example(kernel=4, names="main.{}"):
    """The state dict of a 16x16 generator of pytorch/examples."""
    shapes = {0: (5, 6, 4, 4), 3: (6, 3, kernel, kernel), 6: (3, 3, kernel, kernel)}
    state = {f"{names.format(i)}.weight": torch.ones(shape) for i, shape in shapes.items()}
    for i, width in [(1, 6), (4, 3)]:
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            state[f"{names.format(i)}.{leaf}"] = torch.ones(width)
    return state


STATES = {
    "wrong shape": (
        edit("main.1.weight", lambda t: t[:4]),
        ("main.1.weight", "shape 4", "shape 6"),
    ),
    "widths": (
        edit("main.3.weight", lambda t: torch.ones(6, 2, 4, 4)),
        ("main.6.weight", "3x3x4x4 behind 6x2x4x4 of main.3"),
    ),
    "missing": (lambda s: s.pop("main.4.bias"), ("main.4.bias", "found none", "shape 3")),
    "missing first": (lambda s: s.pop("main.0.weight"), ("main.1", "as wide as a layer before")),
    "extra": (lambda s: s.update({"main.0.gamma": torch.ones(6)}), ("main.0.gamma", "does not")),
    "integers": (edit("main.3.weight", lambda t: t.long()), ("main.3.weight", "found int64")),
    "nan": (edit("main.3.weight", with_nan), ("main.3.weight", "found NaN or infinity")),
    "kernel": (edit("main.6.weight", lambda t: t[:, :, :3]), ("a kernel of 3x4", "a square one")),
    "z": (edit("main.0.weight", lambda t: t[:1].expand(9999, 6, 4, 4)), ("z_size: found 9999",)),
    "not 4-D": (edit("main.0.weight", lambda t: t.flatten(1)), ("6x3x4x4 behind 5x96 of main.0",)),
}


@pytest.mark.parametrize("case", STATES)
def test_state_dicts_that_do_not_fit_are_refused(tmp_path, case):
    change, words = STATES[case]
    state = example()
    change(state)
    torch.save(state, tmp_path / "netG.pth")
    refusal(tmp_path / "netG.pth", *words)


def test_a_good_state_dict_passes_so_the_refusals_above_mean_something(tmp_path):
    torch.save(example(), tmp_path / "netG.pth")
    assert checkpoints.load(tmp_path / "netG.pth").config.g_width == 3
    safetensors.torch.save_file(example(), tmp_path / "netG.safetensors")
    assert checkpoints.load(tmp_path / "netG.safetensors").config.g_width == 3


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"weight": torch.zeros(3)}, "found keys weight"),
        ({}, "found keys none"),
        (torch.zeros(3), "found a Tensor"),
        ([torch.zeros(3)], "found a list"),
        ({1: {2: {3: {}}}}, "found keys 1"),
    ],
)
def test_other_contents_of_torch_files_are_told(tmp_path, value, found):
    torch.save(value, tmp_path / "other.pth")
    refusal(tmp_path / "other.pth", found, "main.0.weight")


class Trap:
    """Would leave a file behind if it were ever unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


class Model(nn.Sequential):
    pass


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_a_pickled_module_is_named_and_not_executed(tmp_path, new):
    torch.save(Model(nn.Linear(1, 1)), tmp_path / "netG.pth", _use_new_zipfile_serialization=new)
    refusal(tmp_path / "netG.pth", "holds a pickled", "Model,", "save model.state_dict()")
    trap = {"main.0.weight": Trap(tmp_path / "executed")}
    torch.save(trap, tmp_path / "netG.pth", _use_new_zipfile_serialization=new)
    refusal(tmp_path / "netG.pth", "holds a pickled")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_bare_pickle_is_not_executed(tmp_path, protocol):
    path = tmp_path / "netG.pkl"
    path.write_bytes(pickle.dumps(Trap(tmp_path / "executed"), protocol))
    refusal(path, "holds a pickled")
    path.write_bytes(pickle.dumps({"a": [1]}, protocol))
    refusal(path, "found a pickle", "torch.save(model.state_dict()")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.99])
def test_a_truncated_torch_file_is_refused(tmp_path, keep, new):
    path = tmp_path / "netG.pth"
    torch.save(example(), path, _use_new_zipfile_serialization=new)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    refusal(path)


def rezip(path, replace=None, **options):
    """Write the members of a file of torch.save again, its pickle or its packing changed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in members.items():
            if replace and name.endswith("data.pkl"):
                assert data.count(replace[0]) >= 1
                data = data.replace(*replace)
            archive.writestr(name, data)


# Opcodes of a pickle: the 480 numbers of main.0.weight, and a claim of two billion in their place.
FEW, MANY = b"M" + struct.pack("<H", 480), b"J" + struct.pack("<i", 2**31 - 1)


def test_a_torch_zip_that_claims_more_than_it_holds_is_refused(tmp_path):
    path = tmp_path / "netG.pth"
    torch.save(example(), path)
    rezip(path, replace=(FEW, MANY))
    refusal(path, "data/0", "found a claim of 8589934588 bytes", "no more than the 1920")


def test_a_tensor_larger_than_its_storage_is_refused(tmp_path):
    path = tmp_path / "netG.pth"
    torch.save(example(), path)
    rezip(path, replace=(b"(K\x05K\x06K\x04K\x04t", b"(" + MANY + b"K\x06K\x04K\x04t"))
    refusal(path, "damaged or truncated")


def test_a_legacy_torch_file_that_claims_more_than_it_holds_is_refused(tmp_path):
    path = tmp_path / "netG.pth"
    torch.save(example(), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(FEW, MANY))
    refusal(path, "found a claim of", "expected no more than")


def test_a_zip_bomb_is_refused(tmp_path):
    path = tmp_path / "netG.pth"
    torch.save(example(), path)
    rezip(path, compression=zipfile.ZIP_DEFLATED)
    refusal(path, "found a compressed member", "as torch.save writes them")


def test_a_zip_of_something_else_is_refused(tmp_path):
    path = tmp_path / "netG.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    refusal(path, "a zip without data.pkl")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", b"\x80\x02N.")
        archive.writestr("model/constants.pkl", b"\x80\x02N.")
    refusal(path, "a TorchScript archive")


def test_networks_that_do_not_belong_together_are_refused(tmp_path):
    torch.save(example(), tmp_path / "netG.pth")
    torch.save({"netG": example(), "copy": example()}, tmp_path / "two.pth")
    refusal(tmp_path / "two.pth", "copy: found a second generator", "at most one of each")
    discriminator = {
        **{"main.0.weight": torch.ones(4, 1, 5, 5), "main.2.weight": torch.ones(8, 4, 5, 5)},
        **{f"main.3.{n}": torch.ones(8) for n in ("weight", "bias", "running_mean", "running_var")},
        "main.5.weight": torch.ones(1, 8, 4, 4),
    }
    torch.save(discriminator, tmp_path / "netD.pth")
    paths = [tmp_path / "netG.pth", tmp_path / "netD.pth"]
    for either in (paths, paths[::-1]):
        with pytest.raises(InputError, match="discriminator: channels: found 1, expected 3, as in"):
            checkpoints.convert(either)


def test_convert_refuses_what_needs_no_converting(tmp_path):
    checkpoints.save(build(), tmp_path / "mine.safetensors")
    with pytest.raises(InputError, match=r"mine.safetensors: found a checkpoint of dcgan-probe"):
        checkpoints.convert([tmp_path / "mine.safetensors"])
    torch.save(example(), tmp_path / "netG.pth")
    with pytest.raises(InputError, match=r"netG.pth: found images given, expected none"):
        checkpoints.convert([tmp_path / "netG.pth"], tmp_path)


# Folders of the authors' arrays


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(statistics, "BATCHES", 1)
    shapes = [(5, 96), (96,), (96,), (6, 3, 5, 5), (3,), (3,), (3, 1, 5, 5)]
    for number, shape in enumerate(shapes, start=1):
        np.save(tmp_path / f"7_gen_params.jl_{number:02d}.npy", np.ones(shape, np.float32))
    return tmp_path


def test_good_arrays_pass_so_the_refusals_below_mean_something(folder):
    assert checkpoints.load(folder).config.g_width == 3


def array(value):
    return lambda path: np.save(path, value, allow_pickle=True)


def claim(path):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }".ljust(117)
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + header + b"\n" + bytes(64))


ARRAYS = {
    "wrong shape": (array(np.ones((6, 2, 5, 5), np.float32)), ("6x2x5x5", "6x3x5x5", "halve")),
    "dimensions": (array(np.ones(7, np.float32)), ("shape 7", "6x3x5x5")),
    "missing": (Path.unlink, ("found none", "6x3x5x5")),
    "integers": (array(np.ones((6, 3, 5, 5), int)), ("found int64", "expected float32")),
    "nan": (array(np.full((6, 3, 5, 5), np.nan)), ("found NaN or infinity",)),
    "objects": (array(np.array([{}], object)), ("Python objects", "array of floats")),
    "truncated": (lambda p: p.write_bytes(p.read_bytes()[:200]), ("damaged or truncated",)),
    "header": (lambda p: p.write_bytes(p.read_bytes()[:30]), ("damaged or truncated",)),
    "terabytes": (claim, ("damaged or truncated",)),
    "empty": (lambda p: p.write_bytes(b""), ("an empty file",)),
    "pickle": (lambda p: p.write_bytes(pickle.dumps(1, 2)), ("found a pickle file", ".npy array")),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays_that_do_not_fit_are_refused(folder, case):
    spoil, words = ARRAYS[case]
    spoil(folder / "7_gen_params.jl_04.npy")
    refusal(folder, "7_gen_params.jl_04.npy", *words)


def test_folders_of_something_else_are_refused(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    refusal(tmp_path / "empty", "found no files of weights")
    refusal(folder / "7_gen_params.jl_01.npy", "found one .npy array", "the folder")
    np.save(folder / "8_gen_params.jl_01.npy", np.ones(3))
    refusal(folder, "found arrays of epochs 7, 8")


def test_a_discriminator_alone_needs_images(tmp_path):
    np.save(tmp_path / "7_discrim_params.jl_01.npy", np.ones((3, 1, 5, 5), np.float32))
    refusal(tmp_path, "discriminator without a generator", "expected images")


@pytest.mark.parametrize("new", [True, False])
def test_tensors_of_stride_0_take_no_memory(tmp_path, new):
    one = torch.full((1,), 0.01)
    sizes = [4096, 2048, 1024]
    state = {
        f"main.{3 * i}.weight": one.expand(a, b, 4, 4)
        for i, (a, b) in enumerate(zip([100, *sizes], [*sizes, 3], strict=True))
    }
    torch.save(state, tmp_path / "netG.pth", _use_new_zipfile_serialization=new)
    refusal(tmp_path / "netG.pth", "found a claim of 6")


@pytest.mark.parametrize("depth", [50, 150, 200_000])
def test_a_tuple_that_is_nested_beyond_all_measure_is_refused(tmp_path, depth):
    """Its hash would overflow the stack of the process; read as text, it never gets one."""
    content = b"\x80\x02}q\x00(" + b")" + b"\x85" * depth + b"K\x01" + b"u."
    with zipfile.ZipFile(tmp_path / "netG.pth", "w") as archive:
        archive.writestr("a/data.pkl", content)
        archive.writestr("a/version", "3\n")
        archive.writestr("a/byteorder", "little")
    refusal(tmp_path / "netG.pth", "nested more than 100 deep" if depth > 100 else "expected")


@pytest.mark.parametrize("kind", ["itself", "each other"])
def test_values_that_hold_themselves_are_refused(tmp_path, monkeypatch, kind):
    monkeypatch.setattr("dcgan_probe.checkpoints.pickles._MAX_INSTRUCTIONS", 10_000)
    held = [torch.zeros(3)]
    if kind == "itself":
        held.append(held)
    for _ in range(20 * (kind == "each other")):
        held = [held, held]
    torch.save({"netG": held}, tmp_path / "c.pth")
    with pytest.raises(InputError, match="values that hold themselves, or more than 10000 of them"):
        checkpoints.load(tmp_path / "c.pth")
