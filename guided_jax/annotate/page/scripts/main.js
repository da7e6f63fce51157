// Puts the page together, and decides which image is in view.

import { on, restoreSettings, set, state } from "./store.js";
import { connect } from "./transport.js";
import { clearStage, setUpDrawing, show } from "./drawing.js";
import { forgetImages } from "./images.js";
import { setUpFiles } from "./files.js";
import { setUpObjects } from "./objects.js";
import { setUpPointer } from "./pointer.js";
import { setUpRuns } from "./runs.js";
import { redo, setUpShortcuts, undo } from "./shortcuts.js";
import { setUpStrip } from "./strip.js";
import { setUpTools } from "./tools.js";
import { toast } from "./toasts.js";

const VIEW_KEY = "guided_jax:view";
const byId = (id) => document.getElementById(id);

restoreSettings();
setUpDrawing();
setUpStrip();
setUpObjects();
setUpPointer();
setUpTools({ undo, redo });
setUpRuns();
setUpFiles();
setUpShortcuts();

let session = "";

on("welcome", ({ how, title }) => {
  byId("title").textContent = title || "guided_jax";
  document.title = `${title ? `${title} · ` : ""}guided_jax annotate`;
  if (state.session !== session) {
    session = state.session;
    forgetImages();
    clearStage();
    set({ active: 1 }, "active");
    if (how === "copy") toast("This tab has a copy of the other one's session.");
    if (how === "resumed") toast("Here is where you left off.", "Start anew", () => document.querySelector('[data-action="new-session"]').click());
    show(state.names.includes(lastView()) ? lastView() : state.names[0]);
  }
  byId("empty").hidden = state.names.length > 0;
});
on("names", () => {
  byId("empty").hidden = state.names.length > 0;
});
on("uploaded", (name) => state.names.includes(name) && show(name));
on("view", () => {
  try {
    localStorage.setItem(`${VIEW_KEY}:${state.session}`, state.image);
  } catch {
    // Nothing is kept where the browser keeps nothing.
  }
});
on("show", ({ image }) => show(image));
on("refused", ({ message }) => toast(message));
on("notice", ({ message }) => toast(message));

function lastView() {
  try {
    return localStorage.getItem(`${VIEW_KEY}:${state.session}`) ?? "";
  } catch {
    return "";
  }
}

connect();
