"""The report of a chain as a file: what is in it, and what is refused. Its looks: tests/browser."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from dcgan_probe.cli.group import main
from dcgan_probe.edits.places import PlaceEdit
from dcgan_probe.edits.shift import Shift
from dcgan_probe.errors import InputError
from dcgan_probe.probes import sample
from dcgan_probe.report import charts, contents, media, page, tables
from dcgan_probe.report.command import report
from dcgan_probe.results.result import FORMAT

HOSTILE = (
    "<script>alert(1)</script>",
    "</script></style></title><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" \'><svg onload=alert(1)>',
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt;&amp;",
    "win\u202ewod.gnp",
)
MADE_WITH = {
    "dcgan_probe": "0.1.0",
    "torch": "2.13.0",
    "device": "cpu",
    "checkpoint": {"name": "rooms", "sha256": "3d" * 32},
    "seed": 0,
    "edits": [],
    "options": {"n": 4},
}


class Parsed(HTMLParser):
    """A page as the standard library reads it: elements, text, and what is in style and script."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.raw: dict[str, str] = {}
        self._in = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._in = tag

    def handle_endtag(self, tag):
        self._in = ""

    def handle_data(self, data):
        if self._in in ("style", "script"):
            self.raw[self._in] = self.raw.get(self._in, "") + data
        else:
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def said(self) -> str:
        return " ".join(self.text.split())


