"""The solver of `features` beside scikit-learn's LinearSVC, over C, rows, columns and zeros.

    python benchmarks/features/solver.py --cache FOLDER --data cifar10.zip
    python benchmarks/features/solver.py --cache FOLDER

The features are those of the authors' SVHN discriminator of CIFAR-10 images, or without --data
made-up ones of the same shape; and the same with nineteen of twenty numbers at 0. A fit is a
process of its own on one thread, and the two solvers of a cell run one after the other; quick ones
take turns in one process. What has been measured stays in FOLDER, so a stopped command resumes.
Delete FOLDER to start again.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import click
import numpy as np

HERE = Path(__file__).resolve().parent
MAPPED_ROWS, WIDTH = 20_000, 7168
COSTS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
# Quick ones first: a command that is stopped has them.
SHAPES = (
    ("dense", 2000, 256), ("dense", 2000, WIDTH), ("dense", 10_000, 256), ("sparse", 2000, 256),
    ("sparse", 2000, WIDTH), ("sparse", 10_000, 256), ("sparse", 10_000, WIDTH),
    ("dense", 10_000, WIDTH),
)  # fmt: skip
# LinearSVC is stopped after PATIENCE times our CPU seconds, and at least this many seconds; where
# ours takes more than LONG, after LITTLE times.
PATIENCE, AT_LEAST, LONG, LITTLE = 2.0, 10.0, 60.0, 1.1
# Where fits take tenths of a second, the two take this many turns, after one that does not count.
QUICK_SHAPES = (("sparse", 2000, 256), ("sparse", 2000, WIDTH), ("sparse", 10_000, 256))
TURNS = 5
GAP = 1e-4


def prepared(cache: Path, data: Path | None) -> str:
    """Write features and labels into the folder once; says what they are."""
    about = cache / "about.json"
    if about.exists():
        return json.loads(about.read_text())
    cache.mkdir(parents=True, exist_ok=True)
    values = np.lib.format.open_memmap(
        cache / "features.npy", "w+", np.float32, (MAPPED_ROWS, WIDTH)
    )
    rng = np.random.default_rng(0)
    if data is None:
        words = "made-up features: low-rank classes, noise and a common offset, as max-pooled maps"
        labels = rng.integers(10, size=MAPPED_ROWS)
        centres, mix = rng.standard_normal((10, 200)), rng.standard_normal((200, WIDTH))
        for first in range(0, MAPPED_ROWS, 1000):
            at = slice(first, first + 1000)
            hidden = 0.3 * centres[labels[at]] + rng.standard_normal((1000, 200))
            noise = rng.standard_normal((1000, WIDTH))
            values[at] = np.maximum(hidden @ mix / 14 + 0.5 * noise + 1, 0)
    else:
        words = "features of CIFAR-10 images by the authors' SVHN discriminator"
        labels = _extracted(values, data, rng)
    values.flush()
    np.save(cache / "labels.npy", labels)
    about.write_text(json.dumps(words))
    return words


def _extracted(values: np.ndarray, data: Path, rng: np.random.Generator) -> np.ndarray:
    import torch

    import dcgan_probe as dp
    from dcgan_probe.images.sources import ImageSource
    from dcgan_probe.metrics import features

    session = dp.Session.open("svhn", 0, device="cpu")
    network = session.discriminator
    images = ImageSource(data, session.config.size, session.config.channels)
    names = features.layers(network)
    train = [i for i, name in enumerate(images.names) if "train/" in str(name)]
    rows = rng.permutation(train)[:MAPPED_ROWS]
    for first in range(0, MAPPED_ROWS, 200):
        batch = images.read(rows[first : first + 200].tolist())
        with torch.no_grad():
            values[first : first + 200] = features.extract(network, batch, names).numpy()
    kinds = [str(images.names[i]).split("/")[-2] for i in rows]
    return np.unique(kinds, return_inverse=True)[1]


class Peak(threading.Thread):
    """The most memory that a process had for itself, without pages of mapped files, in MiB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.before = self.most = own_memory()

    def run(self) -> None:
        while True:
            self.most = max(self.most, own_memory())
            time.sleep(0.02)


