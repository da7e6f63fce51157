// Draws the image in view with its masks and marks; and which image that is.

import { emit, objectOf, objectsNow, on, state } from "./store.js";
import { drawLayers, maskShown, paintMask, setHeat, setMask } from "./layers.js";
import { bitmapOf } from "./images.js";
import * as view from "./viewport.js";
import { toast } from "./toasts.js";

const PATIENCE = 500; // milliseconds after which an edit without a mask is told of
const NEGATIVE = "#ffffff";
const canvas = document.getElementById("canvas");
const context = canvas.getContext("2d", { alpha: false });
const note = document.getElementById("stage-note");
let bitmap = null;
let pictured = ""; // name of the image that the bitmap is of: the one in view may still be on its way
let ink = null; // a scribble that is being drawn: points, label, width
let ground = "#888";
let objectsDrawn = ""; // as they were when the mask was painted
let looksDrawn = "";
let scheduled = 0;
const backdrop = document.createElement("canvas"); // the image as it lies on the canvas, drawn anew when it moves
let backdropOf = "";
const asked = new Map(); // when edits were made, by their number
let encoding = 0;

export function setUpDrawing() {
  view.setUp(canvas, draw);
  new ResizeObserver(() => {
    const ratio = devicePixelRatio || 1;
    Object.assign(canvas, { width: Math.round(canvas.clientWidth * ratio), height: Math.round(canvas.clientHeight * ratio) });
    view.resized();
  }).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", readGround);
  readGround();
  on("settings", () => {
    const looks = `${state.drawn} ${state.opacity}`;
    if (looks !== looksDrawn) paintMask();
    looksDrawn = looks;
    draw();
  });
  on("state", repaint);
  on("edited", (event) => {
    asked.set(event.seq, event.began);
    repaint();
    setTimeout(() => tellNote(maskShown()), PATIENCE);
  });
  on("mask", (mask) => {
    if (mask.image !== state.image) return;
    setMask(mask);
    draw();
    measure(mask);
    tellNote(mask);
    if (isPictured()) emit("shown", mask);
  });
  on("heat", (heat) => {
    if (heat.image !== state.image) return;
    setHeat(heat);
    draw();
  });
  on("encoding", ({ left }) => {
    encoding = left;
    tellNote(maskShown());
  });
}

// Paints the mask anew where the objects have changed, and draws.
function repaint() {
  const objects = JSON.stringify(objectsNow());
  if (objects !== objectsDrawn) paintMask();
  objectsDrawn = objects;
  draw();
}

function readGround() {
  ground = getComputedStyle(document.getElementById("stage")).backgroundColor;
  draw();
}

// Whether the image in view is the one that is drawn.
export const isPictured = () => pictured !== "" && pictured === state.image;

// Brings an image into view.
export async function show(name) {
  if (!name || name === state.image) return;
  state.image = name;
  encoding = 0;
  emit("view");
  try {
    const found = await bitmapOf(name);
    if (state.image !== name) return;
    [bitmap, pictured] = [found, name];
    if (maskShown()?.image !== name) setMask(null);
    setHeat(null);
    view.setSize(bitmap.width, bitmap.height);
    canvas.setAttribute("aria-label", `Image ${name}, ${bitmap.width} by ${bitmap.height} pixels`);
    draw();
    if (maskShown()) emit("shown", maskShown());
  } catch (error) {
    if (state.image === name) toast(error.message);
  }
}

export function clearStage() {
  state.image = "";
  [bitmap, pictured] = [null, ""];
  setMask(null);
  setHeat(null);
  draw();
}

export function setInk(scribble) {
  ink = scribble;
  draw();
}

function tellNote(mask) {
  const late = [...asked.values()].some((when) => performance.now() - when >= PATIENCE);
  const text = encoding ? "Looking at the image…" : late ? "Working…" : mask?.stale ? "From before the last edits: run it again" : "";
  note.textContent = text;
  note.hidden = !text;
}

// How long the last edit took until its mask was on the screen.
function measure(mask) {
  let began = 0;
  for (const [seq, when] of asked) {
    if (seq > mask.seq) continue;
    began = Math.max(began, when);
    asked.delete(seq);
  }
  if (!began) return;
  afterDrawing(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => emit("timed", { total: performance.now() - began, server: mask.ms });
    channel.port2.postMessage(0);
  });
}

