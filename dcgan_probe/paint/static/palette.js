// Objects that were boxed: click one, then the sample; or drag it there.

export class Palette {
  /** choose(number), drag(number, event, done): over the sample or let go there. */
  constructor({ palette, boxes }, choose, drag) {
    this.root = document.getElementById("palette");
    this.chosen = palette.length ? 0 : -1;
    const labels = new Set(palette.map(({ label }) => label));
    document.getElementById("palette-said").textContent = palette.length
      ? palette.length < boxes ? `The ${palette.length} largest of ${boxes}, by their boxes.` : ""
      : "No objects were boxed: dcgan-probe label draws boxes.";
    this.buttons = palette.map(({ label, sample, png }, number) => {
      const button = document.createElement("button");
      const image = new Image();
      image.src = `data:image/png;base64,${png}`;
      image.alt = "";
      image.draggable = false;
      button.append(image);
      button.className = "item";
      button.ariaLabel = `${label} of sample ${sample}`;
      button.title = `${label}, sample ${sample}`;
      button.ariaPressed = "false";
      if (labels.size > 1) {
        const name = document.createElement("span");
        name.textContent = label;
        button.append(name);
      }
      button.addEventListener("click", () => choose(number));
      button.addEventListener("pointerdown", (event) => this.hold(button, number, event, choose, drag));
      return button;
    });
    this.root.replaceChildren(...this.buttons);
    this.mark(this.chosen);
  }

  hold(button, number, event, choose, drag) {
    if (event.button > 0 || event.pointerType === "touch") return; // a finger scrolls the list
    const end = new AbortController();
    const { signal } = end;
    let moved = false;
    button.setPointerCapture(event.pointerId);
    button.addEventListener("pointermove", (move) => {
      if (!moved && Math.hypot(move.clientX - event.clientX, move.clientY - event.clientY) < 6) return;
      if (!moved) choose(number);
      moved = true;
      drag(number, move, false);
    }, { signal });
    button.addEventListener("pointerup", (up) => {
      end.abort();
      if (moved) drag(number, up, true);
    }, { signal });
    button.addEventListener("pointercancel", () => end.abort(), { signal });
  }

  mark(number) {
    this.chosen = number;
    this.buttons.forEach((button, i) => { button.ariaPressed = String(i === number); });
  }
}
