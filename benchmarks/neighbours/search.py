"""The five nearest of N images to 1,000 queries: time, what bounds it, memory, beside faiss.

One command: ``python benchmarks/neighbours/search.py`` writes ``search.md`` and ``.json`` beside
it, with faiss if it can be imported (``pip install faiss-cpu``). The images are those of
people.zip, decoded once into the cache; every way runs in a process of its own on one thread, and
its time is the processor's, so that other work on the machine hardly counts.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DATA = HERE.parent.parent.parent / "shared" / "data" / "people.zip"
QUERIES, K, BATCH, FIRST = 1000, 5, 256, 2048


def _data(n: int) -> tuple[Any, Any]:
    """Queries and references, 3 x 64 x 64 uint8 mapped; n: how many references."""
    from dcgan_probe.images import cache
    from dcgan_probe.images.sources import ImageSource

    pixels = cache.cached(ImageSource(DATA, 64, 3)).pixels
    # The images are in the order of their names, which is that of the split: queries from all over.
    step = len(pixels) // QUERIES
    queries = pixels[::step][:QUERIES]
    others = [i for i in range(len(pixels)) if i % step or i // step >= QUERIES]
    return queries, pixels[others[:n]]


def _batches(pixels: Any) -> Iterator[Any]:
    import torch

    from dcgan_probe.images.sources import to_range

    for start in range(0, len(pixels), BATCH):
        yield to_range(torch.from_numpy(pixels[start : start + BATCH].copy())).flatten(1)


def ours(queries: Any, references: Any) -> dict[str, Any]:
    import torch

    from dcgan_probe.metrics.nearest import Search

    search = Search(torch.cat(list(_batches(queries))), K)
    measured = 0
    merge = search._merge

    def counted(rows: Any, columns: Any, exact: Any) -> None:
        nonlocal measured
        measured += len(rows)
        merge(rows, columns, exact)

    search._merge = counted  # type: ignore[method-assign]
    for batch in _batches(references):
        search.add(batch)
    return {"measured": measured, "indices": search.indices.tolist()}


def product(queries: Any, references: Any) -> dict[str, Any]:
    """The matrix products alone, which any exact search has to do."""
    import torch

    held = torch.cat(list(_batches(queries)))
    for batch in _batches(references):
        held @ batch.T
    return {}


def reading(queries: Any, references: Any) -> dict[str, Any]:
    """Mapped bytes to float32 in [-1, 1] alone."""
    for _ in _batches(references):
        pass
    return {}


def decoding(queries: Any, references: Any) -> dict[str, Any]:
    """JPEGs out of the zip, as `neighbours` reads them."""
    from dcgan_probe.images.sources import ImageSource, batches
    from dcgan_probe.images.subsets import Chosen

    source = ImageSource(DATA, 64, 3, limit=len(references))
    for _ in batches(Chosen([(source, range(len(source)))]), BATCH):
        pass
    return {}


def faiss(queries: Any, references: Any) -> dict[str, Any]:
    """faiss' exact search, batch by batch, its heaps merged as its manual says."""
    import faiss as library  # type: ignore[import-not-found]
    import numpy as np
    import torch

    library.omp_set_num_threads(1)
    held = torch.cat(list(_batches(queries))).numpy()
    heap = library.ResultHeap(len(held), K)
    for i, batch in enumerate(_batches(references)):
        distances, indices = library.knn(held, batch.numpy(), K)
        heap.add_result(distances, indices + i * BATCH)
    heap.finalize()
    return {"indices": np.asarray(heap.I).tolist()}


WAYS: dict[str, Callable[[Any, Any], dict[str, Any]]] = {
    "dcgan_probe.metrics.nearest.Search": ours,
    "faiss.knn": faiss,
    "the matrix products alone": product,
    "bytes to float32 alone": reading,
    "decoding JPEGs of 64x64, in place of the cache": decoding,
}


def one(way: str, n: int) -> None:
    """Run one way in this process and print what it took as JSON."""
    import torch

    torch.set_num_threads(1)
    queries, references = _data(n)
    WAYS[way](queries, references[:BATCH])  # what happens once, such as imports
    before, started = time.process_time(), time.monotonic()
    found = WAYS[way](queries, references)
    seconds, wall = time.process_time() - before, time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    mapped = references.nbytes / 2**20  # our copy of the rows, no part of any way
    print(json.dumps({"seconds": seconds, "wall": wall, "peak_mib": peak - mapped, **found}))


def main(n: int) -> None:
    import torch

    from dcgan_probe.storage import files

    _data(1)  # decode, if it has not been
    ways = [way for way in WAYS if way != "faiss.knn" or find_spec("faiss")]
    found: dict[str, Any] = {}
    for way in ways:
        few, whole = (_apart(way, count) for count in (FIRST, n))
        each = (whole["seconds"] - few["seconds"]) / (n - FIRST)
        found[way] = {**whole, "each": each, "peak_mib_of_few": few["peak_mib"]}
        print(f"{way}: {whole['seconds']:.1f} s", file=sys.stderr)
    lines = [
        "# The search of `neighbours`",
        "",
        f"1 thread, {platform.system()}, torch {torch.__version__}, {date.today()}. Made by "
        "`python benchmarks/neighbours/search.py`.",
        "",
        f"The {K} nearest among {n} images of 64 x 64 x 3 to {QUERIES} others, in batches of "
        f"{BATCH}. Seconds are the processor's; those of 100,000 and 1,000,000 go on at the pace "
        f"from {FIRST} to {n}. Peak memory is that of the process, with torch, for these two; it "
        "rises by the mapped file, as that of the bytes alone does.",
        "",
        f"| | s, {n} | s, 100,000 | min, 1,000,000 | MiB, {FIRST} | MiB, {n} |",
        "|---|---|---|---|---|---|",
    ]
    for way, took in found.items():
        many, most = (took["seconds"] + took["each"] * (count - n) for count in (1e5, 1e6))
        lines.append(
            f"| {way} | {took['seconds']:.1f} | {many:.0f} | {most / 60:.1f} | "
            f"{took['peak_mib_of_few']:.0f} | {took['peak_mib']:.0f} |"
        )
    search = found["dcgan_probe.metrics.nearest.Search"]
    flops = 2 * QUERIES * n * 64 * 64 * 3 / found["the matrix products alone"]["seconds"]
    lines += [
        "",
        f"The products run at {flops / 1e9:.0f} GFLOP a second. {search['measured']} of "
        f"{QUERIES * n} pairs ({search['measured'] / QUERIES / n:.3%}) were measured again in "
        "float64.",
    ]
    if "faiss.knn" in found:
        mine, theirs = search["indices"], found["faiss.knn"]["indices"]
        same = sum(a == b for a, b in zip(mine, theirs, strict=True))
        lines.append(f"faiss finds the same five in the same order for {same} of {QUERIES}.")
    for took in found.values():
        took.pop("indices", None)
    files.write_json(HERE / "search.json", {"images": n, "queries": QUERIES, "ways": found})
    files.write_text(HERE / "search.md", "\n".join(lines) + "\n")
    print("\n".join(lines))


def _apart(way: str, n: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, way, str(n)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        one(sys.argv[1], int(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) == 2 else 19_000)
