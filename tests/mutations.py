"""Files that are damaged in seeded ways, and the readers that must refuse or read each of them.

    python tests/mutations.py 300            # every reader
    python tests/mutations.py 10000 tar npz  # two of them

A reader may raise `InputError` and nothing else, within `SECONDS`, and take no more than `MEMORY`.
It runs in a process of its own, since a parser in C may kill it.
"""

from __future__ import annotations

import copy
import gzip
import io
import json
import os
import re
import resource
import shutil
import signal
import sys
import tarfile
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import box_files
import cv2
import numpy as np
import torch
from PIL import Image
from scipy import io as matlab
from torch import nn

import dcgan_probe as dp
from dcgan_probe import checkpoints, terminal
from dcgan_probe.boxes.boxes import Boxes
from dcgan_probe.edits import edit
from dcgan_probe.edits.filters import Selection
from dcgan_probe.errors import InputError
from dcgan_probe.images import cache, datasets, decoding
from dcgan_probe.images.containers import Unreadable
from dcgan_probe.images.sources import ImageSource
from dcgan_probe.label.picks import ConceptWork
from dcgan_probe.label.work import BoxWork
from dcgan_probe.latents import sampling
from dcgan_probe.latents.concepts import Concept, Concepts
from dcgan_probe.metrics import feature_files
from dcgan_probe.metrics.features import Layout
from dcgan_probe.probes.invert import photograph
from dcgan_probe.recognition import exported
from dcgan_probe.report import media, page
from dcgan_probe.results.differences import describe, differences
from dcgan_probe.results.loading import load_result
from dcgan_probe.results.result import Report
from dcgan_probe.training import dataset
from dcgan_probe.training.recipe import Recipe
from dcgan_probe.training.record import Record
from dcgan_probe.training.trainer import Trainer

SECONDS, MEMORY = 10, 1 << 30  # of one file, and of the whole process beyond what it began with
SHA = box_files.SHA256
CONFIG = dp.Config(size=16, g_width=2, d_width=2, z_size=4)


class Reader(NamedTuple):
    """make: write a good file into a folder, and return its path. read: read it whole."""

    make: Callable[[Path], Path]
    read: Callable[[Path], object]


def _png(i: int = 0) -> bytes:
    image = np.random.default_rng(i).integers(0, 256, (6, 5, 3), np.uint8)
    return cv2.imencode(".png", image)[1].tobytes()


def _write(name: str, data: bytes | str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)
        return folder / name

    return make


def _images(path: Path) -> None:
    source = ImageSource(path, 8, 3)
    for entry in source.container.entries(range(min(3, len(source)))):
        if not isinstance(entry, Unreadable):
            _decode(entry)


def _decode(entry: bytes | np.ndarray) -> None:
    with suppress(Unreadable):
        decoding.decode(entry, 8, 3)


