// Messages and steps that failed and were set aside.

import { button, linkTo, make, value, when } from "../elements.js";
import { command, path } from "../requests.js";
import { listing } from "./listing.js";
import { failure } from "./records.js";

export function deadLetters({ act, signal }) {
  const list = make("div");
  const { refresh, rest } = listing({
    place: "/dead-letters", parent: list, keyOf: (each) => `${each.run_id} ${each.letter}`,
    build: (each) => letter(each, act), nothing: "Nothing was set aside.", page: 1000, act, signal,
  });
  return { node: make("section", {}, make("h2", { text: "Dead letters" }), list, ...rest), refresh };
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
