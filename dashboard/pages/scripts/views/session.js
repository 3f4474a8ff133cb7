// One session: its messages and replies, its questions to people, its state, and a form to talk to it.

import {
  asked, button, choice, counted, fold, form, keyed, labelled, make, mark, took, value, when,
} from "../elements.js";
import { command, commandOnce, path, read } from "../requests.js";
import { exampleText } from "../schemas.js";
import { question } from "./approvals.js";
import { newestPages } from "./newest_pages.js";
import { conversation, failure, outputOf, scores, stepRecord } from "./records.js";

export function session({ names, act, signal }) {
  const [name, key] = names;
  const id = `${name}/${key}`;
  const place = path`/sessions/${name}/${key}`;
  const head = make("div");
  const questions = make("div");
  const turns = make("div");
  const fillQuestions = keyed(questions, (each) => each.id, (each) => question(each, act));
  const fillHead = keyed(head, () => id, (record) => heading(record, id, place, act));
  const fillTurns = keyed(turns, (each) => String(each.number), (each) => turn(id, each));
  const pages = newestPages(`${place}/history`, signal);
  const earlier = button("Show earlier messages", () => {
    pages.showEarlier();
    return act(load);
  });
  let seen = null;
  earlier.hidden = true;

  async function refresh() {
    let record;
    try {
      record = await read(place, {}, signal);
    } catch (error) {
      if (error.status !== 404) throw error;
      fillHead([null]);
      return;
    }
    fillHead([{ ...record, events: null, updated_at: null, last_turn: null }]); // these change often, and are not shown
    fillQuestions(await read("/approvals", { run_id: id }, signal));
    if (seen !== record.events && await load()) seen = record.events;
  }

  /** Show the messages. Return false if that was begun anew meanwhile. */
  async function load() {
    const found = await pages.read();
    if (found === null) return false;
    fillTurns(found);
    earlier.hidden = !pages.hasEarlier();
    return true;
  }

  const node = make("section", {}, head, earlier, turns, questions, talker(name, place, act, signal),
    fold(`${id} conversation`, "Conversation with its model", () => conversation(place, act, signal)),
    fold(`${id} output`, "What its code printed", () => outputOf(path`/runs/${id}`, act, signal)));
  return { node, refresh };
}

function heading(record, id, place, act) {
  const title = make("h2", {}, "Session ", make("code", { text: id }), " ", record ? mark(record.status) : "");
  if (record === null) {
    return make("div", {}, title, make("p", { class: "note", text: "Its first message opens it." }));
  }
  return make("div", {}, title,
    make("p", {}, `of ${record.app}, opened `, when(record.opened_at), record.waiting ? `, waiting: ${counted(record.waiting, "message")}` : ""),
    record.reason ? make("p", { class: "reason", text: record.reason }) : null,
    record.closed ? null : make("p", { class: "deeds" },
      ["paused", "parked"].includes(record.status)
        ? button("Resume", () => act(() => command(path`/runs/${id}/resume`))) : null,
      button("Cancel its turn", () => act(() => command(`${place}/cancel_turn`, {}))),
      button("Close", () => act(() => command(`${place}/close`)),
        `Close session ${id}? It takes no more messages then.`)),
    record.state === null ? null : fold(`${id} state`, "State", () => value(record.state)));
}

function turn(owner, each) {
  const id = `${owner} turn ${each.number}`;
  return make("article", {},
    make("h4", {}, `${each.number} ${each.message_type} `, mark(each.status),
      make("span", { class: "note" }, " ", when(each.received_at),
        each.ended_at ? `, took ${took(each.received_at, each.ended_at)}` : "")),
    value(each.message),
    each.status === "answered" ? value(each.reply) : null,
    each.failure ? failure(id, each.failure) : null,
    each.error && !each.failure ? make("p", { class: "reason", text: each.error }) : null,
    scores(each.evaluations),
    each.steps.length ? fold(`${id} steps`, counted(each.steps.length, "step"), () =>
      make("div", {}, ...each.steps.map((step) => stepRecord(id, step)))) : null);
}

/** Return a form that sends a message of one of the types that the handler takes. */
function talker(name, place, act, signal) {
  return asked(act, async () => {
    const handler = (await read("/handlers", { limit: 1000 }, signal)).find((each) => each.name === name);
    if (!handler) return make("p", { class: "note", text: `No served file defines a handler ${name}.` });
    const types = Object.keys(handler.messages);
    const type = choice(types);
    const body = make("textarea", { "aria-label": "message as JSON", spellcheck: "false" });
    const choose = () => {
      body.value = exampleText(handler.messages[type.value]);
    };
    type.addEventListener("change", choose);
    type.value = types[0];
    choose();
    return form("Send", () => act(() =>
      commandOnce(place, `{"type":${JSON.stringify(type.value)},"reply":false,"message":${body.value}}`)),
    labelled("Type", type), labelled("Message", body));
  });
}
