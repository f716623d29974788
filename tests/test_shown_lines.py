"""Every line of dcgan-probe that a page shows is run, page by page, as it stands.

Stand-ins lie where a page has files of its reader: few images, the rooms' networks as a stranger's,
the boxes of the rooms. Sizes are cut, so that what is tested is whether a line works, and not what
it finds.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from pages import PAGES, ROOT, lines, name, ours, strangers
from torch import nn

import dcgan_probe as dp
from dcgan_probe.checkpoints import statistics
from dcgan_probe.cli.group import main
from dcgan_probe.dedup import autoencoder
from dcgan_probe.latents.concepts import Concept
from dcgan_probe.probes import forget, sample
from dcgan_probe.probes.ablate import edit as ablated
from dcgan_probe.probes.arithmetic import trials as arithmetic
from dcgan_probe.probes.directions import naming
from dcgan_probe.probes.forget import choice, gates
from dcgan_probe.probes.forget.guidance import Guidance
from dcgan_probe.probes.invert import result as inversion
from dcgan_probe.probes.invert import search
from dcgan_probe.probes.put import choice as putting
from dcgan_probe.probes.turn import probe as turning
from dcgan_probe.probes.walk import probe as walking
from dcgan_probe.recognition import box_detector, erasing, keeping, retrained, trials
from dcgan_probe.training import loop, trainer

# What a command takes where a line does not say.
SMALL: dict[str, dict[str, Any]] = {
    "visualize-d": {"n": 16, "filters": "0-3", "k": 2},
    "forget": {"n": 16, "controls": 2},
    "put": {"n": 16},
    "dissect": {"n": 4, "top": 2},
    "sample": {"n": 8},
    "walk": {"points": 3, "steps": 3},
    "arithmetic": {"draws": 4},
    "turn": {"n": 2, "steps": 3},
    "directions": {"components": 2},
    "invert": {"starts": 2, "steps": 3},
    "evaluate": {"n": 64},
    "features": {"c": "0.01", "draws": 1, "valid": 50},
    "neighbours": {"n": 24},
    "train": {"batch": 4, "g_width": 4, "d_width": 4},
}
# What a line says at most.
MOST = {"--n": 8, "--steps": 3, "--epochs": 1, "--batch": 4, "--g-width": 4, "--d-width": 4}
BOXED = 24  # samples with boxes, of those that ship
# What no line and no option says: how much a command draws, tries or fits by itself.
INSIDE: dict[Any, dict[str, Any]] = {
    ablated: {"SAMPLES": 16},
    arithmetic: {"POOL": 400},
    box_detector: {"PLACES": 1000},
    choice: {"SCANNED": 8, "VERIFIED": 16},
    erasing: {
        "PRELIMINARY": 12,
        "SAMPLES": 12,
        "FIRST_WIDTHS": (2.0,),
        "WIDTHS": (0.0, 2.0),
        "KEPT": 1,
        "DONORS": 24,
    },
    gates: {"STEPS": 2},
    inversion: {"OTHERS": 4},
    loop: {"JUDGED": 16},
    keeping: {"SAMPLES": 1200},  # fewer say too little of a smile
    naming: {"MEASURED": 20},
    putting: {"PLACES": 2, "RECIPIENTS": 2, "SHORTLIST": 2, "SAMPLES": 4},
    search: {"CANDIDATES": 4},
    statistics: {"BATCHES": 2},
    trainer: {"STATISTICS_BATCHES": 2},
    trials: {"SAMPLES": 12, "FEWEST": 8, "USUAL": 8},
    turning: {"MEASURED": 20, "FRAMES": 4},
    walking: {"FRAMES": 4, "PAIRS": 8},
}
# The same of functions: what their last arguments are where they are not given.
DEFAULTS: dict[Any, tuple[object, ...]] = {
    retrained.see: (8, None),
    retrained.retrain: (0, 200, 20),
    Guidance.draw.__func__: (32,),  # type: ignore[attr-defined]
}
# Lines that are run elsewhere.
ELSEWHERE = {
    "pt_inception": "test_evaluate writes weights of that form",
    "hub:your-org/bedrooms": "test_hub has a hub of its own",
    "svhn-1000": "test_features has a folder of that size",
    "edge-energy": "test_plugins installs the package",
    "filter-means": "test_plugins installs a package of the template",
}
EXPORTED = {
    "segmenter.pt2": nn.Sequential(nn.Conv2d(3, 1, 3, padding=1), nn.Sigmoid()),
    "extractor.pt2": nn.Sequential(nn.AvgPool2d(16), nn.Flatten()),
}
PLACEHOLDERS = {"FOLDER", "SVHN_FOLDER"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with whatever files the pages speak of."""
    folder = tmp_path_factory.mktemp("world")
    rooms = dp.checkpoints.load("rooms")
    as_pytorch_example(rooms.generator, folder / "netG_epoch_24.pth")
    as_pytorch_example(rooms.discriminator, folder / "netD_epoch_24.pth")
    shutil.copy(folder / "netG_epoch_24.pth", folder / "gan.pth")
    for network in ("mine", "gan", "epoch1", "epoch5", "first", "second"):
        info = {"epoch": network}
        dp.checkpoints.save(replace(rooms, info=info), folder / f"{network}.safetensors")
    (folder / "out/train").mkdir(parents=True)
    for network in ("best", "checkpoint"):
        shutil.copy(folder / "mine.safetensors", folder / f"out/train/{network}.safetensors")
    grey = dp.Config(size=64, channels=1, g_width=4, d_width=4)
    networks = (
        dp.networks.untrained(network(grey), seed=0) for network in (dp.Generator, dp.Discriminator)
    )
    dp.checkpoints.save(dp.Checkpoint(grey, *networks), folder / "best.safetensors")

    images = dp.figures.pixels(dp.Session(rooms, seed=5, device="cpu").sample(96))
    for archive in ("photographs", "faces", "crops", "grey", "training", "others"):
        archived(folder / f"{archive}.zip", images)
    archived(folder / "rooms.zip", images[:64])
    archived(folder / "held_out.zip", images[48:])
    for label in ("smile", "none"):
        (folder / "labelled" / label).mkdir(parents=True)
    for i, image in enumerate(images):
        label = ("smile", "none")[i % 2]
        shown = image.mean(2, keepdims=True).astype(np.uint8).repeat(3, 2) // (1 + i % 2)
        dp.figures.write_image(folder / "labelled" / label / f"{i}.png", shown)
    small = images[:, ::2, ::2].repeat(4, 0)
    archived(folder / "cifar10.zip", small, lambda i: f"{('cat', 'dog')[i // 4 % 2]}/{i}.png")
    for path in ("me.png", "me.jpg", "face.jpg", "rooms/00000.png", "rooms/00001.png"):
        (folder / path).parent.mkdir(exist_ok=True)
        dp.figures.write_image(folder / path, images[0])
    (folder / "cells").mkdir()
    dp.figures.write_image(folder / "cells/00000.png", images[0])

    session = dp.Session(rooms, seed=0, device="cpu")
    for probe in ("a", "b", "rooms/sample"):
        sample.run(session, 4).save(folder / "out" / probe)
    for shipped in ("rooms", "cells"):
        few(shipped).write(folder / f"{shipped}.json")
    with pytest.MonkeyPatch.context() as monkeypatch:
        cut(monkeypatch)
        forgotten = forget.run(session, few("rooms"), controls=1, n=16, judges=["boxes"])
    forgotten.save(folder / "out/rooms/forget")
    return folder


