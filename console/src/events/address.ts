/** The filter of the security events, as it stands in the address. */
export interface Filter {
  /** This severity and all above. */
  severity?: (typeof severities)[number];
  /** Open ones, unless it says otherwise. */
  status?: (typeof statuses)[number];
  /** The id of an account, or `nobody`. */
  assignee?: string;
  /** The event whose drawer is open. */
  event?: string;
}

export const statuses = ["assigned", "resolved", "all"] as const;

export const severities = ["low", "medium", "high", "critical"] as const;

/** Reads a filter from an address; ignores other values. */
export function readFilter(given: Record<string, unknown>): Filter {
  const severity = severities.find((one) => one === given["severity"]);
  const status = statuses.find((one) => one === given["status"]);
  const { assignee, event } = given;
  return {
    ...(severity ? { severity } : {}),
    ...(status ? { status } : {}),
    ...(typeof assignee === "string" && /^(nobody|[\da-f-]{36})$/.test(assignee)
      ? { assignee }
      : {}),
    ...(typeof event === "string" && event ? { event } : {}),
  };
}
