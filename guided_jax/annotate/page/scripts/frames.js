// Binary messages of the server: a head in JSON and a body; masks as run lengths.

export function readFrame(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  return { head, body: 4 + length };
}

// The label of every pixel, row by row, and the runs of equal ones: where each begins, and its label.
export function readLabels(buffer, { head, body }) {
  const labels = new Uint8Array(head.height * head.width);
  const starts = new Int32Array(buffer, body, head.runs);
  const values = new Uint8Array(buffer, body + 4 * head.runs, head.runs);
  for (let run = 0; run < head.runs; run++) {
    if (values[run]) labels.fill(values[run], starts[run], run + 1 < head.runs ? starts[run + 1] : labels.length);
  }
  return { labels, starts, values };
}
