// Talks to the server: one question at a time, and of waiting strokes only the newest is asked.

import { post } from "./http.js";

const RETRY = 2000;
const MEASURES = 600; // that the browser keeps, of how long an answer took

export class Client {
  /** tell(kind, text): "saved", "saving", "unsaved", "gone", "refused", "reading", "writing". */
  constructor(tell) {
    this.tell = tell;
    this.tab = crypto.randomUUID();
    this.writes = false;
    this.queue = [];
    this.busy = false;
    this.unwritten = false;
    addEventListener("pagehide", () => this.ask("/leave").catch(() => {}));
  }

  ask(path, body = {}) {
    return post(path, { tab: this.tab, ...body });
  }

  async join(path = "/join") {
    const state = await this.ask(path);
    this.writes = state.writes;
    this.timer ??= setInterval(() => this.alive(), RETRY);
    return state;
  }

  /** Ask for what takes(answer) gets. A job that is not done gives way to what comes after it. */
  put(path, body, takes, { done = true, saves = done, at = performance.now() } = {}) {
    const last = this.queue.at(-1);
    if (last && !last.done) this.queue.pop();
    this.queue.push({ path, body: { ...body, done }, takes, done, at });
    if (saves && this.writes && !this.failed) this.tell("saving"); // at once: it is not yet saved
    this.run();
  }

  async run() {
    if (this.busy) return;
    this.busy = true;
    try {
      while (this.queue.length) {
        const job = this.queue.shift();
        try {
          const answer = await this.ask(job.path, job.body);
          if (answer.writes === false) {
            this.queue = [];
            this.read();
            break;
          }
          if (job.done && answer.images) this.unwritten = true;
          job.takes(answer);
          measure(job);
        } catch (failure) {
          this.fail(failure);
          job.takes(null);
          if (failure.status === 0 || failure.status === 403) this.queue = [];
        }
      }
    } finally {
      this.busy = false;
    }
    this.idle?.();
    if (this.unwritten) await this.write();
  }

  /** Write the file, once nothing else waits. */
  async write() {
    if (!this.writes || this.writing) return;
    this.writing = true;
    this.unwritten = false;
    this.tell("saving");
    try {
      await this.ask("/write");
      this.tell(this.unwritten ? "saving" : "saved");
    } catch (failure) {
      this.unwritten = true;
      this.fail(failure);
    } finally {
      this.writing = false;
    }
    if (this.unwritten && !this.failed) await this.write();
  }

  async alive() {
    try {
      const { writes } = await this.ask("/alive");
      if (this.writes && !writes) this.read();
      else if (!this.writes && writes) this.tell("writing");
      else if (this.failed) {
        this.failed = false;
        if (this.unwritten) await this.write();
        else this.tell("saved");
      }
    } catch (failure) {
      this.fail(failure);
    }
  }

  read() {
    this.writes = false;
    this.tell("reading");
  }

  fail(failure) {
    if (failure.status === undefined) throw failure;
    this.failed = failure.status !== 400;
    const kind = { 0: "gone", 403: "gone", 507: "unsaved" }[failure.status] ?? "refused";
    this.tell(kind, failure.message);
  }
}

/** How long from the event to the pixels, for callers. */
function measure({ path, at, done }) {
  const name = `${path.slice(1)}${done ? " done" : ""}`;
  performance.measure(name, { start: at, end: performance.now() });
  if (performance.getEntriesByType("measure").length > MEASURES) performance.clearMeasures();
}

/** The images of an answer, as a canvas takes them. */
export function pictures({ said, bytes }, size) {
  const step = size * size * 4;
  return Array.from({ length: said.images }, (_, i) =>
    new ImageData(new Uint8ClampedArray(bytes.buffer, bytes.byteOffset + i * step, step), size, size));
}
