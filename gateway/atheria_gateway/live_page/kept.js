// What a person chose for this browser; forgotten where the browser keeps nothing. Used by theme.js and keys.js.

/** The kept text, or null. */
export function kept(name) {
  try {
    return localStorage.getItem(`atheria-live-${name}`);
  } catch {
    return null;
  }
}

/** Keep a text. */
export function keep(name, value) {
  try {
    localStorage.setItem(`atheria-live-${name}`, value);
  } catch {
    // A page without storage works; the choice lasts until it is left.
  }
}
