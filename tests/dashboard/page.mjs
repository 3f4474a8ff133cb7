// Runs the script of /docs with as much of a browser as it needs: node page.mjs docs.js openapi.json
import { readFileSync } from "node:fs";

const [, , script, described] = process.argv;
const asked = [];
const tokens = [];
const byId = new Map();

class Node {
  constructor(tag) {
    Object.assign(this, { tag, children: [], attributes: {}, listeners: {}, textContent: "", value: "", open: false });
  }
  get childElementCount() { return this.children.filter((child) => child instanceof Node).length; }
  set id(name) { byId.set(name, this); }
  setAttribute(name, value) { this.attributes[name] = String(value); if (name === "id") byId.set(value, this); }
  append(...nodes) { this.children.push(...nodes); if (this.tag === "textarea") this.value = nodes.join(""); }
  replaceChildren(...nodes) { this.children = nodes; }
  addEventListener(name, act) { this.listeners[name] = act; }
  all() { return [this, ...this.children.flatMap((child) => (child instanceof Node ? child.all() : []))]; }
}

for (const name of ["access", "token", "filter", "notice", "operations"]) byId.set(name, new Node(name));
globalThis.document = { getElementById: (name) => byId.get(name), createElement: (tag) => new Node(tag) };
globalThis.location = { pathname: "/docs" };
globalThis.sessionStorage = { getItem: () => null, setItem: () => undefined };
globalThis.fetch = async (path, options = {}) => {
  asked.push(`${options.method ?? "GET"} ${path}`);
  tokens.push(options.headers.Authorization);
  const body = path === "/openapi.json" ? readFileSync(described, "utf8") : "[]";
  return new Response(body, { headers: { "Content-Type": "application/json" } });
};
const event = { preventDefault() {} };
const settle = () => new Promise((done) => setTimeout(done, 100));

(0, eval)(readFileSync(script, "utf8"));
byId.get("token").value = "secret";
byId.get("access").listeners.submit(event);
await settle();
const main = byId.get("operations");
const operations = main.all().filter((node) => node.tag === "details" && node.attributes.id);
for (const each of operations) {
  each.open = true;
  each.listeners.toggle();
}
const opened = operations.filter((each) => each.all().some((node) => node.tag === "form")).length;
for (const schema of main.all().filter((node) => node.tag === "details" && !node.attributes.id)) {
  schema.open = true;
  schema.listeners.toggle();
}
const steps = byId.get("list_steps");
for (const input of steps.all().filter((node) => node.tag === "input")) {
  input.value = { run_id: "a/b", limit: "2" }[input.attributes["aria-label"]] ?? "";
}
steps.all().find((node) => node.tag === "form").listeners.submit(event);
await settle();
const shown = steps.all().find((node) => node.tag === "pre").textContent;
console.log(JSON.stringify({ operations: operations.length, opened, asked, tokens, shown }));
