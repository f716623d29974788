// Opens the page, and joins the sample, the brushes, the palette, the sliders and the strip.

import { Canvas } from "./canvas.js";
import { Client, pictures } from "./client.js";
import { Palette } from "./palette.js";
import { Sliders } from "./sliders.js";

const $ = (id) => document.getElementById(id);
const HINTS = {
  object: "Brush over an object: it goes where the probe sees it, and nothing else does.",
  here: "Brush anything away: what fits around takes its place.",
  stamp: "Choose an object, then click or drag it onto the sample.",
  restore: "Gives back what brushes took. Sliders stay.",
  pick: "Click a place: its filters get sliders.",
};
const TOOLS = Object.keys(HINTS);
const client = new Client(tell);
let [state, canvas, palette, sliders] = [null, null, null, null];
let [tool, all, refresh] = ["here", false, 0];
const sizes = {}; // of each brush, once it was chosen
const ready = new Set(); // brushes that the server got ready for

function tell(kind, text = "") {
  document.body.dataset.kind = kind;
  if (kind === "writing") return start();
  $("saved").textContent = {
    saved: "Saved", saving: "Saving …", reading: "Read-only", refused: "Refused",
    unsaved: "Not saved", gone: "The server stopped",
  }[kind];
  if (kind === "unsaved") banner(`${text}. What you paint is kept here, and written once it can be.`);
  else if (kind === "gone") {
    banner(`The server stopped. Run the same command again: it resumes ${state?.file ?? "the file"}, as of the last “Saved”.`);
  } else if (kind === "reading") {
    banner("Another tab paints. Here it is read-only.", "Take over", () => start("/take"));
  } else if (kind === "refused") banner(text, "Dismiss", () => banner(""));
  else if (kind === "saved" && !$("banner-act").textContent) banner("");
}

function banner(text, name = "", act = null) {
  if ($("banner-text").textContent !== text) $("banner-text").textContent = text;
  $("banner").hidden = !text;
  $("banner-act").hidden = !text || !name;
  $("banner-act").textContent = name;
  $("banner-act").onclick = act;
}

async function start(path) {
  try {
    state = await client.join(path);
  } catch (failure) {
    return tell("gone", failure.message);
  }
  const { size } = state;
  document.title = `${state.file} · paint`;
  $("file").textContent = state.file;
  const under = state.inForce.length ? `, on ${state.inForce.join(", ")}` : "";
  const which = state.class === null ? "" : `, class ${state.class}`;
  $("model").textContent = `${state.model}${which}, seed ${state.seed}${under}`;
  canvas ??= new Canvas(size, {
    tool: () => tool,
    radius: () => $("size").valueAsNumber,
    busy: () => !client.writes || !Object.keys(state.layers).length,
    stroke, stamp, pick,
  });
  palette = new Palette(state, choose, dragged);
  sliders = new Sliders(state, (address, body, done, at) => client.put(address, body, shown, { done, at }));
  $("layer").replaceChildren(...Object.entries(state.layers).map(([name, [height]]) =>
    new Option(`${name}${height <= 8 ? ", coarse" : name === state.layer ? ", usual" : ""}`, name)));
  $("layer").value = state.layer;
  $("object").replaceChildren(...state.labels.map((name) => new Option(name, name)));
  $("named").replaceChildren(...state.named.map((name) => new Option(name, name)));
  $("size").max = Math.round(size / 3);
  $("size").value = Math.max(2, size / 10);
  // Over a whole object in few strokes: nothing else goes anyway.
  Object.assign(sizes, { here: size / 10, restore: size / 10, object: size / 5 });
  follow(state);
  for (const button of brushes()) {
    const name = button.dataset.tool;
    const without = name === "object" ? !state.labels.length : name === "stamp" && !state.palette.length;
    button.disabled = without || !Object.keys(state.layers).length;
    if (without) button.title = "Needs boxes: dcgan-probe label draws them.";
  }
  const words = [...state.notices];
  if (!Object.keys(state.layers).length) words.push("This generator has no layer of maps: only sliders work.");
  else if (state.whole.includes(state.layer)) {
    words.push("This network cannot be cut behind its layers: every answer runs all of it, which is slower.");
  }
  if (words.length) banner(words.join(" "), "Dismiss", () => banner(""));
  await again();
  use("here");
  if (client.writes) document.body.dataset.kind = "saved";
  $("saved").textContent = client.writes ? "Saved" : "";
  if (!client.writes) client.read();
}

const brushes = () => document.querySelectorAll("#brushes button");

/** All images once more. */
async function again() {
  for (const [address, show] of [["/image", (image) => canvas.show(image)],
    ["/before", (image) => canvas.showBefore(image)]]) {
    const answer = await client.ask(address);
    show(pictures(answer, state.size)[0]);
  }
  await strip();
}

