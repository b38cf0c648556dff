import { z } from "zod";
import { BulwarkError } from "./errors.ts";

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
