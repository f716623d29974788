"""What answers the page of `dcgan-probe paint`, without a browser."""

from __future__ import annotations

import json
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from test_label_server import asked
from torch import nn

import dcgan_probe as dp
from dcgan_probe.edits.edit import read
from dcgan_probe.errors import InputError
from dcgan_probe.figures import pixels
from dcgan_probe.latents import sampling
from dcgan_probe.latents.concepts import Concept, Concepts
from dcgan_probe.pages.server import Server
from dcgan_probe.pages.work_file import NotSaved
from dcgan_probe.paint import opening
from dcgan_probe.paint.desk import Desk
from dcgan_probe.paint.opening import PAGE, prepare
from dcgan_probe.recognition.erasing import DONORS, FIRST_DONOR
from dcgan_probe.storage.json_values import Value

SHA = "ab" * 32


@pytest.fixture
def concepts(session, tmp_path) -> Path:
    path = tmp_path / "concepts.json"
    named = {"bright": Concept(("0:3", "0:4")), "dark": Concept(("0:5",))}
    Concepts(SHA, named).write(path)
    return path


@pytest.fixture
def boxes(tmp_path) -> Path:
    path = tmp_path / "boxes.json"
    drawn = tuple(dp.Box(i, ("window", "<b>door</b>")[i % 2], 4, 4, 18, 20) for i in range(12))
    dp.Boxes(drawn, tuple(range(16)), (32, 32), seed=0, checkpoint=SHA).write(path)
    return path


@pytest.fixture
def desk(session, tmp_path, boxes, concepts) -> Desk:
    return prepare(session, tmp_path / "painting.json", n=3, boxes=boxes, concepts=concepts)


def ask(desk, path, **body):
    """The JSON of an answer, and its images."""
    found = desk.answers[path](Value({"tab": "a", **body}, "request"))
    if isinstance(found, dict):
        return found
    (length,) = struct.unpack("<I", found[:4])
    said = json.loads(found[4 : 4 + length])
    flat = np.frombuffer(found[4 + length :], np.uint8)
    size = desk.session.config.size
    images = flat.reshape(said["images"], size, size, 4)
    assert (images[..., 3] == 255).all()
    return said | {"pixels": images[..., :3]}


def stroke(desk, brush="here", points=((8, 8), (16, 10)), radius=3.0, done=True, **more):
    body = {"brush": brush, "id": "s", "points": list(map(list, points)), "radius": radius}
    body |= {"strength": 1, "layer": "16x16", "label": "window", "done": done, **more}
    return ask(desk, "/stroke", **body)


EVERYTHING = [
    ("/stroke", {"brush": "here", "id": "a", "points": [[6, 6], [12, 8]], "radius": 4,
                 "layer": "16x16", "strength": 0.7}),
    ("/gain", {"layer": "8x8", "filters": [1, 3], "at": 2.0}),
    ("/stamp", {"item": 1, "x": 20, "y": 18, "layer": "16x16"}),
    ("/axis", {"start": "dark", "end": "bright", "at": 0.5}),
    ("/stroke", {"brush": "object", "label": "window", "points": [[16, 16]], "radius": 12,
                 "layer": "16x16"}),
    ("/walk", {"to": "0:9", "at": 0.25}),
    ("/stroke", {"brush": "restore", "points": [[8, 8]], "radius": 3}),
    ("/gain", {"layer": "16x16", "filters": [0], "at": 0.0}),
    ("/stroke", {"brush": "here", "id": "b", "points": [[24, 24]], "radius": 3, "layer": "8x8"}),
]  # fmt: skip


def test_what_the_page_shows_is_what_the_command_line_draws(desk, session):
    """Every brush and slider, one on top of the other, against the active edits."""
    plain = pixels(session.sample(64))
    for path, body in EVERYTHING:
        shown = ask(desk, path, **body, done=True)["pixels"][0]
        painting = desk.studio.painting(desk.work.history.now)
        with session.editing(painting):
            wanted = pixels(session.sample(64))
        np.testing.assert_array_equal(shown, wanted[0])
        strip = ask(desk, "/strip", edited=True)["pixels"]
        assert np.abs(strip.astype(int) - wanted[1:4]).max() <= 1  # of another batch
    assert (shown != plain[0]).any()
    np.testing.assert_array_equal(ask(desk, "/strip", edited=False)["pixels"], plain[1:4])
    np.testing.assert_array_equal(ask(desk, "/before")["pixels"][0], plain[0])


