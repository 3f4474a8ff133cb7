// The questions that wait for a person's decision.

import { button, labelled, linkTo, make, prose, value, when } from "../elements.js";
import { command, path } from "../requests.js";
import { listing } from "./listing.js";

export function approvals({ act, signal }) {
  const list = make("div");
  const { refresh, rest } = listing({
    place: "/approvals", parent: list, keyOf: (each) => each.id, build: (each) => question(each, act),
    nothing: "Nothing waits for a decision.", page: 1000, act, signal,
  });
  return { node: make("section", {}, make("h2", { text: "Approvals" }), list, ...rest), refresh };
}

/** Return one question with a form to decide it. */
export function question(asked, act) {
  const name = make("input", { placeholder: "your name" });
  const comment = make("input", { placeholder: "why" });
  const written = JSON.stringify(asked.args, null, 2);
  const args = make("textarea", { "aria-label": "other arguments, as JSON", spellcheck: "false" }, written);
  name.value = sessionStorage.getItem("name") ?? "";
  const decide = (decision) => act(async () => {
    sessionStorage.setItem("name", name.value);
    const said = JSON.stringify({ decision, comment: comment.value, by: name.value });
    const edited = decision === "edit" ? `,"args":${args.value}` : ""; // as typed, so that no number is rounded
    await command(path`/approvals/${asked.id}`, `${said.slice(0, -1)}${edited}}`);
    node.replaceChildren(make("p", { class: "note", text: `${asked.action}: ${decision}` }));
  });
  const node = make("article", { class: "question" },
    make("h4", {}, prose(asked.action)),
    make("p", {}, linkTo(asked.run_id), " asked ", when(asked.asked_at),
      asked.step ? ` about ${asked.step}` : ""),
    asked.reason ? make("p", { class: "reason", text: asked.reason }) : null,
    value(asked.args),
    make("div", { class: "fields" }, labelled("By", name), labelled("Comment", comment)),
    make("p", { class: "deeds" }, button("Approve", () => decide("approve")), button("Reject", () => decide("reject"))),
    make("details", {}, make("summary", { text: "Approve with other arguments" }), args,
      button("Approve these", () => decide("edit"))));
  return node;
}
