// The strip of images: which one is in view, which are annotated, which have a mask of a run.

import { on, state } from "./store.js";
import { show } from "./drawing.js";
import { urlOf } from "./images.js";

const strip = document.getElementById("strip");
const position = document.getElementById("position");

export function setUpStrip() {
  on("welcome", build);
  on("names", build);
  on("view", mark);
  on("state", mark);
  strip.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) {
      event.preventDefault();
      event.stopPropagation();
      go(step);
      strip.querySelector('[aria-selected="true"]')?.focus();
    }
  });
}

function build() {
  strip.replaceChildren(
    ...state.names.map((name) => {
      const thumb = Object.assign(document.createElement("button"), { type: "button", className: "thumb", title: name });
      thumb.setAttribute("role", "option");
      thumb.dataset.name = name;
      const image = Object.assign(document.createElement("img"), { loading: "lazy", alt: "", src: urlOf(name, true) });
      image.draggable = false;
      thumb.append(image);
      thumb.onclick = () => show(name);
      return thumb;
    }),
  );
  mark();
}

function mark() {
  const { counts, results } = state.server;
  for (const thumb of strip.children) {
    const { name } = thumb.dataset;
    const here = name === state.image;
    const told = [name, counts[name] ? `${counts[name]} marks` : "", results[name] ? "with a mask" : ""];
    thumb.setAttribute("aria-label", told.filter(Boolean).join(", "));
    thumb.setAttribute("aria-selected", String(here));
    thumb.tabIndex = here ? 0 : -1;
    thumb.toggleAttribute("data-marks", Boolean(counts[name]));
    thumb.toggleAttribute("data-result", Boolean(results[name]));
    if (here && thumb !== shownLast) {
      const { offsetLeft, offsetWidth } = thumb;
      strip.scrollLeft = offsetLeft - strip.offsetLeft - (strip.clientWidth - offsetWidth) / 2;
      shownLast = thumb;
    }
  }
  const at = state.names.indexOf(state.image);
  const name = Object.assign(document.createElement("span"), { textContent: ` · ${state.image}` });
  position.replaceChildren(...(at < 0 ? [] : [`${at + 1} / ${state.names.length}`, name]));
}

let shownLast = null;

// Brings the image so many places further into view.
export function go(step) {
  const at = state.names.indexOf(state.image) + step;
  show(state.names[Math.max(0, Math.min(state.names.length - 1, at))]);
}
