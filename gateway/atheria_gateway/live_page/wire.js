// Messages of a model's WebSocket: OIP requests and frames with binary tensors. Pure; used by stream.js.
//
// A message with tensors is binary: 4 bytes, little-endian, with the length of the JSON, the JSON, then the tensors one
// after the other in the order of those that have the parameter `binary_data_size`. Every other message is JSON text.

const PREFIX_BYTES = 4;

/** A message of a document whose tensors (Uint8Array each) follow it; text where there are none. */
export function encodeMessage(document, tensors) {
  const text = JSON.stringify(document);
  if (!tensors.length) return text;
  const head = new TextEncoder().encode(text);
  const size = tensors.reduce((sum, tensor) => sum + tensor.byteLength, PREFIX_BYTES + head.byteLength);
  const message = new Uint8Array(size);
  new DataView(message.buffer).setUint32(0, head.byteLength, true);
  message.set(head, PREFIX_BYTES);
  let at = PREFIX_BYTES + head.byteLength;
  for (const tensor of tensors) {
    message.set(tensor, at);
    at += tensor.byteLength;
  }
  return message;
}

/** The document of a message (string or ArrayBuffer), and its outputs by name: `{shape, data}`, data an array or a Uint8Array. */
export function decodeMessage(message) {
  if (typeof message === "string") return readOutputs(JSON.parse(message), new Uint8Array());
  const length = new DataView(message).getUint32(0, true);
  const head = new Uint8Array(message, PREFIX_BYTES, length);
  return readOutputs(JSON.parse(new TextDecoder().decode(head)), new Uint8Array(message, PREFIX_BYTES + length));
}

function readOutputs(document, raw) {
  const outputs = new Map();
  let at = 0;
  for (const { name, shape, data, parameters } of document.outputs ?? []) {
    const size = parameters?.binary_data_size;
    outputs.set(name, { shape, data: size === undefined ? data : raw.subarray(at, at + size) });
    at += size ?? 0;
  }
  return { document, outputs };
}
