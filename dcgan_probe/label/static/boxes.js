// Boxes on samples, with undo. A box is {label, x0, y0, x1, y1}, edges in pixels of the sample.

const TOGETHER = 900; // ms within which moves of one box are one step back

export class Boxes {
  /** changed(image) is called after every change. */
  constructor(n, images, labels, changed) {
    this.samples = Array.from({ length: n }, (_, i) => ({
      boxes: images[i] ?? [],
      looked: i in images,
    }));
    this.labels = [...labels];
    this.proposals = new Map();
    this.changed = changed;
    this.done = [];
    this.undone = [];
  }

  at(image) {
    return this.samples[image];
  }

  /** Replace what is on a sample; "what" names moves that belong together. */
  set(image, boxes, { looked = boxes.length > 0, what = "" } = {}) {
    const before = this.samples[image];
    const last = this.done.at(-1);
    const now = performance.now();
    if (what && last?.what === what && last.image === image && now - last.time < TOGETHER) {
      last.time = now;
    } else {
      this.done.push({ image, before, what, time: now, proposals: this.proposals.get(image) });
    }
    this.undone = [];
    this.put(image, { boxes, looked });
  }

  put(image, sample) {
    this.samples[image] = sample;
    for (const { label } of sample.boxes) {
      if (!this.labels.includes(label)) this.labels.push(label);
    }
    this.changed(image);
  }

  /** Take the last change back; returns its sample, or undefined. */
  undo() {
    return this.step(this.done, this.undone);
  }

  redo() {
    return this.step(this.undone, this.done);
  }

  step(from, to) {
    const last = from.pop();
    if (!last) return undefined;
    const { image } = last;
    to.push({ image, before: this.samples[image], proposals: this.proposals.get(image) });
    if (last.proposals) this.proposals.set(image, last.proposals);
    this.put(image, last.before);
    return image;
  }

  open(image) {
    return this.proposals.get(image) ?? [];
  }

  /** Take the first proposal of a sample for a box, or reject it; true where there was one. */
  judge(image, accept) {
    const [first, ...rest] = this.open(image);
    if (!first) return false;
    const { boxes, looked } = this.samples[image];
    if (accept) this.set(image, [...boxes, first]);
    else this.set(image, boxes, { looked });
    this.proposals.set(image, rest);
    this.changed(image);
    return true;
  }

  /** New proposals: of samples that nobody looked at, beside what is open on the others. */
  propose(label, images) {
    for (const [image, sample] of this.samples.entries()) {
      if (!sample.looked) this.proposals.delete(image);
    }
    for (const [image, extents] of Object.entries(images)) {
      if (this.samples[image].looked) continue;
      this.proposals.set(Number(image), extents.map(([x0, y0, x1, y1]) => ({ label, x0, y0, x1, y1 })));
    }
  }

  /** The next sample from here on that nobody looked at, or undefined. */
  next(image) {
    const n = this.samples.length;
    for (let step = 1; step <= n; step++) {
      const other = (image + step) % n;
      if (!this.samples[other].looked) return other;
    }
    return undefined;
  }

  get looked() {
    return this.samples.filter((sample) => sample.looked).length;
  }

  count(label) {
    const all = this.samples.flatMap((sample) => sample.boxes);
    return label === undefined ? all.length : all.filter((box) => box.label === label).length;
  }
}

/** A box moved and grown by some pixels, kept inside of the sample. */
export function moved(box, dx, dy, size) {
  const x = Math.min(Math.max(dx, -box.x0), size - box.x1);
  const y = Math.min(Math.max(dy, -box.y0), size - box.y1);
  return { ...box, x0: box.x0 + x, x1: box.x1 + x, y0: box.y0 + y, y1: box.y1 + y };
}

export function grown(box, dx, dy, size) {
  return {
    ...box,
    x1: Math.min(Math.max(box.x1 + dx, box.x0 + 1), size),
    y1: Math.min(Math.max(box.y1 + dy, box.y0 + 1), size),
  };
}
