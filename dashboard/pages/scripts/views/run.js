// One run: its steps with all attempts and scores, its questions, its events, its output, and what can be done with it.

import { asked, button, fold, form, keyed, labelled, linkTo, make, mark, took, value, when } from "../elements.js";
import { command, commandOnce, path, read } from "../requests.js";
import { question } from "./approvals.js";
import { newestPages } from "./newest_pages.js";
import { conversation, failure, outputOf, scores, stepRecord } from "./records.js";

const EVENTS = 100;
const ENDED = ["completed", "failed", "cancelled"];

export function run({ names, act, signal, go }) {
  const id = names.join("/");
  const place = path`/runs/${id}`;
  const head = make("div");
  const end = make("div");
  const state = make("div");
  const questions = make("div");
  const steps = make("div");
  const pages = newestPages(`${place}/steps`, signal);
  const earlier = button("Show earlier steps", () => {
    pages.showEarlier();
    return act(load);
  });
  const fillHead = keyed(head, () => id, (record) => heading(record, place, fork, act));
  const fillEnd = keyed(end, () => id, (status) =>
    make("div", {}, status === "completed" ? fold(`${id} result`, "Result", () => result(place, act)) : null));
  const fillState = keyed(state, () => id, (held) => fold(`${id} state`, "Shared state", () => value(held)));
  const fillQuestions = keyed(questions, (each) => each.id, (each) => question(each, act));
  const fillSteps = keyed(steps, (each) => each.key, (each) => stepRecord(id, each, fork));
  let seen = null;
  let workflow = "";
  earlier.hidden = true;

  /** Fork the run before a step; without one, from its start. */
  function fork(at) {
    return act(async () => go((await commandOnce(`${place}/fork`, { at }, workflow)).run_id));
  }

  async function refresh() {
    const record = await read(place, {}, signal);
    workflow = record.workflow;
    fillHead([{ ...record, events: null, updated_at: null }]); // these change with every event, and are not shown
    fillEnd([record.status]);
    fillQuestions(await read("/approvals", { run_id: id }, signal));
    const mark = `${record.events} ${record.status}`;
    if (seen === mark) return;
    if (await load()) seen = mark;
  }

  /** Show the steps and the state. Return false if that was begun anew meanwhile. */
  async function load() {
    const found = await pages.read();
    if (found === null) return false;
    fillSteps(found);
    earlier.hidden = !pages.hasEarlier();
    const held = (await read(`${place}/state`, {}, signal)).state;
    fillState(held === null ? [] : [held]);
    return true;
  }

  const node = make("section", {}, head, end, fold(`${id} input`, "Arguments", () => given(place, act)),
    questions, make("h3", { text: "Steps" }), earlier, steps, state,
    fold(`${id} signal`, "Send a message to it", () => signaller(place, act)),
    fold(`${id} conversation`, "Conversation with its model", () => conversation(place, act, signal)),
    fold(`${id} output`, "What its code printed", () => outputOf(place, act, signal)),
    fold(`${id} events`, "Newest events", () => newestEvents(place, act, signal)));
  return { node, refresh };
}

function heading(record, place, fork, act) {
  const told = (verb, body, doubt) =>
    button(verb, () => act(() => command(`${place}/${verb.toLowerCase()}`, body)), doubt);
  const ended = ENDED.includes(record.status);
  const stopped = ["paused", "parked"].includes(record.status);
  const deeds = ended
    ? [record.status === "failed" ? told("Retry") : null]
    : [stopped ? told("Resume") : told("Pause"), told("Cancel", {}, `Cancel run ${record.id}?`)];
  return make("div", {},
    make("h2", {}, "Run ", make("code", { text: record.id }), " ", mark(record.status)),
    make("p", {}, `${record.workflow} of ${record.app}, started `, when(record.started_at),
      record.ended_at ? `, took ${took(record.started_at, record.ended_at)}` : "",
      ...(record.parent ? [", child of ", linkTo(record.parent)] : [])),
    record.reason ? make("p", { class: "reason", text: record.reason }) : null,
    make("p", { class: "deeds" }, ...deeds, button("Fork", () => fork())),
    record.failure ? failure(`${record.id} failure`, record.failure, record.reason ?? "") : null,
    scores(record.evaluations));
}

function result(place, act) {
  return asked(act, async () => value((await read(`${place}/result`)).result));
}

function given(place, act) {
  return asked(act, async () => value((await read(`${place}/events`, { limit: 1 }))[0]?.arguments ?? {}));
}

function newestEvents(place, act, signal) {
  return asked(act, async () => {
    const { events } = await read(place, {}, signal);
    const found = await read(`${place}/events`, { after: Math.max(0, events - EVENTS), limit: EVENTS }, signal);
    return make("div", {}, ...found.reverse().map((event) =>
      fold(`${place} ${event.seq}`, `${event.seq} ${event.type} ${new Date(event.time).toLocaleTimeString()}`,
        () => value(event))));
  }, true);
}

function signaller(place, act) {
  const name = make("input", { required: true, placeholder: "name of its type" });
  const body = make("textarea", { "aria-label": "message as JSON", spellcheck: "false" }, "{}");
  return form("Send", () => act(() =>
    commandOnce(`${place}/signal`, `{"name":${JSON.stringify(name.value.trim())},"value":${body.value}}`)),
  labelled("Type", name), labelled("Message", body));
}
