// Images and annotations from files, and files from annotations.

import { emit, on, state } from "./store.js";
import { edit, startNewSession } from "./transport.js";
import { messageOf } from "./images.js";
import { toast } from "./toasts.js";

const byId = (id) => document.getElementById(id);

const EXPORTS = [
  ["masks", "Masks", "A PNG of labels for each image with a mask, in a zip"],
  ["coco", "COCO", "All masks as run lengths, in a JSON file"],
  ["video", "Overlay video", "The images with their masks, as MP4"],
  ["session", "Annotations", "Marks and objects, to go on with later"],
];

export function setUpFiles() {
  const [uploads, imports] = [byId("upload-input"), byId("import-input")];
  const actions = {
    upload: () => uploads.click(),
    import: () => imports.click(),
    export: openExports,
    "new-session": startNewSession,
  };
  for (const button of document.querySelectorAll("[data-action]")) button.onclick = actions[button.dataset.action];
  uploads.onchange = () => take(uploads, upload);
  imports.onchange = () => take(imports, importFile);
  const stage = byId("stage");
  stage.addEventListener("dragover", (event) => {
    event.preventDefault();
    stage.classList.add("dropping");
  });
  stage.addEventListener("dragleave", () => stage.classList.remove("dropping"));
  stage.addEventListener("drop", async (event) => {
    event.preventDefault();
    stage.classList.remove("dropping");
    for (const file of event.dataTransfer.files) await (file.name.endsWith(".json") ? importFile(file) : upload(file));
  });
  on("welcome", () => {
    byId("about").textContent = `Guide: ${state.model}. Everything is saved as you go.`;
  });
}

async function take(input, act) {
  for (const file of [...input.files]) await act(file);
  input.value = "";
}

async function post(path, file, more = {}) {
  const query = new URLSearchParams({ session: state.session, name: file.name, ...more });
  try {
    const answer = await fetch(`${path}?${query}`, { method: "POST", body: file });
    if (answer.ok) return await answer.json();
    toast(await messageOf(answer));
  } catch {
    toast(`${file.name}: could not be sent`);
  }
  return null;
}

async function upload(file) {
  const answer = await post("/upload", file);
  if (answer) emit("uploaded", answer.name);
}

async function importFile(file) {
  const answer = await post("/import", file, { image: state.image });
  if (answer) toast(answer.message, "Undo", () => edit({ edit: "undo" }));
}

export function openExports() {
  byId("exports").replaceChildren(
    ...EXPORTS.map(([kind, name, told]) => {
      const link = Object.assign(document.createElement("button"), { type: "button", className: "button" });
      link.dataset.kind = kind;
      link.append(Object.assign(document.createElement("strong"), { textContent: name }));
      link.append(Object.assign(document.createElement("span"), { className: "faint", textContent: told }));
      link.onclick = () => download(kind, link);
      return link;
    }),
  );
  byId("export-sheet").showModal();
}

async function download(kind, button) {
  button.disabled = true;
  try {
    const answer = await fetch(`/export/${kind}?session=${state.session}`);
    if (!answer.ok) return toast(await messageOf(answer));
    const name = /filename="(.+)"/.exec(answer.headers.get("Content-Disposition"))?.[1] ?? kind;
    const address = URL.createObjectURL(await answer.blob());
    Object.assign(document.createElement("a"), { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
    byId("export-sheet").close();
  } catch {
    toast("The file could not be fetched.");
  } finally {
    button.disabled = false;
  }
}
