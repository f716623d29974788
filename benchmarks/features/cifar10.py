"""What a linear machine reads in features on CIFAR-10: the table of this folder, by one command.

    python benchmarks/features/cifar10.py --data cifar10.zip --cache FOLDER
    python benchmarks/features/cifar10.py ... --checkpoint mine.safetensors --checkpoint other.pth
    python benchmarks/features/cifar10.py ... --n 2000

Every row is of the same images and the same machine, protocol `cifar10`, seed 0: pixels, k-means,
discriminators of random weights, the authors' SVHN discriminator, and those of checkpoints.
Features and finished rows stay in FOLDER (1.7 GB for 7,168 features, 6.9 GB for 28,672): a stopped
command resumes after the last row; delete FOLDER to start again. With --n everything uses
N images for training and N for testing; the files say so in their names. --paper-shape adds the
random network of the paper's shape and its 28,672 features, some hours on a CPU.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import torch

import dcgan_probe as dp
from dcgan_probe.networks.config import PRESETS
from dcgan_probe.probes import features
from dcgan_probe.probes.features import protocols
from dcgan_probe.probes.features.result import Classified
from dcgan_probe.storage import files
from dcgan_probe.training.recipe import Recipe

HERE = Path(__file__).resolve().parent
SEED = 0


@dataclasses.dataclass(frozen=True)
class Task:
    """A line of the command's work: a session, and what is put beside its discriminator."""

    name: str
    open: Callable[[], dp.Session]
    words: str
    beside: tuple[str, ...] = ()


def untrained() -> dp.Session:
    """A discriminator of as many maps as the paper's, with random weights."""
    config = PRESETS["cifar10-5x5"]
    network = dp.Discriminator(config)
    dp.networks.initialise(network, SEED)
    return dp.Session(dp.Checkpoint(config, None, network.eval(), {}, "random weights"), SEED)


def trained(path: Path) -> Task:
    """A checkpoint, named with what its training took."""
    checkpoint = dp.checkpoints.load(path)
    return Task(
        f"{checkpoint.name}-{checkpoint.sha256[:8]}",
        lambda: dp.Session(checkpoint, SEED),
        f"{checkpoint.name}: {cost(checkpoint.info)}",
    )


def cost(info: dict[str, Any]) -> str:
    """How long a checkpoint was trained, as far as it says."""
    if "steps" not in info or "recipe" not in info:
        return "training unknown"
    recipe = Recipe.from_dict(info["recipe"])
    seen = info["steps"] * recipe.batch * recipe.minibatches
    on = info.get("data", f"{info['images']} images")
    return f"{info['steps']} steps, {seen / info['images']:.1f} epochs of {on}"