def test_a_file_takes_it_up_again(desk, session, tmp_path, boxes, concepts):
    for path, body in EVERYTHING:
        shown = ask(desk, path, **body, done=True)
    assert ask(desk, "/write") == {"file": str(tmp_path / "painting.json")}
    with session.editing(read(tmp_path / "painting.json")):
        np.testing.assert_array_equal(pixels(session.sample(64))[0], shown["pixels"][0])
    again = prepare(session, tmp_path / "painting.json", n=3, boxes=boxes, concepts=concepts)
    found = ask(again, "/image")
    np.testing.assert_array_equal(found["pixels"], shown["pixels"])
    assert {k: found[k] for k in ("sample", "walk", "axes", "gains", "edits")} == {
        k: shown[k] for k in ("sample", "walk", "axes", "gains", "edits")
    }
    picture = ask(again, "/picture")
    assert picture == {"file": str(tmp_path / "painting.png"), "differ": 0}
    written = dp.figures.read_image(tmp_path / "painting.png")
    np.testing.assert_array_equal(written, shown["pixels"][0])
    assert ask(again, "/picture")["file"].endswith("painting-2.png")
    film = ask(again, "/film")
    assert film["file"].endswith("painting.gif") and film["frames"] == len(again.work.frames())
    np.testing.assert_array_equal(again.work.frames()[-1], shown["pixels"][0])
    np.testing.assert_array_equal(again.work.frames()[0], ask(again, "/before")["pixels"][0])
    with Image.open(film["file"]) as shown_film:
        lasts = [frame.info["duration"] for frame in ImageSequence.Iterator(shown_film)]
    assert min(lasts) >= 1000 and sum(lasts) == 1000 * film["frames"]


def test_a_film_says_what_each_edit_is(desk):
    for path, body in EVERYTHING:
        ask(desk, path, **body, done=True)
    said = [words for words, _ in desk.work._states()]
    assert said[:3] == ["sample 0:0", "sample 0:0", "sliders"]
    assert said[3:-1] == [
        "edit 1: erase here", "edit 2: stamp <b>door</b>", "edit 3: erase window",
        "edit 4: erase here",
    ]  # fmt: skip
    assert said[-1] == said[-2]


def test_undo_goes_back_to_the_first_image_and_redo_to_the_last(desk):
    shown = [ask(desk, "/image")["pixels"]]
    for path, body in EVERYTHING:
        shown.append(ask(desk, path, **body, done=True)["pixels"])
    for wanted in shown[-2::-1]:
        found = ask(desk, "/undo")
        np.testing.assert_array_equal(found["pixels"], wanted)
    assert (found["undo"], found["redo"]) == (0, len(EVERYTHING))
    for wanted in shown[1:]:
        np.testing.assert_array_equal(ask(desk, "/redo")["pixels"], wanted)
    ask(desk, "/clear")
    assert ask(desk, "/undo")["edits"] == 4


def test_a_stroke_counts_once_it_is_done_and_the_last_of_it_is_the_whole(desk):
    first = ask(desk, "/image")["pixels"]
    for brush in ("here", "object", "restore"):
        stroke(desk, brush, points=[(8, 8)], done=False)
        stroke(desk, brush, points=[(8, 8), (12, 9)], done=False)
    np.testing.assert_array_equal(ask(desk, "/image")["pixels"], first)
    slow = stroke(desk)["pixels"]
    ask(desk, "/undo")
    np.testing.assert_array_equal(stroke(desk)["pixels"], slow)


def test_each_brush_stays_near_what_it_touched(desk, session):
    """Further than the layers after 16x16 carry a change nothing does."""
    far = np.ones((32, 32), bool)
    far[:24, :28] = False
    plain = ask(desk, "/image")["pixels"][0]
    for brush in ("here", "object"):
        after = stroke(desk, brush)["pixels"][0]
        np.testing.assert_array_equal(after[far], plain[far])
        assert brush == "object" or (after != plain).any()
        ask(desk, "/undo")
    after = ask(desk, "/stamp", item=0, x=10, y=10, layer="16x16", done=True)["pixels"][0]
    np.testing.assert_array_equal(after[:, 28:], plain[:, 28:])
    assert (after != plain).any()
    found = stroke(desk, "restore", points=[(16, 16)], radius=40)
    np.testing.assert_array_equal(found["pixels"][0], plain)
    assert found["edits"] == 0


