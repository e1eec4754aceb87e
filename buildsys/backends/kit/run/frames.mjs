// Messages between a worker and Node.js; `javascript.py` is the other side.

import { readSync, writeSync } from "node:fs";

const INPUT = 0;

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  float16: globalThis.Float16Array ?? Uint16Array,
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

function read(count) {
  const buffer = new ArrayBuffer(count);
  const bytes = new Uint8Array(buffer);
  for (let done = 0; done < count; ) {
    const more = readSync(INPUT, bytes, done, count - done);
    if (more === 0) process.exit(0); // The worker has ended.
    done += more;
  }
  return buffer;
}

function receive() {
  const length = new DataView(read(4)).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(read(length)));
  return header.tensors.map((tensor) => ({
    ...tensor,
    data: new ARRAYS[tensor.dtype](read(tensor.bytes)),
  }));
}

function write(descriptor, bytes) {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(descriptor, bytes, done, bytes.length - done);
  }
}

function send(descriptor, header, arrays = []) {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, text.length, true);
  write(descriptor, length);
  write(descriptor, text);
  for (const a of arrays) write(descriptor, new Uint8Array(a.buffer, a.byteOffset, a.byteLength));
}

/**
 * Loads a model, says so, and runs it as often as it is asked to.
 *
 * `load(arguments)` gives `{ said, run }`; `run(tensors)` takes and gives lists of
 * `{ name, dtype, shape, data }` with numpy's names of dtypes.
 */
export async function serve(load) {
  const [descriptor, ...rest] = process.argv.slice(2);
  const out = Number(descriptor);
  let model;
  try {
    model = await load(rest);
    send(out, model.said);
  } catch (error) {
    send(out, { error: String(error?.message ?? error) });
    process.exit(0);
  }
  for (;;) {
    const given = receive();
    try {
      const tensors = await model.run(given);
      const header = tensors.map(({ name, dtype, shape, data }) => ({
        name,
        dtype,
        shape,
        bytes: data.byteLength,
      }));
      send(out, { tensors: header }, tensors.map((tensor) => tensor.data));
    } catch (error) {
      send(out, { error: String(error?.message ?? error) });
    }
  }
}
