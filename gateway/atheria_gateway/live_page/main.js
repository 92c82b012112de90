// The page: puts stream, pictures, plots, controls and fleet together. Loaded by index.html.

import { CYCLIC, SEQUENTIAL } from "./colours.js";
import { Field, drawScale } from "./field.js";
import { FleetTable, fieldModels, gatewayOf, keyOf, lawOf, watchFleet } from "./fleet.js";
import { listenToKeys } from "./keys.js";
import { Plots } from "./plots.js";
import { Settings } from "./settings.js";
import { FrameStream } from "./stream.js";
import { chooseTheme } from "./theme.js";

/** So long after a pause, or in a hidden tab, the socket stays open. */
const REST_AFTER_SECONDS = 10;

const at = (id) => document.getElementById(id);
const density = new Field(at("density"), SEQUENTIAL);
const phase = new Field(at("phase"), CYCLIC);
const plots = new Plots(at("plots"));
const table = new FleetTable(at("models"));
const settings = new Settings(at("settings"), restart);
const nextTheme = chooseTheme(at("theme"), () => plots.show());

let models = [];
let stream = null;
let isPaused = matchMedia("(prefers-reduced-motion: reduce)").matches;
let owedFrames = 0;
let drawnAt = [];
let rest = null;
let newestStatus = [];
let key = "";

drawScale(at("density-scale"), SEQUENTIAL);
drawScale(at("phase-scale"), CYCLIC);
at("pause").addEventListener("click", togglePause);
at("next").addEventListener("click", nextFrame);
at("restart").addEventListener("click", restart);
at("new-seed").addEventListener("click", () => settings.newSeed());
listenToKeys(
  { " ": togglePause, ".": nextFrame, r: restart, n: () => settings.newSeed(), t: nextTheme, "?": toggleKeys },
  at("shortcuts"),
);
document.addEventListener("visibilitychange", restOrWake);
window.addEventListener("online", restOrWake);
window.addEventListener("resize", () => plots.show());
const readFleet = watchFleet("fleet.json", { key: () => key, onFleet: showFleet, onFailure: showNoFleet });
at("key-form").addEventListener("submit", useKey);
at("shortcuts").closest("details").open = matchMedia("(min-width: 901px)").matches;
showPause();
requestAnimationFrame(draw);

function showFleet(fleet) {
  at("key-form").hidden = true;
  at("fleet-state").textContent = table.show(fleet);
  at("gateway").textContent = gatewayOf(fleet);
  models = fieldModels(fleet);
  const changed = settings.offer(models.map((model) => ({ key: keyOf(model), label: keyOf(model) })));
  at("law").textContent = chosen() ? lawOf(chosen()) : "–";
  if (!models.length) {
    stopStream();
    showStatus("idle", "No model here serves the automaton.", "Apply one: kubectl apply -f examples/cpu-qca/model.yaml");
  } else if (changed || !stream) {
    begin({ mayWake: false });
  } else {
    showStatus(...newestStatus);
  }
}

function showNoFleet(sentence, wantsKey) {
  const wish = key ? "The gateway does not know this key." : "This gateway asks for a key.";
  const step = key ? "Type another one, or ask who runs the gateway" : "Type one of its API keys; who runs the gateway gives them";
  at("fleet-state").textContent = wantsKey ? wish : sentence;
  at("key-form").hidden = !wantsKey;
  if (!models.length) showStatus("idle", wantsKey ? wish : "No models are known yet.", wantsKey ? step : sentence);
}

function useKey(event) {
  event.preventDefault();
  key = at("key").value;
  stopStream();
  readFleet();
}

/** Of a WebSocket, which can have no headers: the key in a form that the gateway takes out again. */
function protocols() {
  if (!key) return [];
  const bytes = String.fromCharCode(...new TextEncoder().encode(key));
  return ["atheria.live", `atheria.live.key.${btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`];
}

function chosen() {
  return models.find((model) => keyOf(model) === settings.model);
}

function restart() {
  begin({ mayWake: true });
}

