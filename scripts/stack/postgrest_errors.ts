import { isConnectionError } from "./connection.ts";

/** An error of the Postgres driver. */
interface DatabaseError {
  code: string;
  message: string;
  detail?: string;
  hint?: string;
}

/**
 * Gives a database error the HTTP status that PostgREST gives it. Lite answers 500 without code or
 * detail for many (check violations, `raise exception` without a SQLSTATE, timeouts) and drops
 * hints; an error of SQLSTATE `PGRST` it passes on exactly as it is told.
 * @see https://docs.postgrest.org/en/stable/references/errors.html
 */
export function asPostgrestError(thrown: unknown): unknown {
  if (isConnectionError(thrown)) {
    return new LoggedError(
      thrown,
      "PGRST",
      JSON.stringify(databaseAway),
      JSON.stringify({ status: 503, headers: {} }),
    );
  }
  // The driver sends texts alone for some types, and PostgREST would let Postgres judge the value.
  if (isUnbindable(thrown)) {
    const body = {
      code: "22P02",
      message: "invalid input syntax",
      details: null,
      hint: null,
    };
    const answer = JSON.stringify({ status: 400, headers: {} });
    return new LoggedError(thrown, "PGRST", JSON.stringify(body), answer);
  }
  if (!isDatabaseError(thrown)) return thrown;
  const status = httpStatus(thrown.code);
  if (status === null) return new LoggedError(thrown, thrown.code, thrown.message, thrown.detail);
  const body = {
    code: thrown.code,
    message: thrown.message,
    details: thrown.detail ?? null,
    hint: thrown.hint ?? null,
  };
  return new LoggedError(
    thrown,
    "PGRST",
    JSON.stringify(body),
    JSON.stringify({ status, headers: {} }),
  );
}

function isUnbindable(thrown: unknown): thrown is TypeError & DatabaseError {
  return thrown instanceof TypeError && "code" in thrown && thrown.code === "ERR_INVALID_ARG_TYPE";
}

/** PostgREST's 503 body while it has no connection, without its details, which name the host. */
export const databaseAway = {
  code: "PGRST001",
  message: "Database connection error. Retrying the connection.",
  details: null,
  hint: null,
};

/** PostgREST's status for a SQLSTATE; null where Lite already does the same, or knows more. */
export function httpStatus(code: string): number | null {
  if (/^PT\d{3}$/.test(code) || code === "PGRST") return null;
  // 42501 depends on who asks; for the others Lite words the answer as PostgREST's schema cache.
  if (["42501", "42P01", "42703", "42883"].includes(code)) return null;
  return exact[code] ?? byClass[code.slice(0, 2)] ?? 400;
}

const exact: Record<string, number> = {
  "23503": 409,
  "23505": 409,
  "25006": 405,
  "42P17": 500,
  "53400": 500,
  "P0001": 400,
};

const byClass: Record<string, number> = {
  "08": 503,
  "09": 500,
  "0L": 403,
  "0P": 403,
  "25": 500,
  "28": 403,
  "2D": 500,
  "38": 500,
  "39": 500,
  "3B": 500,
  "40": 500,
  "53": 503,
  "54": 500,
  "55": 500,
  "57": 500,
  "58": 500,
  "F0": 500,
  "HV": 500,
  "P0": 500,
  "XX": 500,
};

/** Carries the answer, and prints in the stack's log as one line instead of a query dump. */
class LoggedError extends Error {
  readonly hint: string | undefined;

  constructor(
    readonly source: DatabaseError,
    readonly code: string,
    message: string,
    readonly detail: string | undefined,
  ) {
    super(message);
    this.hint = source.hint;
  }

  [Symbol.for("Deno.customInspect")](): string {
    const { code, message, detail } = this.source;
    return `rest: ${code} ${message}${detail ? ` (${detail})` : ""}`;
  }
}

function isDatabaseError(thrown: unknown): thrown is DatabaseError {
  return thrown instanceof Error && "code" in thrown && typeof thrown.code === "string" &&
    /^[0-9A-Z]{5}$/.test(thrown.code);
}
