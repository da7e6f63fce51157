// Short messages at the bottom; text is text and never HTML.

const place = document.getElementById("toasts");
const STAYS = 5000; // milliseconds

export function toast(message, action = "", act = () => {}) {
  for (const each of place.children) if (each.dataset.message === message) each.remove();
  const element = document.createElement("div");
  element.className = "toast";
  element.dataset.message = message;
  element.append(Object.assign(document.createElement("span"), { textContent: message }));
  if (action) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: action });
    button.onclick = () => {
      element.remove();
      act();
    };
    element.append(button);
  }
  place.append(element);
  while (place.children.length > 3) place.firstChild.remove();
  setTimeout(() => element.remove(), STAYS);
}
