/** CORS for all functions: pages of any origin may call them. */
import { corsHeaders } from "@supabase/supabase-js/cors";

/** Request headers that Supabase's clients, tracing and error tracking add to supabase-js's own. */
const sent = [
  "accept",
  "accept-profile",
  "baggage",
  "cache-control",
  "content-profile",
  "idempotency-key",
  "if-match",
  "if-none-match",
  "pragma",
  "prefer",
  "range",
  "sentry-trace",
  "traceparent",
  "tracestate",
  "x-api-key",
  "x-correlation-id",
  "x-region",
  "x-request-id",
  "x-requested-with",
  "x-supabase-api-version",
];

/** Response headers that a page may read. */
export const exposedHeaders = [
  "Bulwark-Version",
  "x-correlation-id",
  "x-next-cursor",
  "RateLimit",
  "RateLimit-Policy",
  "X-RateLimit-Limit",
  "X-RateLimit-Remaining",
  "X-RateLimit-Reset",
  "Retry-After",
].join(", ");

const token = /^[!#$%&'*+.^_`|~\w-]{1,64}$/;

/**
 * The headers of an answer to a preflight. All request headers are allowed: functions use no cookies,
 * so refusing one would protect nothing. All methods are allowed too, so that a page can read the
 * refusal of a method without a route.
 */
export function preflightHeaders(request: Request) {
  const asked = (request.headers.get("access-control-request-headers") ?? "").slice(0, 4096)
    .toLowerCase().split(",").map((name) => name.trim()).filter((name) => token.test(name));
  const known = corsHeaders["Access-Control-Allow-Headers"]?.split(", ") ?? [];
  return {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": [...new Set([...known, ...sent, ...asked])].join(", "),
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS",
    "Access-Control-Max-Age": "86400",
    "Vary": "Access-Control-Request-Headers",
  };
}
