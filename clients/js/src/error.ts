import type { BulwarkCode } from "./generated/codes.ts";

/** The parts of a {@link BulwarkError}. */
export interface ErrorParts {
  code: BulwarkCode;
  message: string;
  status: number;
  correlationId?: string | undefined;
  retryAfter?: number | undefined;
  hint?: string | undefined;
  cause?: unknown;
}

/** Why a call failed, whether it went to the Data API or to an edge function. */
export class BulwarkError extends Error {
  override readonly name = "BulwarkError";
  /** A stable code of docs/errors.md. */
  readonly code: BulwarkCode;
  /** The HTTP status; 0 if there was no answer. */
  readonly status: number;
  /** Finds the request in the logs. Edge functions give one. */
  readonly correlationId: string | undefined;
  /** The seconds to wait before the next attempt, if the server says so. */
  readonly retryAfter: number | undefined;
  /** How to get on, where the database says so. */
  readonly hint: string | undefined;

  constructor({ code, message, status, correlationId, retryAfter, hint, cause }: ErrorParts) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.status = status;
    this.correlationId = correlationId;
    this.retryAfter = retryAfter;
    this.hint = hint;
  }
}

/** The answer of postgrest-js. */
export interface DataApiAnswer {
  data: unknown;
  error: DataApiError | null;
  status: number;
}

interface DataApiError {
  code?: string | null;
  message: string;
  details?: string | null;
  hint?: string | null;
}

/** Whether a text has the form of a code. */
const isCode = (text: unknown): text is BulwarkCode =>
  typeof text === "string" && /^[A-Z]+(_[A-Z]+)+$/.test(text);

/** The error of a call to the Data API. Functions of Bulwark put their code into `details`. */
export function dataApiError(error: DataApiError, status: number): BulwarkError {
  const { details, hint, message } = error;
  if (status === 0) {
    return withoutAnswer(message, /Caused by: (?:\w+: )?(.+)/.exec(details ?? "")?.[1], error);
  }
  const code = isCode(details) ? details : codeOf(error.code ?? "", status);
  const seconds = /^Try again in (\d+) seconds/.exec(hint ?? "")?.[1];
  return new BulwarkError({
    code,
    message,
    status,
    retryAfter: seconds === undefined ? undefined : Number(seconds),
    hint: hint ?? undefined,
    cause: error,
  });
}

/** A code for an error that names none: by SQLSTATE or PostgREST's code, and the status. */
function codeOf(state: string, status: number): BulwarkCode {
  if (/^PGRST(106|20[25])$/.test(state) || status === 404) return "CLIENT_NOT_INSTALLED";
  if (
    /^(08|40|53|57|25006$|55P03$|PGRST00[0-3]$)/.test(state) || [502, 503, 504].includes(status)
  ) {
    return "DATA_API_UNAVAILABLE";
  }
  if (status === 401 || state.startsWith("PGRST30")) return "UNAUTHORIZED";
  if (status === 429) return "RATE_LIMIT_EXCEEDED";
  if (status === 403 || state === "42501") return "FORBIDDEN";
  if (/^(22|54|23502$|23514$|P0001$)/.test(state)) return "INVALID_INPUT";
  if (state.startsWith("23")) return "CONFLICT";
  return "INTERNAL";
}

/** The error of a call to an edge function, from an error of functions-js. */
export async function functionError(error: unknown): Promise<BulwarkError> {
  const { context, message } = error as { context?: unknown; message?: string };
  if (!isResponse(context)) {
    const { message: inner, cause } = (context ?? error) as { message?: string; cause?: Error };
    return withoutAnswer(inner ?? message ?? "no answer", cause?.message, context ?? error);
  }
  const { status, headers } = context;
  const body = await context.json().catch(() => null) as Record<string, unknown> | null;
  const { code, message: told, correlation_id } = body ?? {};
  const isOurs = typeof correlation_id === "string" && isCode(code);
  const wait = Number(headers.get("retry-after") ?? NaN);
  return new BulwarkError({
    code: isOurs ? code : codeOf("", status),
    message: typeof told === "string" ? told : message ?? `HTTP ${status}`,
    status,
    correlationId: isOurs ? correlation_id : headers.get("x-correlation-id") ?? undefined,
    retryAfter: wait >= 0 ? wait : undefined,
    cause: error,
  });
}

function isResponse(value: unknown): value is Response {
  return typeof (value as Response | undefined)?.headers?.get === "function";
}

function withoutAnswer(message: string, reason: string | undefined, cause: unknown): BulwarkError {
  const isAborted = /\b(Abort|Timeout)Error\b/.test(message) ||
    /^(Abort|Timeout)Error$/.test((cause as Error | undefined)?.name ?? "");
  if (isAborted) return abortedCall(cause);
  return new BulwarkError({
    code: "CLIENT_NETWORK",
    message: `Cannot reach the project: ${reason ?? message.replace(/^\w*Error: /, "")}`,
    status: 0,
    cause,
  });
}

/** The error of a call that was aborted. */
export function abortedCall(cause: unknown): BulwarkError {
  return new BulwarkError({
    code: "CLIENT_ABORTED",
    message: "Cannot finish the call: it was aborted",
    status: 0,
    cause,
  });
}
