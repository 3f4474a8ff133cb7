// All schedules, with their next times and what became of the last ones.

import { button, fold, linkTo, make, mark, row, table, value, when } from "../elements.js";
import { command, commandOnce, path } from "../requests.js";
import { listing } from "./listing.js";

export function schedules({ act, signal }) {
  const body = make("tbody");
  const { refresh, rest } = listing({
    place: "/schedules", parent: body, keyOf: (each) => each.name, build: (each) => entry(each, act),
    nothing: "No schedules.", page: 1000, act, signal,
  });
  const headings = ["Schedule", "Starts", "When", "Status", "Next", "Last", ""];
  const node = make("section", {}, make("h2", { text: "Schedules" }), table(headings, body), ...rest);
  return { node, refresh };
}

function entry(schedule, act) {
  const place = path`/schedules/${schedule.name}`;
  const told = (text, verb, given, tell = command) => button(text, () => act(() => tell(`${place}/${verb}`, given)));
  const plan = schedule.cron ? `${schedule.cron} ${schedule.timezone}` : `every ${schedule.every} s`;
  return row(make("code", { text: schedule.name }),
    make("div", {}, schedule.workflow, fold(`schedule ${schedule.name}`, "Arguments", () => value(schedule.arguments))),
    plan, make("div", {}, mark(schedule.status), schedule.reason ? ` ${schedule.reason}` : ""),
    when(schedule.next_times[0]), make("ul", {}, ...schedule.firings.slice(0, 5).map(firing)),
    make("span", { class: "deeds" }, told("Trigger", "trigger", {}, commandOnce),
      schedule.status === "paused" ? told("Resume", "resume") : told("Pause", "pause", {})));
}

function firing(each) {
  return make("li", {}, when(each.due), ` ${each.status} `, each.run_id ? linkTo(each.run_id) : each.reason ?? "");
}