def few(name: str) -> dp.Boxes:
    """The boxes that ship with a network, on the first samples only."""
    path = dp.checkpoints.shipped_boxes(name)
    assert path is not None
    boxes = dp.Boxes.read(path)
    images = boxes.images[:BOXED]
    drawn = tuple(box for box in boxes.boxes if box.image in images)
    return replace(boxes, boxes=drawn, images=images)


def archived(path: Path, images: np.ndarray, named=lambda i: f"{i:05}.png") -> None:
    folder = path.with_suffix("")
    for i, image in enumerate(images):
        (folder / named(i)).parent.mkdir(parents=True, exist_ok=True)
        dp.figures.write_image(folder / named(i), image)
    shutil.make_archive(str(folder), "zip", folder)
    shutil.rmtree(folder)


def exported(network: nn.Module, path: Path) -> None:
    batch = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(
        network.eval(), (torch.zeros(2, 3, 64, 64),), dynamic_shapes=batch
    )
    torch.export.save(program, path)


def as_pytorch_example(network: Any, path: Path) -> None:
    """A network with the names and shapes that pytorch/examples' dcgan gives its own."""
    generates = isinstance(network, dp.Generator)
    found = {}
    for i, block in enumerate(network.children()):
        # Three modules a block (conv, norm, act), but no norm in the first of a discriminator.
        first = 3 * i - (i > 0 and not generates)
        for leaf, tensor in block.state_dict().items():
            kind, leaf_name = leaf.split(".")
            if kind == "linear":  # where one side of the convolution is 1x1
                tensor = (tensor.T if generates else tensor).unflatten(1, (-1, 4, 4))
            found[f"main.{first + (kind == 'norm')}.{leaf_name}"] = tensor.contiguous()
    torch.save(found, path)


