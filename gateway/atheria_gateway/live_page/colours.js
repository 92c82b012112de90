// A colour for each byte of a picture, as RGBA. Used by field.js.

const STOPS = [[5, 6, 24], [40, 18, 98], [112, 32, 136], [190, 55, 100], [238, 110, 58], [252, 186, 74], [253, 248, 205]];
const LIGHTNESS = 0.74;
const CHROMA = 0.12;

/** From dark to light, told apart without hue: for densities. 256 colours. */
export const SEQUENTIAL = table((share) => {
  const at = share * (STOPS.length - 1);
  const index = Math.min(Math.floor(at), STOPS.length - 2);
  return STOPS[index].map((value, channel) => value + (at - index) * (STOPS[index + 1][channel] - value));
});

/** Once around at one lightness, and the end is the beginning: for phases. 256 colours. */
export const CYCLIC = table((share) => fromOklab(LIGHTNESS, CHROMA, 2 * Math.PI * share));

function table(colour) {
  const bytes = new Uint8ClampedArray(256 * 4);
  for (let index = 0; index < 256; index += 1) bytes.set([...colour(index / 255), 255], index * 4);
  return new Uint32Array(bytes.buffer);
}

/** sRGB from 0 to 255 of a lightness, chroma and hue (radians) in Oklab: https://bottosson.github.io/posts/oklab/ */
function fromOklab(lightness, chroma, hue) {
  const a = chroma * Math.cos(hue);
  const b = chroma * Math.sin(hue);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ].map((value) => 255 * (value <= 0.0031308 ? 12.92 * value : 1.055 * value ** (1 / 2.4) - 0.055));
}
