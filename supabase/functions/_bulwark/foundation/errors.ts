/** An error for clients: an HTTP status, a stable code of docs/errors.md, and a sentence. */
export class BulwarkError extends Error {
  override readonly name = "BulwarkError";
  /** Additional headers of the answer. */
  headers: Record<string, string> = {};

  constructor(readonly status: number, readonly code: string, message: string) {
    super(message);
  }
}

/** The error of a supabase-js call, and the HTTP status of its answer. */
export interface DataApiFailure {
  status: number;
  /** A gateway that answers instead of the Data API sets only the message. */
  error: { code?: string; message: string; details?: string | null };
}

/**
 * Converts an error of the Data API. Functions of Bulwark put their stable code into `details`. An
 * internal error is not for clients and becomes a plain Error.
 */
export function fromDataApi({ status, error }: DataApiFailure): Error {
  if (error.details && /^[A-Z]+(_[A-Z]+)+$/.test(error.details)) {
    return new BulwarkError(status, error.details, error.message);
  }
  if (isAway(status, error.code)) return unavailable();
  if (status === 401 || error.code?.startsWith("PGRST30")) {
    return new BulwarkError(401, "UNAUTHORIZED", "Cannot identify the caller: sign in first");
  }
  if (status === 403 || error.code === "42501") {
    return new BulwarkError(403, "FORBIDDEN", "Cannot proceed: this is not open to the caller");
  }
  // Class 22: a value that Postgres refuses, such as text with U+0000 or a number out of range.
  // Class 54: a value that is too large, such as JSON that is nested too deeply.
  // 23502, 23514 and P0001: a value that the table or the application refuses.
  if (/^22|^54|^23502$|^23514$|^P0001$/.test(error.code ?? "")) {
    return new BulwarkError(400, "INVALID_INPUT", "Cannot proceed: a value is not valid");
  }
  // 23503, 23505, 23P01: a conflict with an existing or a missing row.
  if (/^23/.test(error.code ?? "")) {
    return new BulwarkError(
      409,
      "CONFLICT",
      "Cannot proceed: the request conflicts with what is stored",
    );
  }
  return new Error(`Data API ${status} ${error.code}: ${error.message}`);
}

/**
 * Whether the request got no decision: no answer in time (status 0), an answer of a gateway, a database
 * that starts, stops or has no connection left (classes 08, 53 and 57, PGRST000 to 003), that only
 * reads now (25006), or in which another transaction was in the way (class 40, 55P03).
 */
function isAway(status: number, code = ""): boolean {
  return status === 0 || status === 502 || status === 503 || status === 504 ||
    /^(08|40|53|57|25006$|55P03$|PGRST00[0-3]$)/.test(code);
}

function unavailable(): BulwarkError {
  const refusal = new BulwarkError(
    503,
    "DATA_API_UNAVAILABLE",
    "Cannot answer right now: the database is away or too slow",
  );
  refusal.headers = { "retry-after": "5" };
  return refusal;
}

/**
 * The data of a call to the Data API.
 * @throws BulwarkError with the code of the database, Error for an internal error
 */
export function unwrap<Data>(
  { data, error, status }: {
    data: Data | null;
    error: DataApiFailure["error"] | null;
    status: number;
  },
): Data {
  if (error) throw fromDataApi({ status, error });
  // An answer of a gateway in front of the Data API.
  if (status >= 400) throw fromDataApi({ status, error: { message: "no answer of its own" } });
  return data as Data;
}
