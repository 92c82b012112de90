// What a walk depends on, in the form and in the page's address. Used by main.js.

const SEED_MOST = 2 ** 31 - 1;

export class Settings {
  #form;
  #onChange;
  #wish;

  /** `onChange()` after each change by a person. */
  constructor(form, onChange) {
    this.#form = form;
    this.#onChange = onChange;
    const asked = new URLSearchParams(location.hash.slice(1));
    this.#wish = asked.get("model");
    for (const name of ["initial", "side", "seed", "noise"]) this.#adopt(name, asked.get(name));
    this.#showNoise();
    form.noise.addEventListener("input", () => this.#showNoise());
    form.addEventListener("change", () => this.#changed());
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  /** {seed, noise, initial, side}. */
  get walk() {
    const { seed, noise, initial, side } = this.#form;
    return { seed: seed.valueAsNumber, noise: noise.valueAsNumber, initial: initial.value, side: Number(side.value) };
  }

  /** namespace/name, or an empty string. */
  get model() {
    return this.#form.model.value;
  }

  /** The models that there are now: [{key, label}]. Keeps the choice while it is among them; true if it changed. */
  offer(models) {
    const select = this.#form.model;
    const before = select.value;
    const options = models.map(({ key, label }) => Object.assign(document.createElement("option"), { value: key, textContent: label }));
    const has = (key) => models.some((model) => model.key === key);
    const same = options.length === select.length && options.every((one, at) => one.value === select[at].value && one.textContent === select[at].textContent);
    if (!same) {
      select.replaceChildren(...options);
      select.value = [before, this.#wish].find((key) => key && has(key)) ?? models[0]?.key ?? "";
    }
    return select.value !== before;
  }

  /** Another seed, by chance. */
  newSeed() {
    this.#form.seed.value = String(Math.floor(Math.random() * SEED_MOST));
    this.#changed();
  }

  /** Write them into the page's address. */
  keep() {
    const { seed, noise, initial, side } = this.walk;
    history.replaceState(null, "", `#${new URLSearchParams({ model: this.model, initial, side, seed, noise })}`);
  }

  #changed() {
    this.#showNoise();
    if (!this.#form.reportValidity()) return;
    this.#wish = this.model;
    this.#onChange();
  }

  #showNoise() {
    const { noise } = this.#form;
    this.#form.querySelector("output").textContent = noise.valueAsNumber.toFixed(2);
  }

  /** A value of the address, where the form allows it. */
  #adopt(name, value) {
    if (value === null) return;
    const field = this.#form[name];
    const before = field.value;
    field.value = value;
    if (field.value === "" || !field.checkValidity()) field.value = before;
  }
}
