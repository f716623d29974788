// Opens the page: asks the server for the work, and hands it to the views.

import { drawing } from "./drawing.js";
import { picking } from "./concepts.js";
import { Server } from "./server.js";

const $ = (id) => document.getElementById(id);
const server = new Server(tell);
let standing = ""; // the message until it is dismissed

function tell(kind, text = "") {
  document.body.dataset.kind = kind;
  if (kind === "writing") return start();
  const count = server.pending.size;
  const kept = `${count} change${count === 1 ? " is" : "s are"} kept in this browser`;
  $("saved").textContent = {
    saved: "Saved", saving: "Saving …", reading: "Read-only", refused: "Refused",
    unsaved: `Not saved: ${kept}`, gone: count ? `Not saved: ${kept}` : "Saved; the server stopped",
  }[kind];
  if (kind === "unsaved") banner(`${text}. ${kept} until it can be written; this page tries again.`);
  else if (kind === "gone") {
    banner(`The server stopped. Run the same line again with --port ${location.port}, and open ` +
      `the address that it prints: ${count ? kept : "everything is saved"}.`);
  } else if (kind === "reading") {
    banner("Another tab is at work on this file. Here it is read-only.", "Take over", take);
  } else stand(kind === "refused" ? `Refused: ${text}` : standing);
}

function stand(text) {
  standing = text;
  banner(standing, "Dismiss", () => stand(""));
}

function banner(text, name = "", act = null) {
  // Said again only when it changes: a screen reader reads every change.
  if ($("banner-text").textContent !== text) $("banner-text").textContent = text;
  $("banner").hidden = !text;
  $("banner-act").hidden = !text || !name;
  $("banner-act").textContent = name;
  $("banner-act").onclick = act;
}

async function take() {
  await start("/take");
}

let stop = new AbortController();

async function start(path) {
  let state, source;
  try {
    state = await server.join(path);
    source = await picture("samples.png");
  } catch (failure) {
    return tell("gone", failure.message);
  }
  stop.abort(); // its listeners are those of the page as it was
  stop = new AbortController();
  document.title = `${state.file} · label`;
  $("file").textContent = state.file;
  $("model").textContent = `${state.model}, seed ${state.seed}`;
  document.body.dataset.mode = state.mode;
  (state.mode === "boxes" ? drawing : picking)(state, source, server, stop.signal);
  standing = state.notices.join(" ");
  if (!server.writes) return server.read();
  await server.flush();
}

function picture(address) {
  return new Promise((done, failed) => {
    const image = new Image();
    image.onload = () => done(image);
    image.onerror = () => failed(new Error("dcgan-probe label has stopped"));
    image.src = address;
  });
}

function help() {
  $("help").showModal();
}

$("help-button").addEventListener("click", help);
addEventListener("keydown", (event) => {
  if (event.key === "?" && !event.target.matches("input") && !document.querySelector("dialog[open]")) help();
});
start();
