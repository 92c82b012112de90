// One plane of a picture on a canvas, a cell a pixel; the page's style makes it large. Used by main.js.

export class Field {
  #canvas;
  #colours;
  #context;
  #image = null;
  #pixels = null;

  /** `colours`: 256 of colours.js. */
  constructor(canvas, colours) {
    this.#canvas = canvas;
    this.#colours = colours;
    this.#context = canvas.getContext("2d", { alpha: false });
    this.blank(canvas.width);
  }

  /** `plane`: side * side bytes, row by row. */
  draw(plane, side) {
    if (this.#canvas.width !== side || !this.#image) this.#resize(side);
    const pixels = this.#pixels;
    const colours = this.#colours;
    for (let cell = 0; cell < pixels.length; cell += 1) pixels[cell] = colours[plane[cell]];
    this.#context.putImageData(this.#image, 0, 0);
  }

  /** Nothing is known of a field of this side. */
  blank(side) {
    this.#resize(side);
    this.#context.clearRect(0, 0, side, side);
  }

  #resize(side) {
    this.#canvas.width = side;
    this.#canvas.height = side;
    this.#image = this.#context.createImageData(side, side);
    this.#pixels = new Uint32Array(this.#image.data.buffer);
  }
}

/** The colours themselves, from the first to the last, on a canvas of one row. */
export function drawScale(canvas, colours) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(colours.length, 1);
  new Uint32Array(image.data.buffer).set(colours);
  context.putImageData(image, 0, 0);
}
