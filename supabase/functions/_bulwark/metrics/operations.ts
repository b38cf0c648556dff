/** The operations of the function `bulwark-metrics`. */
import { z } from "zod";
import { operation } from "../foundation/operation.ts";
import { overview } from "./overview_schema.ts";

export const operations = {
  read: operation({
    method: "GET",
    path: "/bulwark-metrics",
    summary: "Returns all metrics as Prometheus or OpenMetrics text, or an overview as JSON",
    auth: ["user", "scraper", "secret_key"],
    rule: "api_default",
    input: z.strictObject({
      format: z.enum(["prometheus", "openmetrics", "json"]).optional()
        .describe("By default the one that the header Accept names, else prometheus."),
      range: z.enum(["1h", "6h", "24h", "7d", "30d"]).default("1h")
        .describe("The range of the overview."),
    }),
    output: overview,
    media: ["text/plain", "application/openmetrics-text"],
    errors: ["MFA_REQUIRED", "RBAC_PERMISSION_DENIED"],
  }),
  health: operation({
    method: "GET",
    path: "/bulwark-metrics/health",
    summary: "Tells whether the installation works; with a credential for metrics, each check",
    auth: [],
    rule: null,
    raw: true,
    input: z.strictObject({
      strict: z.enum(["", "true", "false"]).default("false")
        .describe("Answers 503 for anything that fails, not only for the database."),
    }),
    output: () =>
      z.object({
        status: z.enum(["ok", "degraded", "unavailable"]),
        checks: z.record(
          z.string(),
          z.object({
            status: z.enum(["ok", "failing"]),
            seconds: z.number().nullable()
              .describe("How long the answer took, or how far behind the work is."),
          }),
        ).optional(),
      }),
    statuses: [503],
    errors: ["MFA_REQUIRED", "RBAC_PERMISSION_DENIED"],
  }),
};
