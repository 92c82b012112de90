// The model's metrics over the newest frames, one small line each. Used by main.js.

/** Column of the output `metrics`, what it is, digits shown, and the least height of its axis. */
const METRICS = [
  { column: 0, name: "Entropy", about: "1 = as even as can be", digits: 4, least: 0.004 },
  { column: 1, name: "C4", about: "structure in blocks of 4 × 4 cells", digits: 3, least: 0.02 },
  { column: 3, name: "Coherence", about: "with the neighbouring cell", digits: 3, least: 0.05 },
  { column: 4, name: "Norm", about: "mean density, kept by the law", digits: 6, least: 0.001 },
];
const KEPT_FRAMES = 600;
/** Numbers and lines change so often: a person reads no faster, and pictures need the time. */
const SHOWN_EACH_SECONDS = 0.2;

export class Plots {
  #steps = [];
  #plots;
  #shownAt = -Infinity;
  #isNew = false;

  constructor(parent) {
    this.#plots = METRICS.map((metric) => new Plot(parent, metric));
  }

  /** The metrics (one row) of the frame after `step` steps. */
  add(step, row) {
    this.#steps.push(step);
    if (this.#steps.length > KEPT_FRAMES) this.#steps.shift();
    for (const plot of this.#plots) plot.add(row);
    this.#isNew = true;
  }

  /** Draw what is new, unless that was done just before; `now` in seconds, often. */
  keepUp(now) {
    if (!this.#isNew || now - this.#shownAt < SHOWN_EACH_SECONDS) return;
    this.#shownAt = now;
    this.show();
  }

  /** Draw what is known. */
  show() {
    this.#isNew = false;
    for (const plot of this.#plots) plot.show(this.#steps);
  }

  /** Of a new walk nothing is known. */
  clear() {
    this.#steps = [];
    this.#isNew = false;
    for (const plot of this.#plots) plot.clear();
  }
}

class Plot {
  #metric;
  #values = [];
  #value = element("output", "value");
  #high = element("span", "high");
  #low = element("span", "low");
  #canvas = element("canvas");

  constructor(parent, metric) {
    this.#metric = metric;
    const figure = element("figure");
    const caption = element("figcaption");
    const about = element("small");
    about.textContent = metric.about;
    caption.append(metric.name, about, this.#value);
    this.#canvas.setAttribute("role", "img");
    const area = element("div", "plot");
    area.append(this.#canvas, this.#high, this.#low);
    figure.append(caption, area);
    figure.dataset.metric = metric.name.toLowerCase();
    parent.append(figure);
    this.clear();
  }

  add(row) {
    this.#values.push(row[this.#metric.column]);
    if (this.#values.length > KEPT_FRAMES) this.#values.shift();
  }

  clear() {
    this.#values = [];
    this.show([]);
  }

  show(steps) {
    const { name, digits, least } = this.#metric;
    const known = this.#values.length > 0;
    const smallest = known ? Math.min(...this.#values) : 0;
    const middle = known ? (smallest + Math.max(...this.#values)) / 2 : 0;
    const half = Math.max(middle - smallest, least / 2);
    this.#value.textContent = known ? this.#values.at(-1).toFixed(digits) : "–";
    this.#high.textContent = known ? (middle + half).toFixed(digits) : "";
    this.#low.textContent = known ? (middle - half).toFixed(digits) : "";
    const range = known ? ` of the frames ${steps[0]} to ${steps.at(-1)}` : ", nothing yet";
    this.#canvas.setAttribute("aria-label", `Line of ${name}${range}`);
    this.#draw(middle, half);
  }

  #draw(middle, half) {
    const canvas = this.#canvas;
    const scale = window.devicePixelRatio || 1;
    const width = Math.max(1, Math.round(canvas.clientWidth * scale));
    const height = Math.max(1, Math.round(canvas.clientHeight * scale));
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    context.lineWidth = 1.5 * scale;
    context.lineJoin = "round";
    context.strokeStyle = getComputedStyle(canvas).color;
    context.beginPath();
    const top = 3 * scale;
    this.#values.forEach((value, index) => {
      const x = (index / (KEPT_FRAMES - 1)) * width;
      const y = top + ((middle + half - value) / (2 * half)) * (height - 2 * top);
      context.lineTo(x, y);
    });
    context.stroke();
  }
}

function element(tag, className = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  return made;
}
