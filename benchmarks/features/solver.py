"""The solver of `features` beside scikit-learn's LinearSVC: time, objective and memory.

    python benchmarks/features/solver.py --cache FOLDER --data cifar10.zip
    python benchmarks/features/solver.py --cache FOLDER

The features are those of the authors' SVHN discriminator of CIFAR-10 images, or without --data
made-up ones of the same shape. Every run is a process of its own; what has been measured stays in
FOLDER, so a command that was stopped goes on. Delete FOLDER to measure anew.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

HERE = Path(__file__).resolve().parent
ROWS, MAPPED_ROWS, WIDTH = 10_000, 20_000, 7168
CAP = 900
TIMES = 3


def runs() -> list[dict[str, Any]]:
    """What is measured, in order: settings that name a run."""
    found: list[dict[str, Any]] = []
    for c in (1e-4, 1e-5):
        newton = {"solver": "newton", "c": c, "rows": ROWS, "tolerance": 1e-4}
        library = {"solver": "LinearSVC", "c": c, "rows": ROWS, "threads": 1, "time": 0}
        found += [{**newton, "threads": 1, "time": i} for i in range(TIMES)]
        found += [{**library, "tolerance": tolerance} for tolerance in (1e-4, 1e-3)]
        found += [{**newton, "threads": 2, "time": i} for i in range(TIMES)]
    newton = {"solver": "newton", "c": 1e-5, "tolerance": 1e-4, "threads": 1, "time": 0}
    mapped = {**newton, "rows": MAPPED_ROWS, "mapped": True}
    # Repetitions and two threads last: a command that is stopped early has the rest.
    return sorted([*found, mapped], key=lambda run: (run["threads"], run["time"], run["tolerance"]))


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


def measured(cache: Path, run: dict[str, Any]) -> dict[str, Any]:
    """One fit, in this process."""
    import torch
    from sklearn.svm import LinearSVC

    from dcgan_probe.metrics import svm

    torch.set_num_threads(run["threads"])
    values = np.load(cache / "features.npy", mmap_mode="r")[: run["rows"]]
    if not run.get("mapped"):
        values = np.array(values)
    labels = np.load(cache / "labels.npy")[: run["rows"]]
    peak = Peak()
    peak.start()
    wall, cpu = time.perf_counter(), time.process_time()
    if run["solver"] == "LinearSVC":
        machine = LinearSVC(C=run["c"], tol=run["tolerance"], dual="auto", random_state=0)
        machine.fit(values, labels)
        weights, intercepts = machine.coef_, machine.intercept_
    else:
        ours = svm.fit(values, labels, run["c"], solver=run["solver"], tolerance=run["tolerance"])
        weights, intercepts = ours.weights, ours.intercepts
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "wall": wall,
        "cpu": cpu,
        "objective": objective(weights, intercepts, values, labels, run["c"]),
        "own_before": peak.before,
        "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "own": peak.most,
        "load": os.getloadavg()[0],
    }


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


def result(cache: Path, run: dict[str, Any]) -> dict[str, Any]:
    """What a run came to: read, or measured in a process of its own with a limit of time."""
    name = "-".join(f"{key}={value}" for key, value in sorted(run.items()))
    path = cache / f"{name}.json"
    if not path.exists():
        limited = {f"{library}_NUM_THREADS": str(run["threads"]) for library in ("OMP", "OPENBLAS")}
        command = [sys.executable, __file__, "--cache", str(cache), "--one", json.dumps(run)]
        try:
            done = subprocess.run(
                command, env={**os.environ, **limited}, capture_output=True, text=True, timeout=CAP
            )
            if done.returncode:
                raise click.ClickException(done.stderr)
            found = json.loads(done.stdout.splitlines()[-1])
        except subprocess.TimeoutExpired:
            found = {"over": CAP}
        path.write_text(json.dumps(found))
        print(name, found, flush=True)
    return {**run, **json.loads(path.read_text())}


def table(rows: list[dict[str, Any]]) -> str:
    """Runs of the same settings in a line: medians, with the least and the most."""
    lines = [
        "| solver | C | tolerance | threads | wall s | CPU s | objective | above the least found |",
        "|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        if not row.get("mapped"):
            key = (row["solver"], row["c"], row["tolerance"], row["threads"])
            groups.setdefault(key, []).append(row)
    for (solver, c, tolerance, threads), group in groups.items():
        head = f"| {solver} | {c:g} | {tolerance:g} | {threads} |"
        if any("over" in row for row in group):
            lines.append(f"{head} over {CAP} | | | |")
            continue
        least = min(row["objective"] for row in rows if row["c"] == c and "objective" in row
                    and not row.get("mapped"))  # fmt: skip
        above = max(row["objective"] for row in group) / least - 1
        wall, cpu = (spread([row[key] for row in group]) for key in ("wall", "cpu"))
        lines.append(f"{head} {wall} | {cpu} | {group[0]['objective']:.7f} | {above:.1e} |")
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    """Median (least to most)."""
    middle = f"{float(np.median(values)):.1f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.1f} to {max(values):.1f})"


def ratios(rows: list[dict[str, Any]]) -> str:
    """How many times as long LinearSVC takes, medians, for each C and tolerance of its own."""

    def median(key: str, **settings: Any) -> float:
        chosen = [r for r in rows if all(r.get(k) == v for k, v in settings.items())]
        return float(np.median([r.get(key, CAP) for r in chosen if r["rows"] == ROWS]))

    lines = [
        "| C | tolerance of LinearSVC | CPU, one thread each | wall, one thread each | "
        "wall, ours on two |",
        "|---|---|---|---|---|",
    ]
    for run in rows:
        if run["solver"] == "LinearSVC":
            c, more = run["c"], "at least " if "over" in run else ""
            cells = [
                f"{more}{run.get(key, CAP) / median(key, solver='newton', c=c, threads=n):.1f}"
                for key, n in (("cpu", 1), ("wall", 1), ("wall", 2))
            ]
            lines.append(f"| {c:g} | {run['tolerance']:g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def page(words: str, rows: list[dict[str, Any]]) -> str:
    """The results as Markdown."""
    import scipy  # type: ignore[import-untyped]
    import sklearn
    import torch

    models = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(line.split(":")[1].strip() for line in models if line.startswith("model name"))
    mapped = next(row for row in rows if row.get("mapped"))
    library = next(row for row in rows if row["solver"] == "LinearSVC")
    loads = [row["load"] for row in rows if "load" in row]
    feature_mib = 4 * mapped["rows"] * WIDTH / 2**20
    peak = f"{library['own']:,.0f} MiB" if "own" in library else f"not known after {CAP} s"
    return f"""# The solver of `features` beside LinearSVC

