"""How soon `dcgan-probe paint` answers, measured in headless Chromium.

    python benchmarks/painting.py

For every network it drags brushes, a stamp and a slider over the sample, a movement of the pointer
every 16 ms, as a hand does. The browser measures from the pointer's event to the pixels on the
canvas; of waiting movements only the newest is asked, so fewer are answered than are made. It
writes benchmarks/results/painting.md. Needs playwright, and Chromium (`make chromium`).
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from playwright.sync_api import Page, expect, sync_playwright

import dcgan_probe as dp

HERE = Path(__file__).parent
NETWORKS = ("rooms", "cells", "faces", "svhn", "256")
WAYS = ("Slider", "Erase here", "Erase object", "Stamp", "Restore", "Slider after these")
STROKES, MOVES, EVERY = 5, 25, 16  # ms


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("chromium-browser")
        )
        for name in sys.argv[1:] or NETWORKS:
            found = measure(browser, name, Path(folder))
            cells = [f"{each[0]:.0f} / {each[1]:.0f}" if each else "" for each in found.values()]
            rows.append(f"| {described(name)} | {' | '.join(cells)} |")
            print(rows[-1], flush=True)
    head = f"| ms, median / 95% | {' | '.join(WAYS)} |\n|---|{'---|' * len(WAYS)}\n"
    (HERE / "results/painting.md").write_text(
        "# How soon paint answers\n\nFrom the pointer's event to the pixels on the canvas, by "
        f"`python benchmarks/painting.py`, on {os.cpu_count()} CPU cores, torch with "
        f"{torch.get_num_threads()} thread(s); load average of what else ran on them: "
        f"{os.getloadavg()[2]:.0f}.\n\n{head}" + "\n".join(rows) + "\n"
    )


def described(name: str) -> str:
    return "256x256, random weights, 32 maps at 128x128" if name == "256" else name


def large(folder: Path) -> str:
    """A checkpoint of random weights, with statistics of its own: the work is that of a trained."""
    path = folder / "large.safetensors"
    if not path.exists():
        config = dp.Config(size=256, g_width=32, d_width=4, kernel=4)
        generator = dp.networks.initialise(dp.Generator(config), seed=0)
        z = dp.latents.sample(config, 8, seed=0)
        dp.networks.estimate_statistics(generator, [z])
        sha = dp.checkpoints.save(dp.Checkpoint(config, generator, None), path)
        boxes = tuple(dp.Box(i, "blob", 80, 80, 150, 150) for i in range(12))
        made = dp.Boxes(boxes, tuple(range(16)), (256, 256), seed=0, checkpoint=sha)
        made.write(folder / "large.json")
    return str(path)


def measure(browser: Any, name: str, folder: Path) -> dict[str, tuple[float, float] | None]:
    model, extra = name, list[str]()
    if name == "256":
        model, extra = large(folder), ["--boxes", "large.json"]
    line = [sys.executable, "-m", "dcgan_probe", "--model", model]
    line += ["paint", "--to", f"{name}.json", *extra]
    environment = {key: value for key, value in os.environ.items() if key != "DISPLAY"}
    server = subprocess.Popen(line, cwd=folder, stderr=subprocess.PIPE, text=True, env=environment)
    assert server.stderr is not None
    try:
        address = next(text.strip() for text in server.stderr if text.startswith("http://"))
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(address)
        expect(page.locator("#saved")).to_have_text("Saved", timeout=120_000)
        expect(page.locator("#said")).to_have_text("", timeout=180_000)
        found = {way: drag(page, way) for way in WAYS}
        page.close()
    finally:
        server.kill()
        server.communicate()
    return found


def drag(page: Page, way: str) -> tuple[float, float] | None:
    """Median, and 95% of the answers come sooner; None for a brush that needs boxes."""
    tools = {"Erase here": "here", "Erase object": "object", "Stamp": "stamp", "Restore": "restore"}
    if way in tools:
        button = page.locator(f"button[data-tool={tools[way]}]")
        if button.is_disabled():
            return None
        button.click()
        expect(page.locator("#said")).to_have_text("", timeout=180_000)
        box = page.locator("#frame").bounding_box()
    else:
        page.locator("#walk").scroll_into_view_if_needed()
        box = page.locator("#walk").bounding_box()
    assert box is not None
    entry = "walk" if "Slider" in way else "stamp" if way == "Stamp" else "stroke"
    page.evaluate("() => performance.clearMeasures()")
    for stroke in range(STROKES):
        y = 0.5 if entry == "walk" else (0.2 + 0.12 * stroke)
        page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + y * box["height"])
        page.mouse.down()
        for i in range(1, MOVES + 1):
            page.mouse.move(
                box["x"] + (0.2 + 0.6 * i / MOVES) * box["width"], box["y"] + y * box["height"]
            )
            page.wait_for_timeout(EVERY)
        page.mouse.up()
        page.wait_for_timeout(300)
    page.wait_for_timeout(1000)
    expect(page.locator("#saved")).to_have_text("Saved", timeout=120_000)
    times = page.evaluate("n => performance.getEntriesByName(n).map(e => e.duration)", entry)
    return statistics.median(times), statistics.quantiles(times, n=20)[-1]


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