def test_while_a_stroke_restores_its_place_is_as_it_was(desk):
    plain = ask(desk, "/image")["pixels"][0]
    stroke(desk, points=[(8, 8), (8, 24)], radius=4)
    shown = stroke(desk, "restore", points=[(8, 8)], radius=12, done=False)["pixels"][0]
    np.testing.assert_array_equal(shown[:14, :14], plain[:14, :14])
    done = stroke(desk, "restore", points=[(8, 8)], radius=12)["pixels"][0]
    np.testing.assert_array_equal(done[:14, :14], plain[:14, :14])


def test_restoring_a_part_gives_back_that_part(desk):
    plain = ask(desk, "/image")["pixels"][0]
    stroke(desk, points=[(8, 8), (8, 24)], radius=4)
    kept = stroke(desk, points=[(26, 8)], radius=2)["edits"]
    after = stroke(desk, "restore", points=[(8, 8), (8, 12)], radius=8)["pixels"][0]
    np.testing.assert_array_equal(after[:10, :10], plain[:10, :10])
    assert (after[22:26, 6:10] != plain[22:26, 6:10]).any()
    assert kept == 2
    now = desk.work.history.now
    assert [len(edit.strokes) for edit in now.edits] == [2, 1]  # the other one was not touched


def test_many_strokes_keep_few_maps(desk):
    rng = np.random.default_rng(0)
    for point in rng.uniform(2, 30, (40, 2)).tolist():
        stroke(desk, points=[point], radius=2)
    chain = desk.studio.chain(desk.work.history.now)
    assert sum(map(len, chain._maps)) < 40
    assert len(chain.donors.drawn._values) <= chain.donors.drawn.KEPT


def test_the_strongest_filters_of_a_place(desk, session):
    found = ask(desk, "/pick", layer="16x16", x=9.0, y=21.0)
    maps = dp.hooks.activations(session.generator, "16x16", session.latents(64))[:1]
    donors = dp.hooks.activations(
        session.generator, "16x16", session.latents(DONORS, start=FIRST_DONOR)
    ).double()
    mean, deviation = donors.mean((0, 2, 3)), donors.std((0, 2, 3), correction=0)
    scores = (maps[0, :, 10, 4] - mean) / deviation.clamp_min(1e-6)
    best = scores.argsort(descending=True)[: len(found["filters"])]
    assert [each["filter"] for each in found["filters"]] == best.tolist()
    assert found["filters"][0]["score"] == pytest.approx(float(scores[best[0]]), rel=1e-4)


def test_photographs_have_names(session, tmp_path, boxes):
    folder = tmp_path / "invert"
    folder.mkdir()
    z = session.latents(2, start=40)
    sampling.write(folder / "z.safetensors", z, SHA)
    desk = prepare(session, tmp_path / "p.json", boxes=boxes, latents=[folder / "z.safetensors"])
    assert desk.work.history.now.sample == "invert 0"
    found = ask(desk, "/sample", sample="invert 1")["pixels"][0]
    np.testing.assert_array_equal(found, pixels(session.generate(z[1:]))[0])
    stroke(desk)
    assert ask(desk, "/picture")["differ"] == 0


