// Masks and uncertainty as canvases of their own, to be drawn over the image.

import { objectsNow, state } from "./store.js";

function layer() {
  return { canvas: document.createElement("canvas"), there: false };
}

const fillLayer = layer();
const rimLayer = layer();
const heatLayer = layer();
let shown = null; // the mask that is drawn

function resize({ canvas }, width, height) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  return canvas.getContext("2d");
}

// Colours by label as 32 bits, as they lie in an ImageData: 0xAABBGGRR.
function colours() {
  const table = new Uint32Array(256);
  for (const { label, colour, hidden } of objectsNow()) {
    const value = Number.parseInt(colour.slice(1), 16);
    if (!hidden) table[label] = 0xff000000 | ((value & 255) << 16) | (value & 0xff00) | (value >> 16);
  }
  return table;
}

export function setMask(mask) {
  shown = mask;
  paintMask();
}

export const maskShown = () => shown;

export function paintMask() {
  fillLayer.there = rimLayer.there = shown !== null;
  if (!shown) return;
  const { labels, width, height } = shown;
  const [fillContext, rimContext] = [resize(fillLayer, width, height), resize(rimLayer, width, height)];
  const [fillData, rimData] = [fillContext.createImageData(width, height), rimContext.createImageData(width, height)];
  const [fills, rims, table] = [new Uint32Array(fillData.data.buffer), new Uint32Array(rimData.data.buffer), colours()];
  for (let row = 0, at = 0; row < height; row++) {
    for (let column = 0; column < width; column++, at++) {
      const label = labels[at];
      if (!label) continue;
      fills[at] = table[label];
      const inner =
        row > 0 &&
        row < height - 1 &&
        column > 0 &&
        column < width - 1 &&
        labels[at - 1] === label &&
        labels[at + 1] === label &&
        labels[at - width] === label &&
        labels[at + width] === label;
      if (!inner) rims[at] = table[label];
    }
  }
  fillContext.putImageData(fillData, 0, 0);
  rimContext.putImageData(rimData, 0, 0);
}

export function setHeat(heat) {
  heatLayer.there = heat !== null;
  if (!heat) return;
  const context = resize(heatLayer, heat.width, heat.height);
  const data = context.createImageData(heat.width, heat.height);
  heat.values.forEach((value, at) => {
    // From nothing over orange to yellow, where two labels are as likely.
    const part = value / 255;
    data.data.set([255, 70 + 185 * part * part, 30 * part, 225 * part], 4 * at);
  });
  context.putImageData(data, 0, 0);
}

// Draws the layers over an image of a size, in its pixels.
export function drawLayers(context, width, height) {
  const put = ({ canvas, there }, opacity, smooth) => {
    if (!there || opacity <= 0) return;
    context.globalAlpha = opacity;
    context.imageSmoothingEnabled = smooth;
    context.drawImage(canvas, 0, 0, width, height);
    context.globalAlpha = 1;
  };
  if (state.heat) put(heatLayer, 0.85, true);
  if (state.drawn === "fill") put(fillLayer, state.opacity, false);
  put(rimLayer, state.drawn === "outline" ? Math.max(0.5, state.opacity) : Math.min(1, state.opacity + 0.2) * (state.opacity > 0), false);
}
