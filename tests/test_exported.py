"""The file of an exported network is computed with, and never executed."""

from __future__ import annotations

import io
import json
import pickle
import resource
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dcgan_probe.errors import InputError
from dcgan_probe.recognition import exported, operations


class Network(nn.Module):
    """A bit of everything that networks for features do."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, 2, 1)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 16, 3, padding=1, bias=False)
        self.last = nn.Linear(32, 5)
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 0.1))
        self.register_buffer("scale", torch.tensor(2.0), persistent=False)
        self.shift = torch.tensor([0.5])

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(x, size=(25, 25), mode="bilinear", align_corners=False)
        x = (x.to(torch.float64) - self.mean).float() * self.scale + self.shift
        x = F.relu(self.norm(self.first(x)), inplace=True)
        x = F.leaky_relu(self.second(F.dropout(F.max_pool2d(x, 2), training=self.training)), 0.2)
        x = torch.cat([F.adaptive_avg_pool2d(x, 1), x.amax((2, 3), keepdim=True)], dim=1)
        n = x.shape[0]
        pair = torch.stack(x.view(n, -1).chunk(2, dim=1), dim=1)
        return self.last(F.softmax(pair, dim=2).reshape(n, 32))


def save(network: nn.Module, path: Path, decompose: bool = False) -> Path:
    batch = {0: torch.export.Dim("batch")}
    example = (torch.zeros(2, 3, 32, 32),)
    program = torch.export.export(network.eval(), example, dynamic_shapes=(batch,))
    if decompose:
        with warnings.catch_warnings():  # torch warns itself of its own old names
            warnings.simplefilter("ignore", FutureWarning)
            program = program.run_decompositions()
    torch.export.save(program, path)
    return path


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return save(Network(), tmp_path_factory.mktemp("exported") / "network.pt2")


def images(n: int = 7) -> Tensor:
    return torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def rewritten(saved: Path, path: Path, ending: str, change: Callable[[bytes], bytes]) -> Path:
    """The archive with one member changed."""
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, change(data) if name.endswith(ending) else data)
    return path


def in_json(change: Callable[[dict], object]) -> Callable[[bytes], bytes]:
    def edit(data: bytes) -> bytes:
        value = json.loads(data)
        change(value)
        return json.dumps(value).encode()

    return edit


@pytest.mark.parametrize("decompose", [False, True])
def test_features_are_those_of_torch(tmp_path, decompose):
    torch.manual_seed(1)
    path = save(Network(), tmp_path / "network.pt2", decompose)
    expected = torch.export.load(path).module()(images())
    given = images()
    torch.testing.assert_close(exported.read(path)(given), expected)
    assert torch.equal(given, images())


def test_what_is_no_longer_needed_is_let_go(saved):
    network = exported.read(saved)
    values = {**network.tensors, network.image: images()}
    most = 0
    for step in network.steps:
        step.run(values, torch.device("cpu"), operations.Budget())
        most = max(most, len(values) - len(network.tensors))
    assert set(values) == {*network.tensors, network.result}
    assert most < len(network.steps) / 2


def script(network: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(network), path)
    return path


class Mischief:
    """Pickled, it makes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_no_pickle_is_executed(saved, tmp_path):
    """torch.export.load does execute it: if that ever changes, so may we."""
    mark = tmp_path / "mark"
    stream = io.BytesIO()
    torch.save(Mischief(mark), stream)
    path = rewritten(
        saved, tmp_path / "a.pt2", "sample_inputs/model.pt", lambda _: stream.getvalue()
    )
    assert exported.read(path)(images()).shape == (7, 5)
    assert not mark.exists()
    bad = rewritten(
        saved, tmp_path / "b.pt2", "weights/weight_0", lambda _: pickle.dumps(Mischief(mark))
    )
    pickled = rewritten(
        bad,
        tmp_path / "c.pt2",
        "weights_config.json",
        in_json(lambda config: config["config"]["first.weight"].update(use_pickle=True)),
    )
    with pytest.raises(InputError, match=r"first\.weight: found a pickled tensor"):
        exported.read(pickled)
    assert not mark.exists()
    with pytest.raises(Exception):  # noqa: B017, PT011
        torch.export.load(path)
    assert mark.exists()


class Script(nn.Module):
    """A module with a state of its own, which it sets where it is opened."""

    def __init__(self, path: Path):
        super().__init__()
        self.path = str(path)

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.path, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.path, self.training = state
        torch.save(torch.zeros(1), self.path)

    def forward(self, x: Tensor) -> Tensor:
        return x


def test_torchscript_is_refused_because_opening_it_may_write_a_file(tmp_path):
    """torch.jit.load runs what is in it: if that ever changes, so may we."""
    mark = tmp_path / "mark"
    path = script(Script(mark), tmp_path / "script.pt")
    with pytest.raises(InputError, match="script.pt: found a TorchScript archive, a program"):
        exported.read(path)
    assert not mark.exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.load(path)
    assert mark.exists()


def test_torchscript_that_is_trusted_is_read_once_torch_has_converted_it(tmp_path):
    from torch._export.converter import TS2EPConverter

    torch.manual_seed(2)
    network = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.BatchNorm2d(2), nn.Sigmoid()).eval()
    path = tmp_path / "script.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Traced: torch.jit.script knows functions by id(), and has taken a list for one of them.
        torch.jit.save(torch.jit.trace(network, images(2)), path)
        program = TS2EPConverter(torch.jit.load(path), (images(2),)).convert()
        torch.export.save(program, tmp_path / "network.pt2")
    found = exported.read(tmp_path / "network.pt2")(images())
    torch.testing.assert_close(found, network(images()).detach())


