// The connection to the server. Edits are numbered and kept until the server confirms them, also over a reload; after a
// lost connection those that are left are sent again, and the server makes each of them once.

import { emit, on, state } from "./store.js";
import { readFrame, readLabels } from "./frames.js";

const TAB = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
const SESSION_KEY = "guided_jax:session";
const SHORTEST_WAIT = 200;
const LONGEST_WAIT = 4000; // milliseconds

let socket = null;
let wait = SHORTEST_WAIT;
let nextSeq = 1;
let wantsNew = false;
let timer = 0;

function kept(storage, key, fallback) {
  try {
    return storage.getItem(key) ?? fallback;
  } catch {
    return fallback; // storage may be switched off
  }
}

function keep(storage, key, value) {
  try {
    if (value) storage.setItem(key, value);
    else storage.removeItem(key);
  } catch {
    // The same.
  }
}

const pendingKey = (session) => `guided_jax:pending:${session}`;

function keepPending() {
  keep(localStorage, pendingKey(state.session), state.pending.length ? JSON.stringify(state.pending) : "");
}

export function connect() {
  clearTimeout(timer);
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/socket`);
  socket.binaryType = "arraybuffer";
  const own = socket;
  socket.onopen = () => {
    const session = wantsNew ? "" : kept(sessionStorage, SESSION_KEY, "");
    send({ type: "hello", session, tab: TAB, new: wantsNew });
  };
  socket.onmessage = ({ data }) => receive(data);
  socket.onclose = ({ code }) => {
    if (own !== socket || code === 4001) return; // 4001: this very tab has connected anew
    socket = null;
    emit("connection", false);
    timer = setTimeout(connect, wait * (0.7 + 0.6 * Math.random()));
    wait = Math.min(2 * wait, LONGEST_WAIT);
  };
}

export const isConnected = () => socket?.readyState === WebSocket.OPEN && state.session !== "";

function send(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

// Makes an edit; gives its number. It began when a button was pressed, say.
export function edit(event, began = performance.now()) {
  const numbered = { ...event, seq: nextSeq++ };
  state.pending.push(numbered);
  keepPending();
  if (state.session) send({ type: "edit", event: numbered });
  emit("edited", { ...numbered, began });
  return numbered.seq;
}

export function request(message) {
  if (!isConnected()) return false;
  send(message);
  return true;
}

export function sendView() {
  if (state.session && state.image) send({ type: "view", image: state.image, heat: state.heat });
}

export function startNewSession() {
  wantsNew = true;
  socket?.close();
  connect();
}

function welcome(message) {
  const again = message.session === state.session;
  if (!again) {
    // The edits that are left of a session belong to it alone; of a copy they are the other tab's.
    const left = message.how === "copy" ? "" : kept(localStorage, pendingKey(message.session), "");
    const early = state.session ? [] : state.pending; // made before the first connection
    try {
      state.pending = [...(left ? JSON.parse(left) : []), ...early];
    } catch {
      state.pending = early;
    }
  }
  wantsNew = false;
  wait = SHORTEST_WAIT;
  state.session = message.session;
  keep(sessionStorage, SESSION_KEY, message.session);
  state.pending = state.pending.filter((event) => event.seq > message.seq);
  nextSeq = Math.max(nextSeq, message.seq + 1, ...state.pending.map((event) => event.seq + 1));
  Object.assign(state, { names: message.names, title: message.title, clip: message.clip, model: message.model, colours: message.colours });
  emit("welcome", message);
  sendView();
  for (const event of state.pending) send({ type: "edit", event });
  emit("connection", true);
}

function receive(data) {
  if (data instanceof ArrayBuffer) {
    const frame = readFrame(data);
    if (frame.head.type === "mask") emit("mask", { ...frame.head, ...readLabels(data, frame) });
    else emit("heat", { ...frame.head, values: new Uint8Array(data, frame.body) });
    return;
  }
  const message = JSON.parse(data);
  if (message.type === "welcome") welcome(message);
  else if (message.type === "state") {
    state.pending = state.pending.filter((event) => event.seq > message.seq);
    keepPending();
    state.server = message;
    emit("state", message);
  } else if (message.type === "names") {
    state.names = message.names;
    emit("names");
  } else emit(message.type, message);
}

on("view", sendView);
addEventListener("online", () => !socket && connect());
