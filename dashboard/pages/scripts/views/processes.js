// The supervision tree, and the worker processes with what each is doing.

import { button, counted, keyed, linkTo, make, mark, row, table } from "../elements.js";
import { command, path, read } from "../requests.js";

export function processes({ act, signal }) {
  const body = make("tbody");
  const tree = make("div");
  const fill = keyed(body, (each) => each.id, (each) => entry(each, act));
  const fillTree = keyed(tree, () => "tree", (root) => make("ul", { class: "tree" }, branch(root)));
  async function refresh() {
    const found = await read("/actors", {}, signal);
    fill(found.workers.map((each) => ({ ...each, rss_bytes: undefined, memory: mebibytes(each.rss_bytes) })));
    fillTree([found.tree]);
  }
  const node = make("section", {}, make("h2", { text: "Processes" }),
    table(["Worker", "Pool", "Pid", "Status", "At work on", "Restarts", "Memory", ""], body),
    make("h3", { text: "Supervision tree" }), tree);
  return { node, refresh };
}

function entry(worker, act) {
  const place = path`/actors/${worker.id}`;
  const work = worker.run_id ? make("span", {}, linkTo(worker.run_id), ` ${worker.step ?? ""}`) : "";
  return row(make("code", { text: worker.id }), worker.pool, String(worker.pid ?? ""), mark(worker.status), work,
    String(worker.restarts), worker.memory,
    make("span", { class: "deeds" }, button("Kill", () => act(() => command(`${place}/kill`, {}))),
      button("Restart", () => act(() => command(`${place}/restart`)))));
}

/** Return a size as it is shown, so that a row stays as it is where only bytes have changed. */
function mebibytes(bytes) {
  return bytes === null ? "" : `${Math.round(bytes / 2 ** 20)} MiB`;
}

function branch(actor) {
  const facts = [actor.kind, actor.strategy, actor.pid ? `pid ${actor.pid}` : "",
    actor.restarts ? counted(actor.restarts, "restart") : "", actor.detail].filter(Boolean).join(", ");
  return make("li", {}, make("code", { text: actor.id }), " ", mark(actor.status),
    make("span", { class: "note", text: ` ${facts}` }),
    actor.children.length ? make("ul", {}, ...actor.children.map(branch)) : null);
}
