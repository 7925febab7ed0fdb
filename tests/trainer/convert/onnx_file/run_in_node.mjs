// node run_in_node.mjs MODULES MODEL.onnx IMAGES.bin COUNT C H W: logits of onnxruntime-web (wasm) as JSON, one row an image.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const [modules, model, images, ...sizes] = process.argv.slice(2);
const [count, c, h, w] = sizes.map(Number);
const ort = createRequire(modules + "/")("onnxruntime-web");
ort.env.wasm.numThreads = 1;
const session = await ort.InferenceSession.create(readFileSync(model), { executionProviders: ["wasm"] });
const pixels = new Uint8Array(readFileSync(images));
const rows = [];
for (let i = 0; i < count; i++) {
  const image = pixels.slice(i * c * h * w, (i + 1) * c * h * w);
  const { output } = await session.run({ input: new ort.Tensor("uint8", image, [1, c, h, w]) });
  rows.push(Array.from(output.data));
}
console.log(JSON.stringify(rows));
