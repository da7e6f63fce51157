// Mouse, pen and fingers on the image: clicks, scribbles, moved clicks, pan and pinch.
//
// A click of the mouse is made when the button goes down, so that its mask is there soonest; where a drag follows, it is
// taken back, and a scribble is made when the button goes up. A finger may be the first of two: its click waits.

import { objectOf, state } from "./store.js";
import { edit } from "./transport.js";
import { isPictured, marksNow, setInk } from "./drawing.js";
import { toast } from "./toasts.js";
import * as view from "./viewport.js";

const DRAG = 5; // pixels of the screen from which on a press is a drag
const REACH = 10; // pixels of the screen within which a click is taken hold of
const MOST_POINTS = 2000;

const stage = document.getElementById("stage");
const canvas = document.getElementById("canvas");
const fingers = new Map();
let press = null; // what the pointer that is down is doing
let pinch = null;
let spaceDown = false;

export function setUpPointer() {
  canvas.addEventListener("pointerdown", down);
  canvas.addEventListener("pointermove", move);
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", cancel);
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const box = canvas.getBoundingClientRect();
      const step = event.deltaMode === 1 ? 16 * event.deltaY : event.deltaY;
      view.zoom(Math.exp(-Math.max(-200, Math.min(200, step)) / 300), event.clientX - box.left, event.clientY - box.top);
    },
    { passive: false },
  );
}

export function holdSpace(held) {
  spaceDown = held;
  stage.classList.toggle("panning", held);
}

function labelFor(event) {
  if (event.shiftKey || state.mode === "erase") return 255;
  if (event.button === 2 || state.mode === "background") return 0;
  return state.active;
}

function down(event) {
  if (event.pointerType === "touch") {
    fingers.set(event.pointerId, event);
    if (fingers.size === 2) startPinch();
    if (fingers.size > 1) return;
  } else if (press) return;
  canvas.setPointerCapture(event.pointerId);
  const from = { x: event.clientX, y: event.clientY };
  if (event.button === 1 || spaceDown) {
    press = { kind: "pan", id: event.pointerId, last: from };
    stage.classList.add("panning");
    return;
  }
  const at = view.toImage(event.clientX, event.clientY);
  if (!view.isInside(at) || !isPictured()) return;
  const label = labelFor(event);
  if (label > 0 && label < 255 && !mayMark(label)) return;
  const held = label === 255 ? null : clickAt(event);
  if (held && event.altKey) {
    edit({ edit: "unclick", image: state.image, row: held.point[0], column: held.point[1] });
    return;
  }
  press = { kind: held ? "hold" : "mark", id: event.pointerId, from, label, held, points: [view.pixelOf(at)], image: state.image, began: event.timeStamp };
  if (!held && label !== 255 && event.pointerType === "mouse") press.seq = click(press);
}

function mayMark(label) {
  const object = objectOf(label);
  if (!object) toast("Add an object first (N).");
  else if (object.locked) toast(`${object.name} is locked.`);
  return object && !object.locked;
}

function click({ points: [[row, column]], label, image, began }) {
  return edit({ edit: "click", image, row, column, label }, began);
}

function move(event) {
  if (fingers.has(event.pointerId)) fingers.set(event.pointerId, event);
  if (pinch) return movePinch();
  if (!press) {
    if (event.pointerType === "mouse") stage.classList.toggle("on-mark", Boolean(clickAt(event)));
    return;
  }
  if (press.id !== event.pointerId) return;
  if (press.kind === "pan") {
    view.pan(event.clientX - press.last.x, event.clientY - press.last.y);
    press.last = { x: event.clientX, y: event.clientY };
    return;
  }
  if (!press.dragged && Math.hypot(event.clientX - press.from.x, event.clientY - press.from.y) < DRAG) return;
  if (!press.dragged) {
    press.dragged = true;
    if (press.seq) edit({ edit: "retract", of: press.seq });
  }
  const events = event.getCoalescedEvents?.() ?? [];
  for (const each of events.length ? events : [event]) {
    const pixel = view.pixelOf(view.toImage(each.clientX, each.clientY));
    const last = press.points.at(-1);
    if (pixel[0] !== last[0] || pixel[1] !== last[1]) press.points.push(pixel);
  }
  if (press.kind === "hold") {
    setInk({ points: [press.points.at(-1)], label: press.held.label, width: 8 / view.viewport.scale });
  } else setInk({ points: press.points, label: press.label, width: state.brush });
}

function up(event) {
  if (fingers.delete(event.pointerId) && pinch) {
    if (!fingers.size) pinch = null;
    return;
  }
  if (!press || press.id !== event.pointerId) return;
  const { kind, dragged, points, label, held, seq, image } = press;
  end();
  if (kind === "hold" && dragged) {
    edit({ edit: "move", image, start: held.point, end: points.at(-1) });
  } else if (kind === "mark" && (dragged || label === 255)) {
    edit({ edit: "scribble", image, points: thin(points), label, width: state.brush });
  } else if (kind === "mark" && !seq) click({ points, label, image, began: event.timeStamp });
}

function cancel(event) {
  fingers.delete(event.pointerId);
  if (!fingers.size) pinch = null;
  if (press?.id === event.pointerId) end();
}

function end() {
  press = null;
  if (!spaceDown) stage.classList.remove("panning");
  setInk(null);
}

// Every so many points of a long scribble, its ends among them.
function thin(points) {
  const step = Math.ceil(points.length / MOST_POINTS);
  return points.filter((_, at) => at % step === 0 || at === points.length - 1);
}

// The click near a pointer.
function clickAt(event) {
  const at = view.toImage(event.clientX, event.clientY);
  const reach = (event.pointerType === "touch" ? 2 : 1) * (REACH / view.viewport.scale);
  const distance = ({ point: [row, column] }) => Math.hypot(row + 0.5 - at.row, column + 0.5 - at.column);
  return marksNow()
    .filter((mark) => mark.point && distance(mark) <= reach)
    .sort((one, other) => distance(one) - distance(other))[0];
}

function startPinch() {
  if (press?.seq && !press.dragged) edit({ edit: "retract", of: press.seq });
  end();
  pinch = middle();
}

function middle() {
  const [one, other] = [...fingers.values()];
  return {
    x: (one.clientX + other.clientX) / 2,
    y: (one.clientY + other.clientY) / 2,
    apart: Math.max(1, Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY)),
  };
}

function movePinch() {
  if (fingers.size < 2) return;
  const now = middle();
  const box = canvas.getBoundingClientRect();
  view.pan(now.x - pinch.x, now.y - pinch.y);
  view.zoom(now.apart / pinch.apart, now.x - box.left, now.y - box.top);
  pinch = now;
}
