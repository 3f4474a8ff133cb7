// Lists of things of one kind, of which there may be more than are shown at first.

import { keyed, make } from "../elements.js";
import { ask, newest } from "../requests.js";

/**
 * Return what brings a list up to date, and the parts of a view that stand behind the list.
 *
 * `keyOf` and `build` are those of `keyed`, `nothing` is said where the list is empty, `query` gives what is asked for
 * beside the number of entries, and `page` is that number, which grows by itself when a person wants more.
 */
export function listing({ place, parent, keyOf, build, nothing, page, act, signal, query = () => ({}) }) {
  const more = make("button", { type: "button", text: "Show more", hidden: true });
  const none = make("p", { class: "note", hidden: true, text: nothing });
  const fill = keyed(parent, keyOf, build);
  const look = newest(() => ask(place, { query: { limit, ...query() }, signal }));
  let limit = page;

  async function refresh() {
    const answer = await look();
    if (answer === null) return;
    fill(answer.found);
    more.hidden = !answer.next;
    none.hidden = answer.found.length > 0;
  }

  more.addEventListener("click", () => {
    limit += page;
    act(refresh);
  });
  return { refresh, rest: [none, more] };
}
