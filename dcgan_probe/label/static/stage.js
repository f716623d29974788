// One sample, large: every pixel is a whole number of pixels of the screen, boxes are drawn on top.

import { moved } from "./boxes.js";

const LEAST = 2; // pixels of the sample; a shorter drag is a click
const REACH = { mouse: 7, pen: 10, touch: 20 }; // pixels of the screen around an edge
const SVG = "http://www.w3.org/2000/svg";
const CURSORS = {
  "": "crosshair", move: "move", l: "ew-resize", r: "ew-resize", t: "ns-resize", b: "ns-resize",
  lt: "nwse-resize", rb: "nwse-resize", rt: "nesw-resize", lb: "nesw-resize",
};

export class Stage {
  /** on: select(index or -1), edit(index, box), draw(edges) label() and busy(), "do not edit now";
   *  signal ends it. */
  constructor(size, on, signal) {
    this.size = size;
    this.on = on;
    this.root = document.getElementById("stage");
    this.frame = document.getElementById("frame");
    this.picture = document.getElementById("picture");
    this.overlay = document.getElementById("overlay");
    this.picture.width = this.picture.height = size;
    this.overlay.setAttribute("viewBox", `0 0 ${size} ${size}`);
    this.boxes = [];
    this.selected = -1;
    this.factor = 0; // 0: as large as fits
    const observer = new ResizeObserver(() => this.fit());
    observer.observe(this.root);
    signal.addEventListener("abort", () => observer.disconnect());
    for (const name of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) {
      this.overlay.addEventListener(name, (event) => this[name](event), { signal });
    }
  }

  show(source, x, y) {
    this.drag = null;
    this.picture.getContext("2d").drawImage(source, x, y, this.size, this.size,
      0, 0, this.size, this.size);
  }

  /** Zoom in steps of whole pixels of the screen, so that none of the sample's is wider. */
  fit() {
    const ratio = devicePixelRatio;
    const { clientWidth, clientHeight } = this.root;
    const room = Math.min(clientWidth, clientHeight) - 24;
    this.most = Math.max(1, Math.floor((room * ratio) / this.size));
    this.zoom = (this.factor || this.most) / ratio;
    for (const side of ["width", "height"]) this.frame.style[side] = `${this.size * this.zoom}px`;
    this.render();
    document.getElementById("zoom").textContent = `${this.factor || this.most}×`;
  }

  enlarge(by) {
    this.factor = by ? Math.max(1, Math.min(64, (this.factor || this.most) + by)) : 0;
    this.fit();
  }

  draw(boxes, selected, proposals, colour, tag) {
    Object.assign(this, { boxes, selected, proposals, colour, tag });
    this.render();
  }

  render() {
    if (!this.colour) return;
    const shown = this.boxes.map((box, i) => (this.drag?.index === i ? this.drag.box : box));
    if (this.drag && this.drag.index < 0 && this.drag.box) shown.push(this.drag.box);
    const parts = this.proposals.flatMap((box, i) => this.rectangle(box,
      i ? "proposal" : "proposal first"));
    shown.forEach((box, i) => parts.push(...this.rectangle(box, i === this.selected ? "own selected" : "own")));
    const active = this.drag?.box ?? this.boxes[this.selected];
    if (active) parts.push(...this.handles(active));
    this.overlay.replaceChildren(...parts);
  }

  rectangle(box, kind) {
    const edges = { x: box.x0, y: box.y0, width: box.x1 - box.x0, height: box.y1 - box.y0 };
    const halo = element("rect", { ...edges, class: `halo ${kind}` });
    const line = element("rect", { ...edges, class: kind });
    line.style.stroke = line.style.fill = this.colour(box.label);
    const name = this.tag(box.label);
    if (!name) return [halo, line];
    const text = element("text", { x: box.x0 + 3 / this.zoom, y: box.y0 + 14 / this.zoom });
    text.style.fontSize = `${12 / this.zoom}px`;
    text.style.strokeWidth = `${3 / this.zoom}px`;
    text.textContent = name;
    return [halo, line, text];
  }

