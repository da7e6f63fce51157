// The keyboard, and the sheet that explains it.

import { objectsNow, set, state } from "./store.js";
import { edit } from "./transport.js";
import { addObject, choose, remove, toggle } from "./objects.js";
import { go } from "./strip.js";
import { run, togglePlay } from "./runs.js";
import { holdSpace } from "./pointer.js";
import { setMode } from "./tools.js";
import * as view from "./viewport.js";

export const undo = () => edit({ edit: "undo" });
export const redo = () => edit({ edit: "redo" });

const within = (value, low, high) => Math.min(high, Math.max(low, value));

// Keys with what they do; the sheet shows them by group.
const KEYS = [
  ["Marks", "Z", "Undo", undo, "z"],
  ["Marks", "Shift Z", "Redo", redo, "Z", "y"],
  ["Marks", "X", "Object or background", () => setMode(state.mode === "object" ? "background" : "object"), "x"],
  ["Marks", "E", "Erase", () => setMode(state.mode === "erase" ? "object" : "erase"), "e"],
  ["Marks", "[  ]", "Thinner, thicker brush", null],
  ["Marks", "Backspace", "Clear the image", () => edit({ edit: "clear", image: state.image }), "Backspace"],
  ["Objects", "1 … 9", "Choose an object", null],
  ["Objects", "N", "New object", addObject, "n"],
  ["Objects", "H", "Hide it", () => toggle(state.active, "hidden"), "h"],
  ["Objects", "L", "Lock it", () => toggle(state.active, "locked"), "l"],
  ["Objects", "Delete", "Delete it", () => remove(state.active), "Delete"],
  ["Images", "← →", "Previous, next", null],
  ["Images", "Home End", "First, last", null],
  ["Images", "P", "Play, pause", togglePlay, "p"],
  ["Images", "A", "Apply to all images", () => run("all"), "a"],
  ["Images", "G", "Along the clip", () => run("along"), "g"],
  ["View", "+  −", "Zoom in, out", null],
  ["View", "0", "Fit the image", () => view.fit(), "0"],
  ["View", "O", "Fill or outline", () => set({ drawn: state.drawn === "fill" ? "outline" : "fill" }), "o"],
  ["View", "U", "Where the model is unsure", () => set({ heat: !state.heat }, "heat-wanted"), "u"],
  ["View", ",  .", "Less, more opaque", null],
  ["View", "?", "This sheet", () => openHelp(), "?"],
];

const HIDDEN = [
  [() => set({ brush: within(state.brush - 1, 1, 80) }), "["],
  [() => set({ brush: within(state.brush + 1, 1, 80) }), "]"],
  [() => go(-1), "ArrowLeft"],
  [() => go(1), "ArrowRight"],
  [() => go(-state.names.length), "Home"],
  [() => go(state.names.length), "End"],
  [() => view.zoom(1.25), "+", "="],
  [() => view.zoom(0.8), "-"],
  [() => set({ opacity: within(state.opacity - 0.1, 0, 1) }), ","],
  [() => set({ opacity: within(state.opacity + 0.1, 0, 1) }), "."],
];

const MOUSE = [
  ["Mouse and touch", "Click", "Mark the object"],
  ["Mouse and touch", "Right click", "Mark background"],
  ["Mouse and touch", "Drag", "Scribble"],
  ["Mouse and touch", "Shift drag", "Erase"],
  ["Mouse and touch", "Drag a click", "Move it"],
  ["Mouse and touch", "Alt click on it", "Remove it"],
  ["Mouse and touch", "Wheel, pinch", "Zoom"],
  ["Mouse and touch", "Space drag, two fingers", "Pan"],
];

const acts = new Map([
  ...KEYS.flatMap(([, , , act, ...keys]) => keys.map((key) => [key, act])),
  ...HIDDEN.flatMap(([act, ...keys]) => keys.map((key) => [key, act])),
]);

export function setUpShortcuts() {
  addEventListener("keydown", (event) => {
    const { target } = event;
    const typing = target.matches?.("input:not([type=range], [type=checkbox], [type=color]), textarea, select");
    if (typing || document.querySelector("dialog[open]") || event.altKey) return;
    if (event.key === " " && !target.matches?.("button, input, [role=option]")) {
      event.preventDefault();
      holdSpace(true);
      return;
    }
    if (event.ctrlKey || event.metaKey) {
      const act = { z: event.shiftKey ? redo : undo, Z: redo, y: redo }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
      return;
    }
    if (target.matches?.("input[type=range]") && /^(Arrow|Home|End)/.test(event.key)) return;
    const number = "123456789".indexOf(event.key);
    const object = number >= 0 ? objectsNow()[number] : null;
    const act = object ? () => choose(object.label) : acts.get(event.key);
    if (!act || !state.session) return;
    event.preventDefault();
    act();
  });
  addEventListener("keyup", (event) => event.key === " " && holdSpace(false));
  addEventListener("blur", () => holdSpace(false));
  document.getElementById("help").onclick = openHelp;
}

function openHelp() {
  const groups = Map.groupBy([...MOUSE, ...KEYS], ([group]) => group);
  const lists = [...groups].map(([group, rows]) => {
    const list = document.createElement("dl");
    list.append(Object.assign(document.createElement("dt"), { textContent: group }));
    for (const [, keys, told] of rows) {
      list.append(Object.assign(document.createElement("dd"), { textContent: told }));
      const place = document.createElement("dd");
      place.append(Object.assign(document.createElement("kbd"), { textContent: keys }));
      list.append(place);
    }
    return list;
  });
  document.getElementById("help-body").replaceChildren(...lists);
  document.getElementById("help-sheet").showModal();
}
