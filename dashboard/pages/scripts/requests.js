// Requests to the server that the page came from, with the token of this tab.

/** Path below which the server is, where a proxy puts it elsewhere than at the root. */
export const base = location.pathname.replace(/\/(docs\/?)?$/, "");

/** A request that the server has refused, with its own words. */
export class Refused extends Error {
  constructor(status, problem) {
    super([problem.detail, problem.fix].filter(Boolean).join(". "));
    this.status = status;
  }
}

export function token() {
  return sessionStorage.getItem("token") ?? "";
}

export function keepToken(given) {
  sessionStorage.setItem("token", given.trim());
}

export function headers(more = {}) {
  return { Authorization: `Bearer ${token()}`, ...more };
}

/** Return a path of the API, with its names encoded: path`/runs/${id}/steps`. */
export function path(parts, ...names) {
  return parts.reduce((whole, part, place) => whole + encodeURIComponent(names[place - 1]) + part);
}

/** Read JSON, with whole numbers that JavaScript would round kept as they are written. */
export function parse(text) {
  const exact = (_key, given, context) =>
    typeof given === "number" && Number.isInteger(given) && !Number.isSafeInteger(given) && context?.source
      ? JSON.rawJSON(context.source) : given;
  return JSON.parse(text, JSON.rawJSON ? exact : undefined);
}

/** Send a request below /api/v1. Return what came, and whether there are more entries of that list. */
export async function ask(place, { method = "GET", query = {}, body, signal } = {}) {
  const given = new URLSearchParams();
  for (const [name, each] of Object.entries(query)) if (each !== "" && each !== undefined) given.append(name, each);
  const answer = await fetch(`${base}/api/v1${place}${given.size ? `?${given}` : ""}`, {
    method,
    headers: headers(body === undefined ? {} : { "Content-Type": "application/json" }),
    body,
    signal,
  });
  const text = await answer.text();
  const kind = answer.headers.get("content-type") ?? "";
  const found = kind.includes("json") && text ? parse(text) : {};
  if (!answer.ok) throw new Refused(answer.status, { detail: `${answer.status} ${answer.statusText}`, ...found });
  return { found, more: answer.headers.has("link"), status: answer.status };
}

/** Return what a path of the API shows. */
export async function read(place, query, signal) {
  return (await ask(place, { query, signal })).found;
}

/** Send a command. `body` is an object, or JSON text that is sent as it is. */
export async function command(place, body) {
  const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
  return (await ask(place, { method: "POST", body: text })).found;
}
