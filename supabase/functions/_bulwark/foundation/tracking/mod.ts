import { readTrackingEnv, type TrackingEnv } from "../env.ts";
import { waitUntil } from "../../metrics/flush.ts";
import { scrubber } from "./scrub.ts";
import { parseDsn, toEnvelope } from "./sentry.ts";

/** Where an unexpected error happened. */
export interface ErrorContext {
  request: Request;
  correlationId: string;
}

/** So many reports are on their way at a time; what comes beyond is in the log alone. */
const mostUnderway = 20;

/** Reports an unexpected error, after the response; never fails and never waits. */
export type ReportError = (thrown: unknown, context: ErrorContext) => void;

/**
 * Reports errors to Sentry, or to whatever takes its envelopes, when a DSN is set. What is sent is
 * the error with its stack, the method and path of the request, and the correlation id as the trace:
 * no body, query, cookie, address, user or header; and secrets are scrubbed out of all of it.
 */
export function errorReporter(
  env: TrackingEnv,
  send: typeof fetch = fetch,
  log: (line: string) => void = console.error,
): ReportError {
  const dsn = env.sentryDsn ? parseDsn(env.sentryDsn) : null;
  if (env.sentryDsn && !dsn) log("SENTRY_DSN is not an address of Sentry; errors are only logged");
  if (!dsn) return () => {};
  let underway = 0;
  return (thrown, context) => {
    // A storm of errors is known by its first; waiting for a receiver costs memory.
    if (underway >= mostUnderway) return;
    underway++;
    const deliver = async () => {
      const body = toEnvelope(thrown, context, env.environment, scrubber(env.secrets));
      const response = await send(dsn.url, {
        method: "POST",
        headers: { "content-type": "application/x-sentry-envelope", "x-sentry-auth": dsn.auth },
        body,
        signal: AbortSignal.timeout(5000),
      });
      await response.body?.cancel();
    };
    const delivery = deliver()
      .catch(() => log(`${context.correlationId} could not be reported`))
      .finally(() => underway--);
    waitUntil(delivery);
  };
}

let reporter: ReportError | undefined;

/** {@link errorReporter} with the environment of the function. */
export const reportError: ReportError = (thrown, context) => {
  reporter ??= errorReporter(readTrackingEnv());
  reporter(thrown, context);
};
