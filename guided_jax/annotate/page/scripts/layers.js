// Masks and uncertainty as canvases of their own, to be drawn over the image.

import { objectsNow, state } from "./store.js";

const RIM = 0.2; // by how much outlines are more opaque than what they surround

function layer() {
  return { canvas: document.createElement("canvas"), there: false };
}

const maskLayer = layer();
const heatLayer = layer();
let shown = null; // the mask that is drawn
let pixels = null; // of its canvas, kept since a mask follows on a mask

function resize({ canvas }, width, height) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  return canvas.getContext("2d");
}

// Colours by label as 32 bits with an opacity, as they lie in an ImageData: 0xAABBGGRR.
function colours(opacity) {
  const table = new Uint32Array(256);
  const alpha = Math.round(255 * opacity) << 24;
  for (const { label, colour, hidden } of objectsNow()) {
    const value = Number.parseInt(colour.slice(1), 16);
    if (!hidden) table[label] = alpha | ((value & 255) << 16) | (value & 0xff00) | (value >> 16);
  }
  return table;
}

export function setMask(mask) {
  shown = mask;
  paintMask();
}

export const maskShown = () => shown;

export function paintMask() {
  maskLayer.there = shown !== null;
  if (!shown) return;
  const { labels, starts, values, width, height } = shown;
  const context = resize(maskLayer, width, height);
  if (pixels?.width !== width || pixels?.height !== height) pixels = context.createImageData(width, height);
  const outlined = state.drawn === "outline";
  const into = new Uint32Array(pixels.data.buffer);
  const fills = colours(outlined ? 0 : state.opacity);
  const rims = colours(outlined ? Math.max(0.5, state.opacity) : state.opacity && Math.min(1, state.opacity + RIM));
  into.fill(0);
  for (let run = 0; run < values.length; run++) {
    const label = values[run];
    if (!label) continue;
    const end = run + 1 < starts.length ? starts[run + 1] : labels.length;
    const [fill, rim] = [fills[label], rims[label]];
    for (let at = starts[run]; at < end; at++) {
      // Beyond the first and last row there is nothing, which is no label.
      into[at] = labels[at - width] === label && labels[at + width] === label ? fill : rim;
    }
    into[starts[run]] = into[end - 1] = rim;
    for (let edge = Math.ceil(starts[run] / width) * width; edge < end; edge += width) into[edge] = rim;
    for (let edge = Math.ceil((starts[run] + 1) / width) * width - 1; edge < end; edge += width) into[edge] = rim;
  }
  context.putImageData(pixels, 0, 0);
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
  put(maskLayer, 1, false);
}
