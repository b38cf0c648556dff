import { type Format } from "./exposition.ts";

/** The format by `?format=`, else by the Accept header, else Prometheus text. */
export function formatOf(request: Request, asked: Format | "json" | undefined): Format | "json" {
  if (asked) return asked;
  const accept = request.headers.get("accept") ?? "";
  if (accept.includes("application/openmetrics-text")) return "openmetrics";
  return /\bapplication\/json\b/.test(accept) ? "json" : "prometheus";
}

const hour = 3_600_000;
const ranges = {
  "1h": { length: hour, step: "1 minute" },
  "6h": { length: 6 * hour, step: "5 minutes" },
  "24h": { length: 24 * hour, step: "15 minutes" },
  "7d": { length: 168 * hour, step: "2 hours" },
  "30d": { length: 720 * hour, step: "6 hours" },
};

/** The start of a range, to the whole minute, and its step. */
export function rangeOf(range: keyof typeof ranges): { since: string; step: string } {
  const { length, step } = ranges[range];
  const since = Math.floor((Date.now() - length) / 60_000) * 60_000;
  return { since: new Date(since).toISOString(), step };
}
