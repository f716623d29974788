"""Near-duplicates: what is found of planted ones and what is found wrongly, beside ImageHash.

One command: ``python benchmarks/dedup.py`` (needs ``pip install imagehash``) writes
``benchmarks/results/dedup.md`` and ``.json``. Every second image of each set was for choosing the
settings (``python benchmarks/dedup.py tune``); all that is reported is of the others.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import imagehash
import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from dcgan_probe.dedup import autoencoder, duplicates, hashing
from dcgan_probe.dedup.autoencoder import Settings
from dcgan_probe.images.sources import ImageSource
from dcgan_probe.storage import files

HERE = Path(__file__).resolve().parent
SHEETS = HERE.parent / "out" / "benchmark-dedup"  # groups to look at
DATA = HERE.parent.parent / "shared" / "data"
SETS = {"people": ("people.zip", 64), "cifar10": ("cifar10.zip", 32)}
PLANTED = 1000
# Bits in which codes may differ. ImageHash's example takes less than 5 of 64 for similar; of 128
# bits 8 are the same share.
OURS, THEIRS = (0, 4, 8), (0, 4)
TRIED = [
    Settings(noise=n, dropout=d, steps=1500)
    for n, d in [(1, 0.1), (1, 0.5), (2, 0.1), (2, 0.2), (2, 0.5)]
] + [Settings(noise=2, dropout=0.2, steps=4000)]
HASHES: dict[str, Callable[[Image.Image], imagehash.ImageHash]] = {
    "ImageHash phash": imagehash.phash,
    "ImageHash dhash": imagehash.dhash,
}


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert done and decoded is not None
    return decoded[..., ::-1]


def cropped(image: np.ndarray, share: float) -> np.ndarray:
    """Less this share of rows and columns at the top and the left, brought back to size."""
    size = len(image)
    cut = image[round(share * size) :, round(share * size) :]
    return cv2.resize(cut, (size, size), interpolation=cv2.INTER_LINEAR)


def lit(image: np.ndarray, factor: float) -> np.ndarray:
    return np.clip(np.rint(image * np.float32(factor)), 0, 255).astype(np.uint8)


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "JPEG 90": lambda image: jpeg(image, 90),
    "JPEG 75": lambda image: jpeg(image, 75),
    "JPEG 50": lambda image: jpeg(image, 50),
    "crop 1/64": lambda image: cropped(image, 1 / 64),
    "crop 1/32": lambda image: cropped(image, 1 / 32),
    "light +5%": lambda image: lit(image, 1.05),
    "light -5%": lambda image: lit(image, 0.95),
    "light +10%": lambda image: lit(image, 1.1),
    "light -10%": lambda image: lit(image, 0.9),
}


def reduced(images: list[np.ndarray]) -> np.ndarray:
    """To what the autoencoder takes, as a data set is: area averaging to 32 x 32."""
    size = (autoencoder.SIZE, autoencoder.SIZE)
    sized = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images]
    return np.stack(sized).transpose(0, 3, 1, 2).copy()


def load(name: str, half: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Every second image of a set, H x W x 3 uint8, and which of them have a planted duplicate."""
    file, size = SETS[name]
    source = ImageSource(DATA / file, size, 3)
    rows = tqdm(range(half, len(source), 2), desc=name, leave=False)
    images = [np.ascontiguousarray(source.pixels(i).transpose(1, 2, 0)) for i in rows]
    return images, np.random.default_rng(half).permutation(len(images))[:PLANTED]


def usable(changes: dict, size: int) -> dict:
    """Less those that change nothing: a 64th of 32 pixels is less than one."""
    return {name: change for name, change in changes.items() if size == 64 or "1/64" not in name}


def bits_apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.unpackbits(a ^ b, axis=1).sum(1)


