// The fleet's numbers, read each second, as a table. All strings in them are shown as text. Used by main.js.

import { Backoff } from "./backoff.js";

const READ_EACH_SECONDS = 1;
const READ_SECONDS = 5;
const ROWS_MOST = 100;
const NONE = "–";

/**
 * Reads `url` each second while the page is seen, slower while it fails. `key()`: the API key, or an empty string.
 * `onFleet(fleet)`; `onFailure(sentence, wantsKey)`. Returns a function that reads at once.
 */
export function watchFleet(url, { key, onFleet, onFailure }) {
  const backoff = new Backoff(READ_EACH_SECONDS, 10);
  let timer = null;

  async function read() {
    clearTimeout(timer);
    if (document.hidden) return;
    let wait = READ_EACH_SECONDS;
    let fleet;
    try {
      fleet = await fleetFrom(url, key());
      backoff.reset();
    } catch (error) {
      wait = backoff.next();
      const cause = error.message.replace(/\.$/, "");
      onFailure(`The fleet's numbers cannot be read: ${cause}. Next try in ${Math.ceil(wait)} s.`, error.wantsKey === true);
    }
    if (fleet !== undefined) onFleet(fleet);
    clearTimeout(timer);
    timer = setTimeout(read, wait * 1000);
  }

  document.addEventListener("visibilitychange", read);
  read();
  return read;
}

async function fleetFrom(url, key) {
  const headers = headersWith(key);
  const answer = await fetch(url, { cache: "no-store", headers, signal: AbortSignal.timeout(READ_SECONDS * 1000) });
  if (answer.ok) return answer.json();
  const said = await answer.json().catch(() => null);
  const sentence = typeof said?.error === "string" ? said.error : `the gateway answered ${answer.status}`;
  throw Object.assign(new Error(sentence), { wantsKey: answer.status === 401 });
}

function headersWith(key) {
  try {
    return new Headers(key ? { authorization: `Bearer ${key}` } : {});
  } catch {
    throw Object.assign(new Error("the key has letters that no header takes"), { wantsKey: true });
  }
}

/** The gateway that answered, in words. */
export function gatewayOf(fleet) {
  const { pod, gateways, held, inFlight } = fleet?.gateway ?? {};
  if (!pod) return "";
  return `Seen by gateway ${pod}${gateways > 1 ? `, one of ${gateways}` : ""}: ${text(held)} held, ${text(inFlight)} in flight.`;
}

/** The models whose frames this page can draw. */
export function fieldModels(fleet) {
  return models(fleet).filter((model) => model.source === "builtin://qca");
}

/** What says which model is meant: namespace/name. */
export function keyOf(model) {
  return `${model.namespace}/${model.name}`;
}

/** Its law in words, from its parameters. */
export function lawOf(model) {
  const { law, preset, kappa, theta0 } = model.parameters ?? {};
  if (law === undefined) return preset === undefined ? "nca" : `preset ${preset}`;
  const constants = Object.entries({ κ: kappa, θ0: theta0 }).filter(([, value]) => value !== undefined);
  return [law, ...constants.map(([name, value]) => `${name} = ${value}`)].join(", ");
}

/** The models of a document that somebody else wrote. */
function models(fleet) {
  const found = Array.isArray(fleet?.models) ? fleet.models : [];
  return found.filter((model) => typeof model?.namespace === "string" && typeof model?.name === "string");
}

function hasCalls(model) {
  return Number(model.held > 0 || model.inFlight > 0);
}

export class FleetTable {
  #body;
  #shown = "";

  /** `body`: a tbody. */
  constructor(body) {
    this.#body = body;
  }

  /** One row a model, of many those with calls first; a sentence on what is shown. */
  show(fleet) {
    const all = models(fleet);
    const first = new Set(all.toSorted((one, other) => hasCalls(other) - hasCalls(one)).slice(0, ROWS_MOST));
    const rows = all.filter((model) => first.has(model));
    const now = JSON.stringify(rows);
    if (now !== this.#shown) {
      this.#shown = now;
      this.#body.replaceChildren(...rows.map(rowOf));
      this.#body.closest("table").hidden = rows.length === 0;
    }
    if (!all.length) return "No models. Apply one: kubectl apply -f examples/cpu-qca/model.yaml";
    const total = Math.max(all.length, Number(fleet?.total) || 0);
    const more = total > rows.length ? `, ${rows.length} of them shown` : "";
    return `${total} ${total === 1 ? "model" : "models"}${more}.`;
  }
}

function rowOf(model) {
  const row = document.createElement("tr");
  row.setAttribute("role", "row");
  const decision = model.lastDecision ?? {};
  row.append(
    cell("Model", keyOf(model), model.source),
    cell("Phase", text(model.phase), [model.reason === model.phase ? "" : model.reason, model.message].filter(Boolean).join(": ")),
    cell("Ready / asked", `${text(model.ready)} / ${text(model.asked)}`),
    cell("Held", text(model.held)),
    cell("In flight", text(model.inFlight)),
    cell("Queue", text(model.queue)),
    cell("Cost per 1000", cost(model), typeof model.costPer1000Usd === "number" ? model.costBasis : ""),
    cell("Last decision", text(decision.message ?? decision.reason), decision.message && decision.reason),
  );
  return row;
}

function cell(label, main, more) {
  const made = document.createElement("td");
  made.setAttribute("role", "cell");
  made.dataset.label = label;
  const value = document.createElement("span");
  value.textContent = main;
  made.append(value);
  if (more) {
    const small = document.createElement("small");
    small.textContent = String(more);
    made.append(small);
  }
  return made;
}

function text(value) {
  return value === undefined || value === null || value === "" ? NONE : String(value);
}

function cost({ costPer1000Usd, costUnknown }) {
  if (typeof costPer1000Usd === "number") return `$${costPer1000Usd.toPrecision(3)}`;
  return typeof costUnknown === "string" ? costUnknown : NONE;
}