def measured(task: Task, data: Path, cache: Path, n: int | None) -> list[dict[str, Any]]:
    """The rows of a task; those that an earlier run has finished are read."""
    part = "all" if n is None else str(n)
    done = cache / f"{task.name}-{part}.rows.json"
    if done.exists():
        return json.loads(done.read_text())
    options: dict[str, Any] = {}
    if n is not None:
        options = {"n": n, "valid": n // 5, "per_class": (max(1, n // 50), None), "draws": 3}
    start = time.perf_counter()
    session = task.open()
    result = features.run(
        session,
        data,
        protocol="cifar10",
        to=cache / f"{task.name}-{part}.npy",
        beside=task.beside,
        **options,
    )
    assert isinstance(result, Classified)
    values = result.values()
    values["rows"][0]["words"] = task.words
    seconds = time.perf_counter() - start
    for row in values["rows"]:
        row.update(seconds=seconds, beside=len(values["rows"]), made_with=result.made_with)
    values["rows"][0].update(layers=values["layers"], filters=values["filters"])
    files.write_json(done, values["rows"])
    print(result, flush=True)
    return values["rows"]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as Markdown, by their accuracy with all labels, and the published ones below."""
    labels = [point["per_class"] for point in rows[0]["points"]]
    heads = ["all labels" if count is None else f"{count} a class" for count in labels]
    lines = [
        f"| features | numbers | {' | '.join(f'{head} | C' for head in heads)} |",
        f"|---|---|{'---|---|' * len(heads)}",
    ]
    for row in sorted(rows, key=lambda row: row["points"][-1]["accuracy"]["mean"]):
        cells = []
        for point in row["points"]:
            low, high = (100 * end for end in point["accuracy"]["interval_95"])
            mean = 100 * point["accuracy"]["mean"]
            cells += [f"{mean:.2f} ({low:.2f} to {high:.2f})", f"{point['c']:.2g}"]
        words = row.get("words", row["detail"])
        lines.append(f"| {words} | {row['features']:,} | {' | '.join(cells)} |")
    empty = "| | " * (len(heads) - 1)
    lines += [
        f"| *published: {one.name} ({one.source})* | {empty}| *{100 * one.accuracy:.1f}* | |"
        for one in protocols.PROTOCOLS["cifar10"].published
    ]
    return "\n".join(lines)


def carried(rows: Sequence[dict[str, Any]]) -> str:
    """What each layer reaches alone, of every discriminator."""
    lines = [
        "| network | layer | numbers | alone | share of squared weight |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        for layer in row.get("layers", ()):
            accuracy = layer["alone"]["accuracy"]
            low, high = (100 * end for end in accuracy["interval_95"])
            lines.append(
                f"| {row['words']} | {layer['layer']} | {layer['features']:,} | "
                f"{100 * accuracy['mean']:.2f} ({low:.2f} to {high:.2f}) | "
                f"{100 * layer['share_of_squared_weight']:.1f}% |"
            )
    return "\n".join(lines)


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--cache", required=True, type=click.Path(path_type=Path), help="For features.")
@click.option("--checkpoint", multiple=True, type=click.Path(path_type=Path), help="One or many.")
@click.option("--paper-shape", is_flag=True, help="Also random weights in the paper's shape.")
@click.option("--n", type=click.IntRange(200), help="Images of either side; all if not given.")
def main(
    data: Path, cache: Path, checkpoint: tuple[Path, ...], paper_shape: bool, n: int | None
) -> None:
    """Make the table of CIFAR-10."""
    tasks = [
        Task(
            "svhn",
            lambda: dp.Session.open("svhn", SEED),
            "the authors' SVHN network (cross-domain; their epoch 200)",
            ("pixels", "random", "kmeans"),
        ),
        *map(trained, checkpoint),
    ]
    if paper_shape:  # the slowest row
        words = "random weights of seed 0, 128-128-256-256-512-512"
        tasks.append(Task("random", untrained, words))
    rows = [row for task in tasks for row in measured(task, data, cache, n)]
    print(table(rows))
    train, test = (50_000, 10_000) if n is None else (n, n)
    each = 400 if n is None else max(1, n // 50)
    text = (
        "# CIFAR-10, read by a linear machine\n\n"
        f"Made by `python benchmarks/features/cifar10.py` on {time.strftime('%Y-%m-%d')}, torch "
        f"{torch.__version__}, device {rows[0]['made_with']['device']}. Test accuracy in %, of "
        f"{test:,} images, after training on {train:,}\nor on {each} of each class, with 95% "
        f"intervals: for all labels over test images, for {each} of the mean over draws of\n"
        f"labels. C is chosen on {10_000 if n is None else n // 5:,} of the training images. No "
        "label was used to train a network. The images are JPEG\n"
        "re-encodings of CIFAR-10 (Krizhevsky 2009); published rows are of the originals, and of "
        f"networks trained on other data.\n\n{table(rows)}\n\n## Which layers carry it\n\n"
        "All labels, one layer at a time, with its own C; and its share of the squared weight of "
        f"the machine on all layers.\n\n{carried(rows)}\n"
    )
    name = "cifar10" if n is None else f"cifar10-{n}"
    files.write_text(HERE / f"{name}.md", text)
    files.write_json(HERE / f"{name}.json", rows)


if __name__ == "__main__":
    main()
