// What the page knows, in one place; whoever changes it says what changed, and those who show it hear of it.

export const state = {
  session: "", // name of the server's session
  names: [], // of the images, in their order
  title: "",
  clip: false,
  model: "",
  colours: ["#2f81f7"], // of objects, in turn
  image: "", // name of the one in view
  server: { seq: 0, objects: [], marks: [], counts: {}, results: {}, undo: false, redo: false, running: "" },
  pending: [], // edits that the server has not confirmed
  active: 1, // label of the object that is marked
  mode: "object", // what a click marks: object, background or erase
  brush: 8, // width of a scribble in pixels of the image
  opacity: 0.5,
  drawn: "fill", // or outline
  heat: false,
};

const listeners = new Map();

export function on(what, listener) {
  listeners.set(what, [...(listeners.get(what) ?? []), listener]);
}

export function emit(what, value) {
  for (const listener of listeners.get(what) ?? []) listener(value);
}

// The objects: those that the server knows, and what is on its way to it.
export function objectsNow() {
  const objects = state.server.objects.map((each) => ({ ...each }));
  let label = state.server.next_label ?? 1;
  for (const { edit, label: of, seq, image, ...changes } of state.pending) {
    if (edit === "add_object") {
      const colour = state.colours[(label - 1) % state.colours.length];
      objects.push({ label, name: changes.name || `Object ${label}`, colour, hidden: false, locked: false });
      label += 1;
    }
    if (edit === "object") Object.assign(objects.find((each) => each.label === of) ?? {}, changes);
    if (edit === "delete_object") {
      const at = objects.findIndex((each) => each.label === of);
      if (at >= 0) objects.splice(at, 1);
    }
  }
  return objects;
}

export function objectOf(label) {
  return objectsNow().find((each) => each.label === label);
}

export function set(changes, what = "settings") {
  Object.assign(state, changes);
  emit(what);
}

// Settings of the view outlive a reload.
const KEPT = ["brush", "opacity", "drawn", "heat"];
const KEY = "guided_jax:settings";

export function restoreSettings() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    for (const name of KEPT) if (typeof kept[name] === typeof state[name]) state[name] = kept[name];
  } catch {
    // Nothing is kept where the browser keeps nothing.
  }
  on("settings", () => {
    try {
      localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(KEPT.map((name) => [name, state[name]]))));
    } catch {
      // The same.
    }
  });
}
