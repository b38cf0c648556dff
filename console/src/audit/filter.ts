import type { AuditFilter } from "@bulwark/client";
import { uuid } from "../ui/uuid.ts";

export const severities = ["debug", "info", "warning", "error", "critical"] as const;

/** The filter of the audit log, as it stands in the address. */
export interface Filter {
  search?: string;
  severity?: (typeof severities)[number];
  type?: string;
  actor?: string;
  resource?: string;
  since?: string;
  /** The entry whose drawer is open. */
  entry?: string;
}

/** Another value for parts of a filter; undefined and an empty text remove them. */
export type Change = { [Name in keyof Filter]?: Filter[Name] | undefined };

/** A filter after a change. */
export function withChange(filter: Filter, change: Change): Filter {
  return Object.fromEntries(
    Object.entries({ ...filter, ...change }).filter(([, value]) =>
      value !== undefined && value !== ""
    ),
  );
}

/** Reads a filter from an address; ignores other values. */
export function readFilter(given: Record<string, unknown>): Filter {
  const filter: Filter = {};
  const text = (name: "search" | "type" | "actor" | "resource" | "entry") => {
    const value = given[name];
    if (typeof value === "string" && value) filter[name] = value;
    else if (typeof value === "number") filter[name] = String(value);
  };
  for (const name of ["search", "type", "actor", "resource", "entry"] as const) text(name);
  const severity = severities.find((one) => one === given["severity"]);
  if (severity) filter.severity = severity;
  const { since } = given;
  const isDay = typeof since === "string" && /^\d{4}-\d{2}-\d{2}$/.test(since) &&
    !Number.isNaN(Date.parse(since));
  if (isDay) filter.since = since;
  return filter;
}

/** The question to the database. A severity means this one and all above. */
export function questionOf(organization: string, filter: Filter): AuditFilter {
  const from = severities.findIndex((one) => one === filter.severity);
  return {
    organization_id: organization,
    page_size: 100,
    ...(filter.search && filter.search.length >= 2 ? { search: filter.search } : {}),
    ...(from > 0 ? { severities: severities.slice(from) } : {}),
    ...(filter.type ? { event_types: [filter.type] } : {}),
    ...(filter.actor && uuid.test(filter.actor) ? { actor_id: filter.actor } : {}),
    ...(filter.resource ? { resource_id: filter.resource } : {}),
    ...(filter.since ? { since: new Date(`${filter.since}T00:00:00`).toISOString() } : {}),
  };
}
