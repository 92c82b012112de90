// Frames of one walk over one WebSocket, in order and without gaps, whatever happens to sockets and replicas. Used by main.js.
//
// A walk is asked for in legs of LEG_STEPS steps, each from the state that the leg before ended with. So a page that draws
// slowly holds the model up and not its own memory, and what a new replica computes again after a lost socket is less than a
// leg: the same request with `from_frame`. That begins with the newest frame that is here already; if its digest differs,
// the replica computes other numbers (another revision, another kind of machine) and `onChanged` is told.

import { Backoff } from "./backoff.js";
import { decodeMessage, encodeMessage } from "./wire.js";

/** Of one request; the server allows 64. */
export const LEG_STEPS = 64;
/** With fewer frames here than this the next leg is asked for. */
const FEW_FRAMES = 16;
/** Seconds of a silent connecting until it is called waking: a warm model answers at once. */
const WAKING_SECONDS = 0.5;
/** Seconds without a frame that was asked for, until the socket is taken for dead. */
const SILENT_SECONDS = 45;
/** Answers that no further try changes. */
const FINAL_CODES = new Set(["INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED", "UNAUTHENTICATED", "PERMISSION_DENIED"]);

/** Begins with `connect`. */
export class FrameStream {
  #url;
  #protocols;
  #walk;
  #listener;
  #socket = null;
  #frames = [];
  #leg = { state: null, shape: null, step: 0 };
  #received = 0;
  #digest = null;
  #asked = false;
  #ended = false;
  #isAwake = false;
  #backoff = new Backoff(0.25, 8);
  #retry = null;
  #waking = null;
  #silence = null;

  /**
   * `protocols`: of the WebSocket, perhaps none. `walk`: {seed, noise, initial, side}. `listener`: onStatus(kind, text, why), kind one of connecting, waking, streaming,
   * waiting, failed; onChanged() when the replica that answers now computes other numbers.
   */
  constructor(url, protocols, walk, listener) {
    this.#url = url;
    this.#protocols = protocols;
    this.#walk = walk;
    this.#listener = listener;
  }

  /** Frames that are here and not taken. */
  get waiting() {
    return this.#frames.length;
  }

  /** Whether it has a socket, or will have one. */
  get isAwake() {
    return this.#isAwake;
  }

  /** The next frame {step, density, phase, metrics}, or null while there is none. */
  take() {
    const frame = this.#frames.shift() ?? null;
    if (frame) this.#ask();
    return frame;
  }

  /** Open the socket unless it is open or being opened; also at once, in place of a waiting time. */
  connect() {
    if (this.#ended || this.#socket) return;
    clearTimeout(this.#retry);
    this.#isAwake = true;
    this.#listener.onStatus("connecting", "Connecting");
    const socket = new WebSocket(this.#url, this.#protocols);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#asked = false;
    this.#waking = setTimeout(() => {
      this.#listener.onStatus("waking", "Waking, held by the gateway until a replica is ready");
    }, WAKING_SECONDS * 1000);
    socket.onopen = () => {
      clearTimeout(this.#waking);
      this.#ask();
      if (!this.#asked) this.#listener.onStatus("streaming", "Streaming");
    };
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => this.#again(event.reason || "the connection was lost");
  }

  /** Close the socket until `connect`: an open one counts as a call in flight and keeps the model from scaling to zero. */
  rest() {
    this.#isAwake = false;
    this.#drop();
    clearTimeout(this.#retry);
  }

  /** For good. */
  end() {
    this.#ended = true;
    this.rest();
  }

  #ask() {
    if (this.#asked || this.#socket?.readyState !== WebSocket.OPEN || this.#frames.length > FEW_FRAMES) return;
    this.#asked = true;
    this.#expectFrame();
    const { state, shape, step } = this.#leg;
    const { seed, noise, initial, side } = this.#walk;
    const parameters = { steps: LEG_STEPS, every: 1, noise, picture: true, last_state: true };
    const inputs = [{ name: "seed", datatype: "INT64", shape: [1], data: [seed] }];
    if (state) {
      parameters.start_step = step;
      inputs.push({ name: "state", datatype: "FP32", shape, parameters: { binary_data_size: state.byteLength } });
    } else {
      Object.assign(parameters, { height: side, width: side, initial });
    }
    if (this.#received) parameters.from_frame = this.#received - 1;
    const outputs = [
      { name: "picture", parameters: { binary_data: true } },
      { name: "metrics" },
      { name: "state", parameters: { binary_data: true } },
    ];
    this.#socket.send(encodeMessage({ inputs, outputs, parameters }, state ? [state] : []));
  }

  #receive(data) {
    let message;
    try {
      message = decodeMessage(data);
    } catch {
      this.#again("an answer could not be read");
      return;
    }
    const { document, outputs } = message;
    if (document.error !== undefined) {
      this.#refused(document);
    } else if (document.final) {
      // Behind a leg's last frame; the next leg has no frame yet.
      if (this.#received) this.#again("the frames ended too early");
    } else {
      this.#frame(document, outputs);
    }
  }

  #frame(document, outputs) {
    const { index, digest } = document;
    if (index === this.#received - 1) {
      if (digest !== this.#digest) this.#listener.onChanged();
      return;
    }
    if (index !== this.#received) {
      this.#again(`frame ${this.#leg.step + index + 1} came in place of frame ${this.#leg.step + this.#received + 1}`);
      return;
    }
    this.#backoff.reset();
    this.#listener.onStatus("streaming", "Streaming");
    const [, , height, width] = outputs.get("picture").shape;
    const picture = outputs.get("picture").data;
    this.#frames.push({
      step: document.parameters.step,
      density: picture.subarray(0, height * width),
      phase: picture.subarray(height * width),
      metrics: outputs.get("metrics").data,
    });
    this.#received += 1;
    this.#digest = digest;
    this.#expectFrame();
    if (this.#received < LEG_STEPS) return;
    const { shape, data } = outputs.get("state");
    this.#leg = { state: data.slice(), shape, step: document.parameters.step };
    this.#received = 0;
    this.#digest = null;
    this.#asked = false;
    clearTimeout(this.#silence);
    this.#ask();
  }

  #refused({ error, code }) {
    if (!FINAL_CODES.has(code)) {
      this.#again(error);
      return;
    }
    this.end();
    this.#listener.onStatus("failed", "Refused", error);
  }

  #again(why) {
    this.#drop();
    if (this.#ended) return;
    const seconds = this.#backoff.next();
    this.#listener.onStatus("waiting", `Trying again in ${seconds.toFixed(1)} s`, why);
    this.#retry = setTimeout(() => this.connect(), seconds * 1000);
  }

  #expectFrame() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#again(`no frame came for ${SILENT_SECONDS} s`), SILENT_SECONDS * 1000);
  }

  #drop() {
    clearTimeout(this.#waking);
    clearTimeout(this.#silence);
    const socket = this.#socket;
    this.#socket = null;
    this.#asked = false;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }
}
