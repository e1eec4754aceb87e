// Runs a TensorFlow.js model in Node.js.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

import { serve } from "../kit/run/frames.mjs";

const ARRAYS = { float32: Float32Array, int32: Int32Array, bool: Uint8Array };

await serve(async ([packages, folder]) => {
  const require = createRequire(join(packages, "index.js"));
  const tf = require("@tensorflow/tfjs-core");
  require("@tensorflow/tfjs-backend-cpu");
  const { setWasmPaths } = require("@tensorflow/tfjs-backend-wasm");
  setWasmPaths(join(packages, "@tensorflow/tfjs-backend-wasm/dist/"));
  const { loadGraphModel } = require("@tensorflow/tfjs-converter");
  await tf.setBackend("wasm");
  const told = JSON.parse(readFileSync(join(folder, "model.json")));
  const specs = told.weightsManifest.flatMap((group) => group.weights);
  const shards = told.weightsManifest.flatMap((group) => group.paths);
  const bytes = Buffer.concat(shards.map((path) => readFileSync(join(folder, path))));
  const weightData = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  const { modelTopology, format, generatedBy, convertedBy, signature } = told;
  const model = await loadGraphModel({
    load: async () => ({
      modelTopology,
      weightSpecs: specs,
      weightData,
      format,
      generatedBy,
      convertedBy,
      signature,
    }),
  });
  const outputs = Object.keys(signature.outputs);
  const listed = (got) => (Array.isArray(got) ? got : [got]);
  let run = (feeds) => listed(model.execute(feeds, outputs));
  async function attempt(feeds) {
    try {
      tf.dispose(run(feeds));
    } catch (error) {
      if (!/use model.executeAsync/.test(error.message)) throw error;
      run = async (more) => listed(await model.executeAsync(more, outputs));
      tf.dispose(await run(feeds));
    }
  }
  const zeros = Object.fromEntries(model.inputs.map((i) => [i.name, tf.zeros(i.shape, i.dtype)]));
  try {
    await attempt(zeros);
  } catch (error) {
    // Its wasm has fewer kernels than its JavaScript, and says so only when it is run.
    if (!/not registered for backend 'wasm'/.test(error.message)) throw error;
    console.error(`${error.message}: it is run in JavaScript`);
    await tf.setBackend("cpu");
    await attempt(zeros);
  }
  tf.dispose(zeros);
  return {
    said: { version: tf.version_core, backend: tf.getBackend() },
    async run(tensors) {
      const feeds = Object.fromEntries(
        tensors.map(({ name, data, shape, dtype }) => [name, tf.tensor(data, shape, dtype)]),
      );
      const list = await run(feeds);
      const found = list.map((tensor, index) => ({
        name: outputs[index],
        dtype: tensor.dtype,
        shape: tensor.shape,
        data: ARRAYS[tensor.dtype].from(tensor.dataSync()),
      }));
      tf.dispose([feeds, list]);
      return found;
    },
  };
});
