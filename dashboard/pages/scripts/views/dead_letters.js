// Messages and steps that failed and were set aside.

import { button, keyed, linkTo, make, value, when } from "../elements.js";
import { command, path, read } from "../requests.js";
import { failure } from "./records.js";

export function deadLetters({ act, signal }) {
  const list = make("div");
  const none = make("p", { class: "note", hidden: true, text: "Nothing was set aside." });
  const fill = keyed(list, (each) => `${each.run_id} ${each.letter}`, (each) => letter(each, act));
  async function refresh() {
    const found = await read("/dead-letters", { limit: 1000 }, signal);
    fill(found);
    none.hidden = found.length > 0;
  }
  return { node: make("section", {}, make("h2", { text: "Dead letters" }), none, list), refresh };
}

function letter(each, act) {
  const place = path`/dead-letters/${each.run_id}/${each.letter}`;
  return make("article", {},
    make("h4", {}, `${each.kind} ${each.letter} of type ${each.type} in `, linkTo(each.run_id)),
    make("p", { class: "note" }, when(each.at)),
    failure(`${each.run_id} ${each.letter}`, each.failure),
    each.kind === "message" ? value(each.value) : null,
    make("p", { class: "deeds" }, button("Send again", () => act(() => command(`${place}/redrive`))),
      button("Drop", () => act(() => command(`${place}/drop`)), "Drop it for good?")));
}
