"""The report in headless Chromium, opened from the disk: what a colleague sees who gets it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import dcgan_probe as dp
from browser.pages import expect, serious, shot
from dcgan_probe.figures import film
from dcgan_probe.report import page as report
from dcgan_probe.results.result import FORMAT

pytestmark = pytest.mark.browser

HOSTILE = "</script><img src=x onerror=\"document.title='gone'\"> & javascript:alert(1)"
MADE_WITH = {
    "line": "dcgan-probe forget walk dissect",
    "checkpoint": {"name": "rooms", "sha256": "3d" * 32},
    "edits": [{"layer": "16x16", "filters": [3, 17]}],
    "options": {"n": 160},
    "seed": 0,
}
WEIGHTS = [0.5, -1.25, 2.0, 0.125]


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def chain(tmp_path_factory) -> Path:
    """A folder with one of everything that a report shows."""
    out = tmp_path_factory.mktemp("out")
    interval = {"value": 0.063, "low": 0.037, "high": 0.092}
    filters = [
        {
            "filter": i,
            "held_out_iou": i / 40,
            "effect": (i * 7 % 40) / 100,
            "effect_95": [-0.1, 0.4],
        }
        for i in range(40)
    ]
    found = {
        "forget": {"fresh_samples": [{"chosen": {"area_left": interval}}], "doubts": ["none sure"]},
        "walk": {"ways": {"linear": {"step_lengths": [[0.25, 0.5]], "mean": 0.375}}},
        "dissect": {"layer": "16x16", "objects": [{"label": HOSTILE, "filters": filters}]},
    }
    for name, values in found.items():
        (out / name).mkdir()
        whole = {"format": FORMAT, "made_with": MADE_WITH | {"command": name}, **values}
        (out / name / "result.json").write_text(json.dumps(whole))
    selection = {"layer": "16x16", "filters": [2, 0], "about": {"weights": WEIGHTS}}
    (out / "forget" / "selection.json").write_text(json.dumps(selection))
    for seed, name in enumerate(("before", "after")):
        dp.figures.write_image(out / "forget" / f"{name}.png", noise(64, 64 * 12, seed))
    dp.figures.write_image(out / "forget" / "forget.png", noise(400, 2400, 3))
    dp.figures.write_image(out / "walk" / "walk.png", noise(100, 600, 4))
    frames = np.stack([noise(64, 64, seed) for seed in range(4)])
    film.write(out / "walk" / "linear.mp4", frames)
    film.write(out / "walk" / "linear.gif", frames)
    return out


@pytest.fixture(scope="module")
def address(chain, tmp_path_factory) -> str:
    return report.write(chain, tmp_path_factory.mktemp("mail") / "rooms.html").as_uri()


def opened(context, address):
    page = context.new_page()
    page.goto(address)
    expect(page.locator("h1")).to_have_text("rooms")
    return page


def test_it_opens_from_the_disk_and_asks_for_nothing(context, address):
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.wait_for_load_state("networkidle")
    assert [url for url in asked if not url.startswith("data:")] == [address]
    sizes = page.evaluate("[...document.images].map((image) => image.naturalWidth)")
    assert len(sizes) == 24 + 1 + 1 + 1  # pairs, figures, the film that is a GIF
    assert all(sizes)
    assert page.evaluate("document.querySelector('video').videoWidth") == 64


def test_names_are_never_markup(context, address):
    page = opened(context, address)
    assert page.title() == "rooms · dcgan-probe report"
    assert page.locator("main img[src=x], main script").count() == 0
    expect(page.locator("#probe-3 .key dd").first).to_have_text(HOSTILE)


def shown_before(page):
    """How far the line between before and after is, in per cent of the picture."""
    clip = page.locator(".pair .after").first.evaluate("(it) => getComputedStyle(it).clipPath")
    return float(re.fullmatch(r"inset\(0(?:px)? 0(?:px)? 0(?:px)? (.*)%\)", clip)[1])


def below_before(page):
    """Whether the sample after the edit is whole, and below that before."""
    pair = page.locator(".pair").first
    top, below = (pair.locator(f".{kind}").bounding_box() for kind in ("before", "after"))
    clip = pair.locator(".after").evaluate("(it) => getComputedStyle(it).clipPath")
    return clip == "none" and below["y"] >= top["y"] + top["height"]


def test_the_line_moves_by_mouse_and_by_keyboard(context, address):
    page = opened(context, address)
    slider = page.get_by_label("Before and after the edit")
    expect(slider).to_have_attribute("aria-valuetext", "before above after")
    assert below_before(page)
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert shown_before(page) == 53 and not below_before(page)
    page.keyboard.press("End")
    assert shown_before(page) == 100
    expect(slider).to_have_attribute("aria-valuetext", "100% before, 0% after")
    page.get_by_role("button", name="After", exact=True).click()
    assert shown_before(page) == 0
    pair = page.locator(".pair").nth(4)
    pair.scroll_into_view_if_needed()
    box = pair.bounding_box()
    page.mouse.move(box["x"] + 10, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 32, box["y"] + 60, steps=4)
    page.mouse.up()
    page.mouse.move(box["x"] + 100, box["y"] + 60)
    assert shown_before(page) == pytest.approx(25, abs=1)
    page.get_by_role("button", name="Before above after").click()
    assert below_before(page)


def test_a_chart_says_what_the_pointer_or_the_keys_are_on(context, address):
    page = opened(context, address)
    chart = page.locator("#probe-1 .chart").first
    said = chart.locator("output")
    chart.locator("rect").nth(1).hover()
    expect(said).to_have_text("filter 0 of layer 16x16: weight 0.500, changed")
    page.mouse.move(0, 0)
    chart.focus()
    page.keyboard.press("End")
    expect(said).to_have_text("filter 1 of layer 16x16: weight -1.250, kept")
    page.keyboard.press("ArrowLeft")
    expect(said).to_have_text("filter 3 of layer 16x16: weight 0.125, kept")
    page.keyboard.press("Home")
    expect(said).to_have_text("filter 2 of layer 16x16: weight 2.000, changed")


def test_every_pixel_of_a_sample_is_a_whole_number_of_the_screens(context, address):
    page = opened(context, address)
    for image in page.locator(".pair .before").all():
        assert image.bounding_box()["width"] == 128
        assert image.evaluate("(it) => getComputedStyle(it).imageRendering") == "pixelated"


def test_a_wide_picture_fits_until_it_is_asked_for(context, address):
    page = opened(context, address)
    figure = page.locator("#probe-1 .picture")
    image = figure.locator("img")
    assert image.bounding_box()["width"] < 1280
    figure.get_by_role("button", name="Pixel for pixel").press("Enter")
    assert image.bounding_box()["width"] == 2400
    assert image.evaluate("(it) => getComputedStyle(it).imageRendering") == "pixelated"
    assert page.evaluate("document.documentElement.scrollWidth") == 1280
    figure.get_by_role("button", name="Fit to the page").click()
    assert image.bounding_box()["width"] < 1280
    expect(page.locator("#probe-2 .picture button")).to_have_text(["Pixel for pixel", "Hold"])
    expect(page.locator("#probe-2 .picture button").first).to_be_hidden()


def test_a_table_is_sorted_by_its_heads(context, address):
    page = opened(context, address)
    page.locator("#probe-3 summary", has_text="40 rows").click()
    table = page.locator("#probe-3 table")
    table.get_by_role("button", name="effect", exact=True).click()
    effects = [float(cell.split()[0]) for cell in table.locator("td:last-child").all_inner_texts()]
    assert effects == sorted(effects, reverse=True)
    assert effects[0] == 0.39
    table.get_by_role("button", name="filter", exact=True).press("Enter")
    table.get_by_role("button", name="filter", exact=True).press("Enter")
    assert table.locator("tbody th").first.inner_text() == "0"


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_films_hold_still_for_whoever_wants_that(chromium, address, motion):
    user = chromium.new_context(reduced_motion=motion)
    page = opened(user, address)
    page.locator("video").scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    moves = motion == "no-preference"
    assert page.evaluate("!document.querySelector('video').paused") is moves
    current = "document.querySelector('.moving img').currentSrc.slice(0, 14)"
    assert page.evaluate(current) == ("data:image/gif" if moves else "data:image/web")
    page.get_by_role("button", name="Hold" if moves else "Play").click()
    page.wait_for_timeout(100)
    assert page.evaluate(current) == ("data:image/web" if moves else "data:image/gif")
    user.close()


def test_it_prints_with_all_its_pictures(context, address):
    page = opened(context, address)
    page.emulate_media(media="print")
    for image in page.locator("main img").all():
        assert image.is_visible()
    pair = page.locator(".pair").first
    top, below = (pair.locator(f".{kind}").bounding_box() for kind in ("before", "after"))
    assert below["y"] >= top["y"] + top["height"]
    pdf = page.pdf(format="A4", print_background=True)
    assert pdf.startswith(b"%PDF")
    # Each of the 24 tiles, both figures, the still and what is shown of the film, as one object.
    assert len(re.findall(rb"/Subtype\s*/Image", pdf)) >= 27
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 6


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(chromium, address, scheme, request):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    user = chromium.new_context(
        viewport={"width": 1280, "height": 800}, color_scheme=scheme, bypass_csp=True
    )
    page = opened(user, address)
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    page.get_by_role("button", name="Pixel for pixel").first.click()
    assert serious(axe.run(page)) == []
    user.close()


@pytest.mark.parametrize("width", [360, 1280, 1920])
def test_no_page_is_wider_than_its_window(chromium, address, width):
    user = chromium.new_context(viewport={"width": width, "height": 800})
    page = opened(user, address)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    user.close()


def test_the_chain_of_the_docs(chromium, tmp_path, request):
    """Pictures of docs/report.md, of a real chain, where --shots says a folder."""
    if not request.config.getoption("--shots", default=None):
        pytest.skip("makes pictures only, where --shots says a folder")
    from click.testing import CliRunner

    from dcgan_probe.cli.group import main

    line = ["--out", str(tmp_path), "forget", "--by", "places", "sample", "--n", "40"]
    result = CliRunner().invoke(main, line)
    assert result.exit_code == 0, result.output
    address = report.write(tmp_path).as_uri()
    for scheme in ("light", "dark"):
        user = chromium.new_context(viewport={"width": 940, "height": 1175}, color_scheme=scheme)
        page = opened(user, address)
        shot(page, f"report_{scheme}", request)
        user.close()
