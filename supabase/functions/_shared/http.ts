import { exposedHeaders, preflightHeaders } from "./cors.ts";
import { BulwarkError } from "./errors.ts";
import { recordRequest } from "./metrics.ts";
import { correlationOf, parseTraceparent } from "./trace.ts";
import { type ReportError, reportError } from "./tracking.ts";

/** A function's body: a request in, an answer out; what it throws becomes the error body. */
export type Handler = (request: Request) => Promise<Response>;

const maximumBodyBytes = 1024 * 1024;

const headers = {
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Expose-Headers": exposedHeaders,
  "Cache-Control": "no-store",
};

/**
 * Wraps a handler with what every function does alike: the CORS preflight, the methods it knows (HEAD
 * wherever GET is), a
 * correlation id (the caller's `x-correlation-id` if it is one, else the trace that a `traceparent`
 * names, else a fresh UUID) and the error body `{ code, message, correlation_id }`. An unexpected
 * error reaches the client as a correlation id, the log as text, and error tracking without secrets.
 * How long each request took is recorded and stored after the answer.
 */
export function handle(
  methods: readonly string[],
  handler: Handler,
  log: (line: string) => void = console.error,
  report: ReportError = reportError,
): Handler {
  const known = methods.includes("GET") ? [...methods, "HEAD"] : methods;
  return async (request) => {
    if (request.method === "OPTIONS") {
      const allowed = { ...headers, ...preflightHeaders(request, known) };
      return new Response(null, { status: 204, headers: allowed });
    }
    const start = performance.now();
    const correlationId = correlationIdOf(request);
    const respond = (answer: Response, code?: string) => {
      const isHead = request.method === "HEAD";
      if (isHead) answer.body?.cancel().catch(() => {});
      const response = withHeaders(isHead ? new Response(null, answer) : answer, {
        ...headers,
        "x-correlation-id": correlationId,
      });
      const { status } = response;
      const duration = performance.now() - start;
      recordRequest(request, { status, duration, ...(code ? { code } : {}) });
      return response;
    };
    try {
      if (!known.includes(request.method)) throw notAllowed(known);
      // Its host is what the client wrote.
      if (!URL.canParse(request.url)) {
        throw new BulwarkError(400, "INVALID_INPUT", "Cannot read the request: no valid address");
      }
      // Whoever asks for the id further down gets the one that the answer carries.
      const identified = new Request(withoutRegion(request), {
        ...request.method === "HEAD" ? { method: "GET" } : {},
      });
      identified.headers.set("x-correlation-id", correlationId);
      return respond(await handler(identified));
    } catch (thrown) {
      const isKnown = thrown instanceof BulwarkError;
      if (!isKnown) {
        log(`${correlationId} ${textOf(thrown)}`);
        try {
          report(thrown, { request, correlationId });
        } catch (failure) {
          log(`${correlationId} could not be reported: ${textOf(failure)}`);
        }
      }
      const { status, code, message, headers } = isKnown
        ? thrown
        : new BulwarkError(500, "INTERNAL", "Cannot answer: something went wrong inside");
      const body = { code, message, correlation_id: correlationId };
      return respond(Response.json(body, { status, headers }), code);
    }
  };
}

/** An answer with more headers, a new one because those of fetch() cannot be changed. */
export function withHeaders(answer: Response, more: Record<string, string>): Response {
  const response = new Response(answer.body, answer);
  for (const [name, value] of Object.entries(more)) response.headers.set(name, value);
  return response;
}

/** functions-js names the region in the query, too; that is for the gateway alone. */
function withoutRegion(request: Request): Request {
  const url = new URL(request.url);
  if (!url.searchParams.has("forceFunctionRegion")) return request;
  url.searchParams.delete("forceFunctionRegion");
  return new Request(url, request);
}

function notAllowed(methods: readonly string[]): BulwarkError {
  const message = `Cannot use this method: ${methods.join(" or ")}`;
  const refusal = new BulwarkError(405, "METHOD_NOT_ALLOWED", message);
  refusal.headers = { allow: methods.join(", ") };
  return refusal;
}

/** What was thrown as text, for the log; anything can be thrown, also what has none. */
function textOf(thrown: unknown): string {
  try {
    return String(thrown instanceof Error ? thrown.stack : thrown);
  } catch {
    return `an ${typeof thrown} that has no text`;
  }
}

/**
 * The id that joins everything one request does: the caller's, if it has the form of one, else the
 * id of the caller's trace as a UUID, which is the form that the audit log takes.
 */
export function correlationIdOf(request: Request): string {
  const given = request.headers.get("x-correlation-id");
  if (given && /^[\w.:-]{8,128}$/.test(given)) return given;
  const trace = parseTraceparent(request.headers.get("traceparent"));
  return trace ? correlationOf(trace) : crypto.randomUUID();
}

/**
 * The body of a request, of 1 MiB at most.
 * @throws BulwarkError 413 BODY_TOO_LARGE, 400 BODY_INCOMPLETE
 */
export async function readBody(request: Request): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of request.body ?? []) {
      if ((size += chunk.byteLength) > maximumBodyBytes) break;
      chunks.push(chunk);
    }
  } catch {
    // Whoever hangs up is no fault of ours, to be looked into.
    throw new BulwarkError(400, "BODY_INCOMPLETE", "Cannot read the request: its body broke off");
  }
  if (size > maximumBodyBytes) {
    throw new BulwarkError(413, "BODY_TOO_LARGE", "Cannot read the request: more than 1 MiB");
  }
  return new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer());
}

/**
 * The JSON body of a request, of 1 MiB at most; none at all is an empty object.
 * @throws BulwarkError 413 BODY_TOO_LARGE, 400 BODY_INCOMPLETE, 400 INVALID_JSON
 */
export async function readJson(request: Request): Promise<unknown> {
  const body = await readBody(request);
  if (body.length === 0) return {};
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw new BulwarkError(400, "INVALID_JSON", "Cannot read the request: it is not JSON in UTF-8");
  }
}