def picture(width=24, height=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(folder, name="sample", values=None, made_with=None, pictures=None, time=None, **head):
    """A result folder as a probe leaves it."""
    where = folder / name
    where.mkdir(parents=True)
    for file, image in (pictures or {}).items():
        cv2.imwrite(str(where / file), image)
    made = MADE_WITH | (made_with or {})
    whole = {"format": FORMAT, "made_with": made, **head, **(values or {})}
    path = where / "result.json"
    path.write_text(json.dumps(whole))
    if time is not None:
        os.utime(path, (time, time))
    return where


def parsed(folder: Path) -> Parsed:
    return Parsed(page.html(folder))


def headings(found: Parsed) -> list[str]:
    return re.findall(r"(?m)^\d+([\w-]+)$", found.text)


def decoded(uri: str) -> np.ndarray:
    """The RGB of a data URI, by Pillow."""
    with Image.open(io.BytesIO(base64.b64decode(uri.partition("base64,")[2]))) as image:
        return np.asarray(image.convert("RGB"))


def test_it_says_what_was_run_on_what(tmp_path):
    line = "dcgan-probe --model rooms sample --n 4"
    save(tmp_path, values={"images": ["a.png"]}, made_with={"line": line, "command": "sample"})
    said = parsed(tmp_path).said
    for part in ("rooms", "3d" * 32, line, "2.13.0", "0.1.0", "cpu", sample.READING.doubt):
        assert part in said


def test_what_was_not_recorded_is_left_out(tmp_path):
    where = save(tmp_path, "mine")
    (where / "result.json").write_text(json.dumps({"format": FORMAT, "made_with": {}, "a": 1.5}))
    said = parsed(tmp_path).said
    assert "no hash recorded" in said
    assert "1.5" in said
    assert "How to read it" not in said


def test_each_probe_stands_in_the_order_it_was_run(tmp_path):
    for time, name in enumerate(("walk", "forget", "sample-2", "sample"), start=1_000):
        save(tmp_path, name, time=time)
    assert headings(parsed(tmp_path)) == ["walk", "forget", "sample-2", "sample"]


def test_the_command_line_knows_the_order_where_copies_lost_the_times(tmp_path):
    line = "dcgan-probe sample walk --points 3 sample"
    for name in ("walk", "sample-2", "sample"):
        made = {"line": line, "command": name.partition("-")[0]}
        save(tmp_path, name, made_with=made, time=1_000)
    assert headings(parsed(tmp_path)) == ["sample", "walk", "sample-2"]


def test_a_line_that_does_not_name_all_folders_is_not_believed(tmp_path):
    made = {"line": "dcgan-probe walk --through sample sample", "command": "sample"}
    save(tmp_path, "sample", made_with=made, time=2_000)
    save(tmp_path, "walk", made_with=made | {"command": "walk"}, time=3_000)
    assert headings(parsed(tmp_path)) == ["sample", "walk"]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_are_the_same_pixel_for_pixel(tmp_path, channels):
    image = np.random.default_rng(1).integers(0, 256, (16, 24, channels), dtype=np.uint8)
    where = save(tmp_path, pictures={"sheet.png": image})
    (shown,) = parsed(tmp_path).all("img")
    with Image.open(where / "sheet.png") as original:
        rgba = original.convert("RGBA")
    with Image.open(io.BytesIO(base64.b64decode(shown["src"].partition("base64,")[2]))) as packed:
        assert np.array_equal(np.asarray(packed.convert("RGBA")), np.asarray(rgba))
    assert shown["alt"] == sample.READING.pictures["sheet"]


def test_a_figure_gets_smaller_and_not_worse(tmp_path):
    flat = np.full((400, 600, 3), 255, np.uint8)
    cv2.putText(flat, "as they are", (20, 200), cv2.FONT_HERSHEY_SIMPLEX, 2, (30, 30, 30))
    where = save(tmp_path, pictures={"sheet.png": flat})
    (shown,) = parsed(tmp_path).all("img")
    assert shown["src"].startswith("data:image/webp")
    assert len(shown["src"]) < (where / "sheet.png").stat().st_size
    assert np.array_equal(decoded(shown["src"]), flat)


def test_strips_before_and_after_become_pairs(tmp_path):
    before, after = (picture(48, 16, seed) for seed in (1, 2))
    save(tmp_path, "forget", pictures={"before.png": before, "after.png": after})
    found = parsed(tmp_path)
    kinds = {
        kind: [i for i in found.all("img") if i.get("class") == kind]
        for kind in ("before", "after")
    }
    assert len(found.all("img")) == 6
    for strip, kind in ((before, "before"), (after, "after")):
        joined = np.concatenate([decoded(image["src"]) for image in kinds[kind]], axis=1)
        assert np.array_equal(joined, strip[..., ::-1])
        assert {image["width"] for image in kinds[kind]} == {"128"}  # 8 times 16
    assert [attributes["type"] for attributes in found.all("input")] == ["range"]


@pytest.mark.parametrize("shape", [(40, 16), (48, 15)])
def test_strips_that_are_none_are_pictures(tmp_path, shape):
    save(tmp_path, pictures={"before.png": picture(48, 16), "after.png": picture(*shape)})
    found = parsed(tmp_path)
    assert len(found.all("img")) == 2
    assert not found.all("input")


def test_what_moves_has_a_still_of_its_first_image(tmp_path):
    frames = [picture(32, 32, seed) for seed in (1, 2)]
    where = save(tmp_path, "walk")
    stills = [Image.fromarray(frame) for frame in frames]
    stills[0].save(where / "linear.png", save_all=True, append_images=stills[1:], duration=50)
    found = parsed(tmp_path)
    (source,), (moving,) = found.all("source"), found.all("img")
    assert source["media"] == "(prefers-reduced-motion: reduce)"
    assert np.array_equal(decoded(source["srcset"]), frames[0])
    assert base64.b64decode(moving["src"].partition(",")[2]) == (where / "linear.png").read_bytes()


def test_a_film_is_in_the_page_with_its_first_image(tmp_path):
    from dcgan_probe.figures import film

    where = save(tmp_path, "walk")
    film.write(where / "linear.mp4", np.full((3, 32, 48, 3), 200, np.uint8))
    (film,) = parsed(tmp_path).all("video")
    assert base64.b64decode(film["src"].partition(",")[2]) == (where / "linear.mp4").read_bytes()
    assert decoded(film["poster"]).shape == (32, 48, 3)
    assert "autoplay" not in film


@pytest.mark.parametrize("hostile", HOSTILE)
def test_text_is_never_markup(tmp_path, hostile):
    named = hostile.replace("/", "_")
    edit = {"layer": hostile, "filters": [1], hostile: hostile}
    made = {
        "checkpoint": {"name": hostile, "sha256": hostile},
        "line": hostile,
        "options": {hostile: hostile},
        "edits": [edit],
        hostile: [{"file": hostile}],
    }
    values = {
        hostile: hostile,
        "label": {hostile: {hostile: [hostile] * 20}},
        "rows": [{"name": hostile, hostile: 1}, {"name": hostile, hostile: 2}],
        "doubts": [hostile],
        "layer": hostile,
        "objects": [
            {
                "label": hostile,
                "filters": [{"filter": i, "held_out_iou": i, "effect": i} for i in range(3)],
            }
        ],
    }
    out = tmp_path / "out"
    files = {f"{named}.png": picture()}
    save(out, named, values, made, files, summary=hostile, files={hostile: hostile})
    save(out, "dissect", values, made, files)
    (out / "dissect" / f"{named}.json").write_text("{}")
    found = parsed(out)
    plain = {tag for tag, _ in Parsed(page.html(_plain(tmp_path / "plain"))).elements}
    assert {tag for tag, _ in found.elements} <= plain
    names = {name for _, attributes in found.elements for name in attributes}
    assert not [name for name in names if name.startswith("on") or name == "style"]
    hrefs = [attributes["href"] for _, attributes in found.elements if "href" in attributes]
    anchors = {"#probe-1", "#probe-2", "#probe-1-doubt", "#probe-2-doubt"}
    assert set(hrefs) == {"data:,", *anchors}
    sources = [attributes["src"] for _, attributes in found.elements if attributes.get("src")]
    assert all(source.startswith("data:image/") for source in sources)
    assert len(found.all("script")) == len(found.all("style")) == 1
    seen = hostile.replace("\u202e", "\\u202e")
    assert seen in found.text
    assert "\u202e" not in found.text


def _plain(folder: Path) -> Path:
    """A chain with everything that a page may have, and nothing hostile."""
    filters = [{"filter": i, "held_out_iou": i / 9, "effect": i / 9} for i in range(3)]
    values = {
        "doubts": ["none is known", "none at all"],
        "layer": "8x8",
        "objects": [{"label": "window", "filters": filters}],
        "names": ["window"] * 20,
        "nested": {"deep": {"list": ["window"] * 20}},
    }
    made = {"line": "dcgan-probe dissect", "edits": [{"layer": "8x8", "filters": [1]}]}
    where = save(folder, "dissect", values, made, {"dissect.png": picture()}, summary="seen")
    (where / "boxes.json").write_text("{}")
    save(folder, "sample")  # more than one: a list of findings
    return folder


def test_halves_of_characters_and_endless_text_are_shown(tmp_path):
    save(tmp_path, values={"half": "\ud800", "long": "x" * 1_000_000, "k" * 5_000: 1})
    broken = os.fsdecode(b"\xff.txt")
    (tmp_path / "sample" / broken).write_bytes(b"")
    text = page.html(tmp_path)
    text.encode()
    assert "\\ud800" in text
    assert "\\udcff.txt" in text
    assert "(999600 more characters)" in text
    assert len(text) < 200_000


def test_the_policy_allows_the_one_style_and_script_and_nothing_else(tmp_path):
    save(tmp_path)
    found = parsed(tmp_path)
    (policy,) = [m["content"] for m in found.all("meta") if m.get("http-equiv")]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    for tag in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(found.raw[tag].encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    assert rules["default-src"] == "'none'"
    assert "http" not in re.sub(r"http-equiv", "", page.html(tmp_path))


def test_the_same_folder_gives_the_same_bytes(tmp_path):
    out = _plain(tmp_path / "out")
    one = page.write(out, tmp_path / "one.html")
    two = page.write(out, tmp_path / "two.html")
    assert one.read_bytes() == two.read_bytes()
    assert page.write(out).read_bytes() == one.read_bytes()
    assert page.write(out, force=True).read_bytes() == one.read_bytes()


def test_files_that_were_changed_later_are_a_doubt(tmp_path):
    (tmp_path / "own.png").write_bytes(cv2.imencode(".png", picture())[1].tobytes())
    sha = hashlib.sha256((tmp_path / "own.png").read_bytes()).hexdigest()
    files = {"own.png": sha, "other.png": "0" * 64, "z.safetensors": "0" * 64, "a/b.png": "0"}
    pictures = {"own.png": picture(), "other.png": picture(), "new.png": picture()}
    save(tmp_path / "out", pictures=pictures, files=files)
    said = parsed(tmp_path / "out").said
    for doubt in ("other.png was changed later", "new.png was put there later"):
        assert doubt in said
    assert "z.safetensors is missing" in said
    assert "own.png was" not in said
    assert "a/b.png" not in said


def test_values_are_read_by_a_person():
    found = tables.group(
        {
            "area": {"value": 0.0630416, "low": 0.0371735, "high": 0.0915248},
            "has": {"share": 0.82, "low": 0.74, "high": 0.88, "of": 100},
            "effect": 0.0123456,
            "effect_95": [0.01, 0.02],
            "count": 2537,
            "converged": True,
            "nothing": None,
            "few": [0.5, 0.25],
            "rows": [{"filter": 3, "iou": 0.5}, {"filter": 8, "iou": 0.25}],
            "many": [i / 7 for i in range(500)],
            "judged": {"chosen": {"in": 1, "out": 2}, "random": {"in": 3, "out": 4}},
        }
    )
    assert {name: cell.text for name, cell in found.facts} == {
        "area": "0.063 (0.037 to 0.092)",
        "has": "0.820 (0.740 to 0.880) of 100",
        "effect": "0.012 (0.010 to 0.020)",
        "count": "2537",
        "converged": "yes",
        "nothing": "none",
        "few": "0.5, 0.25",
    }
    rows, many, judged = found.parts
    assert isinstance(rows, tables.Table) and isinstance(judged, tables.Table)
    assert rows.columns == ("filter", "iou")
    assert [[cell.text for cell in row] for row in rows.rows] == [["3", "0.5"], ["8", "0.25"]]
    assert judged.columns == ("", "in", "out")
    assert judged.rows[1][0].text == "random"
    assert isinstance(many, tables.Listing)
    assert (len(many.items), many.more) == (400, 100)
    assert many.items[1].exact == repr(1 / 7)


@pytest.mark.parametrize(
    "value",
    [[[[[[[[[1]]]]]]]], {"a": [{"b": {"c": [{"d": [[1, [2]], "e"]}]}}]}, [[], [1]], [{}, {}],
     float("nan"), 10**400, [1e308, -1e308] * 20, {"": {"": ""}}, [None] * 50, [[1] * 90] * 3],
)  # fmt: skip
def test_any_value_is_shown(tmp_path, value):
    save(tmp_path, "forget", {"fresh_samples": value, "value": value, "doubts": value})
    save(tmp_path, "walk", {"ways": value, "points": value}, {"options": value, "edits": value})
    save(tmp_path, "turn", {"at": value, "response": {"mean": {"a": value}}})
    save(tmp_path, "dissect", {"objects": value, "layer": value})
    save(tmp_path, "evaluate", {"sliced_wasserstein_x1000": {"mean": {"samples": value}}})
    save(tmp_path, "features", {"rows": value, "images": value, "features": value})
    save(tmp_path, "directions", {"directions": value, "named": value})
    save(tmp_path, "arithmetic", {"success": {"methods": {"mean of 3": value}}, "keep": value})
    save(tmp_path, "put", {"label": value, "fresh_samples": value})
    save(tmp_path, "sample", {"images": value})
    assert len(parsed(tmp_path).all("section")) == 11  # and how all of it was made


def test_every_mark_says_filter_layer_and_value(tmp_path):
    weights = [0.5, -1.25, 2.0]
    where = save(tmp_path, "forget")
    selection = {"layer": "16x16", "filters": [2, 0], "about": {"weights": weights}}
    (where / "selection.json").write_text(json.dumps(selection))
    found = parsed(tmp_path)
    assert "filter 2 of layer 16x16: weight 2.000, changed" in found.text
    assert "filter 1 of layer 16x16: weight -1.250, kept" in found.text
    bars = [a for a in found.all("rect") if "mark" in a["class"]]
    heights = [float(bar["height"]) for bar in bars]
    assert heights == pytest.approx(
        [2.0 / 3.25 * 204, 0.5 / 3.25 * 204, 1.25 / 3.25 * 204], abs=0.1
    )


@pytest.mark.parametrize("ends", [(0, 1), (-3.2, 0.001), (1e-9, 3e-9), (0.13, 0.131), (0, 7e12)])
def test_ticks_are_round_and_inside(ends):
    found = charts.ticks(*ends)
    assert 2 <= len(found) <= 7
    for value, label in found:
        assert ends[0] - 1e-9 * abs(ends[1]) <= value <= ends[1] * (1 + 1e-9)
        assert float(label) == pytest.approx(value, rel=1e-5, abs=1e-15)


def test_edits_of_any_kind_are_named(tmp_path, monkeypatch, session):
    place = PlaceEdit(
        ("8x8",), session.checkpoint.sha256, "window", fill="smooth", where=(1, 2, 9, 9)
    )
    shift = Shift((0.5,) * 8, session.checkpoint.sha256)
    with session.editing(place, shift):
        sample.run(session, 2).save(tmp_path / "out" / "sample")
    page.write(tmp_path / "out")
    said = Parsed((tmp_path / "out" / "report.html").read_text()).said
    assert f"Drawn with an active edit: {place}" in said
    assert f"Drawn with an active edit: {shift}" in said


def test_a_chain_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setitem(main.commands, "report", report)
    out = tmp_path / "out"
    line = "sample --n 4 ablate --layer 8x8 --filters 0-3 sample --n 2 report"
    result = CliRunner().invoke(main, ["--out", str(out), *line.split()])
    assert result.exit_code == 0, result.output
    assert f"wrote {out / 'report.html'}" in result.output
    found = Parsed((out / "report.html").read_text())
    assert headings(found) == ["sample", "ablate", "sample-2"]
    assert found.said.count("Drawn with an active edit: 4 filters of 8x8 dropped") == 1
    change = json.loads((out / "ablate" / "result.json").read_text())["change"]["everywhere"]
    assert found.said.count(f"pixels change by {change:.3g} on average") == 1
    assert "Doubt:" not in found.said and "Known doubts" not in found.said
    again = CliRunner().invoke(main, ["--out", str(out), "report"])
    assert again.exit_code == 2
    assert "report.html: already exists, expected a new file (or --force)" in again.output


def refused(folder: Path, to: Path | None = None) -> str:
    with pytest.raises(InputError) as error:
        page.write(folder, to)
    assert not (folder / "report.html").is_file()
    return str(error.value)


def test_a_folder_without_results_is_refused(tmp_path):
    assert "found no such folder" in refused(tmp_path / "none")
    (tmp_path / "sub").mkdir()
    assert "found no sub-folder with a result.json" in refused(tmp_path)
    where = save(tmp_path / "out")
    assert f"{tmp_path / 'out'} may be one" in refused(where)
    assert "found a file" in refused(where / "result.json")
    assert "found a folder" in refused(tmp_path / "out", tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"format": "dcgan-pr', "line 1, column 12: found broken or cut-off JSON"),
        ("", "found an empty file"),
        ("[1]", "format: found None"),
        (json.dumps({"format": "dcgan-probe/result/9"}), "found 'dcgan-probe/result/9'"),
        (json.dumps({"format": FORMAT}), 'found no "made_with"'),
        (json.dumps({"format": FORMAT, "made_with": 3}), "made_with: found 3"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_damaged_result_is_named(tmp_path, text, said):
    save(tmp_path, "walk")
    where = save(tmp_path, "forget")
    (where / "result.json").write_text(text)
    line = refused(tmp_path)
    assert line.startswith(str(where / "result.json"))
    assert said in line


def test_a_damaged_picture_is_named(tmp_path, capfd):
    where = save(tmp_path, pictures={"sheet.png": picture(64, 64)})
    whole = (where / "sheet.png").read_bytes()
    header = whole[:16] + (30_000).to_bytes(4) * 2 + whole[24:]
    for data in (whole[: len(whole) // 2], whole[:20], b"", b"GIF89a", b"text", header):
        (where / "sheet.png").write_bytes(data)
        assert refused(tmp_path).startswith(f"{where / 'sheet.png'}: found ")
    (where / "sheet.png").write_bytes(whole)
    (where / "linear.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(64))
    assert refused(tmp_path).startswith(f"{where / 'linear.mp4'}: found a damaged film")
    assert capfd.readouterr().err == ""  # one line, and not the decoders' beside it


def test_a_gigabyte_is_refused_before_it_is_read(tmp_path):
    where = save(tmp_path)
    with open(where / "sheet.png", "wb") as file:
        file.truncate(1_000_000_000)
    assert "found 1000 MB of pictures and films, expected at most 64 MB" in refused(tmp_path)
    os.rename(where / "sheet.png", where / "z.safetensors")
    assert "z.safetensors" in parsed(tmp_path).said
    with open(where / "result.json", "ab") as file:
        file.truncate(20_000_000)
    assert "found 20 MB of results" in refused(tmp_path)


def test_a_file_that_is_there_is_kept(tmp_path):
    save(tmp_path / "out")
    to = tmp_path / "mine.html"
    to.write_text("mine")
    assert "already exists" in refused(tmp_path / "out", to)
    assert to.read_text() == "mine"


def test_transparent_pixels_keep_their_colours():
    image = np.zeros((2, 2, 4), np.uint8)
    image[..., :3] = 77
    with Image.open(io.BytesIO(base64.b64decode(media.packed(image).partition(",")[2]))) as found:
        assert np.array_equal(np.asarray(found), image)


@pytest.mark.parametrize("line", [None, [], {"a": 1}, 3, "sample"])
def test_a_line_of_any_kind_gives_an_order(tmp_path, line):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        whole = {"format": "dcgan-probe/result/1", "made_with": {"line": line}, "summary": ""}
        (tmp_path / name / "result.json").write_text(json.dumps(whole))
    assert sorted(one.name for one in contents.read(tmp_path)) == ["a", "b"]


def walked(folder, name="walk", **more):
    values = {"ways": {"linear": {"largest": 0.25}}, "distance_of_unrelated_samples": 1.5, **more}
    return save(folder, name, values, made_with={"command": "walk", "line": "dcgan-probe walk"})


FOUND = "the largest step changes the image by 0.25, unrelated samples differ by 1.5"


def heading(found: Parsed) -> str:
    """What stands before the first section."""
    return found.said.partition("How to read it")[0]


def test_the_headline_is_what_was_found_with_its_doubts(tmp_path):
    walked(tmp_path, warnings=["few steps", "few points"])
    found = parsed(tmp_path)
    head = heading(found)
    assert head.index(FOUND) < head.index("few steps") < head.index("and 1 more below")
    assert found.said.count(FOUND) == 1
    assert found.said.index("few points") < found.said.index("dcgan-probe walk")


def test_of_several_results_each_finding_is_named_first(tmp_path):
    walked(tmp_path, warnings=["few steps", "few points"])
    save(tmp_path, "sample", {"images": ["a.png", "b.png"]})
    found = parsed(tmp_path)
    head = heading(found)
    assert FOUND in head and "2 samples" in head and "few steps" in head
    for said in (FOUND, "few steps", "few points"):
        assert found.said.count(said) == 1
    (link,) = (a["href"] for a in found.all("a") if a["href"].endswith("-doubt"))
    assert link[1:] in [attributes.get("id") for attributes in found.all("p")]


def test_a_large_page_is_told_of_with_its_largest_files(tmp_path, monkeypatch, capsys):
    save(tmp_path, pictures={"small.png": picture(), "large.png": picture(300, 300)})
    page.write(tmp_path, tmp_path / "a.html")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(page, "LARGE", 200_000)
    page.write(tmp_path, tmp_path / "b.html")
    said = capsys.readouterr().err
    assert "b.html: 0 MB, too large for most mail" in said
    assert "largest in it: sample/large.png 0.3 MB, sample/small.png 0.0 MB" in said
