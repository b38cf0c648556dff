import { parseTraceparent, traceIdOf } from "../trace.ts";
import type { ErrorContext } from "./mod.ts";
import type { Scrubber } from "./scrub.ts";

/** URL and authentication header for envelopes. */
export interface Dsn {
  url: string;
  auth: string;
}

/**
 * Parses a DSN, `https://<public key>@<host>/<path>/<project>`; null if it is malformed. Plain http is
 * accepted for localhost only.
 */
export function parseDsn(dsn: string): Dsn | null {
  if (!URL.canParse(dsn)) return null;
  const { protocol, username, host, hostname, pathname } = new URL(dsn);
  const [, path = "", project] = /^(.*)\/(\d+)$/.exec(pathname) ?? [];
  const local = hostname === "127.0.0.1" || hostname === "localhost";
  if (!project || !username || (protocol !== "https:" && !(protocol === "http:" && local))) {
    return null;
  }
  return {
    url: `${protocol}//${host}${path}/api/${project}/envelope/`,
    auth: `Sentry sentry_version=7, sentry_client=bulwark/1.0, sentry_key=${username}`,
  };
}

const longestText = 2000;
const mostFrames = 50;
const longestLine = 500;

/** One event in Sentry's envelope format: three lines of JSON. */
export function toEnvelope(
  thrown: unknown,
  { request, correlationId }: ErrorContext,
  environment: string,
  scrubber: Scrubber,
): string {
  const eventId = crypto.randomUUID().replaceAll("-", "");
  const now = new Date();
  const { pathname } = new URL(request.url);
  const trace = parseTraceparent(request.headers.get("traceparent"));
  const traceId = trace?.traceId ?? traceIdOf(correlationId) ?? eventId;
  const text = (value: string) => scrubber.text(value).slice(0, longestText);
  const path = (value: string) => scrubber.path(value).slice(-longestText);
  const event = {
    event_id: eventId,
    timestamp: now.getTime() / 1000,
    platform: "javascript",
    level: "error",
    environment,
    transaction: text(pathname),
    tags: { function: text(pathname.split("/")[1] ?? ""), correlation_id: correlationId },
    contexts: {
      trace: {
        trace_id: traceId,
        span_id: eventId.slice(0, 16),
        ...(trace ? { parent_span_id: trace.parentId } : {}),
      },
      runtime: { name: "Deno", version: Deno.version.deno },
    },
    request: { method: request.method, url: text(pathname) },
    exception: { values: chain(thrown).map((error) => exception(error, { text, path })).reverse() },
  };
  const header = { event_id: eventId, sent_at: now.toISOString() };
  return [header, { type: "event" }, event].map((line) => JSON.stringify(line)).join("\n");
}

/** An error and its causes, five at most. */
function chain(thrown: unknown): unknown[] {
  const errors = [thrown];
  for (let last = thrown; last instanceof Error && last.cause && errors.length < 5;) {
    errors.push(last = last.cause);
  }
  return errors;
}

function exception(thrown: unknown, { text, path }: Scrubber) {
  if (!(thrown instanceof Error)) return { type: "Error", value: text(String(thrown)) };
  return {
    type: text(thrown.name),
    value: text(thrown.message),
    // Only the text behind the message, which could contain lines that look like frames.
    stacktrace: {
      frames: frames(thrown.stack?.split(thrown.message || "\n").at(-1) ?? "", { text, path }),
    },
  };
}

/** V8's stack, outermost first as Sentry wants it. */
function frames(stack: string, { text, path }: Scrubber) {
  return stack.split("\n").flatMap((line) => {
    if (line.length > longestLine) return [];
    const match = /^\s+at (?:async )?(?:(.+?) \()?(.+?):(\d+):(\d+)\)?$/.exec(line);
    if (!match) return [];
    const [, name, file = "", row, column] = match;
    return [{
      function: text(name ?? "?"),
      filename: path(file),
      lineno: Number(row),
      colno: Number(column),
      in_app: !file.includes("node_modules") && !file.startsWith("ext:"),
    }];
  }).slice(0, mostFrames).reverse();
}