Made by `python benchmarks/features/solver.py` on {time.strftime("%Y-%m-%d")}: {model},
{os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}, \
scikit-learn {sklearn.__version__}, scipy {scipy.__version__}; no GPU.
{ROWS:,} x {WIDTH:,} {words}, 10 classes. The machine was
busy with other work (load {min(loads):.1f} to {max(loads):.1f}), so CPU seconds of one thread \
say more than wall seconds.

{table(rows)}

Medians with the least and the most; the objective is of all classes together, worked out anew in
double precision for both. LinearSVC has one thread and one run; its default tolerance is 1e-4.
Ours is not the same number: it bounds the gap of each class by its dual, and what is left in truth
is in the last column. A run of more than {CAP} s is stopped. Two threads wait for each other at
every product, which beside other work costs more than it gives.

How many times as long LinearSVC takes:

{ratios(rows)}

## Memory

{mapped["rows"]:,} x {WIDTH:,} features, {feature_mib:,.0f} MiB in a mapped file, one fit of ours in
{mapped["wall"]:.0f} s: at the peak {mapped["own"]:,.0f} MiB of the process's own memory, of which \
{mapped["own_before"]:,.0f} MiB were there
before it began (the interpreter with torch). With the mapped pages, which the system takes back
when it needs them, {mapped["rss"]:,.0f} MiB (`ru_maxrss`). LinearSVC on {ROWS:,} rows
has {peak} of its own, since it turns them to doubles and copies them.

## Other libraries

cuML needs a GPU. lightning and skglm, whose subject is sparsity, go through features in memory
coordinate by coordinate; neither shares a pass between classes or reads chunks of a mapped file.
"""


@click.command()
@click.option("--cache", required=True, type=click.Path(path_type=Path), help="For everything.")
@click.option("--data", type=click.Path(path_type=Path, exists=True), help="cifar10.zip")
@click.option("--one", hidden=True)
def main(cache: Path, data: Path | None, one: str | None) -> None:
    """Measure, and write solver.md and solver.json."""
    if one is not None:
        print(json.dumps(measured(cache, json.loads(one))))
        return
    from dcgan_probe.storage import files

    words = prepared(cache, data)
    rows = [result(cache, run) for run in runs()]
    text = page(words, rows)
    print(text)
    files.write_text(HERE / "solver.md", text)
    files.write_json(HERE / "solver.json", rows)


if __name__ == "__main__":
    main()