def pairs_within(codes: np.ndarray, bits: int) -> np.ndarray:
    """All pairs of images whose codes differ in at most that many bits: P x 2 indices."""
    signs = torch.from_numpy(np.unpackbits(codes, axis=1)).float() * 2 - 1
    found = []
    for start in range(0, len(signs), 1000):
        apart = (signs.shape[1] - signs[start : start + 1000] @ signs.T) / 2
        i, j = (apart < bits + 0.5).nonzero().T
        found.append(torch.stack([i + start, j], 1)[j > i + start])
    return torch.cat(found).numpy()


def measured(
    codes: np.ndarray,
    planted: dict[str, np.ndarray],
    chosen: np.ndarray,
    radii: Sequence[int],
) -> dict[str, Any]:
    """Recall of each change, and how many images and pairs are taken for duplicates."""
    found: dict[str, Any] = {}
    for bits in radii:
        pairs = pairs_within(codes, bits)
        found[f"within {bits}"] = {
            "pairs": len(pairs),
            "images": len(np.unique(pairs)),
            "recall": {
                name: float((bits_apart(changed, codes[chosen]) <= bits).mean())
                for name, changed in planted.items()
            },
        }
    return found


def measure_autoencoder(
    images: list[np.ndarray], chosen: np.ndarray, settings: Settings, sheet: str = ""
) -> dict[str, Any]:
    start = time.perf_counter()
    pixels = reduced(images)
    model = autoencoder.fit(
        pixels, settings, progress=lambda i: tqdm(i, leave=False, mininterval=5)
    )
    trained = time.perf_counter()
    codes = autoencoder.codes(model, pixels)
    coded = time.perf_counter()
    changes = usable(CHANGES, len(images[0]))
    planted = {
        name: autoencoder.codes(model, reduced([change(images[i]) for i in chosen]))
        for name, change in changes.items()
    }
    return {
        **(grouped(pixels, codes, sheet, OURS) if sheet else {}),
        "settings": asdict(settings),
        "usage": asdict(hashing.usage(codes)),
        "train_seconds": trained - start,
        "codes_per_second": len(images) / (coded - trained),
        **measured(codes, planted, chosen, OURS),
    }


