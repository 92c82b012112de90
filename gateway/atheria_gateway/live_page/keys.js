// Single keys for what the buttons do. They do nothing while a person types or chooses, and can be turned off. Used by main.js.

import { kept, keep } from "./kept.js";

/** `actions`: key in small letters -> function. `toggle`: the checkbox that turns them on. */
export function listenToKeys(actions, toggle) {
  toggle.checked = kept("shortcuts") !== "off";
  toggle.addEventListener("change", () => keep("shortcuts", toggle.checked ? "on" : "off"));
  document.addEventListener("keydown", (event) => {
    const action = actions[event.key.toLowerCase()];
    if (!action || !toggle.checked || event.ctrlKey || event.metaKey || event.altKey || event.repeat && event.key !== ".") return;
    if (event.target.closest("input, select, textarea")) return;
    // Space on a button presses the button.
    if (event.key === " " && event.target.closest("button, summary, a")) return;
    event.preventDefault();
    action();
  });
}
