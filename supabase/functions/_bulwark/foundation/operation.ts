/** Declarations of the routes: their router, validation, document and client types come from these. */
import type { z } from "zod";

/** A credential that an operation accepts. */
export type Credential =
  | "user"
  | "secret_key"
  | "scheduler"
  | "scraper"
  | "api_key"
  | "webhook_signature"
  | "scanner_signature";

/** A route of an edge function. */
export interface Operation {
  method: "GET" | "POST" | "PUT";
  /** `<id>` stands for a UUID. */
  path: `/bulwark-${string}`;
  /** One sentence for readers of the document. */
  summary: string;
  /** The credentials of which one is needed; without any, everybody may call it. */
  auth: readonly Credential[];
  /** The rate limit rule that a request is charged to; null: the handler charges. */
  rule: string | null;
  /** The query of a GET, otherwise the JSON body. */
  input?: z.ZodType;
  /** The input is in the query although the method is not GET. */
  inQuery?: true;
  /** The largest body in bytes, if not 1 MiB. */
  maximumBytes?: number;
  /**
   * The answer in JSON. A function, because only the document and the tests need the schema, and
   * making it would slow the start.
   */
  output?: () => z.ZodType;
  /** The media types of an answer that is not only JSON. */
  media?: readonly string[];
  /** The status of success: by default 200, or 204 for an answer without content. */
  status?: number;
  /** Further statuses that carry the same answer. */
  statuses?: readonly number[];
  /** The codes of refusals, besides those that every operation of its kind has. */
  errors: readonly string[];
  /** The handler limits, authenticates and reads the request by itself. */
  raw?: true;
}

/** Declares an operation. */
export function operation<const Declared extends Operation>(declared: Declared): Declared {
  return declared;
}
