// All samples, small. Each is a button; what is on it is drawn and announced.

export class Sheet {
  /** press(image, event) is called for a sample that is clicked. */
  constructor({ n, size, columns }, source, press) {
    Object.assign(this, { n, size, columns, source });
    this.root = document.getElementById("sheet");
    this.scale = Math.max(1, Math.round(128 / size)); // pixels of its canvas for one of the sample
    this.thumbs = Array.from({ length: n }, (_, image) => this.thumb(image, press));
    this.root.replaceChildren(...this.thumbs.map(({ button }) => button));
    this.current = 0;
    this.thumbs[0].button.tabIndex = 0;
  }

  thumb(image, press) {
    const button = document.createElement("button");
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = this.size * this.scale;
    const badge = document.createElement("span");
    badge.className = "badge";
    badge.ariaHidden = "true";
    button.append(canvas, badge);
    button.className = "thumb";
    button.tabIndex = -1;
    button.addEventListener("click", (event) => press(image, event));
    return { button, canvas, badge };
  }

  place(image) {
    return [(image % this.columns) * this.size, Math.floor(image / this.columns) * this.size];
  }

  /** Draw a sample with boxes on it; what: "boxes", "empty", "proposed" or "" for none yet. */
  draw(image, { boxes = [], colour, what = "", badge = "", said = "" }) {
    const { button, canvas, badge: mark } = this.thumbs[image];
    const pen = canvas.getContext("2d");
    pen.imageSmoothingEnabled = false;
    pen.drawImage(this.source, ...this.place(image), this.size, this.size,
      0, 0, canvas.width, canvas.height);
    const width = canvas.width / 32;
    pen.setLineDash(what === "proposed" ? [3 * width, 2 * width] : []);
    for (const box of boxes) {
      const edges = [box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0].map((e) => e * this.scale);
      for (const [stroke, wide] of [["#000", 1.6 * width], [colour(box.label), width]]) {
        pen.strokeStyle = stroke;
        pen.lineWidth = wide;
        pen.strokeRect(...edges);
      }
    }
    button.dataset.what = what;
    mark.textContent = badge;
    button.ariaLabel = `Sample ${image}${said ? `: ${said}` : ""}`;
  }

  /** Mark a sample as the one that is shown. */
  show(image) {
    const [old, { button }] = [this.thumbs[this.current].button, this.thumbs[image]];
    old.tabIndex = -1;
    old.removeAttribute("aria-current");
    button.tabIndex = 0;
    button.setAttribute("aria-current", "true");
    button.scrollIntoView({ block: "nearest" });
    this.current = image;
  }

  /** How many samples stand in a row just now. */
  get row() {
    const top = this.thumbs[0].button.offsetTop;
    const second = this.thumbs.findIndex(({ button }) => button.offsetTop > top);
    return second < 0 ? this.n : second;
  }
}
