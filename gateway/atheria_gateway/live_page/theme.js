// Light, dark, or as the system. Used by main.js.

import { kept, keep } from "./kept.js";

/** `select`: its values are the themes. `onTheme()` after a change, also of the system's. Returns what goes to the next one. */
export function chooseTheme(select, onTheme) {
  const themes = Array.from(select.options, (option) => option.value);
  const apply = () => {
    document.documentElement.dataset.theme = select.value;
    onTheme();
  };
  const before = kept("theme");
  if (themes.includes(before)) select.value = before;
  select.addEventListener("change", () => {
    keep("theme", select.value);
    apply();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", onTheme);
  apply();
  return () => {
    select.value = themes[(select.selectedIndex + 1) % themes.length];
    select.dispatchEvent(new Event("change"));
  };
}
