import type { Json } from "@bulwark/client";

const number = new Intl.NumberFormat();

/** A value of a setting for people. */
export function wordsOf(value: Json | undefined): string {
  if (value === null || value === undefined) return "not set";
  if (typeof value === "boolean") return value ? "on" : "off";
  if (typeof value === "number") return number.format(value);
  if (typeof value === "string") return value === "" ? "empty" : value;
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.map(wordsOf).join(", ");
  return JSON.stringify(value);
}

/** The JSON Schema of a value that a setting takes. */
export type Accepts = { [keyword: string]: Json | undefined };

/** The value that was typed; a number that is none stays a text, which the database refuses. */
export function valueOf(text: string, accepts: Accepts): Json {
  switch (accepts["type"]) {
    case "boolean":
      return text === "true";
    case "integer":
    case "number":
      return text.trim() === "" || Number.isNaN(Number(text)) ? text : Number(text);
    case "array": {
      const items = text.split(",").map((item) => item.trim()).filter(Boolean);
      return items.map((item) => valueOf(item, accepts["items"] as Accepts));
    }
    default:
      return text;
  }
}

/** A value as it is typed. */
export function textOf(value: Json | undefined): string {
  if (Array.isArray(value)) return value.join(", ");
  return value === null || value === undefined ? "" : String(value);
}

/** The values that are taken, in words. */
export function rangeOf(accepts: Accepts): string | undefined {
  const { type, minimum, maximum, minItems, maxItems, items } = accepts;
  const bound = (value: Json | undefined) => typeof value === "number" ? number.format(value) : "";
  if (type === "integer" || type === "number") return `${bound(minimum)} to ${bound(maximum)}`;
  if (type === "array") {
    const each = rangeOf(items as Accepts);
    return `${bound(minItems)} to ${bound(maxItems)} values with commas between them${
      each ? `, each ${each}` : ""
    }`;
  }
  return undefined;
}
