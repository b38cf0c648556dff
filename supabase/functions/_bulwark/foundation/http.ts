import { exposedHeaders, preflightHeaders } from "./cors.ts";
import { BulwarkError } from "./errors.ts";
import { recordRequest } from "../metrics/mod.ts";
import { telemetry } from "./otel/mod.ts";
import { correlationOf, parseTraceparent } from "./trace.ts";
import { type ReportError, reportError } from "./tracking/mod.ts";
import { version } from "./version.ts";

/** Answers a request; an error that it throws becomes the error body. */
export type Handler = (request: Request) => Promise<Response>;

const maximumBodyBytes = 1024 * 1024;

const headers = {
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Expose-Headers": exposedHeaders,
  "Bulwark-Version": version,
  "Cache-Control": "no-store",
};

/**
 * Wraps a handler with the common parts of all functions: the CORS preflight, HEAD as GET without the
 * body, a correlation id (a valid `x-correlation-id`, else the trace of `traceparent`, else a new UUID)
 * and the error body `{ code, message, correlation_id }`. For an unexpected error the client gets only
 * the correlation id, the log the text, and error tracking a version without secrets. The duration of
 * each request is recorded as a metric after the answer.
 */
export function handle(
  handler: Handler,
  log: (line: string) => void = console.error,
  report: ReportError = reportError,
): Handler {
  return async (request) => {
    // Preflights are not rate-limited: they have no credentials, any page could use up its visitor's
    // limit with them, and answering costs less than counting.
    if (isPreflight(request)) {
      const allowed = { ...headers, ...preflightHeaders(request) };
      return new Response(null, { status: 204, headers: allowed });
    }
    const start = performance.now();
    const correlationId = correlationIdOf(request);
    const traced = telemetry().request(request, correlationId);
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
      traced.end(status, code);
      return response;
    };
    try {
      // The client chooses the host, so the URL may be invalid.
      if (!URL.canParse(request.url)) {
        throw new BulwarkError(400, "INVALID_INPUT", "Cannot read the request: no valid address");
      }
      // The handler reads the same correlation id that the answer has.
      const identified = new Request(withoutRegion(request), {
        ...request.method === "HEAD" ? { method: "GET" } : {},
      });
      identified.headers.set("x-correlation-id", correlationId);
      return respond(await traced.run(() => handler(identified)));
    } catch (thrown) {
      const refusal = refusalIn(thrown);
      if (refusal && refusal !== thrown) log(`${correlationId} ${(thrown as Error).message}`);
      if (!refusal) {
        log(`${correlationId} ${textOf(thrown)}`);
        try {
          report(thrown, { request, correlationId });
        } catch (failure) {
          log(`${correlationId} could not be reported: ${textOf(failure)}`);
        }
      }
      const { status, code, message, headers } = refusal ??
        new BulwarkError(500, "INTERNAL", "Cannot answer: something went wrong inside");
      const body = { code, message, correlation_id: correlationId };
      return respond(Response.json(body, { status, headers }), code);
    }
  };
}

/** The error for the client that a thrown value is, or says by its `refusal`. */
export function refusalIn(thrown: unknown): BulwarkError | null {
  const said = thrown instanceof Error && "refusal" in thrown ? thrown.refusal : thrown;
  return said instanceof BulwarkError ? said : null;
}

/** A copy of an answer with more headers; those of fetch() are immutable. */
export function withHeaders(answer: Response, more: Record<string, string>): Response {
  const response = new Response(answer.body, answer);
  for (const [name, value] of Object.entries(more)) response.headers.set(name, value);
  return response;
}

/** functions-js also names the region in the query, for the gateway only. */
function withoutRegion(request: Request): Request {
  const url = new URL(request.url);
  if (!url.searchParams.has("forceFunctionRegion")) return request;
  url.searchParams.delete("forceFunctionRegion");
  return new Request(url, request);
}

/** Whether it is a CORS preflight. Any other OPTIONS is an ordinary request. */
function isPreflight({ method, headers }: Request): boolean {
  return method === "OPTIONS" &&
    (headers.has("origin") || headers.has("access-control-request-method"));
}

/** A thrown value as text for the log. Converting a value may itself throw. */
function textOf(thrown: unknown): string {
  try {
    return String(thrown instanceof Error ? thrown.stack : thrown);
  } catch {
    return `an ${typeof thrown} that has no text`;
  }
}

/**
 * The id of everything that one request does: the caller's, if valid, else the caller's trace id as a
 * UUID, because the audit log needs that form.
 */
export function correlationIdOf(request: Request): string {
  const given = request.headers.get("x-correlation-id");
  if (given && /^[\w.:-]{8,128}$/.test(given)) return given;
  const trace = parseTraceparent(request.headers.get("traceparent"));
  return trace ? correlationOf(trace) : crypto.randomUUID();
}

/**
 * The body of a request, of at most `maximum` bytes (1 MiB by default).
 * @throws BulwarkError 413 BODY_TOO_LARGE, 400 BODY_INCOMPLETE
 */
export async function readBody(
  request: Request,
  maximum = maximumBodyBytes,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of request.body ?? []) {
      if ((size += chunk.byteLength) > maximum) break;
      chunks.push(chunk);
    }
  } catch {
    // A client that hangs up is no unexpected error.
    throw new BulwarkError(400, "BODY_INCOMPLETE", "Cannot read the request: its body broke off");
  }
  if (size > maximum) {
    const most = maximum < 1024 * 1024 ? `${maximum / 1024} KiB` : `${maximum / 1024 ** 2} MiB`;
    throw new BulwarkError(413, "BODY_TOO_LARGE", `Cannot read the request: more than ${most}`);
  }
  return new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer());
}

/**
 * The JSON body of a request, of at most `maximum` bytes (1 MiB by default). An empty body is an empty
 * object.
 * @throws BulwarkError 413 BODY_TOO_LARGE, 400 BODY_INCOMPLETE, 400 INVALID_JSON
 */
export async function readJson(request: Request, maximum?: number): Promise<unknown> {
  const body = await readBody(request, maximum);
  if (body.length === 0) return {};
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw new BulwarkError(400, "INVALID_JSON", "Cannot read the request: it is not JSON in UTF-8");
  }
}
