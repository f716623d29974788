"""Networks saved by torch.export, read as data.

`torch.export.load` unpickles parts of such a file without weights_only, evaluates strings as sympy
expressions and calls whatever a string names below torch. Here a file is what it should be: a list
of ATen operations in JSON and raw bytes of weights, and nothing else in it is looked at.

TorchScript is refused. It is a program and not data: `torch.jit.load` runs a module's
`__setstate__`, which may write any file by `torch.save`, before there is anything to look at, and
torch itself says to treat it as executable code. Torch's converter makes of a file that is trusted
one that is read here:

    from torch._export.converter import TS2EPConverter

    program = TS2EPConverter(torch.jit.load("mine.pt"), (torch.zeros(2, 3, 64, 64),)).convert()
    torch.export.save(program, "mine.pt2")
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dcgan_probe.checkpoints.weights import damaged
from dcgan_probe.errors import InputError
from dcgan_probe.recognition import operations
from dcgan_probe.recognition.operations import Budget
from dcgan_probe.storage import files, json_values

EXPECTED = "a file of torch.export.save (.pt2)"
SCHEMA = 8
_DTYPES = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}
_MEMORY_FORMATS = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
    4: torch.preserve_format,
}
MAX_STEPS = 20_000
MAX_JSON = 100_000_000  # bytes; values in it: as of any JSON


@dataclass(frozen=True, eq=False)
class Network:
    """A network from images to one tensor, on a device, named after its file.

        >>> network = read(Path("extractor.pt2"))
        >>> network(images).shape  # images: N x C x S x S float32, of any device
        torch.Size([64, 512])

    One that outputs masks is a `detectors.Detector` as it is. A call raises InputError for images
    that the network does not take.
    """

    path: Path
    sha256: str
    tensors: dict[str, Tensor]
    steps: tuple[_Step, ...]
    image: str
    result: str
    device: torch.device = torch.device("cpu")

    @property
    def name(self) -> str:
        return f"module {self.path.name}"

    @property
    def about(self) -> dict[str, Any]:
        return {"sha256": self.sha256}

    def __call__(self, images: Tensor) -> Tensor:
        try:
            # Once without data: what it would take is known before it is taken.
            meta = torch.device("meta")
            shapes = {name: tensor.to(meta) for name, tensor in self.tensors.items()}
            self._run({**shapes, self.image: images.to(meta)}, meta, Budget())
            inputs = images.to(self.device, copy=True)
            output = self._run({**self.tensors, self.image: inputs}, self.device, Budget())
        except Exception as error:  # every operation has errors of its own
            raise InputError(
                f"{self.path}: cannot take {shape(images)} images: {_line(error)}"
            ) from error
        if not isinstance(output, Tensor):
            raise InputError(f"{self.path}: found an output of {shape(output)}, expected a tensor")
        return output

    def _run(self, values: dict[str, Any], device: torch.device, budget: Budget) -> Any:
        with torch.no_grad():
            for step in self.steps:
                step.run(values, device, budget)
        return values[self.result]

    def to(self, device: torch.device) -> Network:
        """The same on a device."""
        tensors = {name: tensor.to(device) for name, tensor in self.tensors.items()}
        return replace(self, tensors=tensors, device=device)


@dataclass(frozen=True, eq=False)
class _Step:
    """One operation: its arguments and results as the file writes them."""

    name: str
    call: Callable[..., Any]
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    done: tuple[str, ...]  # values that no later step needs

    def run(self, values: dict[str, Any], device: torch.device, budget: Budget) -> None:
        positional, named = [], {}
        for argument in self.inputs:
            value = _value(argument["arg"], values, device)
            if argument.get("kind") == 2:
                named[argument["name"]] = value
            else:
                positional.append(value)
        arguments = [*positional, *named.values()]
        operations.check(self.name, positional)
        result = self.call(*positional, **named)
        budget.spend(self.name, arguments, result)
        several = len(self.outputs) > 1
        pairs = zip(self.outputs, result if several else [result], strict=True)
        for output, contents in pairs:
            names = list(_names(output))
            if "as_tensors" in output:
                values.update(zip(names, contents, strict=True))
            elif names:
                values[names[0]] = contents
        for name in self.done:
            values.pop(name, None)


def read(path: Path) -> Network:
    """Read a network without executing anything that is in the file.

        >>> batch = {0: torch.export.Dim("batch")}
        >>> example = torch.zeros(2, 3, 64, 64)
        >>> program = torch.export.export(network.eval(), (example,), dynamic_shapes=(batch,))
        >>> torch.export.save(program, "extractor.pt2")
        >>> read(Path("extractor.pt2"))(example).shape
        torch.Size([2, 512])

    Raises InputError for another kind of file, TorchScript among them; for one that is damaged or
    claims more bytes than it holds; and for operations beyond ATen's on tensors and numbers.
    """
    if not path.is_file():
        raise InputError(f"{path}: found {_absent(path)}, expected {EXPECTED}")
    try:
        if not zipfile.is_zipfile(path):
            raise InputError(f"{path}: found a file of another kind, expected {EXPECTED}")
        with zipfile.ZipFile(path) as archive:
            return _read(path, archive)
    except InputError:
        raise
    except Exception as error:  # json, zipfile and torch raise all sorts on a damaged file
        raise damaged(path, error, f"a whole file of torch.export.save, schema {SCHEMA}") from error


def _absent(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    return "no regular file" if path.exists() else "no file"


def _read(path: Path, archive: zipfile.ZipFile) -> Network:
    members = {member.filename: member for member in archive.infolist()}
    models = [name for name in members if name.endswith("/models/model.json")]
    if len(models) != 1:
        if any(name.endswith("/constants.pkl") for name in members):
            raise InputError(
                f"{path}: found a TorchScript archive, a program that may write files, expected "
                f"{EXPECTED}; export the network with torch.export.export"
            )
        raise InputError(f"{path}: found a zip of another kind, expected {EXPECTED}")
    claimed = sum(member.file_size for member in members.values())
    stored = all(member.compress_type == zipfile.ZIP_STORED for member in members.values())
    if not stored or claimed > path.stat().st_size:
        raise InputError(f"{path}: found compressed members, expected {EXPECTED}, which has none")
    root = models[0].removesuffix("models/model.json")
    if members[models[0]].file_size > MAX_JSON:
        raise InputError(f"{path}: found a graph of more than {MAX_JSON} bytes")
    program = json_values.parse(archive.read(models[0]).decode(), path, "a graph")
    if program["schema_version"]["major"] != SCHEMA:
        raise InputError(
            f"{path}: found schema {program['schema_version']['major']}, expected {SCHEMA}; "
            f"save it with torch {torch.__version__}"
        )
    held: dict[str, Tensor] = {}
    for kind in ("weights", "constants"):
        config = f"{root}data/{kind}/model_{kind}_config.json"
        if config not in members:
            raise InputError(
                f"{path}: found pickled {kind}, expected raw ones; save it with torch "
                f"{torch.__version__}"
            )
        stored_as = json_values.parse(archive.read(config).decode(), path, "tensors")["config"]
        for name, entry in stored_as.items():
            if entry["use_pickle"]:
                raise InputError(f"{path}: {name}: found a pickled tensor, expected raw bytes")
            held[name] = _tensor(archive.read(f"{root}data/{kind}/{entry['path_name']}"), entry)

    graph = program["graph_module"]["graph"]
    tensors, images = {}, []
    for spec in program["graph_module"]["signature"]["input_specs"]:
        ((kind, source),) = spec.items()
        if kind == "user_input":
            images.append(source["arg"]["as_tensor"]["name"])
        else:
            tensors[source["arg"]["name"]] = held[source[f"{kind}_name"]]
    if len(images) != 1 or len(graph["outputs"]) != 1:
        raise InputError(
            f"{path}: found {len(images)} inputs and {len(graph['outputs'])} outputs, expected a "
            "network from images to one tensor"
        )
    (result,) = _names(graph["outputs"])
    steps = _steps(path, graph["nodes"], {result, *tensors})
    return Network(path, files.sha256(path), tensors, steps, images[0], result)


def _tensor(data: bytes, entry: dict[str, Any]) -> Tensor:
    """A tensor of raw bytes; torch refuses sizes and strides that reach beyond them."""
    meta = entry["tensor_meta"]
    dtype = _DTYPES[meta["dtype"]]
    flat = torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)
    sizes, strides = ([int(n["as_int"]) for n in meta[key]] for key in ("sizes", "strides"))
    if math.prod(sizes) > flat.numel():  # a stride of 0 would make much of little
        raise ValueError(f"a tensor of {math.prod(sizes)} numbers in {flat.numel()}")
    return flat.as_strided(sizes, strides, int(meta["storage_offset"]["as_int"]))


def _steps(path: Path, nodes: list[dict[str, Any]], kept: set[str]) -> tuple[_Step, ...]:
    if len(nodes) > MAX_STEPS:
        raise InputError(f"{path}: found {len(nodes)} operations, expected at most {MAX_STEPS}")
    steps: list[_Step] = []
    needed = set(kept)
    for node in reversed(nodes):
        if not node["outputs"]:
            continue  # an assertion about shapes that were seen at export
        names = {name for argument in node["inputs"] for name in _names(argument["arg"])}
        done = tuple(sorted((names | set(_names(node["outputs"]))) - needed))
        needed |= names
        operation = _operation(path, node["target"])
        steps.append(_Step(*operation, node["inputs"], node["outputs"], done))
    return tuple(reversed(steps))


def _operation(path: Path, target: str) -> tuple[str, Callable[..., Any]]:
    """The operation of a name, if it is one that inference needs."""
    if target in operations.ARITHMETIC:
        return target, operations.ARITHMETIC[target]
    named = re.fullmatch(r"torch\.ops\.aten\.([A-Za-z0-9_]+)\.([A-Za-z0-9_]+)", target)
    operation = operations.find(named[1], named[2]) if named else None
    if named is None or operation is None:
        raise InputError(
            f"{path}: found the operation {target:.100}, expected only those of inference on "
            "tensors, see dcgan_probe.recognition.operations"
        )
    return named[1], operation


def _value(argument: dict[str, Any], values: dict[str, Any], device: torch.device) -> Any:
    """What an argument stands for."""
    ((kind, value),) = argument.items()
    match kind:
        case "as_none":
            return None
        case "as_tensor":
            return values[value["name"]]
        case "as_tensors":
            return [values[tensor["name"]] for tensor in value]
        case "as_name":
            return values[value]
        case "as_sym_int" | "as_sym_float" | "as_sym_bool" | "as_optional_tensor":
            return _value(value, values, device)
        case "as_sym_ints" | "as_sym_floats" | "as_optional_tensors":
            return [_value(part, values, device) for part in value]
        case "as_int" | "as_bool" | "as_string" | "as_ints" | "as_bools" | "as_float" | "as_floats":
            return value
        case "as_scalar_type":
            return _DTYPES[value]
        case "as_memory_format":
            return _MEMORY_FORMATS[value]
        case "as_layout":
            return torch.strided
        case "as_device":
            return device
    raise ValueError(f"an argument of kind {kind}")


def _names(value: Any) -> Iterator[str]:
    """Names of the values in arguments or results."""
    if isinstance(value, list):
        for part in value:
            yield from _names(part)
    elif isinstance(value, dict):
        for key, part in value.items():
            if key in ("name", "as_name") and isinstance(part, str):
                yield part
            else:
                yield from _names(part)


def _line(error: Exception) -> str:
    return f"{str(error).strip() or type(error).__name__}".splitlines()[0][:200]


def shape(value: Any) -> str:
    """The shape of a tensor in words, or the type of anything else."""
    return " x ".join(map(str, value.shape)) if isinstance(value, Tensor) else type(value).__name__