@pytest.mark.parametrize(
    "target",
    [
        "torch.os.system",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten._print.default",
        "torch.ops.aten.save.default",
        "torch.ops.aten.__class__.default",
        "torch.ops.aten.relu.nothing",
        "torch.ops.higher_order.cond",
        "_operator.call",
        "builtins.eval",
    ],
)
def test_only_operations_on_tensors_are_taken(saved, tmp_path, target):
    def change(program: dict) -> None:
        program["graph_module"]["graph"]["nodes"][1]["target"] = target

    path = rewritten(saved, tmp_path / "a.pt2", "model.json", in_json(change))
    with pytest.raises(InputError, match=f"a.pt2: found the operation {target}, expected only"):
        exported.read(path)


def larger(config: dict) -> None:
    config["config"]["first.weight"]["tensor_meta"]["sizes"][0]["as_int"] = 10**9


@pytest.mark.parametrize(
    ("ending", "change", "message"),
    [
        (
            "weights_config.json",
            in_json(larger),
            "damaged or truncated .*27000000000 numbers in 216",
        ),
        ("weights/weight_0", lambda data: data[:-4], "damaged or truncated"),
        ("model.json", lambda data: data[:100], "found broken or cut-off JSON"),
        ("model.json", lambda data: b"{}", "damaged or truncated"),
        ("model.json", in_json(lambda p: p["schema_version"].update(major=7)), "found schema 7"),
        (
            "model.json",
            in_json(lambda p: p["graph_module"]["signature"]["input_specs"].pop()),
            "found 0 inputs and 1 outputs",
        ),
    ],
)
def test_a_file_that_does_not_hold_what_it_says_is_refused(
    saved, tmp_path, ending, change, message
):
    path = rewritten(saved, tmp_path / "a.pt2", ending, change)
    with pytest.raises(InputError, match=message) as caught:
        exported.read(path)
    assert "\n" not in str(caught.value)


def test_files_of_other_kinds_are_named(saved, tmp_path):
    (tmp_path / "text.pt2").write_text("features")
    torch.save(Network().state_dict(), tmp_path / "weights.pt")
    script(nn.Flatten(), tmp_path / "script.pt")
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(tmp_path / "small.pt2", "w", 8) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    for name, message in {
        "none.pt2": "found no file",
        "text.pt2": "found a file of another kind",
        "weights.pt": "found a zip of another kind",
        "script.pt": "found a TorchScript archive",
        "small.pt2": "found compressed members",
        ".": "found a folder",
    }.items():
        with pytest.raises(InputError, match=f"{message}.*, expected a file of torch.export.save"):
            exported.read(tmp_path / name)


def test_a_zip_that_claims_several_disks_is_refused(saved, tmp_path):
    data = bytearray(saved.read_bytes())
    data[data.rindex(b"PK\x06\x07") + 16] = 2
    (tmp_path / "a.pt2").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.pt2: .*span multiple disks"):
        exported.read(tmp_path / "a.pt2")


def test_images_that_the_network_does_not_take_are_refused(saved):
    with pytest.raises(InputError, match="cannot take 2 x 2 x 32 x 32 images: "):
        exported.read(saved)(torch.zeros(2, 2, 32, 32))


@pytest.mark.parametrize(
    "target",
    [
        # They write where an index tensor of the file says, and compare it with nothing.
        "torch.ops.aten.max_pool2d_with_indices_backward.default",
        "torch.ops.aten.adaptive_max_pool2d_backward.default",
        "torch.ops.aten.max_unpool2d.default",
        "torch.ops.aten.put_.default",
        "torch.ops.aten.set_.source_Storage",
        "torch.ops.aten.resize_.default",
        "torch.ops.aten.relu.out",
        "torch.ops.aten.empty.memory_format",
    ],
)
def test_operations_that_trust_their_arguments_are_refused(saved, tmp_path, target):
    def change(program: dict) -> None:
        program["graph_module"]["graph"]["nodes"][1]["target"] = target

    path = rewritten(saved, tmp_path / "a.pt2", "model.json", in_json(change))
    with pytest.raises(InputError, match=f"found the operation {target}, expected only those of"):
        exported.read(path)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("index_select", [torch.zeros(3), 0, torch.tensor([3])]),
        ("index_select", [torch.zeros(3), 0, torch.tensor([-1])]),
        ("gather", [torch.zeros(2, 3), 1, torch.tensor([[5]])]),
        ("embedding", [torch.zeros(2, 3), torch.tensor([2])]),
        ("index", [torch.zeros(2, 3), [None, torch.tensor([-4])]]),
        ("batch_norm", [torch.zeros(2, 3, 4, 4), torch.zeros(2), None, torch.zeros(3)]),
    ],
)
def test_indices_and_sizes_are_compared_with_the_tensors(name, arguments):
    with pytest.raises(ValueError, match=name):
        operations.check(name, arguments)


class Expanding(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.new_zeros(1).expand(1 << 20).repeat(1 << 12).sum() + x.flatten(1).sum(1)


def test_memory_is_counted_before_it_is_taken(tmp_path):
    network = exported.read(save(Expanding(), tmp_path / "a.pt2"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match="more than 134217728 in one tensor"):
        network(images())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


def test_numbers_do_not_grow_without_end():
    value = 3
    with pytest.raises(ValueError, match="more than 63 bits"):
        for _ in range(40):
            value = operations.ARITHMETIC["_operator.mul"](value, value)
    for call, given in (("mul", ("text", 600_000_000)), ("add", ([1], [2]))):
        with pytest.raises(ValueError, match="something else than numbers"):
            operations.ARITHMETIC[f"_operator.{call}"](*given)


def test_every_operation_of_the_list_exists():
    assert [name for name in operations.ALLOWED if not hasattr(torch.ops.aten, name)] == []
