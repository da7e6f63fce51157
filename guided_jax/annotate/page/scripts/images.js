// Images from the server: each is fetched once and kept while there is room.

import { state } from "./store.js";

const ROOM = 24;
const kept = new Map(); // name -> promise of a bitmap, the one used last at the end

export function urlOf(name, small = false) {
  return `/image?session=${state.session}&name=${encodeURIComponent(name)}${small ? "&small" : ""}`;
}

export async function bitmapOf(name) {
  const found = kept.get(name) ?? load(name);
  kept.delete(name);
  kept.set(name, found);
  if (kept.size > ROOM) {
    const [oldest, promise] = kept.entries().next().value;
    kept.delete(oldest);
    promise.then((bitmap) => oldest !== state.image && bitmap.close()).catch(() => {});
  }
  try {
    return await found;
  } catch (error) {
    if (kept.get(name) === found) kept.delete(name);
    throw error;
  }
}

async function load(name) {
  const answer = await fetch(urlOf(name));
  if (!answer.ok) throw new Error(await messageOf(answer));
  return createImageBitmap(await answer.blob());
}

// Why a request was refused, in a line.
export async function messageOf(answer) {
  try {
    return (await answer.json()).message;
  } catch {
    return `the server answered ${answer.status}`;
  }
}

export function forgetImages() {
  kept.clear();
}