  handles(box) {
    const r = 4 / this.zoom;
    const [cx, cy] = [(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2];
    return [[box.x0, box.y0], [cx, box.y0], [box.x1, box.y0], [box.x1, cy], [box.x1, box.y1],
      [cx, box.y1], [box.x0, box.y1], [box.x0, cy]].map(([x, y]) =>
      element("rect", { x: x - r, y: y - r, width: 2 * r, height: 2 * r, class: "handle" }));
  }

  /** Where a pointer is, in pixels of the sample, not rounded. */
  place(event) {
    const { left, top } = this.overlay.getBoundingClientRect();
    return [(event.clientX - left) / this.zoom, (event.clientY - top) / this.zoom];
  }

  /** Which box is under a pointer, and by what it is taken: "move", or edges as "lt". */
  under(event) {
    const [x, y] = this.place(event);
    const reach = REACH[event.pointerType || "mouse"] / this.zoom;
    const order = this.boxes.map((_, i) => i).reverse();
    if (this.selected >= 0) order.unshift(this.selected);
    for (const index of order) {
      const box = this.boxes[index];
      if (x < box.x0 - reach || x > box.x1 + reach) continue;
      if (y < box.y0 - reach || y > box.y1 + reach) continue;
      // In a small box the reach is less, so that its middle still moves it.
      const [w, h] = [Math.min(reach, (box.x1 - box.x0) / 3), Math.min(reach, (box.y1 - box.y0) / 3)];
      const across = x < box.x0 + w ? "l" : x > box.x1 - w ? "r" : "";
      const down = y < box.y0 + h ? "t" : y > box.y1 - h ? "b" : "";
      if (index === this.selected) return { index, by: across + down || "move" };
      if (x >= box.x0 && x <= box.x1 && y >= box.y0 && y <= box.y1) {
        return { index, by: across + down || "move" };
      }
    }
    return { index: -1, by: "" };
  }

  pointerdown(event) {
    if (event.button > 0 || this.drag || this.on.busy()) return;
    event.preventDefault();
    this.root.focus();
    this.overlay.setPointerCapture(event.pointerId);
    const found = this.under(event);
    if (found.index >= 0 && found.index !== this.selected) this.on.select(found.index);
    const start = this.place(event);
    this.drag = { ...found, start, from: this.boxes[found.index], pointer: event.pointerId };
  }

  pointermove(event) {
    if (!this.drag) {
      this.overlay.style.cursor = CURSORS[this.under(event).by];
      return;
    }
    if (event.pointerId !== this.drag.pointer) return;
    const { start, from, by } = this.drag;
    const end = this.place(event);
    if (from && by === "move") {
      const [dx, dy] = [0, 1].map((i) => Math.round(end[i] - start[i]));
      this.drag.box = moved(from, dx, dy, this.size);
    } else {
      this.drag.box = from ? this.resized(from, by, end) : this.drawn(start, end);
    }
    this.render();
  }

  resized(from, by, [x, y]) {
    const inside = (value) => Math.min(Math.max(Math.round(value), 0), this.size);
    const box = { ...from };
    if (by.includes("l")) box.x0 = Math.min(inside(x), from.x1 - 1);
    if (by.includes("r")) box.x1 = Math.max(inside(x), from.x0 + 1);
    if (by.includes("t")) box.y0 = Math.min(inside(y), from.y1 - 1);
    if (by.includes("b")) box.y1 = Math.max(inside(y), from.y0 + 1);
    return box;
  }

  drawn(start, end) {
    const edge = (i, pick) => Math.min(Math.max(Math.round(pick(start[i], end[i])), 0), this.size);
    const box = { label: this.on.label(), x0: edge(0, Math.min), y0: edge(1, Math.min),
      x1: edge(0, Math.max), y1: edge(1, Math.max) };
    return box.x1 - box.x0 >= LEAST && box.y1 - box.y0 >= LEAST ? box : null;
  }

  pointerup(event) {
    if (!this.drag || event.pointerId !== this.drag.pointer) return;
    const { index, box } = this.drag;
    this.drag = null;
    if (!box) this.on.select(index);
    else if (index < 0) this.on.draw(box);
    else this.on.edit(index, box);
  }

  pointercancel() {
    this.drag = null;
    this.render();
  }
}

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