// The marks on the image in view: those that the server knows, and those on their way to it.
export function marksNow() {
  const known = state.server.image === state.image ? state.server.marks : [];
  const coming = state.pending.filter((event) => event.image === state.image);
  const gone = new Set(state.pending.filter((event) => event.edit === "retract").map((event) => event.of));
  return coming
    .filter((event) => !gone.has(event.seq))
    .reduce((marks, event) => {
      const at = (point) => (mark) => mark.point?.[0] === point[0] && mark.point?.[1] === point[1];
      if (event.edit === "click") {
        const point = [event.row, event.column];
        return [...marks.filter((mark) => !at(point)(mark)), { point, label: event.label }];
      }
      if (event.edit === "scribble") return [...marks, { scribble: event.points, label: event.label, width: event.width }];
      if (event.edit === "unclick") return marks.filter((mark) => !at([event.row, event.column])(mark));
      if (event.edit === "move") {
        return marks.map((mark) => (at(event.start)(mark) ? { ...mark, point: event.end } : mark));
      }
      return event.edit === "clear" ? [] : marks;
    }, known);
}

const colourOf = (label) => (label === 0 ? NEGATIVE : (objectOf(label)?.colour ?? "#888888"));

// Draws in the next frame, once for all that asked.
export function draw() {
  scheduled ||= requestAnimationFrame(() => {
    scheduled = 0;
    drawNow();
    for (const act of waiting.splice(0)) act();
  });
}

const waiting = [];

function afterDrawing(act) {
  waiting.push(act);
  draw();
}

function drawBackdrop(ratio) {
  const { scale, x, y } = view.viewport;
  const wanted = [pictured, bitmap.width, canvas.width, canvas.height, scale, x, y, ratio, ground].join(" ");
  if (wanted === backdropOf) return;
  backdropOf = wanted;
  Object.assign(backdrop, { width: canvas.width, height: canvas.height });
  const behind = backdrop.getContext("2d", { alpha: false });
  behind.fillStyle = ground;
  behind.fillRect(0, 0, canvas.width, canvas.height);
  behind.setTransform(scale * ratio, 0, 0, scale * ratio, x * ratio, y * ratio);
  behind.imageSmoothingEnabled = scale < 3;
  behind.imageSmoothingQuality = scale * ratio < 0.5 ? "medium" : "low";
  behind.drawImage(bitmap, 0, 0);
}

function drawNow() {
  const ratio = devicePixelRatio || 1;
  context.setTransform(1, 0, 0, 1, 0, 0);
  if (!bitmap) {
    context.fillStyle = ground;
    context.fillRect(0, 0, canvas.width, canvas.height);
    return;
  }
  drawBackdrop(ratio);
  context.drawImage(backdrop, 0, 0);
  const { scale, x, y } = view.viewport;
  context.setTransform(scale * ratio, 0, 0, scale * ratio, x * ratio, y * ratio);
  if (!isPictured()) return; // masks and marks are those of another image
  drawLayers(context, bitmap.width, bitmap.height);
  const marks = marksNow().filter((mark) => !objectOf(mark.label)?.hidden);
  for (const mark of marks) if (mark.scribble) drawScribble(mark);
  if (ink) drawScribble({ scribble: ink.points, label: ink.label, width: ink.width });
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  for (const mark of marks) if (mark.point) drawPoint(mark);
}

function drawScribble({ scribble, label, width }) {
  if (label === 255 && scribble !== ink?.points) return; // what it took away is gone
  context.beginPath();
  scribble.forEach(([row, column], at) => context[at ? "lineTo" : "moveTo"](column + 0.5, row + 0.5));
  if (scribble.length === 1) context.lineTo(scribble[0][1] + 0.51, scribble[0][0] + 0.5);
  Object.assign(context, { lineCap: "round", lineJoin: "round", lineWidth: width });
  context.globalAlpha = 0.75;
  context.strokeStyle = label === 255 ? "#ff5c5c" : colourOf(label);
  context.stroke();
  context.globalAlpha = 1;
}

function drawPoint({ point: [row, column], label }) {
  const { scale, x, y } = view.viewport;
  const [left, top, radius] = [x + (column + 0.5) * scale, y + (row + 0.5) * scale, 6];
  context.beginPath();
  context.arc(left, top, radius, 0, 2 * Math.PI);
  context.fillStyle = colourOf(label);
  context.fill();
  context.lineWidth = 2;
  context.strokeStyle = label === 0 ? "#b3261e" : "#ffffff";
  context.stroke();
  context.beginPath();
  context.moveTo(left - 3, top);
  context.lineTo(left + 3, top);
  if (label !== 0) {
    context.moveTo(left, top - 3);
    context.lineTo(left, top + 3);
  }
  context.stroke();
}
