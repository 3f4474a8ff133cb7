// Long lists of which the end is shown, such as the messages of a session and the steps of a run.

import { ask, newest } from "../requests.js";

const PAGE = 100;

/**
 * Return what reads the newest pages of a list that grows at its end.
 *
 * `read` returns the items, or null if it was called anew meanwhile. `hasEarlier` tells whether there are items before
 * those, and `showEarlier` has the next `read` return one page more.
 */
export function newestPages(place, signal) {
  const starts = [""]; // the cursors of all pages, of which those before the newest are seldom read again
  let shown = 2; // of these pages, the newest
  const read = newest(async () => {
    const pages = [];
    for (let at = Math.max(0, starts.length - shown); at < starts.length; at += 1) {
      const { found, next } = await ask(place, { query: { limit: PAGE, cursor: starts[at] }, signal });
      if (next && at + 1 === starts.length) starts.push(next);
      pages.push(found);
    }
    while (starts.length > 1 && !pages.at(-1)?.length) { // a retry may forget steps
      starts.pop();
      pages.pop();
    }
    return pages.slice(-shown).flat();
  });
  return { read, hasEarlier: () => starts.length > shown, showEarlier: () => { shown += 1; } };
}
