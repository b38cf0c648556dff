/** Compares the output that a page shows with the output of its block. */
import assert from "node:assert/strict";

/** Parts of an output that differ each time, and stand for any of their kind. */
const placeholders: [RegExp, string][] = [
  [/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi, "<id>"],
  [/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d(?::?\d\d)?)?/g, "<time>"],
  [/\b\d+(?:\.\d+)? m?s\b/g, "<duration>"],
  [/\bbwk_(?:live|test)_\w+/g, "<key>"],
  [/\bwhsec_[\w+/=-]+/g, "<secret>"],
  [/\b[0-9a-f]{32,}\b/g, "<hash>"],
  [/http:\/\/127\.0\.0\.1:\d+/g, "<url>"],
  [/\b[\w.+-]+@people\.(?:test|example)\b/g, "<address>"],
];

/** Fails if the output is another than the page shows; `…` stands for any text. */
export function compare(actual: string, shown: string, what: string, anyNumbers = false): void {
  const numbers = (text: string) => anyNumbers ? text.replaceAll(/\d+(?:[.,]\d+)*/g, "#") : text;
  const [is, should] = [numbers(common(actual)), numbers(common(shown))];
  const pattern = should.split("…").map((part) => RegExp.escape(part.trim())).join("[^]*?");
  if (new RegExp(`^${pattern}$`).test(is)) return;
  assert.equal(is, should, what);
}

/** The text without what differs each time: JSON in one form, tables without their frame. */
function common(text: string): string {
  let plain = text;
  try {
    plain = JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    // No JSON: compared as it is.
  }
  for (const [pattern, name] of placeholders) plain = plain.replaceAll(pattern, name);
  return plain.split("\n")
    .map((line) => line.replaceAll(/\s+/g, " ").trim())
    // npm repeats the command.
    .filter((line) =>
      line !== "" && !line.startsWith("> ") && !/^[-+\s]+$/.test(line) &&
      !/^\(\d+ rows?\)$/.test(line)
    )
    .join("\n");
}

/** Rows as psql prints them, without a frame. */
export function tableOf(rows: Record<string, string | null>[]): string {
  const [first] = rows;
  if (!first) return "";
  const names = Object.keys(first);
  return [names, ...rows.map((row) => names.map((name) => row[name] ?? ""))]
    .map((cells) => cells.join(" | ")).join("\n");
}
