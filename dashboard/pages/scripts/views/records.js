// What a run and a session have in common: steps, attempts, scores, failures, conversations, and output.

import { asked, button, fold, make, mark, took, value, when } from "../elements.js";
import { ask } from "../requests.js";

const LINES = 500;

/** Return one step with its attempts. `fork` forks the run before it; without it the step has no such button. */
export function stepRecord(owner, step, fork) {
  const id = `${owner} ${step.key}`;
  const last = step.attempts.at(-1);
  return make("article", {},
    make("h4", {}, make("code", { text: step.key }), ` ${step.kind} `, mark(step.status),
      step.flagged ? mark("flagged") : null,
      step.retry_at ? make("span", { class: "note" }, " next attempt ", when(step.retry_at)) : null),
    make("ol", { class: "attempts" }, ...step.attempts.map((each) => attempt(id, each))),
    scores(step.evaluations),
    fold(`${id} arguments`, "Arguments", () => value(step.arguments)),
    step.status === "completed" ? fold(`${id} result`, "Result", () => value(step.result)) : null,
    last?.progress === undefined || last?.progress === null ? null
      : fold(`${id} progress`, "Progress", () => value(last.progress)),
    fork ? button("Fork before this step", () => fork(step.key)) : null);
}

function attempt(owner, each) {
  const id = `${owner} ${each.number}`;
  const used = Object.entries(each.usage ?? {}).map(([name, amount]) => `${amount} ${name.replaceAll("_", " ")}`).join(", ");
  const end = each.exit ? [each.exit.kind, each.exit.signal, each.exit.detail].filter(Boolean).join(", ") : "";
  const more = [each.error, each.place, end, each.exit?.stderr, each.traceback].filter(Boolean).join("\n\n");
  return make("li", { value: String(each.number) },
    mark(each.outcome ?? "running"),
    each.ended_at ? ` ${took(each.started_at, each.ended_at)}` : make("span", {}, " since ", when(each.started_at)),
    ` in ${each.worker}, pid ${each.pid}`,
    each.charged ? "" : ", not counted",
    used ? `, ${used}` : "",
    each.error ? make("span", { class: "reason", text: ` ${each.error.split("\n")[0]}` }) : null,
    more ? fold(`${id} more`, "What happened", () => make("pre", { text: more })) : null);
}

/** Return the scores of a result; null if there are none. */
export function scores(evaluations) {
  if (!evaluations?.length) return null;
  return make("ul", { class: "scores" }, ...evaluations.map((each) => make("li", {},
    mark(each.error ? "error" : each.passed ? "passed" : "rejected"), ` ${each.name} `,
    each.score === null ? "no score" : `${each.score} of ${each.threshold}`,
    each.panel ? `, one of ${each.panel}` : "",
    each.background ? ", in the background: it decides nothing" : "",
    make("span", { class: "note", text: ` ${[each.label, each.error ?? each.reason].filter(Boolean).join(": ")}` }))));
}

/** Return an exception or a crash, without what has been `said` of it. */
export function failure(id, failed, said = "") {
  const text = [failed.type || failed.outcome, failed.message].filter(Boolean).join(": ");
  return make("div", { class: "reason" }, said.startsWith(text) ? null : make("p", { text }),
    failed.traceback ? fold(`${id} traceback`, "Traceback", () => make("pre", { text: failed.traceback })) : null);
}

/** Return a list, one page at a time, each page built by a function. */
function listed(place, act, signal, nothing, build) {
  const load = async (cursor) => {
    const { found, next } = await ask(place, { query: { limit: LINES, cursor }, signal });
    if (!found.length) return make("p", { class: "note", text: nothing });
    const more = button("Show more", () => act(async () => {
      const rest = await load(next);
      more.remove();
      page.append(rest);
    }));
    const page = make("div", {}, build(found), next ? more : null);
    return page;
  };
  return asked(act, () => load(""), true);
}

/** Return the messages between an agent and its model. */
export function conversation(place, act, signal) {
  return listed(`${place}/transcript`, act, signal, "No agent has asked its model.", (found) =>
    make("div", {}, ...found.map((each, number) => message(`${place} message ${number}`, each))));
}

function message(id, each) {
  const about = each.role === "tool" ? ` ${each.name} ${each.call}` : each.model ? ` ${each.model}` : "";
  return make("article", {},
    make("h4", {}, each.role, make("span", { class: "note", text: about }), each.failed ? mark("failed") : null),
    each.text ? value(each.text) : null,
    ...(each.calls ?? []).map((call) => make("div", {}, "calls ", make("code", { text: call.name }),
      make("span", { class: "note", text: ` ${call.id}` }), value(call.arguments))),
    each.raw ? fold(id, "In the form of its provider", () => value(each.raw)) : null);
}

/** Return the lines that the code has printed. */
export function outputOf(place, act, signal) {
  return listed(`${place}/logs`, act, signal, "It has printed nothing.", (found) =>
    make("pre", { text: found.map((line) => `${line.step ?? "workflow"}: ${line.text}`).join("\n") }));
}
