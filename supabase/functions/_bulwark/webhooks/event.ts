/** Severities in rising order. */
export const severities = ["debug", "info", "warning", "error", "critical"] as const;

/** The event of a delivery, as rendered by the database. */
export interface WebhookEvent {
  /** `audit.<type>`, `security.<type>`, `security.<type>.resolved` or `webhook.test`. */
  type: string;
  /** RFC 3339, in UTC. */
  timestamp: string;
  severity: typeof severities[number];
  /** The audit entry or the security event; its fields depend on the endpoint. */
  data: Record<string, unknown> | null;
}

/** For `security.` events: whether the event was resolved. */
export function isResolved({ type }: WebhookEvent): boolean {
  return type.startsWith("security.") && type.endsWith(".resolved");
}

/** One line for people: `authz.role_assigned: insert of bulwark.user_roles`. */
export function summarize({ type, data }: WebhookEvent): string {
  const text = (name: string) => typeof data?.[name] === "string" ? data[name] as string : "";
  if (type.startsWith("audit.")) {
    const action = text("action") || "event";
    const what = [text("resource_type"), text("resource_id")].filter(Boolean).join(" ");
    return `${type.slice(6)}: ${action}${what && ` of ${what}`} (${text("result") || "recorded"})`;
  }
  if (type.startsWith("security.")) {
    const subject = text("subject");
    return `${type.slice(9)}${subject && `: ${subject}`}`;
  }
  return text("message") || type;
}
