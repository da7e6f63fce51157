// Where the image lies on the canvas: scale and offset, in pixels of CSS.

const SMALLEST = 0.05;
const LARGEST = 64;
const MARGIN = 16;

export const viewport = { scale: 1, x: 0, y: 0, fitted: true };

let canvas = null;
let size = { width: 0, height: 0 };
let changed = () => {};

export function setUp(element, whenChanged) {
  [canvas, changed] = [element, whenChanged];
}

// Sets the size of the image in view; another size is fitted anew.
export function setSize(width, height) {
  const same = size.width === width && size.height === height;
  size = { width, height };
  if (!same || viewport.fitted) fit();
}

export function fit() {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!size.width || !width) return;
  const room = Math.min(MARGIN, width / 20);
  const scale = Math.min((width - 2 * room) / size.width, (height - 2 * room) / size.height);
  place(Math.max(scale, SMALLEST), (width - size.width * scale) / 2, (height - size.height * scale) / 2);
  viewport.fitted = true;
}

export function resized() {
  if (viewport.fitted) fit();
  changed();
}

// Zooms about a point of the canvas, which stays where it is.
export function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
  const scale = Math.min(LARGEST, Math.max(SMALLEST, viewport.scale * factor));
  const ratio = scale / viewport.scale;
  place(scale, x - (x - viewport.x) * ratio, y - (y - viewport.y) * ratio);
}

export function pan(dx, dy) {
  place(viewport.scale, viewport.x + dx, viewport.y + dy);
}

function place(scale, x, y) {
  // A part of the image always stays in sight.
  const keep = 40;
  x = Math.min(canvas.clientWidth - keep, Math.max(keep - size.width * scale, x));
  y = Math.min(canvas.clientHeight - keep, Math.max(keep - size.height * scale, y));
  Object.assign(viewport, { scale, x, y, fitted: false });
  changed();
}

// Position in the image, in its pixels, of a pointer's position in the window.
export function toImage(clientX, clientY) {
  const box = canvas.getBoundingClientRect();
  return {
    column: (clientX - box.left - viewport.x) / viewport.scale,
    row: (clientY - box.top - viewport.y) / viewport.scale,
  };
}

export function isInside({ row, column }) {
  return row >= 0 && column >= 0 && row < size.height && column < size.width;
}

// The pixel that holds a position, or the nearest one.
export function pixelOf({ row, column }) {
  const within = (at, side) => Math.max(0, Math.min(side - 1, Math.floor(at)));
  return [within(row, size.height), within(column, size.width)];
}

export const sizeOf = () => size;
