// What goes over many images: apply to all, along the clip, with progress and cancel; and playing them.

import { on, state } from "./store.js";
import { request } from "./transport.js";
import { show } from "./drawing.js";
import { toast } from "./toasts.js";

const byId = (id) => document.getElementById(id);
const SHORTEST = 80; // milliseconds that a frame stays
const LONGEST = 8000; // milliseconds that a frame may take to come
let playing = false;

export function setUpRuns() {
  byId("apply-all").onclick = () => run("all");
  byId("along").onclick = () => run("along");
  byId("cancel").onclick = () => request({ type: "cancel" });
  byId("play").onclick = togglePlay;
  on("progress", progress);
  on("state", enable);
  on("welcome", enable);
}

export function run(kind) {
  if (byId("along").disabled) return;
  if (!request({ type: "job", kind })) toast("There is no connection to the server.");
}

function enable() {
  const { running, counts } = state.server;
  const ready = !running && Object.keys(counts).length > 0 && state.names.length > 1;
  byId("apply-all").disabled = byId("along").disabled = !ready;
  byId("play").disabled = state.names.length < 2;
  showRunning(Boolean(running));
}

// The progress takes the place of the buttons, so that nothing moves.
function showRunning(running) {
  byId("progress").hidden = !running;
  document.querySelector(".strip-tools").classList.toggle("running", running);
}

function progress({ kind, done, all, state: how, message }) {
  showRunning(how === "running");
  byId("progress-bar").value = all ? done / all : 0;
  byId("progress-text").textContent = `${kind === "all" ? "Images" : "Frames"} ${done} / ${all}`;
  if (how === "failed") toast(message);
  if (how === "cancelled") toast(`Cancelled after ${done} of ${all}.`);
  if (how === "done") toast(`${kind === "all" ? "Applied to" : "Propagated to"} ${done} ${kind === "all" ? "images" : "frames"}.`);
}

export function togglePlay() {
  playing = !playing;
  const button = byId("play");
  button.setAttribute("aria-label", playing ? "Pause" : "Play");
  button.querySelector("use").setAttribute("href", playing ? "#i-pause" : "#i-play");
  if (playing) play();
}

async function play() {
  if (state.names.indexOf(state.image) === state.names.length - 1) await showWhole(state.names[0]);
  while (playing) {
    const next = state.names[state.names.indexOf(state.image) + 1];
    if (!next) break;
    await Promise.all([showWhole(next), new Promise((resolve) => setTimeout(resolve, SHORTEST))]);
  }
  if (playing) togglePlay();
}

// Shows an image, and waits until its mask is there.
function showWhole(name) {
  return new Promise((resolve) => {
    waiting = { name, resolve };
    setTimeout(resolve, LONGEST);
    show(name);
  });
}

let waiting = null;
on("shown", (mask) => mask.image === waiting?.name && waiting.resolve());
