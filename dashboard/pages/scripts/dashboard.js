// The dashboard: shows the view that the address names behind `#`, and asks for news of it while somebody looks.

import { linkTo, make } from "./elements.js";
import { keepToken, token } from "./requests.js";
import { approvals } from "./views/approvals.js";
import { deadLetters } from "./views/dead_letters.js";
import { processes } from "./views/processes.js";
import { run } from "./views/run.js";
import { runs } from "./views/runs.js";
import { schedules } from "./views/schedules.js";
import { session } from "./views/session.js";
import { sessions } from "./views/sessions.js";

const EVERY = 1500; // milliseconds between two looks
const SLOW = 5000; // milliseconds without an answer after which a person is told
/** The views, by the first part of the address. Each gives its element, and what brings that up to date. */
const VIEWS = { runs, run, sessions, session, approvals, schedules, "dead-letters": deadLetters, processes };
const PLACES = {
  runs: "Runs", sessions: "Sessions", approvals: "Approvals", schedules: "Schedules", "dead-letters": "Dead letters",
  processes: "Processes",
};

const access = document.getElementById("access");
const tokenField = document.getElementById("token");
const notice = document.getElementById("notice");
const main = document.getElementById("view");
const places = document.getElementById("places");
let leave = new AbortController();

/** Show a sentence above the view. */
function say(text, wrong = false) {
  if (notice.textContent === text) return;
  notice.textContent = text;
  notice.className = wrong ? "error" : "";
}

/** Do what a person asked for. Say what came of it, if it was refused. */
async function act(deed) {
  try {
    await deed();
    say("");
    return true;
  } catch (error) {
    explain(error);
    return false;
  }
}

function explain(error) {
  if (error.name === "AbortError") return;
  if (error.status === 401) access.hidden = false;
  if (error.status === 401 && !token()) return; // the form says what is missing
  say(error.message, true);
}

/** Show the view that the address names: `#run/brief-otters` is the run of that id. */
function show() {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  const [named, ...names] = parts(location.hash.slice(1));
  const name = Object.hasOwn(VIEWS, named) ? named : "runs";
  for (const link of places.children) {
    const here = [name, `${name}s`].includes(link.getAttribute("href").slice(1));
    link.setAttribute("aria-current", here ? "page" : "false");
  }
  const go = (id) => { // unless the person has gone elsewhere meanwhile
    if (!signal.aborted) location.hash = linkTo(id).getAttribute("href");
  };
  const view = VIEWS[name]({ names, act, signal, go });
  main.replaceChildren(view.node);
  say("");
  watch(view, signal);
}

/** Return the parts of an address; none where somebody has typed what is not an address. */
function parts(text) {
  try {
    return text.split("/").map(decodeURIComponent);
  } catch {
    return [];
  }
}

async function watch(view, signal) {
  let failed = false;
  while (!signal.aborted) {
    if (!document.hidden && (token() || !failed)) {
      const slow = setTimeout(() => {
        if (!signal.aborted) say("The server has not answered for a while: what is shown may be old.", true);
        failed = true;
      }, SLOW);
      try {
        await view.refresh();
        access.hidden = true;
        if (failed && !signal.aborted) say("");
        failed = false;
      } catch (error) {
        if (!signal.aborted) explain(error);
        failed = true;
      } finally {
        clearTimeout(slow);
      }
    }
    await new Promise((done) => setTimeout(done, EVERY));
  }
}

places.append(
  ...Object.entries(PLACES).map(([place, text]) => make("a", { href: `#${place}`, text })),
  make("a", { href: "docs", text: "HTTP API" }),
);
access.addEventListener("submit", (event) => {
  event.preventDefault();
  const wrong = keepToken(tokenField.value);
  if (wrong) return say(wrong, true);
  show();
});
window.addEventListener("hashchange", show);
show();
