/**
 * Optional OpenTelemetry: a span for each request and for each call of the Data API, and the metrics of
 * the isolate. Off unless OTEL_EXPORTER_OTLP_ENDPOINT is set; see docs/metrics.md. The SDK is not used:
 * loading it takes longer than most requests.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Sample } from "../../metrics/histogram.ts";
import { readOtelEnv } from "./env.ts";
import { type Exporter, otlpExporter } from "./exporter.ts";
import { type AttributeValue, requestSpan, type Span } from "./span.ts";

/** The receiver of the spans of requests and calls. */
export interface Telemetry {
  /**
   * Answers a request within its span, which ends by `end`. An answer never waits for telemetry, and
   * never fails because of it.
   */
  request(request: Request, correlationId: string): RequestTelemetry;
  /** `fetch` for calls of the Data API, as children of the present request's span. */
  fetch(target: string, through: typeof fetch): typeof fetch;
  /** Whether metrics are exported. */
  readonly takesMetrics: boolean;
  metrics(samples: readonly Sample[]): void;
}

/** The span of one request, if there is one. */
export interface RequestTelemetry {
  run<Value>(task: () => Value): Value;
  /** `code` of the error, if the request was refused or failed. */
  end(status: number, code?: string): void;
}

const without: RequestTelemetry = { run: (task) => task(), end: () => {} };

/** Without a collector: nothing is recorded. */
const off: Telemetry = {
  request: () => without,
  fetch: (_target, through) => through,
  takesMetrics: false,
  metrics: () => {},
};

/** {@link Telemetry} by the environment; `exporter` and `env` are given in tests. */
export function openTelemetry(
  env = readOtelEnv(),
  exporter: Exporter | null = env && otlpExporter(env),
): Telemetry {
  if (!env || !exporter) return off;
  const present = new AsyncLocalStorage<Span>();
  return {
    request(request, correlationId) {
      if (!env.tracesUrl) return without;
      const span = requestSpan(request, correlationId, env.sampler, exporter.span);
      return {
        run: (task) => present.run(span, task),
        end(status, code) {
          const attributes: Record<string, AttributeValue> = {
            "http.response.status_code": status,
          };
          if (code) attributes["error.type"] = code;
          // Anybody can make up a path; those that exist are few.
          const [method, route = "/"] = span.name.split(" ");
          const known = status === 404 || status === 429
            ? route.replace(/(?<=^\/[^/]+\/).*/, "*")
            : route;
          attributes["http.route"] = known;
          // A refusal is the client's fault, and no error of the server.
          span.end(attributes, status >= 500, `${method} ${known}`);
        },
      };
    },
    fetch(target, through) {
      const parent = present.getStore();
      if (!parent) return through;
      return async (input, init) => {
        const span = parent.child(target, { "db.operation.name": target });
        const given = init as { headers?: HeadersInit } | undefined;
        const headers = new Headers(
          given?.headers ?? (input instanceof Request ? input.headers : {}),
        );
        headers.set("traceparent", span.traceparent);
        try {
          const answer = await through(input, { ...init, headers });
          // The name of a table that does not exist may come from the client.
          const known = answer.status === 404 && !target.startsWith("rpc/") ? "unknown" : target;
          const attributes = {
            "db.operation.name": known,
            "http.response.status_code": answer.status,
          };
          span.end(attributes, answer.status >= 400, known);
          return answer;
        } catch (thrown) {
          const type = thrown instanceof Error ? thrown.name : "Error";
          span.end({ "error.type": /^\w{1,40}$/.test(type) ? type : "Error" }, true);
          throw thrown;
        }
      };
    },
    takesMetrics: env.metricsUrl !== null,
    metrics: exporter.metrics,
  };
}

let opened: Telemetry | undefined;

/** The telemetry of the isolate. Variables that cannot be read turn it off. */
export function telemetry(): Telemetry {
  if (opened) return opened;
  try {
    opened = openTelemetry();
  } catch (thrown) {
    console.error(`OpenTelemetry is off: ${thrown}`);
    opened = off;
  }
  return opened;
}
