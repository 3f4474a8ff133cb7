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

/** Raise an error for a name such as `..`: a browser removes it, and the path would name something else. */
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
export async function ask(place, { method = "GET", query = {}, body, key, again, signal } = {}) {
  const given = new URLSearchParams();
  for (const [name, each] of Object.entries(query)) if (each !== "" && each !== undefined) given.append(name, each);
  checkPath(place);
  let answer, text;
  try {
    answer = await fetch(`${base}/api/v1${place}${given.size ? `?${given}` : ""}`, {
      method,
      headers: headers({
        ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...(key ? { "Idempotency-Key": key } : {}),
      }),
      body,
      signal,
    });
    text = await answer.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    const next = again ? "ask again as it is, and it is done once" : "look before you ask again";
    const done = method === "GET" ? "" : `. It may have done what you asked: ${next}`;
    throw new Error(`The server does not answer: ${error.message}${done}`);
  }
  const kind = answer.headers.get("content-type") ?? "";
  const json = kind.includes("json");
  const found = json && text ? parse(text) : {};
  if (!answer.ok) throw new Refused(answer.status, { detail: `${answer.status} ${answer.statusText}`, ...found });
  if (!json) {
    const detail = `What answers here is not a greenroom server: it sent ${kind || "nothing"}`;
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
  return (await ask(place, { method: "POST", body: written(body) })).found;
}

const unanswered = new Map(); // the marks of the commands below that got no answer, by what was sent

/**
 * Send a command that the server does once, however often a person sends it until an answer comes.
 *
 * The server knows a repeated command by its key or, where `starts` names the workflow of a new run, by the run's id.
 */
export async function commandOnce(place, body, starts) {
  const text = written(body);
  const sent = `${place} ${text}`;
  const mark = unanswered.get(sent) ?? marking();
  unanswered.set(sent, mark);
  const told = starts ? { body: withMember(text, "id", runId(starts, mark)) } : { body: text, key: mark };
  try {
    const { found } = await ask(place, { method: "POST", again: true, ...told });
    unanswered.delete(sent);
    return found;
  } catch (error) {
    if (error.status < 500) unanswered.delete(sent); // a proxy answers with 502 or 504 what may have been done
    throw error;
  }
}

function marking() {
  return Array.from(crypto.getRandomValues(new Uint8Array(6)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Return an id for a run, of the characters that chosen ids may have. */
function runId(workflow, mark) {
  return `${workflow.replace(/[^A-Za-z0-9._-]/g, "").slice(0, 180)}-${mark}`;
}

/** Return the JSON text of an object with one more member; its other members stay as they are written. */
function withMember(text, name, given) {
  const members = [text.trim().slice(1, -1).trim(), `${JSON.stringify(name)}:${JSON.stringify(given)}`];
  return `{${members.filter(Boolean).join(",")}}`;
}

function written(body) {
  return body === undefined || typeof body === "string" ? body : JSON.stringify(body);
}
