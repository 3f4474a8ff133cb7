// As much of a browser as the pages need. It shows one page of a running server and does what lines on stdin say:
// node browser.mjs FOLDER PAGE URL, where FOLDER holds the page's files. Each line is an object with `do` and what it
// takes; each answer is a line with the text that a person would see, or an `error`.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [, , folder, page, server] = process.argv;
const PATIENCE = 30_000;
const byId = new Map();
const asked = [];
const kept = new Map();

class Element {
  constructor(tag) {
    Object.assign(this, { tag, nodes: [], attributes: {}, listeners: {}, parent: null, typed: null, open: false, disabled: false });
  }
  get children() { return this.nodes.filter((node) => node instanceof Element); }
  get childElementCount() { return this.children.length; }
  get textContent() { return this.nodes.map((node) => node.textContent ?? node).join(""); }
  set textContent(text) { this.replaceChildren(String(text)); }
  get hidden() { return "hidden" in this.attributes; }
  set hidden(given) { if (given) this.attributes.hidden = ""; else delete this.attributes.hidden; }
  get value() {
    if (this.typed !== null) return this.typed;
    if (this.tag === "select") return this.children[0]?.attributes.value ?? "";
    return this.tag === "textarea" ? this.textContent : this.attributes.value ?? "";
  }
  set value(text) { this.typed = String(text); }
  setAttribute(name, value) { this.attributes[name] = String(value); if (name === "id") byId.set(value, this); }
  getAttribute(name) { return this.attributes[name] ?? null; }
  addEventListener(name, act) { (this.listeners[name] ??= []).push(act); }
  append(...nodes) { for (const node of nodes) this.insertBefore(node, null); }
  insertBefore(node, before) {
    node.remove?.();
    const place = before === null ? this.nodes.length : this.nodes.indexOf(before);
    this.nodes.splice(place, 0, node instanceof Element ? node : String(node));
    if (node instanceof Element) node.parent = this;
  }
  querySelectorAll(tags) { return this.all().slice(1).filter((node) => tags.split(", ").includes(node.tag)); }
  focus() { document.activeElement = this; }
  remove() {
    if (this.all().includes(document.activeElement)) document.activeElement = body;
    if (this.parent) this.parent.nodes = this.parent.nodes.filter((node) => node !== this);
    this.parent = null;
  }
  replaceChildren(...nodes) { for (const node of this.children) node.remove(); this.nodes = []; this.append(...nodes); }
  all() { return [this, ...this.children.flatMap((child) => child.all())]; }
  fire(name) { for (const act of this.listeners[name] ?? []) act({ preventDefault() {} }); }
}

/** Return what a person sees of a node: nothing that is hidden or folded. */
function seen(node) {
  if (!(node instanceof Element)) return node;
  if (node.hidden || node.tag === "noscript") return "";
  if (node.tag === "select") return ` ${node.value} `;
  if (node.tag === "textarea" || node.tag === "input") return ` ${node.value} `;
  const parts = node.tag === "details" && !node.open ? node.nodes.slice(0, 1) : node.nodes;
  const inline = ["span", "code", "a", "time"].includes(node.tag);
  return inline ? parts.map(seen).join("") : `\n${parts.map(seen).join("")}\n`;
}

globalThis.document = {
  getElementById: (name) => byId.get(name) ?? null, createElement: (tag) => new Element(tag), hidden: false, activeElement: null,
};
const html = readFileSync(join(folder, page), "utf8");
const body = new Element("body");
document.activeElement = body;
let place = body;
for (const [, end, tag, attributes, text] of html.split("<body>")[1].matchAll(/<(\/?)(\w+)([^>]*)>|([^<]+)/g)) {
  if (text !== undefined) place.append(text.replace(/\s+/g, " "));
  else if (end) place = place.parent ?? place;
  else {
    const node = new Element(tag);
    for (const [, name, quoted] of attributes.matchAll(/([\w-]+)(?:="([^"]*)")?/g)) node.setAttribute(name, quoted ?? "");
    place.append(node);
    if (tag !== "input") place = node;
  }
}
const listeners = {};
let hash = "";
globalThis.location = {
  pathname: page === "docs.html" ? "/docs" : "/",
  get hash() { return hash; },
  set hash(given) { hash = given.startsWith("#") ? given : `#${given}`; setImmediate(() => listeners.hashchange?.()); },
};
globalThis.window = { addEventListener: (name, act) => { listeners[name] = act; }, confirm: (text) => asked.push(text) };
globalThis.sessionStorage = { getItem: (name) => kept.get(name) ?? null, setItem: (name, text) => kept.set(name, text) };
const fetched = globalThis.fetch;
globalThis.fetch = (place, options = {}) => {
  asked.push(`${options.method ?? "GET"} ${place}`);
  return fetched(server + place, options);
};

const [, script] = html.match(/<script type="module" src="pages\/([^"]+)"/);
await import(pathToFileURL(join(folder, script)));

/** Return the innermost element of a tag that shows a text, inside of the first one that shows the texts of `within`. */
function find(tags, text, within = []) {
  let roots = [body];
  for (const part of within) {
    const found = roots.flatMap((root) => root.all()).filter((node) => seen(node).includes(part));
    roots = found.filter((node) => ["tr", "article", "section", "form", "details"].includes(node.tag)).reverse().slice(0, 1);
  }
  const fits = (node) => tags.includes(node.tag) && !node.hidden &&
    [node.textContent, node.attributes["aria-label"], node.attributes.id].some((each) => each?.trim().startsWith(text));
  return roots.flatMap((root) => root.all()).find(fits);
}

async function until(test) {
  const end = Date.now() + PATIENCE;
  for (let found = test(); ; found = test()) {
    if (found) return found;
    if (Date.now() > end) throw new Error(`not within ${PATIENCE / 1000} s; there is:\n${seen(body)}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

const deeds = {
  open: ({ hash: given }) => { location.hash = given; },
  click: async ({ text, within }) => {
    const found = await until(() => find(["button"], text, within));
    found.focus();
    found.fire("click");
  },
  follow: async ({ text, within }) => {
    location.hash = (await until(() => find(["a"], text, within))).getAttribute("href");
  },
  focused: () => document.activeElement.textContent,
  submit: async ({ text, within }) => {
    let node = await until(() => find(["button"], text, within));
    while (node.tag !== "form") node = node.parent;
    node.fire("submit");
  },
  type: async ({ label, text, within }) => {
    const found = await until(() => find(["label", "input", "textarea", "select"], label, within));
    const field = found.tag === "label" ? found.children[1] : found;
    field.value = text;
    for (const name of ["input", "change"]) field.fire(name);
  },
  unfold: async ({ text, within }) => {
    const { parent } = await until(() => find(["summary"], text, within));
    parent.open = true;
    parent.fire("toggle");
  },
  until: ({ text, gone }) => until(() => seen(body).includes(text) !== Boolean(gone)),
  unfold_all: () => {
    for (const node of body.all().filter((each) => each.tag === "details" && !each.open)) {
      node.open = true;
      node.fire("toggle");
    }
  },
  count: ({ tag }) => body.all().filter((node) => node.tag === tag).length,
  asked: () => asked,
};
for await (const line of createInterface({ input: process.stdin })) {
  const { do: deed, ...given } = JSON.parse(line);
  let answer;
  try {
    const found = await deeds[deed](given);
    answer = { found: typeof found === "object" && !Array.isArray(found) ? null : found ?? null };
  } catch (error) {
    answer = { error: error.message };
  }
  console.log(JSON.stringify({ ...answer, hash, text: seen(body) }));
}
process.exit(0);