def _tar(folder: Path) -> Path:
    with tarfile.open(folder / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("a/1.png", "a/" + "long" * 40 + ".png", "b/fen\xeatre.png"):
            member = tarfile.TarInfo(name)
            member.size = len(_png())
            archive.addfile(member, io.BytesIO(_png()))
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "a/1.png"
        archive.addfile(link)
    return folder / "a.tar"


def _tar_gz(folder: Path) -> Path:
    path = _tar(folder)
    (folder / "a.tar.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    return folder / "a.tar.gz"


def _zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("a/1.png", _png(1))
        archive.writestr("b/2.png", _png(2), zipfile.ZIP_DEFLATED)
        archive.writestr("notes.txt", "notes")
    return folder / "a.zip"


def _npz(folder: Path) -> Path:
    np.savez_compressed(folder / "a.npz", images=np.zeros((3, 8, 8, 3), np.uint8), y=np.arange(3))
    return folder / "a.npz"


def _npz_stored(folder: Path) -> Path:
    np.savez(folder / "a.npz", images=np.zeros((3, 8, 8, 3), np.uint8))
    return folder / "a.npz"


def _idx(folder: Path) -> Path:
    data = bytes([0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 8, 0, 0, 0, 8]) + bytes(3 * 64)
    return _write("images.idx", data)(folder)


def _idx_gz(folder: Path) -> Path:
    return _write("images.gz", gzip.compress(_idx(folder).read_bytes(), mtime=0))(folder)


def _mat(folder: Path) -> Path:
    arrays = {"X": np.zeros((8, 8, 3, 20), np.uint8), "y": np.arange(20)[:, None] % 2}
    matlab.savemat(folder / "a.mat", arrays, do_compression=True)
    return folder / "a.mat"


def _mat_plain(folder: Path) -> Path:
    matlab.savemat(folder / "a.mat", {"X": np.zeros((8, 8, 3, 20), np.uint8)})
    return folder / "a.mat"


def _mat_labels(path: Path) -> None:
    datasets.read(path, "y", 8, 3)


def _lmdb(folder: Path) -> Path:
    import lmdb

    with (
        lmdb.open(str(folder / "a_lmdb"), map_size=1 << 20) as database,
        database.begin(write=True) as transaction,
    ):
        for i in range(3):
            transaction.put(b"%d" % i, _png(i))
    return folder / "a_lmdb" / "data.mdb"


def _lmdb_images(path: Path) -> None:
    _images(path.parent)


def _table(folder: Path) -> Path:
    (folder / "images").mkdir()
    for i in range(6):
        (folder / "images" / f"{i}.png").write_bytes(_png(i))
    rows = "".join(f"{i}.png,{'ab'[i % 2]},{'train' if i < 4 else 'test'}\n" for i in range(6))
    return _write("labels.csv", "name,label,split\n" + rows)(folder)


def _labelled(path: Path) -> None:
    datasets.read(path.parent / "images", path, 8, 3)


def _boxes(name: str, data: object) -> Reader:
    def make(folder: Path) -> Path:
        if name == "a.txt":
            (folder / "classes.txt").write_text("window\ndoor\n")
        text = data if isinstance(data, str) else json.dumps(data)
        return _write(name if name != "a.txt" else "1a2b3c4d_seed3_0004.txt", text)(folder)

    def read(path: Path) -> None:
        Boxes.read(path, image_size=(64, 64)).mask((4, 4))

    return Reader(make, read)


def _image(kind: str, mode: str = "RGB", **options: object) -> Reader:
    def make(folder: Path) -> Path:
        pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 4), np.uint8)
        image = Image.fromarray(pixels, "RGBA").convert(mode)
        image.save(folder / "image", kind, **options)
        return folder / "image"

    return Reader(make, lambda path: _decode(path.read_bytes()))


def _result(folder: Path) -> Path:
    session = dp.Session(checkpoints.load("svhn"), device="cpu")
    values = {"brightness": 0.5, "list": [1, 2.5, None], "objects": [{"label": "a", "n": 3}]}
    Report(session.made_with(n=4), values).save(folder / "out" / "sample")
    return folder / "out" / "sample" / "result.json"


def _shown(path: Path) -> None:
    saved = load_result(path)
    describe(differences(saved, saved)), str(saved), saved.to_dict(), saved._repr_html_()


def _reported(path: Path) -> None:
    page.html(path.parent.parent)


def _selection(folder: Path) -> Path:
    where = (0.0, 0.0, 0.5, 0.5)
    Selection("8x8", (1, 3), SHA, {"n": 3}, gains=(0.5, 0.0), where=where).write(folder / "s.json")
    return folder / "s.json"


def _concepts(folder: Path) -> Path:
    named = {"left": Concept(("3:17", (0.5,) * 4), ("a", "not b")), "right": Concept(("3:5",))}
    Concepts(SHA, named).write(folder / "concepts.json")
    return folder / "concepts.json"


def _concepts_read(path: Path) -> None:
    concepts = Concepts.read(path)
    for name in concepts.named:
        concepts.latents(name, CONFIG)


def _networks() -> tuple[dp.Generator, dp.Discriminator]:
    generator = dp.networks.initialise(dp.Generator(CONFIG), seed=0)
    return generator, dp.networks.initialise(dp.Discriminator(CONFIG), seed=1)


def _checkpoint(folder: Path) -> Path:
    checkpoints.save(dp.Checkpoint(CONFIG, *_networks(), {}), folder / "a.safetensors")
    return folder / "a.safetensors"


def _hub(folder: Path) -> Path:
    from dcgan_probe.checkpoints import huggingface

    huggingface.save(_checkpoint(folder), folder / "hub")
    return folder / "hub" / "config.json"


def _state_dict(new: bool) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        shapes = {0: (5, 6, 4, 4), 3: (6, 3, 4, 4), 6: (3, 3, 4, 4)}
        state: dict[str, object] = {f"main.{i}.weight": torch.ones(s) for i, s in shapes.items()}
        for i, n in ((1, 6), (4, 3)):
            for key in ("weight", "bias", "running_mean", "running_var"):
                state[f"main.{i}.{key}"] = torch.rand(n) + 0.1
        whole = {"epoch": 3, "netG": state, "lr": 0.1}
        torch.save(whole, folder / "netG.pth", _use_new_zipfile_serialization=new)
        return folder / "netG.pth"

    return make


