// The buttons and sliders around the image.

import { emit, on, set, state } from "./store.js";
import { sendView } from "./transport.js";
import { setHeat } from "./layers.js";
import * as view from "./viewport.js";

const byId = (id) => document.getElementById(id);

export function setMode(mode) {
  set({ mode }, "mode");
}

export function setUpTools({ undo, redo }) {
  byId("undo").onclick = undo;
  byId("redo").onclick = redo;
  byId("fit").onclick = () => view.fit();
  radios("mode", setMode);
  radios("drawn", (drawn) => set({ drawn }));
  byId("opacity").oninput = ({ target }) => set({ opacity: target.value / 100 });
  byId("brush").oninput = ({ target }) => set({ brush: Number(target.value) });
  byId("heat").onchange = ({ target }) => set({ heat: target.checked }, "heat-wanted");
  const [menu, panel] = [byId("menu"), byId("panel")];
  const open = (wanted) => {
    panel.classList.toggle("open", wanted);
    menu.setAttribute("aria-expanded", String(wanted));
  };
  menu.onclick = () => open(!panel.classList.contains("open"));
  byId("stage").addEventListener("pointerdown", () => open(false));
  addEventListener("keydown", (event) => event.key === "Escape" && open(false));
  on("heat-wanted", () => {
    if (!state.heat) setHeat(null);
    sendView();
    emit("settings");
  });
  for (const what of ["settings", "mode", "state"]) on(what, show);
  on("timed", ({ total, server }) => {
    byId("timing").textContent = `${Math.round(total)} ms`;
    byId("timing").title = `From the last click to the mask on the screen; ${server} ms of it in the model`;
  });
  on("connection", (there) => {
    byId("connection").textContent = there ? "" : "Connecting again… your marks are kept";
    byId("connection").classList.toggle("bad", !there);
    document.body.dataset.connected = there;
  });
  show();
}

// A group of which one is chosen; arrow keys choose the next.
function radios(name, act) {
  const buttons = [...document.querySelectorAll(`[data-${name}]`)];
  buttons.forEach((button, at) => {
    button.onclick = () => act(button.dataset[name]);
    button.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      const next = buttons[(at + step + buttons.length) % buttons.length];
      next.focus();
      next.click();
    };
  });
}

function show() {
  for (const name of ["mode", "drawn"]) {
    for (const button of document.querySelectorAll(`[data-${name}]`)) {
      const chosen = button.dataset[name] === state[name];
      button.setAttribute("aria-checked", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
    }
  }
  byId("opacity").value = Math.round(100 * state.opacity);
  byId("brush").value = state.brush;
  byId("brush-width").textContent = `${state.brush} px`;
  byId("heat").checked = state.heat;
  byId("undo").disabled = !state.server.undo && !state.pending.length;
  byId("redo").disabled = !state.server.redo;
}
