// All sessions, the one opened last first.

import { form, labelled, linkTo, make, mark, row, table, when } from "../elements.js";
import { listing } from "./listing.js";

export function sessions({ act, signal, go }) {
  const name = make("input", { type: "search", placeholder: "name of a handler" });
  const body = make("tbody");
  const { refresh, rest } = listing({
    place: "/sessions", parent: body, keyOf: idOf, build: entry, nothing: "No sessions.", page: 50,
    query: () => ({ name: name.value.trim() }), act, signal,
  });
  const handler = make("input", { required: true, placeholder: "handler" });
  const key = make("input", { required: true, placeholder: "key" });
  const node = make("section", {}, make("h2", { text: "Sessions" }),
    form("Find", () => act(refresh), labelled("Handler", name)),
    table(["Session", "Status", "Opened", "Changed", "Why"], body), ...rest,
    form("Go", () => go(`${handler.value.trim()}/${key.value.trim()}`), labelled("Talk to a new one", handler),
      labelled("Key", key)));
  return { node, refresh };
}

function idOf(session) {
  return `${session.name}/${session.key}`;
}

function entry(session) {
  return row(linkTo(idOf(session)), mark(session.status), when(session.opened_at), when(session.updated_at),
    make("span", { class: "note", text: session.reason ?? "" }));
}