/** An answer with the image, or null. */
function shown(answer) {
  if (!answer) return;
  canvas.show(pictures(answer, state.size)[0]);
  const other = answer.said.sample !== state.sample;
  follow(answer.said);
  if (other) before();
}

function follow(said) {
  const { sample, edits, undo, redo, walk, axes, gains } = said;
  Object.assign(state, { sample, edits, undo, redo, walk, axes, gains });
  if (document.activeElement !== $("sample")) $("sample").value = sample;
  $("undo").disabled = !undo;
  $("redo").disabled = !redo;
  $("clear").disabled = !edits && !axes.length && !gains.length && !walk.at;
  $("caption").textContent = edits ? `after ${edits} ${edits === 1 ? "edit" : "edits"}` : "sample";
  sliders.follow(said);
  marks();
}

async function before() {
  const answer = await client.ask("/before").catch((failure) => client.fail(failure));
  if (answer) canvas.showBefore(pictures(answer, state.size)[0]);
}

// --- the strip ------------------------------------------------------------------------------------

client.idle = () => {
  // Once nothing waits: what is brushed must not wait for the others.
  clearTimeout(refresh);
  if (all) refresh = setTimeout(strip, 120);
};

async function strip(from) {
  if (client.busy && from === undefined) return;
  const body = { edited: all, ...(typeof from === "string" ? { from } : {}) };
  const answer = await client.ask("/strip", body).catch((failure) => client.fail(failure));
  if (!answer) return;
  state.strip = answer.said.strip;
  $("strip-from").value = state.strip[0];
  if ($("strip").children.length !== state.strip.length) {
    $("strip").replaceChildren(...state.strip.map((_, i) => {
      const button = document.createElement("button");
      const other = document.createElement("canvas");
      other.width = other.height = state.size;
      button.className = "thumb";
      button.append(other);
      button.onclick = () => go(state.strip[i]);
      return button;
    }));
  }
  pictures(answer, state.size).forEach((image, i) => {
    const button = $("strip").children[i];
    button.firstChild.getContext("2d").putImageData(image, 0, 0);
    button.ariaLabel = button.title = `Sample ${state.strip[i]}`;
  });
  $("strip-said").textContent = all ? "with the same edits" : "as they are";
  marks();
}

function marks() {
  [...$("strip").children].forEach((button, i) => {
    if (state.strip[i] === state.sample) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  });
}

function applyToAll() {
  all = !all;
  $("all").ariaPressed = String(all);
  strip();
}

function moved(text, by) {
  const [seed, index] = text.split(":").map(Number);
  return Number.isInteger(index) ? `${seed}:${Math.max(0, index + by)}` : `${state.seed}:0`;
}

function go(sample) {
  client.put("/sample", { sample }, shown);
}

// --- brushes --------------------------------------------------------------------------------------

function use(name) {
  if (![...brushes()].some((button) => button.dataset.tool === name && !button.disabled)) return;
  sizes[tool] = $("size").value;
  tool = name;
  if (name in sizes) $("size").value = sizes[name];
  for (const button of brushes()) button.ariaPressed = String(button.dataset.tool === name);
  $("object-row").hidden = name !== "object" || state.labels.length < 2;
  $("size").disabled = name === "stamp" || name === "pick";
  $("strength").disabled = name === "stamp" || name === "pick";
  $("hint").textContent = HINTS[name];
  $("said").textContent = "";
  say();
  warm();
  if (name === "stamp" && palette.chosen < 0) palette.mark(0);
}

/** The first time a brush is taken, the server gets ready: donors, and where the object is. */
async function warm() {
  if (!client.writes || !["object", "here"].includes(tool)) return;
  const body = { brush: tool, label: $("object").value, layer: $("layer").value };
  const key = JSON.stringify(body);
  if (ready.has(key)) return;
  $("said").textContent = tool === "object" ? "Learning where it is …" : "Getting ready …";
  const answer = await client.ask("/warm", body).catch((failure) => client.fail(failure));
  if (answer) ready.add(key);
  $("said").textContent = "";
  if (!answer && tool === "object") use("here");
}

function say() {
  $("size-said").textContent = `${$("size").valueAsNumber} px`;
  $("strength-said").textContent = `${Math.round($("strength").valueAsNumber * 100)} %`;
  if (document.activeElement === $("frame")) canvas.mark();
}

function stroke(points, { done, at, id }) {
  const body = {
    brush: tool, id, points, radius: $("size").valueAsNumber, strength: $("strength").valueAsNumber,
    layer: $("layer").value, label: $("object").value,
  };
  client.put("/stroke", body, shown, { done, at });
}

