import type { Decision } from "./decision.ts";

/**
 * The headers of a decision: RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-11),
 * X-RateLimit-Limit, -Remaining and -Reset (seconds from now), and Retry-After in a refusal.
 */
export function rateLimitHeaders(decision: Decision): Record<string, string> {
  const { rule, capacity, windowSeconds, remaining, resetSeconds, retryAfterSeconds } = decision;
  const time = retryAfterSeconds ?? resetSeconds;
  const retry = retryAfterSeconds === null ? {} : { "Retry-After": String(retryAfterSeconds) };
  if (decision.reason === "unavailable") return retry as Record<string, string>;
  return {
    "RateLimit-Policy": `"${rule}";q=${capacity};w=${windowSeconds}`,
    "RateLimit": `"${rule}";r=${remaining};t=${time}`,
    "X-RateLimit-Limit": String(capacity),
    "X-RateLimit-Remaining": String(remaining),
    "X-RateLimit-Reset": String(resetSeconds),
    ...retry,
  };
}

const types = "https://iana.org/assignments/http-problem-types#";

/**
 * The response to a refused call: 429, or 503 if the store is not available, as
 * application/problem+json (RFC 9457) with a stable code.
 */
export function refusal(decision: Decision, correlationId: string): Response {
  const { rule, retryAfterSeconds: wait } = decision;
  const problems = {
    rate: {
      status: 429,
      type: "quota-exceeded",
      code: "RATE_LIMIT_EXCEEDED",
      title: "Too many requests",
    },
    block: {
      status: 429,
      type: "abnormal-usage-detected",
      code: "RATE_LIMIT_BLOCKED",
      title: "Blocked for going on after being refused",
    },
    unavailable: {
      status: 503,
      type: "temporary-reduced-capacity",
      code: "RATE_LIMIT_UNAVAILABLE",
      title: "Cannot decide right now whether this is too much",
    },
  };
  const { status, type, code, title } = problems[decision.reason ?? "rate"];
  const body = {
    type: types + type,
    title,
    status,
    detail: `Try again in ${wait} seconds`,
    "violated-policies": [rule],
    code,
    message: `Cannot proceed: ${title.charAt(0).toLowerCase()}${title.slice(1)}`,
    correlation_id: correlationId,
  };
  return new Response(JSON.stringify(body), {
    status,
    headers: { ...rateLimitHeaders(decision), "content-type": "application/problem+json" },
  });
}
