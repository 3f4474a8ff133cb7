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

/** Keep a token for this tab. Return why no request could carry it, or "". */
export function keepToken(given) {
  const kept = given.trim();
  if (!/^[!-~]*$/.test(kept)) return "A token consists of visible ASCII characters, without spaces.";
  sessionStorage.setItem("token", kept);
  return "";
}

export function headers(more = {}) {
  return { Authorization: `Bearer ${token()}`, ...more };
}

/** Return a path of the API, with its names encoded: path`/runs/${id}/steps`. */
export function path(parts, ...names) {
  return parts.reduce((whole, part, place) => whole + encodeURIComponent(names[place - 1]) + part);
}

/** Raise an error where a browser would cut a name out of a path, which then is that of something else. */
export function checkPath(place) {
  if (/\/\.\.?(\/|$)/.test(place)) {
    throw new Error("No page can ask about what is called . or ..; the command greenroom can");
  }
}

/** Read JSON, with whole numbers that JavaScript would round kept as they are written. */
export function parse(text) {
  const exact = (_key, given, context) =>
    typeof given === "number" && Number.isInteger(given) && !Number.isSafeInteger(given) && context?.source
      ? JSON.rawJSON(context.source) : given;
  return JSON.parse(text, JSON.rawJSON ? exact : undefined);
}

/** Return what a question brings, or null if it was asked again meanwhile: an old answer never replaces a newer one. */
export function newest(question) {
  let last = 0;
  return async () => {
    last += 1;
    const number = last;
    const found = await question();
    return number === last ? found : null;
  };
}

/** Send a request below /api/v1. Return what came, and the cursor of that list's next page; "" if this is the last. */
export async function ask(place, { method = "GET", query = {}, body, signal } = {}) {
  const given = new URLSearchParams();
  for (const [name, each] of Object.entries(query)) if (each !== "" && each !== undefined) given.append(name, each);
  checkPath(place);
  let answer, text;
  try {
    answer = await fetch(`${base}/api/v1${place}${given.size ? `?${given}` : ""}`, {
      method,
      headers: headers(body === undefined ? {} : { "Content-Type": "application/json" }),
      body,
      signal,
    });
    text = await answer.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    const done = method === "GET" ? "" : ". It may have done what you asked: look before you ask again";
    throw new Error(`The server does not answer: ${error.message}${done}`);
  }
  const kind = answer.headers.get("content-type") ?? "";
  const json = kind.includes("json");
  const found = json && text ? parse(text) : {};
  if (!answer.ok) throw new Refused(answer.status, { detail: `${answer.status} ${answer.statusText}`, ...found });
  if (!json) {
    const detail = `What answers here is no greenroom server: it sent ${kind || "nothing"}`;
    throw new Refused(answer.status, { detail });
  }
  const next = answer.headers.get("link")?.match(/[?&]cursor=([^&>]*)/)?.[1] ?? "";
  return { found, next: decodeURIComponent(next) };
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
