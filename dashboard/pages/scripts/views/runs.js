// All runs, the newest first, and a form that starts one.

import {
  asked, choice, fold, form, labelled, linkTo, make, mark, row, table, took, value, when,
} from "../elements.js";
import { command, commandOnce, read } from "../requests.js";
import { exampleText } from "../schemas.js";
import { listing } from "./listing.js";

const STATUSES = ["", "running", "waiting", "paused", "parked", "completed", "failed", "cancelled", "pending"];

export function runs({ act, signal, go }) {
  const status = choice(STATUSES);
  const name = make("input", { type: "search", placeholder: "name of a workflow" });
  const body = make("tbody");
  const { refresh, rest } = listing({
    place: "/runs", parent: body, keyOf: (each) => each.id, build: entry, nothing: "No runs.", page: 50,
    query: () => ({ status: status.value, name: name.value.trim() }), act, signal,
  });
  status.addEventListener("change", () => act(refresh));
  const node = make("section", {}, make("h2", { text: "Runs" }),
    fold("start", "Start a run", () => starter(act, signal, go)),
    form("Find", () => act(refresh), labelled("Status", status), labelled("Workflow", name)),
    table(["Run", "Workflow", "Status", "Started", "Took", "Why"], body), ...rest);
  return { node, refresh };
}

function entry(run) {
  return row(linkTo(run.id), run.workflow, mark(run.status), when(run.started_at),
    run.ended_at ? took(run.started_at, run.ended_at) : "", make("span", { class: "note", text: run.reason ?? "" }));
}

/** Return a form with one of the served workflows and its arguments. */
function starter(act, signal, go) {
  const about = make("div");
  return asked(act, async () => {
    const workflows = await read("/workflows", { limit: 1000 }, signal);
    if (!workflows.length) {
      return make("p", { class: "note", text: "The served files define no workflow." });
    }
    const names = workflows.map((each) => nameOf(each, workflows));
    const which = choice(names);
    const input = make("textarea", { "aria-label": "arguments as JSON", spellcheck: "false" });
    const id = make("input", { placeholder: "generated" });
    const choose = () => {
      const chosen = workflows[names.indexOf(which.value)];
      input.value = exampleText(chosen.input_schema ?? { type: "object" });
      about.replaceChildren(make("p", { text: chosen.doc }), value(chosen.input_schema));
    };
    which.addEventListener("change", choose);
    which.value = names[0];
    choose();
    return make("div", {}, form("Start", () => act(async () => {
      const named = id.value.trim();
      const given = named ? `,"id":${JSON.stringify(named)}` : "";
      const text = `{"workflow":${JSON.stringify(which.value)},"input":${input.value}${given}}`;
      const run = await (named ? command("/runs", text) : commandOnce("/runs", text, which.value.split(":").at(-1)));
      go(run.id);
    }), labelled("Workflow", which), labelled("Id", id), labelled("Arguments", input)), about);
  });
}

/** Return the name by which a workflow is started: with its file, where several files define one of that name. */
function nameOf(workflow, all) {
  const alone = all.filter((each) => each.name === workflow.name).length === 1;
  return alone ? workflow.name : `${workflow.app}:${workflow.name}`;
}
