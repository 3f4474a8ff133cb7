// JSON Schemas: looking up what they refer to, and an example of what fits.

/** Return a schema, or the one that it refers to with what it says itself, such as a default. */
export function resolve(schema, definitions) {
  const { $ref: reference, ...own } = schema ?? {};
  const name = reference?.split("/").pop();
  return name ? { title: name, ...definitions[name], ...own } : own;
}

/** Return a value that fits a schema, to begin with. */
export function exampleOf(schema, definitions, depth = 0) {
  const found = resolve(schema, definitions);
  if (found.examples?.length) return found.examples[0];
  if ("default" in found) return found.default;
  if ("const" in found) return found.const;
  if (found.enum?.length) return found.enum[0];
  if (depth > 4) return null;
  const variants = found.oneOf ?? found.anyOf;
  if (variants?.length) return exampleOf(variants[0], definitions, depth + 1);
  if (found.type === "object") {
    const names = depth ? found.required ?? [] : Object.keys(found.properties ?? {});
    return Object.fromEntries(names.map((name) => [name, exampleOf(found.properties?.[name], definitions, depth + 1)]));
  }
  return { array: [], string: "", integer: 0, number: 0, boolean: false }[found.type] ?? null;
}

/** Return such a value as JSON, for a person to change. */
export function exampleText(schema, definitions = schema?.$defs ?? {}) {
  return JSON.stringify(exampleOf(schema, definitions), null, 2);
}
