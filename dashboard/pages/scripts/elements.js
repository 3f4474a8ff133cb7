// Parts that the pages are made of. All text goes into a page as text, never as HTML.

const SHOWN = 2000; // characters of a value that are shown at first

/** Return an element with attributes and children. The attribute `text` is its text. */
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") node.textContent = value;
    else if (value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Return a table with headings. `rows` are its `tr` elements, or none if they come later. */
export function table(headings, body) {
  const cells = headings.map((heading) => make("th", { scope: "col", text: heading }));
  return make("table", {}, make("thead", {}, make("tr", {}, ...cells)), body);
}

/** Return a row of a table. */
export function row(...cells) {
  return make("tr", {}, ...cells.map((cell) => make("td", {}, cell)));
}

/**
 * Return a function that shows a list of items inside of an element, one node each.
 *
 * The node of an item that has not changed stays as it is, and with it what a person has typed, opened or marked there.
 */
export function keyed(parent, keyOf, build) {
  let shown = new Map();
  return (items) => {
    const next = new Map();
    for (const item of items) {
      const key = keyOf(item);
      const text = JSON.stringify(item);
      const before = shown.get(key);
      next.set(key, before?.text === text ? before : { text, node: build(item) });
    }
    let focused = null;
    for (const [key, { node }] of shown) {
      const after = next.get(key)?.node;
      if (after === node) continue;
      focused ??= after ? counterpart(node, after) : null;
      node.remove();
    }
    let place = 0;
    for (const { node } of next.values()) {
      if (parent.children[place] !== node) parent.insertBefore(node, parent.children[place] ?? null);
      place += 1;
    }
    focused?.focus();
    shown = next;
  };
}

/** Return what in a node stands for what has the focus in the node that it replaces; null if nothing there has it. */
function counterpart(before, after) {
  const parts = (node) => [...node.querySelectorAll("a, button, input, select, summary, textarea")];
  const held = parts(before).find((each) => each === document.activeElement);
  return held ? parts(after).find((each) => each.textContent === held.textContent) ?? null : null;
}

const opened = new Set();

/** Return a heading that opens. `inside` makes what it shows when it is opened. `key` remembers that it is open. */
export function fold(key, title, inside) {
  const details = make("details", {}, make("summary", { text: title }));
  const fill = () => {
    if (details.open) opened.add(key);
    else opened.delete(key);
    if (details.open && details.children.length === 1) details.append(inside());
  };
  details.addEventListener("toggle", fill);
  if (opened.has(key)) {
    details.open = true;
    fill();
  }
  return details;
}

/**
 * Return a button. Pressing it again while what it does is under way does nothing.
 *
 * `doubt` is a question that is asked first where what it does cannot be undone.
 */
export function button(text, act, doubt = "") {
  const node = make("button", { type: "button", text });
  node.addEventListener("click", async () => {
    if (!doubt || window.confirm(doubt)) await once(node, act);
  });
  return node;
}

/** Do something, with its button out of use meanwhile; `disabled` would take the focus from it. */
async function once(pressed, act) {
  if (pressed.ariaDisabled) return;
  pressed.ariaDisabled = "true";
  try {
    await act();
  } finally {
    pressed.ariaDisabled = null;
  }
}

/** Return a form that does something when it is sent, with its fields and a button. */
export function form(text, act, ...fields) {
  const send = make("button", { type: "submit", text });
  const node = make("form", {}, ...fields, send);
  node.addEventListener("submit", async (event) => {
    event.preventDefault();
    await once(send, act);
  });
  return node;
}

/**
 * Return an element with what `fetch` brings, once it has come.
 *
 * If that fails, a button tries again. If it `changes`, a button brings the newest.
 */
export function asked(act, fetch, changes = false) {
  const inside = make("div", {}, make("p", { class: "note", text: "Loading …" }));
  const look = async () => {
    const came = await act(async () => {
      inside.replaceChildren(await fetch(), changes ? button("Refresh", look) : "");
    });
    if (!came) inside.replaceChildren(button("Try again", look));
  };
  look();
  return inside;
}

/** Return a field with a label around it. */
export function labelled(text, field) {
  return make("label", {}, make("span", { text }), field);
}

/** Return a choice between texts, the first of which is chosen. */
export function choice(texts) {
  return make("select", {}, ...texts.map((text) => make("option", { value: text, text: text || "any" })));
}

/** Return a JSON value for people. A long one is cut, with a button that shows the rest. */
export function value(given) {
  const text = typeof given === "string" ? given : JSON.stringify(given, null, 2);
  const shown = make("pre", { text: text.length > SHOWN ? `${text.slice(0, SHOWN)} …` : text });
  if (text.length <= SHOWN) return shown;
  const more = button(`Show all ${text.length.toLocaleString("en")} characters`, () => {
    shown.textContent = text;
    more.remove();
  });
  return make("div", {}, shown, more);
}

/** Return a link to a run or a session. A session's id has one slash; that of a run which a session started has two. */
export function linkTo(id) {
  const names = id.split("/");
  const place = `#${names.length === 2 ? "session" : "run"}/${names.map(encodeURIComponent).join("/")}`;
  return make("a", { href: place, text: id });
}

/** Return a sentence. What stands between backticks is shown as code. */
export function prose(text) {
  const parts = text.split("`");
  if (parts.length % 2 === 0) return make("span", { text }); // one of them has no other
  return make("span", {}, ...parts.map((part, place) => place % 2 ? make("code", { text: part }) : part));
}

/** Return a number of things: `1 step`, `2 steps`. */
export function counted(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** Return a word as a mark of its own colour. */
export function mark(word) {
  return make("span", { class: `mark ${word}`, text: word });
}

/** Return a time of this machine's zone, with the exact one in UTC behind it. */
export function when(iso) {
  return iso ? make("time", { datetime: iso, title: iso, text: new Date(iso).toLocaleString() }) : null;
}

/** Return the time between two moments in words. */
export function took(begin, end) {
  const seconds = Math.max(0, new Date(end) - new Date(begin)) / 1000;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}