/** A new walk. A model at zero is woken by a person and not by a page that was opened. */
function begin({ mayWake }) {
  const model = chosen();
  if (!model) return;
  const sleeps = !mayWake && model.asked === 0 && model.ready === 0;
  if (sleeps) isPaused = true;
  stopStream();
  settings.keep();
  plots.clear();
  write("frame", 0);
  at("law").textContent = lawOf(model);
  density.blank(settings.walk.side);
  phase.blank(settings.walk.side);
  owedFrames = isPaused && !sleeps ? 1 : 0;
  showPause();
  const path = `models/${encodeURIComponent(model.namespace)}/${encodeURIComponent(model.name)}/stream?slow=wait`;
  const url = new URL(path, document.baseURI);
  url.hash = "";
  url.protocol = url.protocol.replace("http", "ws");
  stream = new FrameStream(url.href, protocols(), settings.walk, { onStatus: showStatus, onChanged });
  if (sleeps) showStatus("asleep", "At zero", "Run wakes a replica; an open page keeps it");
  else restOrWake();
}

function onChanged() {
  restart();
  showStatus("connecting", "Started anew", "the replica that answers now computes other numbers than the one before");
}

function stopStream() {
  stream?.end();
  stream = null;
}

/** `kind` as the stream has it; `why` is a cause in words of others. */
function showStatus(kind, text, why) {
  newestStatus = [kind, text, why];
  const shown = at("status");
  const model = chosen();
  const parts = [model && kind !== "idle" ? `${text}: ${keyOf(model)}.` : text];
  if (why) parts.push(`${why.charAt(0).toUpperCase()}${why.slice(1)}${/[.!?]$/.test(why) ? "" : "."}`);
  if (kind === "waiting" || kind === "waking") {
    if (model?.phase) parts.push(`The model is ${model.phase}${model.message ? `: ${model.message}` : ""}`);
  }
  if (kind === "failed") parts.push("Change a setting or the model, or press Restart.");
  if (kind === "streaming" && isPaused) parts[0] = `Paused: ${model ? keyOf(model) : ""}.`;
  const sentence = parts.join(" ");
  if (shown.textContent !== sentence) shown.textContent = sentence;
  shown.dataset.kind = kind;
}

function togglePause() {
  isPaused = !isPaused;
  owedFrames = 0;
  showPause();
  restOrWake();
}

function nextFrame() {
  if (!isPaused) return;
  owedFrames += 1;
  restOrWake();
}

function showPause() {
  at("pause").textContent = isPaused ? "Run" : "Pause";
  at("next").disabled = !isPaused;
  if (newestStatus.length) showStatus(...newestStatus);
}

/** An open socket is a call in flight, which wakes a model and keeps a replica: nobody needs one for a picture that stands still. */
function restOrWake() {
  clearTimeout(rest);
  if (!document.hidden && (!isPaused || owedFrames > 0)) stream?.connect();
  if ((!isPaused && !document.hidden) || !stream?.isAwake) return;
  rest = setTimeout(() => {
    if (owedFrames && !document.hidden) {
      restOrWake();
      return;
    }
    stream?.rest();
    showStatus("resting", "Paused", "the connection is closed, so that the model may scale to zero; it opens again where it was");
  }, REST_AFTER_SECONDS * 1000);
}

function toggleKeys() {
  const details = at("shortcuts").closest("details");
  details.open = !details.open;
  if (details.open) details.querySelector("summary").focus();
}

/** A number, unless it stands there already: a text that is set is laid out again. */
function write(id, number) {
  const shown = at(id);
  const text = String(number);
  if (shown.textContent !== text) shown.textContent = text;
}

function draw(now) {
  requestAnimationFrame(draw);
  plots.keepUp(now / 1000);
  drawnAt = drawnAt.filter((time) => now - time < 1000);
  const isTooSoon = now - (drawnAt.at(-1) ?? -Infinity) < 900 / Number(at("speed").value);
  const frame = (isPaused && !owedFrames) || isTooSoon ? null : stream?.take();
  write("fps", isPaused ? 0 : drawnAt.length);
  if (!frame) return;
  if (isPaused) owedFrames -= 1;
  const side = settings.walk.side;
  density.draw(frame.density, side);
  phase.draw(frame.phase, side);
  plots.add(frame.step, frame.metrics);
  write("frame", frame.step);
  drawnAt.push(now);
  if (!performance.getEntriesByName("first-frame").length) performance.mark("first-frame");
}
