// Shows what /openapi.json says, and sends requests.

import { make, prose } from "./elements.js";
import { base, checkPath, headers, keepToken, parse, token } from "./requests.js";
import { exampleText, resolve } from "./schemas.js";

const access = document.getElementById("access");
const tokenField = document.getElementById("token");
const filterField = document.getElementById("filter");
const notice = document.getElementById("notice");
const main = document.getElementById("operations");
let described = null;

function say(text, wrong = false) {
  notice.replaceChildren(prose(text));
  notice.className = wrong ? "error" : "";
}

async function load() {
  const wrong = keepToken(tokenField.value);
  if (wrong) return say(wrong, true);
  try {
    const answer = await fetch(`${base}/openapi.json`, { headers: headers() });
    const body = await answer.json();
    if (!answer.ok) return say(`${body.detail}. ${body.fix}`, true);
    described = body;
    say(`${body.info.title} ${body.info.version}: ${body.info.description ?? ""}`);
    show();
  } catch (error) {
    say(`The server does not answer: ${error.message}`, true);
  }
}

function show() {
  main.replaceChildren();
  const words = filterField.value.toLowerCase().split(/\s+/).filter(Boolean);
  const sections = new Map((described.tags ?? []).map((tag) => [tag.name, { note: tag.description, items: [] }]));
  for (const [path, operations] of Object.entries(described.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const tag = operation.tags?.[0] ?? "other";
      const text = `${method} ${path} ${tag} ${operation.summary}`.toLowerCase();
      if (!words.every((word) => text.includes(word))) continue;
      if (!sections.has(tag)) sections.set(tag, { note: "", items: [] });
      sections.get(tag).items.push(operationOf(method, path, operation));
    }
  }
  for (const [tag, { note, items }] of sections) {
    if (items.length) main.append(make("h2", { text: tag }), make("p", { class: "note" }, prose(note ?? "")), ...items);
  }
}

function operationOf(method, path, operation) {
  const line = make(
    "summary", {},
    make("span", { class: `method ${method}`, text: method.toUpperCase() }),
    make("span", { class: "path", text: path }),
    make("span", { class: "note" }, " ", prose(operation.summary ?? "")),
  );
  const details = make("details", { id: operation.operationId }, line);
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(...insideOf(method, path, operation));
  });
  return details;
}

function insideOf(method, path, operation) {
  const parameters = operation.parameters ?? [];
  const fields = parameters.map((parameter) => make("input", {
    "aria-label": parameter.name, placeholder: parameter.schema?.default ?? "", required: parameter.required,
  }));
  const content = operation.requestBody?.content?.["application/json"];
  const body = content
    ? make("textarea", { "aria-label": "body", spellcheck: "false" },
        exampleText(bodySchema(content.schema), schemas()))
    : null;
  const output = make("pre", { hidden: true, "aria-live": "polite" });
  const form = make("form", {}, parameters.length ? tableOf(parameters, fields) : null, body,
    make("p", {}, make("button", { type: "submit", text: "Send" })), output);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(method, path, parameters.map((parameter, index) => [parameter, fields[index].value]), body?.value, output);
  });
  return [make("p", {}, prose(operation.description ?? "")), form, answersOf(operation), schemaOf("Body", content?.schema)]
    .filter((child) => child !== null);
}

function tableOf(parameters, fields) {
  const rows = parameters.map((parameter, index) => make(
    "tr", {},
    make("td", {}, make("code", { text: parameter.name }), make("div", { class: "note", text: parameter.in })),
    make("td", {}, fields[index]),
    make("td", {}, prose(`${parameter.description ?? ""} ${typeOf(parameter.schema)}`)),
  ));
  return make("table", {}, ...rows);
}

function schemas() {
  return described.components.schemas;
}

