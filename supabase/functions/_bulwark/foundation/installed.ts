/** The capabilities that are installed. The installer writes this file. */
export const installed: ReadonlySet<string> = new Set([
  "foundation",
  "rbac",
  "audit",
  "encryption",
  "security_events",
  "mfa",
  "rate_limits",
  "api_keys",
  "metrics",
  "cache",
  "webhooks",
  "restores",
  "compliance",
]);
