// Runs a packed folder in Node.js, by the very files that a browser gets.

import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

import { serve } from "../kit/run/frames.mjs";

await serve(async ([folder]) => {
  const { load } = await import(pathToFileURL(join(resolve(folder), "model.js")));
  const model = await load({ read: async (name) => readFileSync(join(folder, name)) });
  return {
    said: { version: model.version, ...model.names },
    async run(tensors) {
      const feeds = Object.fromEntries(tensors.map((t) => [t.name, { data: t.data, shape: t.shape }]));
      const got = await model.run(feeds);
      return Object.entries(got).map(([name, tensor]) => ({ name, ...tensor }));
    },
  };
});