def drawn_for(model: str) -> None:
    """Boxes and concepts of the checkpoint that a line opens, in the folder it is run in."""
    if not Path(model).is_file():
        model = "rooms" if model not in dp.checkpoints.shipped() else model
    sha = dp.checkpoints.load(model).sha256
    boxes = replace(dp.Boxes.read("rooms.json"), checkpoint=sha)
    for file in ("windows.json", "boxes.json", "glasses.json"):
        boxes.write(file)
    names = [dp.boxes.sample_name(sha, boxes.seed or 0, i) for i in boxes.images]
    coco = {
        "images": [
            {"id": i, "file_name": file, "width": 64, "height": 64}
            for i, file in zip(boxes.images, names, strict=True)
        ],
        "categories": [{"id": 1, "name": "window"}],
        "annotations": [
            {
                "id": i,
                "image_id": box.image,
                "category_id": 1,
                "bbox": [box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0],
            }
            for i, box in enumerate(boxes.boxes)
        ],
    }
    Path("export.json").write_text(json.dumps(coco))
    named = {
        concept: Concept(tuple(f"{seed}:{i}" for i in range(3)))
        for seed, concept in enumerate(("neutral", "smiling", "other"))
    }
    Path("concepts.json").unlink(missing_ok=True)
    if dp.checkpoints.shipped_concepts(model) is None:  # would stand in for those that ship
        dp.Concepts(sha, named).write("concepts.json")


def shortened(arguments: list[str]) -> list[str]:
    """The arguments with no size above `MOST`."""
    short = list(arguments)
    for i, (option, value) in enumerate(zip(arguments, arguments[1:], strict=False)):
        if option in MOST and value.isdigit():
            short[i + 1] = str(min(int(value), MOST[option]))
        elif (option, value) == ("--filters", "all"):
            short[i + 1] = "0-3"
    return short


def writes(arguments: list[str], path: Path) -> bool:
    """Whether a line writes a file or folder that it does not read: `--to`, and `train`'s own."""
    to = [
        value for option, value in zip(arguments, arguments[1:], strict=False) if option == "--to"
    ]
    return str(path) in to or (path == Path("out/train") and "train" in arguments)


def cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands draw, try and fit as little by themselves as `INSIDE` and `DEFAULTS` say."""
    for module, constants in INSIDE.items():
        for constant, value in constants.items():
            monkeypatch.setattr(module, constant, value)
    for function, values in DEFAULTS.items():
        monkeypatch.setattr(function, "__defaults__", values)


@pytest.fixture
def nothing_drawn(monkeypatch) -> Iterator[None]:
    """`label` ends as soon as its page is there."""
    from dcgan_probe.pages.server import Server

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "serve_forever", interrupted)
    monkeypatch.setattr("dcgan_probe.pages.opening._has_browser", lambda: False)
    yield


WITH_LINES = [page for page in PAGES if any(map(ours, lines(page.read_text())))]


def first_shown_by(words: list[str]) -> Path:
    """The page that runs a line: the first of those that show it."""
    return next(page for page in WITH_LINES if words in lines(page.read_text()))


@pytest.mark.shown
@pytest.mark.parametrize("page", WITH_LINES, ids=name)
def test_the_lines_of_a_page_run_one_after_the_other(
    page, world, tmp_path, monkeypatch, nothing_drawn
):
    boxes = {name: tmp_path / f"here/{name}.json" for name in ("rooms", "cells")}
    monkeypatch.setattr(dp.checkpoints, "shipped_boxes", boxes.get)
    cut(monkeypatch)
    fit = autoencoder.fit
    monkeypatch.setattr(autoencoder, "fit", lambda p, s, *rest: fit(p, replace(s, steps=3), *rest))
    shutil.copytree(world, tmp_path / "here")
    shutil.copytree(ROOT / "fixtures/rooms", tmp_path / "here/fixtures/rooms")
    monkeypatch.chdir(tmp_path / "here")
    text = page.read_text()
    for file, network in EXPORTED.items():
        if file in text:  # to import what exports takes seconds
            exported(network, Path(file))
    elsewhere = {*ELSEWHERE, *strangers(page, text), *PLACEHOLDERS}
    wrong = []
    stand_ins = {*Path(".").iterdir(), *Path("out").iterdir()}
    for words in lines(text):
        arguments = ours(words)
        if page.name != "start.md" and first_shown_by(words) != page:
            continue
        if not arguments or any(each in word for word in arguments for each in elsewhere):
            continue
        model = arguments[arguments.index("--model") + 1] if "--model" in arguments else "rooms"
        drawn_for(model)
        if ":" in model:
            monkeypatch.syspath_prepend(str(ROOT))
        short = shortened(arguments)
        # A line writes what it names: until then another file stood in for it.
        stand_ins -= (made := {path for path in stand_ins if writes(arguments, path)})
        for path in made:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        small = {**SMALL, "features": {}} if "--labels" not in short else SMALL
        if "--start-from" in short:  # whose networks are as wide as they are
            small = {**small, "train": {"batch": 4}}
        done = CliRunner().invoke(main, short, default_map=small)
        if done.exit_code:
            wrong.append(f"{shlex.join(words)}: {done.output[-300:]} {done.exception!r}")
    assert wrong == []
    if page.name == "start.md":
        named = re.findall(r"`((?:out|without)/[\w/.-]+)`", text)
        assert len(named) > 2
        assert [path for path in named if not Path(path).exists()] == []
