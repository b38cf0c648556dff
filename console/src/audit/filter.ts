import { type Days, readDays } from "../ui/days.ts";

export const severities = ["debug", "info", "warning", "error", "critical"] as const;

/** Groups of events, in the order in which they are offered. */
export const groups = [
  "exports",
  "sign-in",
  "roles",
  "changes",
  "keys",
  "settings",
  "threats",
  "compliance",
] as const;

export type Group = (typeof groups)[number];

/** The filter of the audit log, as it stands in the address. */
export interface Filter extends Days {
  search?: string;
  severity?: (typeof severities)[number];
  /** A group of types, in place of a type. */
  group?: Group;
  type?: string;
  actor?: string;
  resource?: string;
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
  const filter: Filter = readDays(given);
  const text = (name: "search" | "type" | "actor" | "resource" | "entry") => {
    const value = given[name];
    if (typeof value === "string" && value) filter[name] = value;
    else if (typeof value === "number") filter[name] = String(value);
  };
  for (const name of ["search", "type", "actor", "resource", "entry"] as const) text(name);
  const severity = severities.find((one) => one === given["severity"]);
  if (severity) filter.severity = severity;
  const group = groups.find((one) => one === given["group"]);
  if (group && !filter.type) filter.group = group;
  return filter;
}
