// Loads and runs the model beside this file, by the onnxruntime-web beside it. Nothing is requested
// from anywhere else.
//
//   import { load } from "./model.js";
//   const model = await load();
//   const outputs = await model.run({ NAME: { data: new Float32Array(...), shape: [1, ...] } });
//   outputs.NAME.data, outputs.NAME.shape, outputs.NAME.dtype

import * as ort from "./onnxruntime/ort.js";
import { inputs, outputs } from "./io.js";

export { inputs, outputs };

const HALF = globalThis.Float16Array ?? Uint16Array;

/** The typed array of each dtype. Booleans are 0 and 1; float16 is its bits where there is no Float16Array. */
export const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  float16: HALF,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
};

async function fetched(name) {
  const answer = await fetch(new URL(name, import.meta.url));
  if (!answer.ok) throw new Error(`${name} cannot be fetched: ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}

/**
 * Loads the model.
 *
 * @param read Gives the bytes of a file of this folder, by name. By default it is fetched.
 * @param threads More than one needs a page that is cross-origin isolated.
 */
export async function load({ read = fetched, threads = 1 } = {}) {
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmBinary = await read("onnxruntime/ort-wasm-simd-threaded.wasm");
  const session = await ort.InferenceSession.create(await read("model.onnx"), {
    executionProviders: ["wasm"],
    logSeverityLevel: 3,
  });
  return new Model(session);
}

class Model {
  #session;

  constructor(session) {
    this.#session = session;
  }

  /** onnxruntime-web's version. */
  get version() {
    return ort.env.versions.web;
  }

  /** The names of inputs and outputs in the file. */
  get names() {
    return { inputs: this.#session.inputNames, outputs: this.#session.outputNames };
  }

  /**
   * Runs once.
   *
   * @param feeds Input name to `{ data, shape }`; a typed array will do where no size is dynamic.
   * @returns Output name to `{ data, shape, dtype }`.
   */
  async run(feeds) {
    for (const name of Object.keys(feeds)) {
      if (!inputs.some((port) => port.name === name)) {
        throw new Error(`there is no input \`${name}\`: ${inputs.map((p) => p.name).join(", ")}`);
      }
    }
    const fed = Object.fromEntries(
      inputs.map((port) => [port.artifact_name ?? port.name, tensor(port, feeds[port.name])]),
    );
    const got = await this.#session.run(fed);
    const found = outputs.map((port) => {
      const { data, dims } = got[port.artifact_name ?? port.name];
      return [port.name, { data, shape: [...dims], dtype: port.dtype }];
    });
    return Object.fromEntries(found);
  }
}

function tensor(port, given) {
  const said = `input \`${port.name}\``;
  if (given === undefined) throw new Error(`${said} is missing`);
  const { data, shape } = ArrayBuffer.isView(given) ? { data: given, shape: port.shape } : given;
  const wanted = port.shape.length;
  if (!Array.isArray(shape) || shape.length !== wanted || !shape.every(Number.isInteger)) {
    throw new Error(`${said} needs a shape of ${wanted} sizes, for [${port.shape.join(", ")}]`);
  }
  if (!(data instanceof ARRAYS[port.dtype])) {
    throw new Error(`${said} is ${port.dtype}, which is given as ${ARRAYS[port.dtype].name}`);
  }
  const count = shape.reduce((product, size) => product * size, 1);
  if (data.length !== count) {
    throw new Error(`${said} has ${data.length} values, and [${shape.join(", ")}] has ${count}`);
  }
  return new ort.Tensor(port.dtype, data, shape);
}
