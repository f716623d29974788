"""Compare what two installations write, byte for byte, for every probe on what ships.

    python benchmarks/unchanged.py --before OLD/bin/dcgan-probe --after NEW/bin/dcgan-probe

A change that adds no feature leaves every result as it was. Each line below runs with both
commands in folders of the same name; then every file they wrote is compared. Only the versions in
``made_with`` may differ. Lines that ran before are not run again: delete the folder to start again.
Exit code 1 where any file differs.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

SUM = "smiling_long - neutral_long + neutral_short"
LINES = {
    "visualize-svhn": "--model svhn visualize-d --n 200",
    "visualize-rooms": "--model rooms visualize-d --n 100 --filters 0-3 --rule strict",
    "forget": "--model rooms forget --controls 4 --resamples 2 sample --n 16",
    "forget-cells": "--model cells --seed 2 forget --controls 3 --judge boxes",
    "forget-causal": "--model cells forget --select causal --layer 8x8 --controls 2 --n 64",
    "forget-gates": "--model rooms forget --select gates --controls 2 --n 64",
    "forget-top": "--model rooms forget --select top --k 9 --replace mean --controls 2 --n 64",
    "forget-l1": "--model rooms forget --select l1 --controls 2 --n 64",
    "ablate": "--model rooms ablate --layer 16x16 --filters 40-44 --where 8,8,40,40 ablate --undo",
    "ablate-insert": "--model cells ablate --layer 8x8 --filters 0-9 --insert",
    "put": "--model rooms put --at 32,8,52,26 --n 64 sample --n 16",
    "put-from": "--model cells put --at 20,20,44,44 --layer 16x16 --fill clone --from 0:131 --n 64",
    "dissect": "--model cells dissect --n 48",
    "sample": "--model faces --seed 4 sample --n 24 --numbered",
    "concepts": "--model faces concepts --shows smile --shows glasses --n 200 suggest laughing",
    "arithmetic": f"--model faces arithmetic --classifier faces --draws 20 '{SUM}'",
    "arithmetic-five": f"--model faces arithmetic --exemplars 5 '{SUM}'",
    "turn": "--model faces turn --from left --to right --exemplars 4 --classifier faces",
    "turn-keep": "--model faces turn --from left --to right --classifier faces --keep all --n 2",
    "directions": "--model faces directions --n 200 turn --axis direction2 --n 2 --steps 3",
    "walk": "--model rooms --seed 3 walk --points 5 --steps 8",
    "walk-svhn": "--model svhn walk --points 3 --closed --way spherical --video gif",
    "invert": "--model rooms invert --steps 40 --starts 2 {images}/0000.png",
    "evaluate": "--model rooms evaluate --images {images} --n 128",
    "neighbours": "--model rooms neighbours --images {images} --held-out {others} --n 64",
    "features": "--model rooms features --images {labelled} --labels folders --n 200",
    "features-file": "--model svhn features --images {images} --resize --to features.npy",
    "dedup": "dedup --images {images} --to keep.txt",
    "train": "train --images {images} --preset torch --g-width 8 --d-width 8 --batch 16 --steps 12",
    "report": "--model rooms --report sample --n 9 walk --points 3 forget --controls 2 --n 64",
}
THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "DCGAN_PROBE_CACHE": "cache"}


def render(python: Path, folder: Path) -> dict[str, Path]:
    """Draw the images that the lines read, once, with the renderer of the rooms that ships."""
    paths = {name: folder / name for name in ("images", "others", "labelled")}
    script = (
        "import sys; from pathlib import Path; import cv2\n"
        "from dcgan_probe.fixtures.rooms.renderer import render\n"
        "folder = Path(sys.argv[1])\n"
        "for place, first, n in (('images', 0, 300), ('others', 300, 200), ('labelled/a', 0, 150),"
        " ('labelled/b', 150, 150)):\n"
        "    (folder / place).mkdir(parents=True)\n"
        "    for i in range(first, first + n):\n"
        "        image = render(i).image[..., ::-1]\n"
        "        image = image // 2 if place == 'labelled/b' else image\n"
        "        cv2.imwrite(str(folder / place / f'{i - first:04d}.png'), image)\n"
    )
    if not paths["images"].exists():
        subprocess.run([python, "-c", script, folder], check=True)
    return paths


def run(command: Path, name: str, line: str, folder: Path, paths: dict[str, Path]) -> None:
    """Run one line into a folder of its own, unless it ran before."""
    here = folder / name
    if (here / "exit").exists():
        return
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir(parents=True)
    words = shlex.split(line.format(**paths))
    done = subprocess.run(
        [command, *words], cwd=here, env={**os.environ, **THREAD}, capture_output=True, text=True
    )
    (here / "stdout").write_text(done.stdout)
    (here / "stderr").write_text(done.stderr)
    (here / "exit").write_text(str(done.returncode))


def content(path: Path) -> object:
    """What is compared of a file: its bytes; of a result, all but the versions it was made with."""
    if path.name != "result.json":
        return path.read_bytes()
    result = json.loads(path.read_text())
    for version in ("dcgan_probe", "torch", "numpy", "python"):
        result["made_with"].pop(version, None)
    return result


def differences(before: Path, after: Path) -> list[str]:
    """Files of two folders that are not the same in both."""
    a, b = (
        {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}
        for root in (before, after)
    )
    return [
        name
        for name in sorted({*a, *b})
        if name not in a or name not in b or content(a[name]) != content(b[name])
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--after", type=Path, help="only record what --before writes, if not given")
    parser.add_argument("--out", type=Path, default=Path("build/unchanged"))
    parser.add_argument("--only", nargs="*", default=list(LINES))
    asked = parser.parse_args()
    out = asked.out.resolve()
    paths = render(asked.before.absolute().with_name("python"), out)
    changed = 0
    for name in asked.only:
        run(asked.before.absolute(), name, LINES[name], out / "before", paths)
        if asked.after is None:
            continue
        run(asked.after.absolute(), name, LINES[name], out / "after", paths)
        found = differences(out / "before" / name, out / "after" / name)
        code = (out / "before" / name / "exit").read_text()
        files = sum(path.is_file() for path in (out / "before" / name).rglob("*")) - 3
        verdict = f"DIFFERENT: {', '.join(found)}" if found else "the same"
        print(f"{name:18s} exit {code}, {files:3d} files: {verdict}", flush=True)
        changed += bool(found)
    if asked.after is not None:
        print(f"{len(asked.only) - changed} of {len(asked.only)} lines: the same")
    sys.exit(changed > 0)


if __name__ == "__main__":
    main()
