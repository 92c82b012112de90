// Waiting times between tries: each twice the one before, up to a bound, with some chance in it so that many pages do not
// come back at once. Used by stream.js and fleet.js.

export class Backoff {
  #failures = 0;

  /** Seconds. */
  constructor(first, most) {
    this.first = first;
    this.most = most;
  }

  /** Seconds to wait after one more failure. */
  next() {
    const wait = Math.min(this.most, this.first * 2 ** this.#failures);
    this.#failures += 1;
    return wait * (0.75 + Math.random() / 2);
  }

  /** It worked. */
  reset() {
    this.#failures = 0;
  }
}
