// Concepts: a name, and the samples that show it.

import { Sheet } from "./sheet.js";

const $ = (id) => document.getElementById(id);
const ARROWS = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -2, ArrowDown: 2 };
const WORD = /^[\p{L}][\p{L}\p{N}_]*$/u;

export function picking(state, source, server, signal) {
  const picked = new Map(Object.entries(state.concepts).map(([name, { samples, others }]) =>
    [name, { samples: new Set(samples), others }]));
  for (const [name, { samples }] of server.pending) {
    picked.set(name, { others: picked.get(name)?.others ?? 0, samples: new Set(samples) });
  }
  $("work").hidden = $("tools").hidden = true;
  $("picking").hidden = false;
  let name = picked.keys().next().value ?? "";
  const [done, undone] = [[], []];
  const sheet = new Sheet(state, source, toggle);

  function samples() {
    return picked.get(name)?.samples ?? new Set();
  }

  function toggle(image) {
    sheet.show(image);
    if (!server.writes) return;
    if (!name) {
      $("name").focus();
      return;
    }
    done.push([name, image]);
    undone.length = 0;
    flip(name, image);
  }

  function flip(concept, image) {
    name = concept;
    const set = samples();
    if (!set.delete(image)) set.add(image);
    picked.set(name, { others: 0, ...picked.get(name), samples: set });
    server.change(name, { concept: name, samples: [...set] });
    show();
  }

  function step(from, to) {
    const last = from.pop();
    if (!last) return;
    to.push(last);
    flip(...last);
  }

  function show() {
    for (let image = 0; image < state.n; image++) thumb(image);
    const all = [...picked.values()].reduce((sum, { samples: set }) => sum + set.size, 0);
    $("count").textContent = `${picked.size} concept${picked.size === 1 ? "" : "s"} · ${all} exemplars`;
    $("name").value = name;
    const options = [...picked.keys()].map((known) => new Option(known, known));
    $("names").replaceChildren(...options);
    $("concepts").replaceChildren(...[...picked].map(([known, { samples: set, others }]) => {
      const chip = document.createElement("button");
      chip.textContent = `${known} · ${set.size}${others ? ` + ${others} others` : ""}`;
      chip.ariaPressed = String(known === name);
      chip.onclick = () => use(known);
      return chip;
    }));
  }

  function thumb(image) {
    const own = samples().has(image);
    const of = [...picked].filter(([, { samples: set }]) => set.has(image)).map(([known]) => known);
    sheet.draw(image, { what: own ? "picked" : "", badge: own ? "✓" : "", said: of.join(", ") });
    sheet.thumbs[image].button.ariaPressed = String(own);
    sheet.thumbs[image].button.title = of.join(", ");
  }

  function use(text) {
    name = text.trim();
    const good = WORD.test(name);
    $("name").setCustomValidity(good ? "" : "Letters, digits and _, a letter first");
    if (!good) {
      $("name").reportValidity();
      name = "";
      return;
    }
    if (!picked.has(name)) picked.set(name, { samples: new Set(), others: 0 });
    show();
    sheet.thumbs[sheet.current].button.focus();
  }

  $("naming").addEventListener("submit", (event) => {
    event.preventDefault();
    use($("name").value);
  }, { signal });
  $("name").addEventListener("input", () => $("name").setCustomValidity(""), { signal });
  addEventListener("keydown", (event) => {
    if (event.target.matches("input") || document.querySelector("dialog[open]")) return;
    const short = event.key.toLowerCase();
    if (event.key in ARROWS) {
      const by = ARROWS[event.key];
      const image = sheet.current + (Math.abs(by) === 1 ? by : (by / 2) * sheet.row);
      if (image < 0 || image >= state.n) return;
      sheet.show(image);
      sheet.thumbs[image].button.focus();
    } else if (short === "z" && server.writes) step(...(event.shiftKey ? [undone, done] : [done, undone]));
    else return;
    event.preventDefault();
  }, { signal });
  show();
  if (!name) $("name").focus();
}
