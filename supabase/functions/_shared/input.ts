import { z } from "zod";
import { BulwarkError } from "./errors.ts";

/** Text that Postgres can hold: without U+0000 and lone surrogates. */
export const text = z.string().refine((value) => value.isWellFormed() && !value.includes("\0"));

/**
 * Parses input by a schema.
 * @throws BulwarkError 400 INVALID_INPUT naming the first field that is wrong, never its value
 */
export function parse<Schema extends z.ZodType>(schema: Schema, input: unknown): z.output<Schema> {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const field = issue?.path.join(".") || "the request";
  throw new BulwarkError(400, "INVALID_INPUT", `Cannot read ${field}: it has no valid form`);
}

/**
 * The query of a request as an object.
 * @throws BulwarkError 400 INVALID_INPUT where a parameter is given twice: a proxy in front may have
 * decided by the other one
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