function typeOf(schema) {
  const found = resolve(schema, schemas());
  if (found.enum) return `One of ${found.enum.join(", ")}.`;
  if (found.items) return `Several, one a line or with commas. ${typeOf(found.items)}`;
  if (found.anyOf) return found.anyOf.map(typeOf).filter(Boolean).join(" ");
  const limits = [["minimum", "from"], ["maximum", "to"]].filter(([name]) => name in found);
  return limits.map(([name, word]) => `${word} ${found[name]}`).join(" ");
}

function bodySchema(schema) {
  const found = resolve(schema, schemas());
  return found.anyOf?.map((each) => resolve(each, schemas())).find((each) => each.type === "object") ?? found;
}

function answersOf(operation) {
  const rows = Object.entries(operation.responses ?? {}).map(([status, answer]) =>
    make("tr", {}, make("td", {}, make("code", { text: status })), make("td", {}, prose(answer.description ?? ""))));
  const good = Object.entries(operation.responses ?? {}).find(([status]) => status.startsWith("2"))?.[1];
  return make("div", {}, make("table", {}, ...rows),
    schemaOf("Answer", Object.values(good?.content ?? {})[0]?.schema) ?? "");
}

function schemaOf(title, schema) {
  if (!schema) return null;
  const details = make("details", {}, make("summary", { text: title }));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(fieldsOf(schema));
  });
  return details;
}

function fieldsOf(schema) {
  let found = resolve(schema, schemas());
  if (found.items) found = resolve(found.items, schemas());
  if (found.anyOf) found = bodySchema(found);
  if (!found.properties) return make("pre", { text: JSON.stringify(found, null, 2) });
  const rows = Object.entries(found.properties).map(([name, field]) => make(
    "tr", {},
    make("td", {}, make("code", { text: name }),
      make("div", { class: "note", text: (found.required ?? []).includes(name) ? "always there" : "" })),
    make("td", {}, prose(field.description ?? "")),
    make("td", {}, schemaOf("type", field.description ? { ...field, description: undefined } : field)),
  ));
  return make("div", {}, make("p", {}, prose(found.description ?? "")), make("table", {}, ...rows));
}

async function send(method, path, given, body, output) {
  const query = new URLSearchParams();
  const more = {};
  let place = path;
  for (const [parameter, value] of given) {
    if (parameter.in === "path") place = place.replace(`{${parameter.name}}`, encodeURIComponent(value));
    else if (value !== "" && parameter.in === "header") more[parameter.name] = value;
    else if (value !== "") {
      const several = parameter.schema?.type === "array" || parameter.schema?.anyOf?.some((each) => each.type === "array");
      for (const each of several ? value.split(/[\s,]+/).filter(Boolean) : [value]) query.append(parameter.name, each);
    }
  }
  const asked = `${place}${query.size ? `?${query}` : ""}`;
  if (body !== undefined) more["Content-Type"] = "application/json";
  output.hidden = false;
  output.textContent = `${method.toUpperCase()} ${asked}\n`;
  try {
    checkPath(place);
    const answer = await fetch(base + asked, { method: method.toUpperCase(), headers: headers(more), body });
    output.textContent += `${answer.status} ${answer.statusText}\n`;
    for (const name of ["location", "link"]) {
      if (answer.headers.has(name)) output.textContent += `${name}: ${answer.headers.get(name)}\n`;
    }
    await read(answer, output);
  } catch (error) {
    output.textContent += `\nno answer: ${error.message}`;
  }
}

async function read(answer, output) {
  const kind = answer.headers.get("content-type") ?? "";
  if (kind.includes("event-stream") && answer.body) {
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) output.textContent += part.value;
    return;
  }
  const text = await answer.text();
  output.textContent += `\n${kind.includes("json") && text ? JSON.stringify(parse(text), null, 2) : text}`;
}

access.addEventListener("submit", (event) => {
  event.preventDefault();
  load();
});
filterField.addEventListener("input", () => described && show());
tokenField.value = token();
if (tokenField.value) load();