def _program(folder: Path) -> Path:
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 36, 3))
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(
        network.eval(), (torch.zeros(2, 3, 8, 8),), dynamic_shapes=(batch,)
    )
    torch.export.save(program, folder / "a.pt2")
    return folder / "a.pt2"


def _run_program(path: Path) -> None:
    exported.read(path)(torch.zeros(1, 3, 8, 8))


def _latents(folder: Path) -> Path:
    sampling.write(folder / "z.safetensors", torch.rand(3, 4), SHA)
    return folder / "z.safetensors"


def _cache(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        data = folder / "data"
        data.mkdir()
        for i in range(4):
            (data / f"{i}.png").write_bytes(_png(i))
        images = cache.cached(ImageSource(data, 8, 3), folder=folder / "cache")
        home = Path(images.pixels.filename).parent
        if name == "progress.json":
            (home / "images.json").rename(home / name)
        shutil.copytree(folder / "cache", folder / "whole")
        return folder / "cache" / home.name / name

    return make


def _cached(path: Path) -> None:
    damaged = path.read_bytes()
    folder = path.parent.parent
    shutil.rmtree(folder)
    shutil.copytree(folder.parent / "whole", folder)
    path.write_bytes(damaged)
    images = cache.cached(ImageSource(folder.parent / "data", 8, 3), folder=folder)
    assert len(images.pixels) == 4 and images.pixels.sum() > 0


def _trainer() -> Trainer:
    images = torch.zeros(8, 3, 16, 16, dtype=torch.uint8)
    return Trainer(CONFIG, Recipe("shared", batch=4), images)


def _state(folder: Path) -> Path:
    trainer = _trainer()
    trainer.step()
    return _write("state.pt", trainer.state({"best": None}))(folder)


def _metrics(folder: Path) -> Path:
    lines = [{"step": 10, "discriminator": 1.2, "generator": 0.8}, {"step": 20, "swd_mean": 3.0}]
    return _write("metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))(folder)


def _recorded(path: Path) -> None:
    Record(path.parent, steps=30).draw()


def _features(folder: Path) -> Path:
    class Rows:
        def __len__(self) -> int:
            return 3

        def read(self, indices: object) -> torch.Tensor:
            return torch.rand(len(indices), 3, 2, 2)  # type: ignore[arg-type]

    feature_files.stored(
        folder / "f.npy", Rows(), lambda batch: batch.flatten(1), Layout(("x",), (12,), 1), {"a": 1}
    )
    return folder / "f.npy"


def _described(folder: Path) -> Path:
    return _features(folder).with_name("f.npy.json")


def _work(path: Path) -> None:
    BoxWork(path, 30, (64, 64), 3, SHA).state()


def _picked(path: Path) -> None:
    ConceptWork(path, 30, 3, SHA).state()


READERS = {
    "npz": Reader(_npz, _images),
    "npz_stored": Reader(_npz_stored, _images),
    "tar": Reader(_tar, _images),
    "tar_gz": Reader(_tar_gz, _images),
    "zip": Reader(_zip, _images),
    "idx": Reader(_idx, _images),
    "idx_gz": Reader(_idx_gz, _images),
    "mat": Reader(_mat, _images),
    "mat_plain": Reader(_mat_plain, _images),
    "mat_labels": Reader(_mat, _mat_labels),
    "lmdb": Reader(_lmdb, _lmdb_images),
    "parquet": Reader(_write("a.parquet", b"PAR1" + bytes(40) + b"PAR1"), _images),
    "cifar": Reader(_write("data_batch_1", b"\x80\x02}q\x00(U\x04dataq\x01." + bytes(40)), _images),
    "npy": Reader(_write("a.npy", b"\x93NUMPY\x01\0" + bytes(60)), _images),
    "csv": Reader(_table, _labelled),
    "keep": Reader(_write("keep.txt", "a/1.png\nb/2.png\n"), dataset.read_names),
    "boxes": _boxes("a.json", box_files.OWN),
    "coco": _boxes("a.json", box_files.COCO),
    "labelme": _boxes("a.json", next(iter(box_files.LABELME.values()))),
    "label_studio": _boxes("a.json", box_files.LABEL_STUDIO),
    "label_studio_min": _boxes("a.json", box_files.LABEL_STUDIO_MIN),
    "via": _boxes("a.json", box_files.VIA_PROJECT),
    "via_csv": _boxes("a.csv", box_files.VIA_CSV),
    "cvat": _boxes("a.xml", box_files.CVAT),
    "voc": _boxes("a.xml", box_files.voc("1a2b3c4d_seed3_0004.png", ("window", 1, 2, 30, 40))),
    "yolo": _boxes("a.txt", "0 0.5 0.5 0.2 0.3\n1 0.2 0.2 0.1 0.1\n"),
    "png": _image("PNG", "RGBA"),
    "jpeg": _image("JPEG"),
    "webp": _image("WEBP"),
    "tiff": _image("TIFF"),
    "tiff_grey_alpha": _image("TIFF", "LA"),
    "gif": _image("GIF"),
    "bmp": _image("BMP"),
    "ppm": _image("PPM"),
    "photograph": Reader(_image("JPEG").make, lambda path: photograph.read(path, CONFIG, True)),
    "picture": Reader(_image("GIF").make, media.picture),
    "result": Reader(_result, _shown),
    "report": Reader(_result, _reported),
    "selection": Reader(_selection, edit.read),
    "concepts": Reader(_concepts, _concepts_read),
    "safetensors": Reader(_checkpoint, checkpoints.load),
    "hub": Reader(_hub, lambda path: checkpoints.load(path.parent)),
    "pth": Reader(_state_dict(True), checkpoints.load),
    "pth_legacy": Reader(_state_dict(False), checkpoints.load),
    "pt2": Reader(_program, _run_program),
    "latents": Reader(_latents, lambda path: sampling.read(path, CONFIG, SHA)),
    "cache_images": Reader(_cache("images.json"), _cached),
    "cache_progress": Reader(_cache("progress.json"), _cached),
    "cache_pixels": Reader(_cache("pixels"), _cached),
    "state": Reader(_state, lambda path: _trainer().load_state(path)),
    "metrics": Reader(_metrics, _recorded),
    "features": Reader(_features, feature_files.read),
    "features_json": Reader(_described, lambda path: feature_files.read(path.with_suffix(""))),
    "label_boxes": Reader(_boxes("a.json", box_files.OWN).make, _work),
    "label_concepts": Reader(_concepts, _picked),
}

# Formats that are not read: each is told by its head, and the line says what to do.
ADVISED = ("parquet", "cifar", "npy")

# What a number, a word or a list in a text may be replaced by.
_TOKENS = [
    *(b"NaN", b"-Infinity", b"1e999", b"-1", b"0", b"1.5", b"9" * 30, b"1e308", b"null", b"true"),
    *(b"[]", b"{}", b'""', b'"x"', b"[[]]", b'{"a": 1}', b"\xff\xfe", b"\x00", b'"\\ud800"'),
    *(b"../../x", b"$^$", b"\x1b[2J", b"\xe2\x80\x8b", b"1,2", b"\r", b"[" * 50),
]
_PIECE = re.compile(rb'-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|"[^"\\]*"|\b(?:true|false|null)\b|[\[\]{},:]')


def damage(data: bytes, rng: np.random.Generator) -> bytes:
    """A damaged file; also one that is whole JSON or a whole zip but for a value or a member."""
    if data[:1] in (b"{", b"[") and rng.integers(3):
        return _other_value(data, rng)
    if not data.startswith(b"PK") or rng.integers(2):
        return mutate(data, rng)
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w") as new:
        members = old.infolist()
        chosen = members[int(rng.integers(len(members)))].filename
        for member in members:
            content = old.read(member)
            new.writestr(member, mutate(content, rng) if member.filename == chosen else content)
    return made.getvalue()


_VALUES = [None, True, -1, 0, 0.5, 10**30, 1e308, float("nan"), "", "x", "1", "\x1b[2J", "\ud800"]
_VALUES += [[], {}, [[]], [None], {"a": {}}, ["x", 1], "../../x", "a" * 5000, [0] * 300]


def _other_value(data: bytes, rng: np.random.Generator) -> bytes:
    """JSON of which one or two values are others, or are gone."""
    try:
        whole = json.loads(data)
    except ValueError:  # a file of JSON lines
        return mutate(data, rng)
    for _ in range(int(rng.integers(1, 3))):
        places: list[tuple[object, object]] = []
        waiting = [whole]
        while waiting:
            each = waiting.pop()
            keys = list(each) if isinstance(each, dict) else range(len(each))
            places += [(each, key) for key in keys]
            waiting += [each[key] for key in keys if isinstance(each[key], dict | list)]
        if not places:
            break
        holder, key = places[int(rng.integers(len(places)))]
        if rng.integers(8) == 0:
            del holder[key]  # type: ignore[attr-defined]
        else:
            holder[key] = copy.deepcopy(_VALUES[int(rng.integers(len(_VALUES)))])  # type: ignore[index]
    return json.dumps(whole).encode()


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """One to four changes of a file, as damage, carelessness and malice make them."""
    changed = bytearray(data)
    for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
        if not changed:
            break
        place = int(rng.integers(len(changed)))
        stop = min(len(changed), place + int(2 ** rng.uniform(0, 7)))
        match int(rng.integers(9)):
            case 0:
                changed[place] ^= 1 << int(rng.integers(8))
            case 1:
                changed[place:stop] = rng.bytes(stop - place)
            case 2:
                del changed[place:stop]
            case 3:
                changed[place:place] = changed[place:stop]
            case 4:
                del changed[place:]
            case 5:
                changed[place:stop] = bytes([int(rng.choice([0, 255, 128, 127]))]) * (stop - place)
            case 6:
                other = int(rng.integers(len(changed)))
                changed[place:stop] = changed[other : other + stop - place]
            case _:
                pieces = list(_PIECE.finditer(changed[:20_000]))
                if pieces:
                    piece = pieces[int(rng.integers(len(pieces)))]
                    token = _TOKENS[int(rng.integers(len(_TOKENS)))]
                    changed[piece.start() : piece.end()] = token
    return bytes(changed)


class TooLong(BaseException):
    """A reader that took more than its seconds."""


def attack(name: str, count: int, seed: int = 0) -> Counter[str]:
    """Read so many damaged files; what happened, in words: "read", "refused", or the fault."""
    reader = READERS[name]
    outcomes: Counter[str] = Counter()
    rng = np.random.default_rng([seed, *name.encode()])
    with tempfile.TemporaryDirectory() as folder:
        path = reader.make(Path(folder))
        whole = path.read_bytes()
        if name not in ADVISED:
            reader.read(path)
        for number in range(count):
            data = damage(whole, rng)
            for other in path.parent.glob(f"{path.stem}.damaged-*"):
                other.unlink()
            path.write_bytes(data)
            outcomes[_outcome(reader, path, f"{name} {number}")] += 1
    return outcomes


def _outcome(reader: Reader, path: Path, where: str) -> str:
    began = time.perf_counter()
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        reader.read(path)
        return "read"
    except InputError as error:
        line = str(error)
        return "refused" if "\n" not in line and len(line) < 2100 else f"a bad line: {line:.80}"
    except TooLong:
        return f"{where}: more than {SECONDS} s"
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [f for f in frames if "dcgan_probe" in f.filename or "/probes/" in f.filename]
        at = ours[-1] if ours else frames[-1]
        told = f"{type(error).__name__} at {Path(at.filename).name}:{at.lineno}"
        print(f"{where}: {told}: {str(error)[:120]!r}", file=sys.stderr, flush=True)
        return told
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if (took := time.perf_counter() - began) > SECONDS:
            print(f"{where}: {took:.1f} s", file=sys.stderr)


def _processor_seconds() -> float:
    """Of this process and of those that it has started."""
    return sum(os.times()[:4])


def main() -> int:
    """Attack readers, print what happened, one a line, and end with 1 if there was a fault."""

    def stop(*_: object) -> None:
        raise TooLong

    signal.signal(signal.SIGALRM, stop)
    warnings.simplefilter("ignore")
    terminal.note = lambda text: None  # type: ignore[assignment]
    os.fsync = lambda descriptor: None  # type: ignore[assignment]  # nobody pulls the plug here
    torch.set_num_threads(1)
    count, names = int(sys.argv[1]), sys.argv[2:] or list(READERS)
    faults = 0
    for name in names:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = _processor_seconds()
        print(f"{name}: ", end="", flush=True)
        outcomes = attack(name, count)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        if grown > MEMORY:
            outcomes[f"{grown >> 20} MiB more memory"] += 1
        faults += sum(n for what, n in outcomes.items() if what not in ("read", "refused"))
        told = ", ".join(f"{n} {what}" for what, n in outcomes.most_common())
        print(f"{told} ({_processor_seconds() - began:.1f} s)", flush=True)
    return int(faults > 0)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.exit(main())
