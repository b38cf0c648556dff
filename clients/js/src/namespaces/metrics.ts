import type { Calls } from "../calls.ts";
import type { Args } from "../overlay.ts";

/** Metrics of the installation, and alerts about them (system:monitor). */
export function metrics<T extends boolean>({ rpc }: Calls<T>) {
  return {
    list: () => rpc("list_metrics", {}),
    /** A metric over a range: one row, or one for each step and each value of a label. */
    read: (metric: string, range: Omit<Args<"read_metric">, "metric"> = {}) =>
      rpc("read_metric", { metric, ...range }),
    /** The queries with the most total time. */
    topQueries: (page_size?: number) => rpc("top_queries", { page_size }),
    /** Whether jobs run, and the audit log is sealed, signed and verified. */
    health: () => rpc("check_health", {}),
    /** All alert rules with their state. */
    alerts: () => rpc("list_alerts", {}),
    setAlert: (rule: Args<"set_alert_rule">) => rpc("set_alert_rule", rule),
    deleteAlert: (name: string) => rpc("delete_alert_rule", { name }),
  };
}