def grouped(
    pixels: np.ndarray, codes: np.ndarray, sheet: str, radii: Sequence[int]
) -> dict[str, Any]:
    """Groups of equal and of near codes, and a sheet of each, to be looked at."""
    SHEETS.mkdir(parents=True, exist_ok=True)
    codes = np.pad(codes, ((0, 0), (0, hashing.BITS // 8 - codes.shape[1])))
    counts: dict[str, Any] = {}
    for bits in radii:
        start = time.perf_counter()
        found = duplicates.group_codes(pixels, codes, seed=0, within=bits)
        counts[f"groups within {bits}"] = {
            "groups": len(found.groups),
            "dropped": len(found.dropped),
            "least_correlations": [round(float(c), 2) for c in np.sort(found.alike)[:20]],
            "seconds": time.perf_counter() - start,
        }
        if found.groups:
            path = SHEETS / f"{sheet.replace(' ', '-')}-within-{bits}.png"
            duplicates.draw(path, found, pixels, sheet, seed=0)
    return counts


def perceptual(
    images: list[np.ndarray],
    chosen: np.ndarray,
    hashed: Callable[[Image.Image], Any],
    sheet: str,
) -> dict[str, Any]:
    def codes(arrays: list[np.ndarray]) -> np.ndarray:
        return np.stack([np.packbits(hashed(Image.fromarray(a)).hash) for a in arrays])

    start = time.perf_counter()
    own = codes(images)
    speed = len(images) / (time.perf_counter() - start)
    changes = usable(CHANGES, len(images[0]))
    planted = {name: codes([change(images[i]) for i in chosen]) for name, change in changes.items()}
    groups = grouped(reduced(images), own, sheet, THEIRS)
    return {"codes_per_second": speed, **groups, **measured(own, planted, chosen, THEIRS)}


def codes_of_a_large_set(n: int = 3_000_000, repeated: int = 275_000) -> np.ndarray:
    """As many random codes, and as many repeats among them, as the paper's set had."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (n, 16), np.uint8)
    places = rng.permutation(n)
    codes[places[:repeated]] = codes[places[repeated : 2 * repeated]]
    return codes


def peak_mib() -> float:
    """Peak memory of this process; getrusage would count its parent's, before the exec, too."""
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x)
    return int(line.split()[1]) / 2**10


def grouping(path: str) -> dict[str, Any]:
    """Seconds and extra memory of grouping; in a process of its own, for its peak of memory."""
    codes = np.load(path, allow_pickle=False)
    hashing.groups(codes[:1000])
    before = peak_mib()
    start = time.perf_counter()
    found = hashing.groups(codes)
    seconds = time.perf_counter() - start
    extra = peak_mib() - before
    repeated = sum(len(group) - 1 for group in found)
    return {"codes": len(codes), "repeated": repeated, "seconds": seconds, "extra_mib": extra}


def table(results: dict[str, dict[str, Any]]) -> list[str]:
    """Rows of Markdown: a row for each method and number of bits, a column for each change."""
    (first, *_) = results.values()
    names = list(first["within 0"]["recall"])
    lines = [f"| | bits | {' | '.join(names)} | images in a pair | pairs |"]
    lines.append("|---" * (len(names) + 4) + "|")
    for method, result in results.items():
        for bits in [key.removeprefix("within ") for key in result if key.startswith("within")]:
            part = result[f"within {bits}"]
            cells = [method, bits, *(f"{part['recall'][name]:.2f}" for name in names)]
            cells += [str(part["images"]), str(part["pairs"])]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def tune() -> None:
    for name in SETS:
        images, chosen = load(name, half=0)
        results = {}
        for settings in TRIED:
            found = measure_autoencoder(images, chosen, settings)
            bits = f"{found['usage']['entropy']:.0f} bits"
            tried = f"noise {settings.noise}, dropout {settings.dropout}, {settings.steps} steps"
            results[f"{tried}: {bits}"] = found
        print("\n".join([name, *table(results)]), flush=True)


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if sys.argv[1:2] == ["grouping"]:
        print(json.dumps(grouping(sys.argv[2])))
        return
    if sys.argv[1:] == ["tune"]:
        tune()
        return
    lines = [
        "# Near-duplicates",
        "",
        f"1 thread, {platform.system()}, torch {torch.__version__}, "
        f"ImageHash {metadata.version('imagehash')}, {date.today()}. Made by "
        "`python benchmarks/dedup.py`.",
        "",
        f"Recall of {PLANTED} planted near-duplicates for each change, and how many images of the "
        "set are in a pair whose codes differ in at most that many bits (0: equal; ours have 128, "
        "theirs 64). Crop: less at the top and the left, brought back to size. The sets' own "
        "JPEGs are of quality 90 (people) and 75 (cifar10): as such again they change least.",
        "",
    ]
    values: dict[str, Any] = {}
    for name in SETS:
        images, chosen = load(name, half=1)
        results = {"dcgan-probe": measure_autoencoder(images, chosen, Settings(), name)}
        for peer, hashed in HASHES.items():
            results[peer] = perceptual(images, chosen, hashed, f"{name} {peer}")
        values[name] = {"images": len(images), **results}
        lines += [f"## {name}, {len(images)} images", "", *table(results), ""]
        speeds = [f"{m} {r['codes_per_second']:,.0f}" for m, r in results.items()]
        seconds = results["dcgan-probe"]["train_seconds"]
        lines += [f"Codes a second: {', '.join(speeds)}; training took {seconds:.0f} s.", ""]
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/codes.npy"
        np.save(path, codes_of_a_large_set())
        line = [sys.executable, __file__, "grouping", path]
        done = subprocess.run(line, check=True, capture_output=True, text=True)
    values["grouping"] = json.loads(done.stdout)
    lines += [
        "## Grouping",
        "",
        "{codes:,} random codes, {repeated:,} of them repeated: {seconds:.1f} s and "
        "{extra_mib:.0f} MiB more than the codes.".format(**values["grouping"]),
        "",
    ]
    files.write_text(HERE / "results" / "dedup.md", "\n".join(lines))
    files.write_json(HERE / "results" / "dedup.json", values)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