function stamp(x, y, { done, at }) {
  client.put("/stamp", { item: palette.chosen, x, y, layer: $("layer").value }, shown, { done, at });
}

/** What stands out at a place, once the sample is as it is asked to be. */
function pick(x, y) {
  client.put("/pick", { x, y, layer: $("layer").value }, (answer) => {
    if (!answer) return;
    $("picked-part").open = true;
    $("picked-said").textContent =
      `Stand out at ${Math.floor(x)}, ${Math.floor(y)} of ${answer.layer}, in standard deviations:`;
    sliders.picked(answer, state.gains);
  }, { saves: false });
}

function choose(number) {
  palette.mark(number);
  use("stamp");
}

function dragged(number, event, done) {
  const place = canvas.place(event);
  if (canvas.on.busy() || !canvas.inside(place)) {
    // Let go outside: what was shown on the way is not kept.
    if (done) client.put("/image", {}, shown, { done: true });
    return;
  }
  stamp(...place, { done, at: event.timeStamp });
}

// --- the rest -------------------------------------------------------------------------------------

function peek(on) {
  if (on) {
    canvas.kept ??= canvas.pen.getImageData(0, 0, state.size, state.size);
    canvas.pen.drawImage(canvas.before, 0, 0);
    $("caption").textContent = "before";
  } else if (canvas.kept) {
    canvas.show(canvas.kept);
    canvas.kept = null;
    follow(state);
  }
}

function compare() {
  const two = $("before-frame").hidden;
  $("before-frame").hidden = !two;
  $("compare").ariaPressed = String(two);
  canvas.fit();
}

function step(address) {
  client.put(address, {}, shown);
}

async function save(address, button) {
  if (!client.writes) return;
  button.disabled = true;
  const answer = await client.ask(address).catch((failure) => client.fail(failure));
  button.disabled = false;
  if (!answer) return;
  const same = answer.differ === 0 ? ", bit for bit as a command line draws it"
    : answer.differ ? `, as a command line draws it: ${answer.differ} values differ by rounding` : "";
  const long = answer.frames ? `, ${answer.frames} frames` : "";
  $("said").textContent = `Wrote ${answer.file}${long}${same}`;
}

$("brushes").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) use(button.dataset.tool);
});
$("object").addEventListener("change", warm);
$("layer").addEventListener("change", warm);
$("size").addEventListener("input", say);
$("strength").addEventListener("input", say);
$("go").addEventListener("submit", (event) => {
  event.preventDefault();
  go($("sample").value.trim());
});
$("from-form").addEventListener("submit", (event) => {
  event.preventDefault();
  strip($("strip-from").value.trim());
});
const clicks = {
  previous: () => go(moved(state.sample, -1)),
  next: () => go(moved(state.sample, 1)),
  undo: () => step("/undo"),
  redo: () => step("/redo"),
  clear: () => step("/clear"),
  compare,
  all: applyToAll,
  out: () => canvas.enlarge(-1),
  in: () => canvas.enlarge(1),
  picture: () => save("/picture", $("picture")),
  film: () => save("/film", $("film")),
  "strip-previous": () => strip(moved(state.strip[0], -state.strip.length)),
  "strip-next": () => strip(moved(state.strip[0], state.strip.length)),
  "help-button": () => $("help").showModal(),
};
for (const [id, act] of Object.entries(clicks)) $(id).addEventListener("click", act);
$("peek").addEventListener("pointerdown", () => peek(true));
for (const name of ["pointerup", "pointerleave", "pointercancel", "blur"]) {
  $("peek").addEventListener(name, () => peek(false));
}

const keys = {
  "[": () => grow(-1), "]": () => grow(1), c: compare, a: applyToAll, "+": clicks.in, "-": clicks.out,
  0: () => canvas.enlarge(0), s: clicks.picture, "?": clicks["help-button"],
};

function grow(by) {
  $("size").value = $("size").valueAsNumber + by;
  say();
}

function typing(event) {
  return event.target.matches("input:not([type=range]), select") || document.querySelector("dialog[open]");
}

addEventListener("keydown", (event) => {
  if (typing(event) || !state) return;
  const short = event.key.toLowerCase();
  if (event.altKey || event.metaKey && short !== "z") return;
  if (short === "z") step(event.shiftKey ? "/redo" : "/undo");
  else if (event.ctrlKey) return;
  else if (short === "b") {
    if (!event.repeat) peek(true);
  } else if (TOOLS[Number(short) - 1]) use(TOOLS[Number(short) - 1]);
  else if (short in keys) keys[short]();
  else return;
  event.preventDefault();
});
addEventListener("keyup", (event) => {
  if (event.key.toLowerCase() === "b") peek(false);
});
addEventListener("blur", () => state && peek(false));
start();
