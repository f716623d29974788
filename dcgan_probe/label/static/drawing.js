// Boxes: the sample on the stage, the sheet beside it, and the keys for both.

import { Boxes, grown, moved } from "./boxes.js";
import { forget } from "./forget.js";
import { Sheet } from "./sheet.js";
import { Stage } from "./stage.js";

const COLOURS = ["#3aa0ff", "#ffb000", "#2bd49c", "#ff7ac6", "#f0e442", "#ff6a3d", "#b39cff", "#9be15d"];
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const FAR = 8; // pixels with Ctrl
const HELD = 5; // repeats of a key that is held, from which on it goes faster
const $ = (id) => document.getElementById(id);

export function drawing(state, source, server, signal) {
  const { n, size } = state;
  const images = { ...state.images };
  for (const [image, { boxes, looked }] of server.pending) {
    if (looked) images[image] = boxes;
    else delete images[image];
  }
  const boxes = new Boxes(n, images, state.labels, changed);
  const sheet = new Sheet(state, source, (image, event) => {
    go(image);
    if (event.detail) $("stage").focus(); // a click, not a key
  });
  const stage = new Stage(size, {
    busy: () => !server.writes || !ready(),
    label: () => label,
    select,
    draw: (box) => add(box),
    edit: (index, box) => replace(index, box),
  }, signal);
  let [current, selected, label] = [0, -1, boxes.labels[0] ?? ""];
  let last = null; // box that was drawn or changed
  let chosen = false; // the box selected was pointed at, and not just drawn

  const colour = (name) => COLOURS[boxes.labels.indexOf(name) % COLOURS.length];
  const tag = (name) => (boxes.labels.length > 1 ? name : "");
  const here = () => boxes.at(current);

  function changed(image) {
    const { boxes: list, looked } = boxes.at(image);
    server.change(image, { image, looked, boxes: list });
    thumb(image);
    if (image === current) show();
    progress();
  }

  function ready() {
    if (label) return true;
    $("new-label").focus();
    $("said").textContent = "Name what you draw first.";
    return false;
  }

  function add(box) {
    last = box;
    selected = here().boxes.length;
    chosen = false;
    boxes.set(current, [...here().boxes, box]);
  }

  function replace(index, box, what = "") {
    selected = index;
    last = box;
    boxes.set(current, here().boxes.with(index, box), { what });
  }

  function remove() {
    const rest = here().boxes.toSpliced(selected, 1);
    selected = -1;
    boxes.set(current, rest);
  }

  function select(index) {
    selected = index;
    chosen = true;
    if (index >= 0) [label, last] = [here().boxes[index].label, here().boxes[index]];
    show();
    chips();
  }

  function go(image) {
    if (image === undefined || image < 0 || image >= n) return;
    [current, selected] = [image, -1];
    stage.show(source, ...sheet.place(image));
    sheet.show(image);
    show();
  }

  function show() {
    if (selected >= here().boxes.length) selected = -1;
    stage.draw(here().boxes, selected, boxes.open(current), colour, tag);
    $("where").textContent = `Sample ${current}`;
    const box = here().boxes[selected];
    const open = boxes.open(current).length;
    $("said").textContent = box
      ? `${box.label}: ${box.x0}, ${box.y0} to ${box.x1}, ${box.y1}`
      : open ? `${open} proposed` : said(current);
    $("accept").hidden = $("reject").hidden = !open || Boolean(box);
    $("delete").hidden = !box;
    $("empty").ariaPressed = String(here().looked && !here().boxes.length);
  }

  function said(image) {
    const { boxes: list, looked } = boxes.at(image);
    if (list.length) return counted(list.length);
    return looked ? "no object" : "not looked at yet";
  }

  function thumb(image) {
    const { boxes: list, looked } = boxes.at(image);
    const open = boxes.open(image);
    const what = list.length ? "boxes" : looked ? "empty" : open.length ? "proposed" : "";
    const badge = { boxes: list.length, empty: "–", proposed: "?", "": "" }[what];
    const spoken = what === "proposed" ? `${open.length} proposed` : said(image);
    sheet.draw(image, { boxes: what === "proposed" ? open : list, colour, what, badge, said: spoken });
  }

  function progress() {
    $("progress").max = n;
    $("progress").value = boxes.looked;
    $("count").textContent = `${boxes.looked} of ${n} · ${counted(boxes.count())}`;
    const drawn = boxes.count(label);
    $("propose").disabled = !label || drawn < state.handful;
    $("propose").title = $("propose").disabled ? `after ${state.handful} boxes of one label` : "";
    $("forget").disabled = !label || !drawn;
    chips();
  }

  function chips() {
    const made = boxes.labels.map((name, i) => {
      const chip = document.createElement("button");
      const dot = document.createElement("span");
      const key = document.createElement("kbd");
      dot.className = "dot";
      dot.style.background = colour(name);
      key.textContent = i < 9 ? i + 1 : "";
      const text = document.createElement("span");
      text.textContent = name;
      text.className = "name";
      chip.append(dot, text, key);
      chip.ariaPressed = String(name === label);
      chip.onclick = () => use(name);
      return chip;
    });
    $("labels").replaceChildren(...made, naming);
  }

  function use(name) {
    label = name;
    const box = chosen && here().boxes[selected];
    if (box && box.label !== name && server.writes) replace(selected, { ...box, label: name });
    progress();
  }

  const naming = document.createElement("input");
  naming.id = "new-label";
  naming.placeholder = "new label";
  naming.ariaLabel = "New label";
  naming.maxLength = 80;
  naming.onkeydown = (event) => {
    if (event.key !== "Enter" || !naming.value.trim()) return;
    const name = naming.value.trim();
    if (!boxes.labels.includes(name)) boxes.labels.push(name);
    naming.value = "";
    use(name);
    $("stage").focus();
  };

  function empty() {
    if (here().boxes.length) return;
    const looked = !here().looked;
    boxes.set(current, [], { looked });
    boxes.proposals.delete(current);
    thumb(current);
    if (looked) go(boxes.next(current) ?? current);
    else show();
  }

  function judge(accept) {
    if (!boxes.judge(current, accept)) return;
    selected = -1;
    if (!boxes.open(current).length && here().boxes.length) go(boxes.next(current) ?? current);
    else show();
  }

  async function propose() {
    if ($("propose").disabled) return;
    $("learnt").textContent = "Learning …";
    await server.flush();
    try {
      const { images: found } = await server.post("/propose", { label });
      boxes.propose(label, found);
      for (let image = 0; image < n; image++) thumb(image);
      const count = Object.values(found).reduce((sum, list) => sum + list.length, 0);
      $("learnt").textContent = `${count} proposed on ${Object.keys(found).length} samples`;
      if (here().looked && !boxes.open(current).length) go(boxes.next(current));
      show();
    } catch (failure) {
      $("learnt").textContent = failure.message;
    }
  }

  function create() {
    if (!ready()) return;
    const half = Math.round(size / 8);
    const middle = { x0: size / 2 - half, y0: size / 2 - half, x1: size / 2 + half, y1: size / 2 + half };
    add({ ...(last ?? middle), label });
  }

  function back(image) {
    if (image === undefined) return;
    if (image !== current) go(image);
    selected = -1;
    thumb(image);
    show();
  }

  let held = 0;
  function arrow([dx, dy], event) {
    held = event.repeat ? held + 1 : 0;
    const far = event.ctrlKey || event.metaKey ? FAR : held > HELD ? 3 : 1;
    if (selected >= 0) {
      if (!server.writes) return;
      const change = event.shiftKey ? grown : moved;
      const box = change(here().boxes[selected], dx * far, dy * far, size);
      replace(selected, box, `${event.shiftKey ? "size" : "move"} ${selected}`);
    } else go(current + dx + dy * sheet.row);
  }

  const changes = {
    b: create,
    n: empty,
    x: () => judge(false),
    Enter: () => judge(true),
    Delete: () => (selected >= 0 ? remove() : judge(false)),
    Backspace: () => (selected >= 0 ? remove() : judge(false)),
    z: (event) => back(event.shiftKey ? boxes.redo() : boxes.undo()),
    y: () => back(boxes.redo()),
  };
  const views = {
    " ": () => go(boxes.next(current)),
    s: () => here().boxes.length && select((selected + 1) % here().boxes.length),
    p: propose,
    f: () => !$("forget").disabled && forget(server, label, size),
    Escape: () => select(-1),
    "+": () => stage.enlarge(1),
    "=": () => stage.enlarge(1),
    "-": () => stage.enlarge(-1),
    0: () => stage.enlarge(0),
  };

  function key(event) {
    const { target, key: name } = event;
    if (target.matches("input") || document.querySelector("dialog[open]") || event.altKey) return;
    if (target.matches("button:not(.thumb)") && (name === " " || name === "Enter")) return;
    const short = name.length === 1 ? name.toLowerCase() : name;
    const control = event.ctrlKey || event.metaKey;
    if (control && !["z", "y"].includes(short) && !(name in ARROWS)) return;
    if (name in ARROWS) arrow(ARROWS[name], event);
    else if (server.writes && short in changes) changes[short](event);
    else if (short in views) views[short](event);
    else if (/^[1-9]$/.test(name) && boxes.labels[name - 1] !== undefined) use(boxes.labels[name - 1]);
    else return;
    event.preventDefault();
  }

  const click = (id, act) => $(id).addEventListener("click", (event) => {
    act(event);
    if (event.detail && !document.querySelector("dialog[open]")) $("stage").focus();
  }, { signal });
  addEventListener("keydown", key, { signal });
  click("previous", () => go(current - 1));
  click("next", () => go(current + 1));
  click("empty", () => server.writes && empty());
  click("accept", () => server.writes && judge(true));
  click("reject", () => server.writes && judge(false));
  click("delete", () => server.writes && remove());
  click("undo", () => server.writes && back(boxes.undo()));
  click("in", () => stage.enlarge(1));
  click("out", () => stage.enlarge(-1));
  click("propose", propose);
  click("forget", () => forget(server, label, size));

  for (let image = 0; image < n; image++) thumb(image);
  progress();
  stage.fit();
  go(boxes.at(0).looked ? boxes.next(0) ?? 0 : 0);
  $("stage").focus();
  if (!label) ready();
}

function counted(boxes) {
  return `${boxes} box${boxes === 1 ? "" : "es"}`;
}
