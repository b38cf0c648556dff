/**
 * The metrics of an isolate. `handle()` and the clients of the Data API record the duration of requests
 * and queries; a function can add its own:
 *
 *     const exported = metrics.counter("reports_exported", { description: "Reports exported" });
 *     exported.add(1, { format });
 *     const rows = await measure("report_query", () => readRows());
 *
 * See docs/metrics.md.
 */
import type { CacheObserver } from "../cache/cache.ts";
import { openClient } from "../foundation/clients.ts";
import type { Json } from "../foundation/database.types.ts";
import { installed } from "../foundation/installed.ts";
import { telemetry } from "../foundation/otel/mod.ts";
import { readMetricsEnv } from "./env.ts";
import { Flusher, Refused, waitUntil } from "./flush.ts";
import type { Labels } from "./histogram.ts";
import { isolateSampler } from "./isolate.ts";
import { Metrics } from "./registry.ts";

export type { Counter, Gauge, Histogram, MetricOptions } from "./registry.ts";
export type { Labels } from "./histogram.ts";

/** The isolate's metrics. */
export const metrics = new Metrics();

const responseTime = metrics.histogram("api_response_time", {
  unit: "milliseconds",
  description: "Time from a request to the head of its answer",
});
const errors = metrics.counter("api_errors", {
  description: "Requests that were refused or failed",
});
const queryTime = metrics.histogram("database_query_time", {
  unit: "milliseconds",
  description: "Time that a function waited for the Data API",
});
const cacheRequests = metrics.counter("cache_requests", {
  description: "Look-ups in the cache by where the answer came from",
});
const cacheUnavailable = metrics.counter("cache_unavailable", {
  description: "Times that Redis was away or slow",
});
const memory = metrics.gauge("memory_usage", {
  unit: "percent",
  description: "Memory of the isolate, of what it may have",
});
const cpu = metrics.gauge("cpu_usage", {
  unit: "percent",
  description: "Processor time of the isolate, of one processor",
});

/** Counts what happens in a cache. */
export const cacheObserver: CacheObserver = {
  answered: (namespace, outcome) => cacheRequests.add(1, { namespace, outcome }),
  unavailable: () => cacheUnavailable.add(),
};

/** Records an answered request; `duration` in milliseconds, `code` of the error if it was one. */
export function recordRequest(
  request: Request,
  { status, duration, code }: { status: number; duration: number; code?: string },
): void {
  // URL() would throw for a malformed host and fail the request again.
  const [, name = "unknown"] = /^\w+:\/\/[^/?#]*\/([a-z][\w-]{0,63})(?![^/?#])/.exec(request.url) ??
    [];
  const labels = { function: name };
  const method = /^(GET|HEAD|POST|PUT|PATCH|DELETE)$/.test(request.method)
    ? request.method
    : "other";
  responseTime.observe(duration, { ...labels, method, status: `${Math.floor(status / 100)}xx` });
  if (code) errors.add(1, { ...labels, code });
  flushSoon();
}

/** `fetch` for supabase-js that records the duration of calls to the Data API, and traces them. */
export const measuredFetch: typeof fetch = async (input, init) => {
  const { pathname } = new URL(input instanceof Request ? input.url : input);
  const [, target] = /\/rest\/v1\/(rpc\/\w{1,63}|\w{1,63})$/.exec(pathname) ?? [];
  if (!target) return await fetch(input, init);
  const traced = telemetry().fetch(target, fetch);
  const end = queryTime.start({ operation: target });
  try {
    const response = await traced(input, init);
    const result = response.ok ? "ok" : "error";
    // An unknown table's name may come from the client and must not become a label.
    const made = response.status === 404 && !target.startsWith("rpc/");
    end(made ? { operation: "unknown", result } : { result });
    return response;
  } catch (thrown) {
    end({ result: "error" });
    throw thrown;
  }
};

/**
 * Runs a function and records its duration in milliseconds in the histogram `name`, with the label
 * `result` (ok, error). A promise is timed until it settles. Returns the function's result and passes
 * on its errors.
 */
export function measure<T>(name: string, task: () => T, labels: Labels = {}): T {
  const end = metrics.histogram(name, { unit: "milliseconds" }).start(labels);
  try {
    const result = task();
    if (!(result instanceof Promise)) {
      end({ result: "ok" });
      return result;
    }
    return result.then(
      (value) => {
        end({ result: "ok" });
        return value;
      },
      (thrown) => {
        end({ result: "error" });
        throw thrown;
      },
    ) as T;
  } catch (thrown) {
    end({ result: "error" });
    throw thrown;
  }
}

/** Decorates a method (TC39 decorators): every call is {@link measure}d under this name. */
export function measured(name: string, labels: Labels = {}) {
  return <This, Args extends unknown[], Result>(
    method: (this: This, ...args: Args) => Result,
    _context: ClassMethodDecoratorContext<This, (this: This, ...args: Args) => Result>,
  ) =>
    function (this: This, ...args: Args): Result {
      return measure(name, () => method.apply(this, args), labels);
    };
}

let flusher: Flusher | null | undefined;

/**
 * Stores recorded values after the response, and exports them if there is a collector. Does nothing
 * without a secret key, and forgets them without the capability metrics and a collector.
 */
export function flushSoon(capabilities = installed): void {
  if (!capabilities.has("metrics") && !telemetry().takesMetrics) {
    metrics.drain();
    return;
  }
  if (flusher === undefined) {
    try {
      flusher = openFlusher(capabilities);
    } catch (thrown) {
      console.error(`metrics are not stored: ${thrown}`);
      flusher = null;
    }
  }
  flusher?.soon();
}

function openFlusher(capabilities: ReadonlySet<string>): Flusher | null {
  const env = readMetricsEnv();
  if (!env) return null;
  // Its own client without measuring: otherwise each flush would cause another.
  const client = openClient(env.url, env.secretKey, { timeoutMs: 10_000 });
  const sample = isolateSampler({ memory, cpu }, { memoryLimit: env.memoryLimit });
  const opened = new Flusher(metrics, {
    delay: env.flushDelay,
    sample,
    log: console.error,
    drained: telemetry().metrics,
    async send({ id, samples }) {
      if (!capabilities.has("metrics")) return;
      const { error } = await client.rpc("record_metrics", {
        batch: id,
        samples: samples as unknown as Json,
      });
      if (!error) return;
      const text = `${error.code} ${error.message}`;
      // Errors of the data (classes 22 and 23) repeat with every attempt.
      throw /^2[23]/.test(error.code ?? "") ? new Refused(text) : new Error(text);
    },
  });
  // The hosted runtime dispatches this before it ends an isolate.
  addEventListener("beforeunload", () => waitUntil(opened.flush()));
  return opened;
}
