// Runs the model once on values that anybody can make again, and shows what comes out.

import { ARRAYS, inputs, load, outputs } from "./model.js";

const SHOWN = 8;

/** Sizes for the example: what the model was converted with; a dynamic size is its example's. */
const sizes = (port) => port.example;

/** sin(0), sin(1), …; integers and booleans are 0, 1, 0, 1, … */
function example(port) {
  const count = sizes(port).reduce((product, size) => product * size, 1);
  const kind = ARRAYS[port.dtype];
  if (port.dtype.startsWith("float") && kind !== Uint16Array) {
    return kind.from({ length: count }, (_, index) => Math.sin(index));
  }
  const one = port.dtype.endsWith("64") ? BigInt : Number;
  return kind.from({ length: count }, (_, index) => one(index % 2));
}

function fill(table, heading, rows) {
  for (const cells of [[heading, "dtype", "shape", "values"], ...rows]) {
    const line = table.insertRow();
    for (const [index, text] of cells.entries()) {
      const cell = line.insertCell();
      cell.textContent = text;
      if (index === 3) cell.className = "values";
    }
  }
}

function row(port, shape, data) {
  const more = data.length > SHOWN ? ", …" : "";
  return [port.name, port.dtype, `[${shape.join(", ")}]`, `${data.slice(0, SHOWN).join(", ")}${more}`];
}

const state = document.getElementById("state");
try {
  const model = await load();
  const feeds = Object.fromEntries(
    inputs.map((port) => [port.name, { data: example(port), shape: sizes(port) }]),
  );
  const before = performance.now();
  const got = await model.run(feeds);
  const milliseconds = (performance.now() - before).toFixed(1);
  fill(
    document.getElementById("inputs"),
    "input",
    inputs.map((port) => row(port, port.shape, feeds[port.name].data)),
  );
  fill(
    document.getElementById("outputs"),
    "output",
    outputs.map((port) => row(port, got[port.name].shape, got[port.name].data)),
  );
  state.textContent = `Run in ${milliseconds} ms by onnxruntime-web ${model.version}.`;
  state.dataset.state = "done";
} catch (error) {
  state.textContent = `It does not run: ${error.message}`;
  state.dataset.state = "failed";
}