def own_memory() -> float:
    """What this process has now, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def rows_of(cache: Path, kind: str, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels; "sparse": what lies above 95% of its column, over its deviation."""
    values = np.load(cache / "features.npy", mmap_mode="r")[:rows]
    chosen = np.sort(np.random.default_rng(1).permutation(WIDTH)[:columns])
    found = np.ascontiguousarray(values[:, chosen] if columns < WIDTH else values)
    if kind == "sparse":
        found = np.maximum(found - np.quantile(found[:500], 0.95, axis=0), 0).astype(np.float32)
        found /= found.std()
    return found, np.load(cache / "labels.npy")[:rows]


def measured(cache: Path, run: dict[str, Any]) -> dict[str, Any]:
    """One fit, in this process, on one thread."""
    import torch

    torch.set_num_threads(1)
    if run.get("mapped"):
        values = np.load(cache / "features.npy", mmap_mode="r")
        labels = np.load(cache / "labels.npy")
    else:
        values, labels = rows_of(cache, run["kind"], run["rows"], run["columns"])
    if "limit" in run:
        spent = int(time.process_time() + run["limit"]) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (spent, spent))
    peak = Peak()
    peak.start()
    found = fitted(values, labels, run)
    return {
        **found,
        "own_before": peak.before,
        "own": peak.most,
        "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def fitted(values: np.ndarray, labels: np.ndarray, run: dict[str, Any]) -> dict[str, Any]:
    """One fit: CPU seconds, and what it came to."""
    from sklearn.svm import LinearSVC

    from dcgan_probe.metrics import svm

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cpu = time.process_time()
        if run["solver"] == "LinearSVC":
            machine = LinearSVC(C=run["c"], random_state=0).fit(values, labels)
            weights, intercepts, used = machine.coef_, machine.intercept_, "LinearSVC"
        else:
            ours = svm.fit(values, labels, run["c"], solver=run["solver"])
            weights, intercepts, used = ours.weights, ours.intercepts, ours.solver
        cpu = time.process_time() - cpu
    return {
        "cpu": cpu,
        "objective": objective(weights, intercepts, values, labels, run["c"]),
        "used": used,
        "warnings": [str(warning.message).split(",")[0] for warning in caught],
        "gap": None if run["solver"] == "LinearSVC" else float((ours.gap / ours.objective).max()),
        "load": os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%d"),
    }


def take_turns(cache: Path, kind: str, rows: int, columns: int) -> None:
    """Both solvers in turns, in this process: fits of tenths of a second differ by what it does."""
    values, labels = rows_of(cache, kind, rows, columns)
    for c in COSTS:
        runs = [
            {"kind": kind, "rows": rows, "columns": columns, "c": c, "solver": solver}
            for solver in ("auto", "LinearSVC")
        ]
        if all(kept(cache, run).exists() for run in runs):
            continue
        rounds = [[fitted(values, labels, run) for run in runs] for _ in range(TURNS + 1)][1:]
        for run, fits in zip(runs, zip(*rounds, strict=True), strict=True):
            times = [fit["cpu"] for fit in fits]
            found = {**fits[0], "cpu": statistics.median(times), "times": times}
            kept(cache, run).write_text(json.dumps(found))
            print(kept(cache, run).stem, found, flush=True)


def objective(
    weights: np.ndarray, intercepts: np.ndarray, x: np.ndarray, labels: np.ndarray, c: float
) -> float:
    """Of all classes together, in double precision, by the same few lines for both solvers."""
    total = 0.5 * (np.square(weights, dtype=np.float64).sum() + np.square(intercepts).sum())
    for first in range(0, len(x), 1000):
        scores = x[first : first + 1000].astype(np.float64) @ weights.T + intercepts
        signs = np.where(labels[first : first + 1000, None] == np.unique(labels), 1, -1)
        total += c * np.square(np.maximum(0, 1 - signs * scores)).sum()
    return float(total)


def kept(cache: Path, run: dict[str, Any]) -> Path:
    """Where the numbers of a run are."""
    name = "-".join(f"{key}={value}" for key, value in sorted(run.items()) if key != "limit")
    return cache / f"{name}.json"


def result(cache: Path, run: dict[str, Any]) -> dict[str, Any]:
    """What a run came to: read, or measured in a process of its own."""
    path = kept(cache, run)
    if not path.exists():
        limited = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS")}
        command = [sys.executable, __file__, "--cache", str(cache), "--one", json.dumps(run)]
        done = subprocess.run(
            command, env={**os.environ, **limited}, capture_output=True, text=True
        )
        if done.returncode == 0:
            found = json.loads(done.stdout.splitlines()[-1])
        elif "limit" in run and done.returncode < 0:  # the system stopped it
            found = {"over": run["limit"]}
        else:
            raise click.ClickException(done.stderr)
        path.write_text(json.dumps(found))
        print(path.stem, found, flush=True)
    return {**run, **json.loads(path.read_text())}


def cell(cache: Path, kind: str, rows: int, columns: int, c: float) -> dict[str, Any]:
    """Both solvers in the same place of the grid, ours first."""
    run = {"kind": kind, "rows": rows, "columns": columns, "c": c}
    ours = result(cache, {**run, "solver": "auto"})
    limit = max(AT_LEAST, (PATIENCE if ours["cpu"] < LONG else LITTLE) * ours["cpu"])
    return {"ours": ours, "library": result(cache, {**run, "solver": "LinearSVC", "limit": limit})}


def is_measured(cache: Path, kind: str, rows: int, columns: int, c: float) -> bool:
    """Whether both solvers have been measured in a place of the grid."""
    run = {"kind": kind, "rows": rows, "columns": columns, "c": c}
    return all(kept(cache, {**run, "solver": of}).exists() for of in ("auto", "LinearSVC"))


def table(cells: list[dict[str, Any]]) -> str:
    """One line a cell."""
    lines = [
        "| features | rows x columns | C | ours, CPU s | by | LinearSVC, CPU s "
        "| ours / LinearSVC | our gap | its gap, at most | objective, ours / LinearSVC - 1 |",
        "|" + "---|" * 10,
    ]
    for ours, library in ((of["ours"], of["library"]) for of in cells):
        if "over" in library:
            theirs, gap, above = f"over {library['over']:.0f}", "", ""
            ratio = f"under {ours['cpu'] / library['over']:.2f}"
        else:
            early = "*" if library["warnings"] else ""
            theirs, ratio = f"{library['cpu']:.3g}{early}", f"{ours['cpu'] / library['cpu']:.2f}"
            if "times" in ours:
                turns = zip(ours["times"], library["times"], strict=True)
                least, *_, most = of_turns = sorted(mine / other for mine, other in turns)
                ratio = f"{statistics.median(of_turns):.2f} ({least:.2f} to {most:.2f})"
            bound = (1 - ours["gap"]) * ours["objective"]
            gap = f"{1 - bound / library['objective']:.0e}"
            above = f"{ours['objective'] / library['objective'] - 1:.1e}"
        lines.append(
            f"| {ours['kind']} | {ours['rows']:,} x {ours['columns']:,} | {ours['c']:g} | "
            f"{ours['cpu']:.3g} | {ours['used']} | {theirs} | {ratio} | {ours['gap']:.0e} "
            f"| {gap} | {above} |"
        )
    return "\n".join(lines)


def page(words: str, cells: list[dict[str, Any]], mapped: dict[str, Any]) -> str:
    """The results as Markdown."""
    import scipy  # type: ignore[import-untyped]
    import sklearn
    import torch

    models = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(line.split(":")[1].strip() for line in models if line.startswith("model name"))
    loads = [of[key]["load"] for of in cells for key in of if "load" in of[key]]
    dates = {of[key]["date"] for of in cells for key in of if "date" in of[key]}
    known = [of for of in cells if "over" not in of["library"]]
    ratios = sorted(of["ours"]["cpu"] / of["library"]["cpu"] for of in known)
    left = len(SHAPES) * len(COSTS) - len(cells)
    missing = f" {left} cells of the grid have not been measured." if left else ""
    feature_mib = 4 * MAPPED_ROWS * WIDTH / 2**20
    return f"""# The solver of `features` beside LinearSVC

Made by `python benchmarks/features/solver.py`, measured {" to ".join(sorted(dates))}: {model},
{os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}, \
scikit-learn {sklearn.__version__}, scipy {scipy.__version__}; no GPU.
Dense: {words}, 10 classes;
256 columns are drawn from all. Sparse: the same, with nineteen of twenty numbers at 0.
CPU seconds of one thread, on a machine that was busy with other work (load {min(loads):.1f} to
{max(loads):.1f}); the two of a line ran one after the other.

Ours is `svm.fit` with its own choice, with its gap of {GAP:g} of the objective. LinearSVC is
as it comes: a tolerance of 1e-4 of its own measure, 1000 iterations; \\* where these ran out, so
what it returned is not settled. Its gap is measured from the bound that ours found. It is stopped
after {PATIENCE:g} times our seconds, and after {AT_LEAST:g} at least, and where ours takes more
than {LONG:g} s, after {LITTLE:g} times; then it returns nothing, and no gap is known. The sparse
ones of less than 10,000 x 7,168 took {TURNS} turns in one process, and a ratio is the median of the
turns' (with the least and the most); each other fit was a process of its own.

{table(cells)}

Ours took {ratios[0]:.2f} to {ratios[-1]:.2f} of the time of LinearSVC where that ended, in \
{len(known)} of {len(cells)} cells; in the others it was stopped.{missing}
Where it says "library", ours is LinearSVC: it is given a sparse matrix, and the tolerance that our
gap needs, of 1e-5 to 1e-3 by its dual or 1e-4 to 1e-2 by its primal. To that come the look for NaN
and zeros, and the pass that measures the gap.

## Memory

{MAPPED_ROWS:,} x {WIDTH:,} features, {feature_mib:,.0f} MiB in a mapped file, C 1e-5, one of
our fits in {mapped["cpu"]:.0f} CPU seconds: at the peak
{mapped["own"]:,.0f} MiB of the process's own \
memory, of which {mapped["own_before"]:,.0f} MiB were there
before it began (the interpreter with torch). With the mapped pages, which the system takes back
when it needs them, {mapped["rss"]:,.0f} MiB (`ru_maxrss`).

## Other libraries

cuML needs a GPU. lightning and skglm, whose subject is sparsity, go through features in memory
coordinate by coordinate; neither shares a pass between classes or reads chunks of a mapped file.
"""


@click.command()
@click.option("--cache", required=True, type=click.Path(path_type=Path), help="For everything.")
@click.option("--data", type=click.Path(path_type=Path, exists=True), help="cifar10.zip")
@click.option("--measured", "only", is_flag=True, help="Measure nothing: write what there is.")
@click.option("--one", hidden=True)
def main(cache: Path, data: Path | None, only: bool, one: str | None) -> None:
    """Measure, and write solver.md and solver.json."""
    if one is not None:
        print(json.dumps(measured(cache, json.loads(one))))
        return
    from dcgan_probe.storage import files

    words = prepared(cache, data)
    mapped = result(cache, {"solver": "newton", "c": 1e-5, "mapped": True})
    if not only:
        for shape in QUICK_SHAPES:
            take_turns(cache, *shape)
    grid = [(*shape, c) for shape, c in itertools.product(SHAPES, COSTS)]
    cells = [cell(cache, *place) for place in grid if not only or is_measured(cache, *place)]
    text = page(words, cells, mapped)
    print(text)
    files.write_text(HERE / "solver.md", text)
    files.write_json(HERE / "solver.json", {"mapped": mapped, "cells": cells})


if __name__ == "__main__":
    main()
