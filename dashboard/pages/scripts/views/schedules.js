// All schedules, with their next times and what became of the last ones.

import { button, fold, keyed, linkTo, make, mark, row, table, value, when } from "../elements.js";
import { command, path, read } from "../requests.js";

export function schedules({ act, signal }) {
  const body = make("tbody");
  const none = make("p", { class: "note", hidden: true, text: "There is no schedule." });
  const fill = keyed(body, (each) => each.name, (each) => entry(each, act));
  async function refresh() {
    const found = await read("/schedules", { limit: 1000 }, signal);
    fill(found);
    none.hidden = found.length > 0;
  }
  const headings = ["Schedule", "Starts", "When", "Status", "Next", "Last", ""];
  const node = make("section", {}, make("h2", { text: "Schedules" }), table(headings, body), none);
  return { node, refresh };
}

function entry(schedule, act) {
  const place = path`/schedules/${schedule.name}`;
  const told = (text, verb, given) => button(text, () => act(() => command(`${place}/${verb}`, given)));
  const plan = schedule.cron ? `${schedule.cron} ${schedule.timezone}` : `every ${schedule.every} s`;
  return row(make("code", { text: schedule.name }),
    make("div", {}, schedule.workflow, fold(`schedule ${schedule.name}`, "Arguments", () => value(schedule.arguments))),
    plan, make("div", {}, mark(schedule.status), schedule.reason ? ` ${schedule.reason}` : ""),
    when(schedule.next_times[0]), make("ul", {}, ...schedule.firings.slice(0, 5).map(firing)),
    make("span", { class: "deeds" }, told("Trigger", "trigger", {}),
      schedule.status === "paused" ? told("Resume", "resume") : told("Pause", "pause", {})));
}

function firing(each) {
  return make("li", {}, when(each.due), ` ${each.status} `, each.run_id ? linkTo(each.run_id) : each.reason ?? "");
}
