import { waitUntil } from "../../metrics/flush.ts";
import type { Sample } from "../../metrics/histogram.ts";
import { fetchWithTimeout } from "../timeout.ts";
import type { OtelEnv } from "./env.ts";
import { metricsBody, tracesBody } from "./otlp.ts";
import type { EndedSpan } from "./span.ts";

/** Spans in one request. */
const batchSize = 512;
/** Concurrent exports of metrics at most; further batches are dropped. */
const mostPending = 4;

/** Sends spans and metrics to a collector, after the answer of a request. No method throws. */
export interface Exporter {
  span(span: EndedSpan): void;
  metrics(samples: readonly Sample[]): void;
}

/**
 * An exporter for OTLP over HTTP in JSON. Spans wait in a bounded queue: with a collector that is away
 * or slow further ones are dropped, and requests go on. A batch that the collector cannot take now
 * (429, 502, 503, 504, or no answer) is sent once more. The log has the first failure in a row.
 */
export function otlpExporter(
  env: OtelEnv,
  through: typeof fetch = fetch,
  log: (line: string) => void = console.error,
): Exporter {
  const queue: EndedSpan[] = [];
  const send = fetchWithTimeout(env.timeoutMs, through);
  let scheduled = false;
  let pending = 0;
  let since = Date.now();
  let silent = true;

  const post = async (url: string, headers: Record<string, string>, body: string) => {
    const answer = await send(url, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body,
      // Headers with credentials are for this address alone.
      redirect: "manual",
    });
    await answer.body?.cancel();
    return answer.status;
  };
  const deliver = async (url: string, headers: Record<string, string>, body: string) => {
    let failure = "";
    for (let attempt = 0; attempt < 2; attempt++) {
      try {
        const status = await post(url, headers, body);
        failure = status >= 200 && status < 300 ? "" : `it answers ${status}`;
        if (![429, 502, 503, 504].includes(status)) break;
      } catch {
        failure = "it does not answer";
      }
      if (attempt === 0) await pause(env.delayMs);
    }
    if (failure && silent) log(`The OTLP collector takes no data: ${failure}`);
    silent = failure === "";
  };
  const flush = async () => {
    await pause(env.delayMs);
    while (queue.length > 0) {
      const body = tracesBody(queue.splice(0, batchSize), env.resource);
      await deliver(env.tracesUrl!, env.tracesHeaders, body);
    }
    scheduled = false;
  };

  return {
    span(span) {
      if (!env.tracesUrl || queue.length >= env.maxQueue) return;
      queue.push(span);
      if (scheduled) return;
      scheduled = true;
      waitUntil(flush());
    },
    metrics(samples) {
      if (!env.metricsUrl || samples.length === 0) return;
      const now = Date.now();
      const body = metricsBody(samples, env.resource, since, now);
      since = now;
      if (pending >= mostPending) return;
      pending++;
      waitUntil(deliver(env.metricsUrl, env.metricsHeaders, body).finally(() => pending--));
    },
  };
}

/** Waits without keeping the process alive. */
function pause(duration: number): Promise<void> {
  return new Promise((resolve) => Deno.unrefTimer(setTimeout(resolve, duration)));
}
