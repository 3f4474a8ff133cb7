// All sessions, the one opened last first.

import { form, keyed, labelled, linkTo, make, mark, row, table, when } from "../elements.js";
import { ask, newest } from "../requests.js";

const PAGE = 50;

export function sessions({ act, signal, go }) {
  const name = make("input", { type: "search", placeholder: "name of a handler" });
  const body = make("tbody");
  const none = make("p", { class: "note", hidden: true, text: "There is no such session." });
  const more = make("button", { type: "button", text: "Show more", hidden: true });
  const fill = keyed(body, (each) => `${each.name}/${each.key}`, (each) => row(linkTo(`${each.name}/${each.key}`),
    mark(each.status), when(each.opened_at), when(each.updated_at),
    make("span", { class: "note", text: each.reason ?? "" })));
  const handler = make("input", { required: true, placeholder: "handler" });
  const key = make("input", { required: true, placeholder: "key" });
  const look = newest(() => ask("/sessions", { query: { limit, name: name.value.trim() }, signal }));
  let limit = PAGE;

  async function refresh() {
    const answer = await look();
    if (answer === null) return;
    fill(answer.found);
    more.hidden = !answer.next;
    none.hidden = answer.found.length > 0;
  }

  more.addEventListener("click", () => {
    limit += PAGE;
    act(refresh);
  });
  const node = make("section", {}, make("h2", { text: "Sessions" }),
    form("Find", () => act(refresh), labelled("Handler", name)),
    table(["Session", "Status", "Opened", "Changed", "Why"], body), none, more,
    form("Go", () => go(`${handler.value.trim()}/${key.value.trim()}`), labelled("Talk to a new one", handler),
      labelled("Key", key)));
  return { node, refresh };
}
