// The sample, large: every pixel is a whole number of pixels of the screen, and a brush on it.

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const FAR = 8; // pixels with Ctrl
const MOST = 400; // points of a stroke: a longer one goes on as another

export class Canvas {
  /** on: stroke(points, {done, id, at}), stamp(x, y, {done, at}), pick(x, y), tool(), radius(),
   *  busy(), "do not paint now". */
  constructor(size, on) {
    Object.assign(this, { size, on });
    this.frame = document.getElementById("frame");
    this.stage = document.getElementById("stage");
    this.brush = document.getElementById("brush");
    this.now = document.getElementById("picture-now");
    this.before = document.getElementById("before");
    for (const canvas of [this.now, this.before]) canvas.width = canvas.height = size;
    this.pen = this.now.getContext("2d");
    this.factor = 0; // 0: as large as fits
    this.at = [size / 2, size / 2]; // of the brush
    this.points = null;
    new ResizeObserver(() => this.fit()).observe(this.stage);
    for (const name of ["pointerdown", "pointermove", "pointerup", "pointercancel", "pointerleave"]) {
      this.frame.addEventListener(name, (event) => this[name](event));
    }
    this.frame.addEventListener("keydown", (event) => this.keydown(event));
    this.frame.addEventListener("keyup", (event) => this.keyup(event));
    this.frame.addEventListener("focus", () => this.mark());
    this.frame.addEventListener("blur", () => {
      this.end();
      this.brush.hidden = true;
    });
  }

  show(image) {
    this.pen.putImageData(image, 0, 0);
  }

  showBefore(image) {
    this.before.getContext("2d").putImageData(image, 0, 0);
  }

  /** Zoom in steps of whole pixels of the screen, so that none of the sample's is wider. */
  fit() {
    const ratio = devicePixelRatio;
    const two = document.getElementById("before-frame").hidden ? 1 : 2;
    const stacked = two === 2 && this.stage.clientHeight > this.stage.clientWidth;
    const width = (this.stage.clientWidth - 24) / (stacked ? 1 : two) - 12;
    const height = (this.stage.clientHeight - 12) / (stacked ? two : 1) - 34;
    this.stage.classList.toggle("stacked", stacked);
    this.most = Math.max(1, Math.floor((Math.min(width, height) * ratio) / this.size));
    this.zoom = (this.factor || this.most) / ratio;
    for (const element of [this.frame, this.now, this.before]) {
      element.style.width = element.style.height = `${this.size * this.zoom}px`;
    }
    document.getElementById("zoom").textContent = `${this.factor || this.most}×`;
    this.mark();
  }

  enlarge(by) {
    this.factor = by ? Math.max(1, Math.min(64, (this.factor || this.most) + by)) : 0;
    this.fit();
  }

  mark() {
    const tool = this.on.tool();
    const radius = tool === "pick" || tool === "stamp" ? 1 : this.on.radius();
    this.brush.hidden = false;
    this.brush.dataset.tool = tool;
    this.brush.style.left = `${this.at[0] * this.zoom}px`;
    this.brush.style.top = `${this.at[1] * this.zoom}px`;
    this.brush.style.width = this.brush.style.height = `${Math.max(6, 2 * radius * this.zoom)}px`;
  }

  /** Where a pointer is, in pixels of the sample; null outside of it. */
  place(event) {
    const { left, top } = this.frame.getBoundingClientRect();
    return [(event.clientX - left) / this.zoom, (event.clientY - top) / this.zoom].map(
      (value) => Math.round(value * 100) / 100);
  }

  inside([x, y]) {
    return x >= 0 && y >= 0 && x < this.size && y < this.size;
  }

  pointerdown(event) {
    if (event.button > 0 || this.points || this.on.busy()) return;
    event.preventDefault();
    this.frame.focus();
    this.frame.setPointerCapture(event.pointerId);
    this.at = this.place(event);
    this.begin(event.timeStamp);
  }

  pointermove(event) {
    this.at = this.place(event);
    this.mark();
    if (this.points) this.extend(event.timeStamp);
  }

  pointerup(event) {
    if (!this.points) return;
    this.at = this.place(event);
    this.end(event.timeStamp);
  }

  pointercancel() {
    this.end();
  }

  pointerleave() {
    if (!this.points && document.activeElement !== this.frame) this.brush.hidden = true;
  }

  begin(time) {
    this.mark();
    if (this.on.tool() === "pick") return this.on.pick(...this.at);
    this.points = [this.at];
    this.id = crypto.randomUUID();
    this.send(false, time);
  }

  extend(time) {
    const [x, y] = this.points.at(-1);
    const least = this.on.tool() === "stamp" ? 0.5 : Math.max(0.5, this.on.radius() / 6);
    if (Math.hypot(this.at[0] - x, this.at[1] - y) < least) return;
    this.points.push(this.at);
    if (this.points.length >= MOST) {
      this.send(true, time);
      this.points = [this.at];
      this.id = crypto.randomUUID();
    }
    this.send(false, time);
  }

  end(time) {
    if (!this.points) return;
    this.send(true, time);
    this.points = null;
  }

  send(done, at = performance.now()) {
    if (this.on.tool() === "stamp") this.on.stamp(...this.points.at(-1), { done, at });
    else this.on.stroke(this.points, { done, at, id: this.id });
  }

  keydown(event) {
    if (event.key in ARROWS) {
      const by = event.ctrlKey ? FAR : 1;
      this.at = this.at.map((value, i) =>
        Math.min(Math.max(value + ARROWS[event.key][i] * by, 0), this.size - 0.01));
      this.mark();
      if (event.shiftKey && !this.on.busy()) {
        if (!this.points) this.begin(event.timeStamp);
        else this.extend(event.timeStamp);
      }
    } else if (event.key === "Enter" && !this.on.busy() && !this.points) {
      this.begin(event.timeStamp);
      this.end(event.timeStamp);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  keyup(event) {
    if (event.key === "Shift") this.end(event.timeStamp);
  }
}
