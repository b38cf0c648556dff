import { readTrackingEnv, type TrackingEnv } from "./env.ts";
import { fetchWithTimeout } from "../timeout.ts";
import { waitUntil } from "../../metrics/flush.ts";
import { scrubber } from "./scrub.ts";
import { parseDsn, toEnvelope } from "./sentry.ts";

/** The request in which an error happened. */
export interface ErrorContext {
  request: Request;
  correlationId: string;
}

/** Concurrent reports at most; further errors are only logged. */
const maxPending = 20;

/** Reports an unexpected error in the background. Never throws. */
export type ReportError = (thrown: unknown, context: ErrorContext) => void;

/**
 * Reports errors to Sentry, or to a compatible receiver, if a DSN is set. A report has the error with
 * its stack, the method and path of the request, and the correlation id as trace id; no body, query,
 * cookie, address, user or header. Secrets are scrubbed from all of it.
 */
export function errorReporter(
  env: TrackingEnv,
  send = fetchWithTimeout(5000),
  log: (line: string) => void = console.error,
): ReportError {
  const dsn = env.sentryDsn ? parseDsn(env.sentryDsn) : null;
  if (env.sentryDsn && !dsn) log("SENTRY_DSN is not an address of Sentry; errors are only logged");
  if (!dsn) return () => {};
  let pending = 0;
  return (thrown, context) => {
    // In a storm of errors the first reports suffice, and pending ones cost memory.
    if (pending >= maxPending) return;
    pending++;
    const deliver = async () => {
      const body = toEnvelope(thrown, context, env.environment, scrubber(env.secrets));
      const response = await send(dsn.url, {
        method: "POST",
        headers: { "content-type": "application/x-sentry-envelope", "x-sentry-auth": dsn.auth },
        body,
      });
      await response.body?.cancel();
    };
    const delivery = deliver()
      .catch(() => log(`${context.correlationId} could not be reported`))
      .finally(() => pending--);
    waitUntil(delivery);
  };
}

let reporter: ReportError | undefined;

/** {@link errorReporter} with the function's environment. */
export const reportError: ReportError = (thrown, context) => {
  reporter ??= errorReporter(readTrackingEnv());
  reporter(thrown, context);
};
