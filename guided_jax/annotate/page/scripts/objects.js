// The list of objects: which one is marked; their names, colours, and whether they are hidden or locked.

import { objectOf, objectsNow, on, set, state } from "./store.js";
import { edit } from "./transport.js";
import { toast } from "./toasts.js";

const list = document.getElementById("objects");
const LONGEST_NAME = 80;
let shownNow = "";
let renamed = 0; // label of the object whose name is being typed

export function setUpObjects() {
  document.getElementById("add-object").onclick = addObject;
  on("state", show);
  on("active", show);
  on("edited", show);
}

export function addObject() {
  const before = new Set(objectsNow().map((object) => object.label));
  edit({ edit: "add_object", name: "" });
  choose(objectsNow().find((object) => !before.has(object.label)).label);
}

export function choose(label) {
  if (objectOf(label)) set({ active: label }, "active");
}

export function toggle(label, field) {
  const object = objectOf(label);
  if (object) edit({ edit: "object", label, [field]: !object[field] });
}

export function remove(label) {
  const object = objectOf(label);
  if (!object) return;
  if (object.locked) return toast(`${object.name} is locked.`);
  edit({ edit: "delete_object", label });
  toast(`Deleted ${object.name} and its marks.`);
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

function button(label, symbol, pressed, act) {
  const made = Object.assign(document.createElement("button"), { type: "button", title: label, onclick: act });
  made.setAttribute("aria-label", label);
  if (pressed !== null) made.setAttribute("aria-pressed", String(pressed));
  made.classList.toggle("on", pressed === true);
  made.append(icon(symbol));
  return made;
}

function show() {
  const objects = objectsNow();
  if (objects.length && !objectOf(state.active)) state.active = objects[0].label;
  if (renamed) return; // the list stays while a name is typed
  const now = JSON.stringify([objects, state.active]);
  if (now === shownNow && list.children.length) return;
  shownNow = now;
  const focused = document.activeElement?.dataset?.key;
  list.replaceChildren(...objects.map(row));
  if (focused) list.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

function row(object) {
  const { label, name, colour, hidden, locked } = object;
  const item = document.createElement("li");
  item.className = "object";
  item.dataset.label = label;
  item.dataset.active = label === state.active;
  const swatch = Object.assign(document.createElement("input"), { type: "color", value: colour, title: "Colour" });
  swatch.setAttribute("aria-label", `Colour of ${name}`);
  swatch.onchange = () => edit({ edit: "object", label, colour: swatch.value });
  const pick = Object.assign(document.createElement("button"), { type: "button", className: "choose" });
  pick.append(Object.assign(document.createElement("span"), { textContent: name }));
  pick.setAttribute("aria-pressed", String(label === state.active));
  pick.title = `${name}: click to mark it, double click to rename it`;
  pick.onclick = () => (label === state.active ? rename(item, object) : choose(label));
  const keys = [swatch, pick];
  keys.push(button(`${hidden ? "Show" : "Hide"} ${name}`, hidden ? "eye-off" : "eye", hidden, () => toggle(label, "hidden")));
  keys.push(button(`${locked ? "Unlock" : "Lock"} ${name}`, locked ? "lock" : "unlock", locked, () => toggle(label, "locked")));
  keys.push(button(`Delete ${name}`, "trash", null, () => remove(label)));
  keys.forEach((each, at) => (each.dataset.key = `${label}-${at}`));
  item.append(...keys);
  return item;
}

function rename(item, { label, name, locked }) {
  if (locked) return toast(`${name} is locked.`);
  renamed = label;
  const field = Object.assign(document.createElement("input"), { type: "text", value: name, maxLength: LONGEST_NAME });
  field.setAttribute("aria-label", `Name of ${name}`);
  const done = (take) => {
    if (!renamed) return;
    renamed = 0;
    shownNow = "";
    const text = field.value.trim();
    if (take && text && text !== name) edit({ edit: "object", label, name: text });
    show();
  };
  field.onblur = () => done(true);
  field.onkeydown = (event) => {
    event.stopPropagation();
    if (event.key === "Enter") done(true);
    if (event.key === "Escape") done(false);
  };
  item.querySelector(".choose").replaceWith(field);
  field.focus();
  field.select();
}
