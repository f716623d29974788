"""The pages of `dcgan-probe label` and `paint`, as a test uses them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import dcgan_probe.fixtures

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

expect = pytest.importorskip("playwright.sync_api").expect
expect.set_options(timeout=15_000)  # ms; a machine of two cores may do something else as well
DRAWN = json.loads((Path(dcgan_probe.fixtures.__path__[0]) / "rooms" / "windows.json").read_text())[
    "boxes"
]


def opened(context: BrowserContext, address: str, saved: str = "Saved") -> Page:
    page = context.new_page()
    page.goto(address)
    expect(page.locator("#saved")).to_have_text(saved)
    return page


def place(page: Page, x: float, y: float, size: int = 64) -> tuple[float, float]:
    """Where a place of the sample is on the page."""
    frame = page.locator("#overlay, #frame:not(:has(#overlay))").bounding_box()
    assert frame is not None
    zoom = frame["width"] / size
    return frame["x"] + x * zoom, frame["y"] + y * zoom


def middle(page: Page, x0: float, y0: float, x1: float, y1: float) -> tuple[float, float]:
    return place(page, (x0 + x1) / 2, (y0 + y1) / 2)


def drag(page: Page, x0: float, y0: float, x1: float, y1: float) -> None:
    """Press at a place of the sample, and let go at another."""
    page.mouse.move(*place(page, x0, y0))
    page.mouse.down()
    page.mouse.move(*place(page, x1, y1), steps=3)
    page.mouse.up()


def draw_shipped(page: Page, samples: range) -> None:
    """Draw the boxes that ship on samples, the first of which is shown: a drag a box and a key.

    From the right, since a drag that starts where two boxes touch would change the left one.
    """
    for sample in samples:
        boxes = [box for box in DRAWN if box["image"] == sample]
        for box in boxes:
            drag(page, box["x1"], box["y1"], box["x0"], box["y0"])
        page.keyboard.press(" " if boxes else "n")


def saved(page: Page) -> None:
    expect(page.locator("#saved")).to_have_text("Saved")


def shot(page, name, request):
    """A picture for the docs, where --shots says a folder."""
    folder = request.config.getoption("--shots", default=None)
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{folder}/{name}.png")


def serious(found):
    return [
        (rule["id"], [node["html"] for node in rule["nodes"]])
        for rule in found.response["violations"]
        if rule["impact"] in ("serious", "critical")
    ]
