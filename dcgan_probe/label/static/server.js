// Talks to the server. A change is kept in this browser until the server says that it is saved.

import { post } from "./http.js";

const RETRY = 2000;

export class Server {
  /** tell(kind, text) is called with "saving", "saved", "unsaved", "gone", "refused",
   *  "reading" (another tab writes) and "writing" (it left). */
  constructor(tell) {
    this.tell = tell;
    this.tab = crypto.randomUUID();
    this.writes = false;
    this.pending = new Map();
    this.sending = false;
    this.failed = false; // the last request, for a reason that may pass
    addEventListener("pagehide", () => this.leave());
  }

  post(path, body = {}) {
    return post(path, { tab: this.tab, ...body });
  }

  /** The work on the server, and later changes that only this browser has. */
  async join(path = "/join") {
    const state = await this.post(path);
    this.key = `dcgan-probe ${state.key}`;
    this.writes = state.writes;
    this.pending = new Map(state.writes ? this.kept() : []);
    if (!this.timer) this.timer = setInterval(() => this.alive(), RETRY);
    return state;
  }

  /** Send a change; of two with the same name only the later one need arrive. */
  change(name, body) {
    this.pending.set(name, body);
    this.keep();
    if (!this.failed) this.tell("saving");
    return this.flush();
  }

  async flush() {
    if (this.sending || !this.writes) return;
    this.sending = true;
    let name, body;
    try {
      while (this.pending.size) {
        [name, body] = this.pending.entries().next().value;
        const { writes } = await this.post("/change", body);
        if (!writes) return this.read();
        if (this.pending.get(name) === body) this.pending.delete(name);
        this.keep();
      }
      this.failed = false;
      this.tell("saved");
    } catch (failure) {
      this.failed = failure.status !== 400;
      if (failure.status === 400) {
        // It would be refused again; those behind it are sent with the next sign of life.
        if (this.pending.get(name) === body) this.pending.delete(name);
        this.keep();
      }
      this.tell(this.kindOf(failure), failure.message);
    } finally {
      this.sending = false;
    }
  }

  async alive() {
    try {
      const { writes } = await this.post("/alive");
      if (this.writes && !writes) this.read();
      else if (!this.writes && writes) this.tell("writing");
      else if (this.pending.size || this.failed) await this.flush();
    } catch (failure) {
      this.failed = true;
      this.tell(this.kindOf(failure), failure.message);
    }
  }

  read() {
    this.writes = false;
    this.pending.clear(); // the other tab of this browser has them from the same store
    this.tell("reading");
  }

  leave() {
    this.post("/leave").catch(() => {});
  }

  kindOf(failure) {
    if (failure.status === 0 || failure.status === 403) return "gone";
    return failure.status === 507 ? "unsaved" : "refused";
  }

  kept() {
    try {
      return JSON.parse(localStorage.getItem(this.key) ?? "[]");
    } catch {
      return [];
    }
  }

  keep() {
    try {
      if (this.pending.size) localStorage.setItem(this.key, JSON.stringify([...this.pending]));
      else localStorage.removeItem(this.key);
    } catch {
      // A browser without a store: the work is safe as long as the tab is open.
    }
  }
}
