import { z } from "zod";
import { BulwarkError } from "./errors.ts";

/**
 * An id: a UUID of any version, in its canonical form. Postgres does not check the version either.
 */
export const id = z.guid().toLowerCase();

/** Text that Postgres can store: without U+0000 and lone surrogates. */
export const text = z.string().regex(/^[^\0\p{Surrogate}]*$/u);

/** A code of docs/errors.md, in an answer. */
export const code = () => z.string().meta({ id: "Code" });

/**
 * Parses input by a schema.
 * @throws BulwarkError 400 INVALID_INPUT naming the first field that is wrong, never its value
 */
export function parse<Schema extends z.ZodType>(schema: Schema, input: unknown): z.output<Schema> {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  throw new BulwarkError(400, "INVALID_INPUT", describe(result.error.issues, input));
}

type Issue = z.core.$ZodIssue;

/** A sentence about the first wrong field. It never holds the field's value. */
function describe([issue]: readonly Issue[], input: unknown): string {
  if (!issue) return "Cannot read the request: it has no valid form";
  if (issue.code === "invalid_union" && issue.errors.length > 0) {
    // Of several forms the one with the fewest issues.
    const fewest = Math.min(...issue.errors.map((issues) => issues.length));
    const nearest = issue.errors.filter((issues) => issues.length === fewest);
    const inner = nearest.flatMap(([first]) =>
      first ? [{ ...first, path: [...issue.path, ...first.path] }] : []
    );
    if (inner.length <= 1) return describe(inner, input);
    const names = [...new Set(inner.map((each) => nameOf(each)))];
    return `Cannot read ${names.join(" or ")}: it is missing or has no valid form`;
  }
  if (issue.code === "unrecognized_keys") {
    return `Cannot read ${nameOf(issue)}: there is no such field here`;
  }
  const missing = issue.path.length > 0 && valueAt(input, issue.path) === undefined;
  return `Cannot read ${nameOf(issue)}: it ${missing ? "is missing" : "has no valid form"}`;
}

/** The field of an issue. A name from the request is repeated only if it is plain. */
function nameOf(issue: Issue): string {
  const path = issue.code === "unrecognized_keys" ? [...issue.path, issue.keys[0]] : issue.path;
  const name = path.map(String).join(".");
  return /^[\w.-]{1,100}$/.test(name) ? name : path.length > 0 ? "a field" : "the request";
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, key) =>
      typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined,
    input,
  );
}

/**
 * The query of a request as an object.
 * @throws BulwarkError 400 INVALID_INPUT if a parameter is given twice: a proxy in front may use the
 * other one
 */
export function queryOf(request: Request): Record<string, string> {
  const { searchParams } = new URL(request.url);
  for (const name of searchParams.keys()) {
    if (searchParams.getAll(name).length > 1) {
      throw new BulwarkError(
        400,
        "INVALID_INPUT",
        "Cannot read the query: a parameter comes twice",
      );
    }
  }
  return Object.fromEntries(searchParams);
}