def test_one_tab_paints(desk):
    assert ask(desk, "/join")["writes"] is True
    assert ask(desk, "/join", tab="b")["writes"] is False
    assert ask(desk, "/undo", tab="b") == {"writes": False}
    assert ask(desk, "/take", tab="b")["writes"] is True
    assert stroke(desk) == {"writes": False}
    assert ask(desk, "/image")["edits"] == 0


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/stroke", {"brush": "x", "id": "a"}, "unknown brush 'x'"),
        ("/stroke", {"layer": "9x9"}, "unknown layer '9x9'"),
        ("/stroke", {"radius": -1}, "radius: found -1"),
        ("/stroke", {"brush": "object", "label": "tree"}, "unknown object 'tree'"),
        ("/stamp", {"item": 99, "x": 1, "y": 1}, "item: found 99"),
        ("/stamp", {"item": 0, "x": 900, "y": 1}, "expected a place on the image"),
        ("/gain", {"filters": [3], "at": 9}, "at: found 9"),
        ("/gain", {"filters": [99999], "at": 1}, "filters"),
        ("/gain", {"filters": [4000], "at": 2}, "found filter 4000, expected 0 to"),
        ("/axis", {"start": "", "end": "none", "at": 1}, "unknown concept 'none'"),
        ("/axis", {"start": "dark", "end": "dark", "at": 1}, "found no axis from dark to dark"),
        ("/walk", {"to": "0:1", "at": 2}, "at: found 2"),
        ("/walk", {"to": "x", "at": 1}, "unknown sample 'x'"),
        ("/sample", {"sample": "0:-1"}, "unknown sample '0:-1'"),
        ("/strip", {"edited": True, "from": "here"}, "unknown sample 'here'"),
        ("/pick", {"x": "a", "y": 1}, "x: found"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_changes_nothing(desk, path, body, message):
    whole = {"brush": "here", "id": "a", "points": [[4, 4]], "radius": 2, "layer": "16x16"}
    with pytest.raises(InputError, match=message):
        ask(desk, path, **{**whole, "done": True, **body})
    assert ask(desk, "/image")["undo"] == 0


def test_files_of_others_are_refused_and_stay(session, tmp_path, desk):
    path = tmp_path / "mine.json"
    stroke(desk)
    ask(desk, "/write")
    value = json.loads((tmp_path / "painting.json").read_text())
    other = json.dumps(value).replace(SHA, "cd" * 32)
    for text, message in (
        (other, "found a painting on cdcdcdcd"),
        ('{"format": "dcgan-probe/boxes/1"}', "format"),
        (json.dumps({**value, "about": {}}), 'found no "walk"'),
        (json.dumps({**value, "edits": value["edits"][::-1] + value["edits"]}), None),
    ):
        path.write_text(text)
        if message:
            with pytest.raises(InputError, match=message):
                prepare(session, path)
        assert path.read_text() == text
    path.write_text('{"format": "dcgan-probe/painting/1", "che')
    assert "kept as mine.damaged-1.json" in prepare(session, path).work.notice
    desk.work.path = tmp_path / "none" / "x" / "painting.json"
    (tmp_path / "none").write_text("a file")
    with pytest.raises(NotSaved):
        ask(desk, "/write")


class Plain(nn.Module):
    """A generator without a layer of maps."""

    def __init__(self) -> None:
        super().__init__()
        self.all = nn.Sequential(nn.Linear(6, 3 * 16 * 16), nn.Tanh())

    def forward(self, z):
        return self.all(z).view(-1, 3, 16, 16)


class Around(nn.Module):
    """One whose z enters every block anew, so that it cannot be cut."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 8 * 16)
        self.a = nn.ConvTranspose2d(8, 8, 4, 2, 1)
        self.style = nn.Linear(6, 8)
        self.b = nn.ConvTranspose2d(8, 3, 4, 2, 1)

    def forward(self, z):
        h = self.a(self.first(z).view(-1, 8, 4, 4)).relu()
        return self.b(h + self.style(z)[:, :, None, None]).tanh()


def test_a_network_without_maps_still_slides(tmp_path):
    torch.manual_seed(0)
    session = dp.Session.from_modules(generator=Plain(), latent=6, device="cpu")
    desk = prepare(session, tmp_path / "p.json")
    joined = ask(desk, "/join")
    assert (joined["layers"], joined["palette"], joined["labels"]) == ({}, [], [])
    before = ask(desk, "/image")["pixels"]
    after = ask(desk, "/walk", to="0:5", at=1.0, done=True)["pixels"]
    assert (before != after).any()
    with pytest.raises(InputError, match="unknown layer"):
        stroke(desk)
    ask(desk, "/write")
    with session.editing(read(tmp_path / "p.json")):
        assert np.abs(pixels(session.sample(1)).astype(int) - after).max() <= 1


class Conditional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(4, 6)
        self.plain = Plain()

    def forward(self, z, label):
        return self.plain(z + self.table(label))


def test_the_class_of_a_conditional_generator_is_said(tmp_path):
    torch.manual_seed(0)
    session = dp.Session.from_modules(generator=Conditional(), latent=6, label=2, device="cpu")
    assert ask(prepare(session, tmp_path / "p.json"), "/join")["class"] == 2


def test_a_network_that_cannot_be_cut_is_painted_and_says_so(tmp_path):
    torch.manual_seed(0)
    session = dp.Session.from_modules(generator=Around(), latent=6, device="cpu")
    desk = prepare(session, tmp_path / "p.json")
    joined = ask(desk, "/join")
    assert joined["layer"] in joined["whole"]
    before = ask(desk, "/image")["pixels"]
    after = stroke(desk, points=[(3, 3)], layer=joined["layer"])["pixels"]
    assert (before != after).any()
    ask(desk, "/write")
    with session.editing(read(tmp_path / "p.json")):
        np.testing.assert_array_equal(pixels(session.sample(64))[:1], after)


def test_its_server_is_as_careful_as_that_of_label(desk):
    with Server(PAGE, 0, {}, desk.answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            for name in ("", *PAGE.names[1:], *PAGE.shared):
                assert asked(server, "GET", f"/{name}")[0] == 200
                assert asked(server, "GET", f"/{name}", secret="wrong")[0] == 403
            assert asked(server, "POST", "/join", {"tab": "a"})[0] == 200
            assert asked(server, "POST", "/join", {"tab": "a"}, secret="wrong")[0] == 403
            assert asked(server, "POST", "/join", {"tab": "a"}, Host="evil.example")[0] == 403
            assert (
                asked(server, "POST", "/join", {"tab": "a"}, Origin="http://evil.example")[0] == 403
            )
            large = {"tab": "a", "points": [[1, 1]] * 20_000}
            assert asked(server, "POST", "/stroke", large)[0] == 413
            assert asked(server, "POST", "/stroke", {"tab": "a"})[0] == 400
            desk.close()
            assert asked(server, "POST", "/image", {"tab": "a"})[0] == 507
        finally:
            server.shutdown()
            thread.join()


def test_the_slider_of_a_file_keeps_its_region_and_values(session, tmp_path):
    own = dp.Selection("8x8", (1, 3), SHA, values=(0.5, 1.0), where=(0, 0, 16, 16))
    own.write(tmp_path / "selection.json")
    desk = prepare(session, tmp_path / "p.json", n=3, selections=[tmp_path / "selection.json"])
    plain = ask(desk, "/image")["pixels"][0]
    body = {"layer": "8x8", "filters": [1, 3], "at": 0.25, "done": True}
    shown = ask(desk, "/gain", **body)["pixels"][0]
    (made,) = desk.studio.painting(desk.work.history.now).edits
    assert (made.values, made.where, made.gains) == (own.values, own.where, (0.25, 0.25))
    with session.editing(made):
        np.testing.assert_array_equal(shown, pixels(session.sample(64))[0])
    assert (shown != plain).any()


def test_a_part_of_a_layer_has_no_slider(session, desk, tmp_path):
    dp.Selection("8x8.conv", (1, 3), SHA).write(tmp_path / "selection.json")
    with pytest.raises(InputError, match="selection.json: unknown layer '8x8.conv'"):
        prepare(session, tmp_path / "p.json", selections=[tmp_path / "selection.json"])
    with pytest.raises(InputError, match="unknown layer '8x8.conv'"):
        ask(desk, "/gain", layer="8x8.conv", filters=[1, 3], at=0.25)


def test_what_a_tab_that_was_closed_at_once_had_done_is_in_the_file(session, tmp_path, monkeypatch):
    body = {"tab": "a", "layer": "8x8", "filters": [1], "at": 2.0, "done": True}

    def serve(server, *_):
        server.answers["/gain"](Value(body, "request"))  # and no /write after it

    monkeypatch.setattr(opening, "serve", serve)
    work = opening.open_page(session, tmp_path / "p.json")
    session.close()
    assert read(tmp_path / "p.json") == work.studio.painting(work.history.now)
    monkeypatch.setattr(opening, "serve", lambda *_: None)
    opening.open_page(session, tmp_path / "none.json")
    session.close()
    assert not (tmp_path / "none.json").exists()
