import type { AuditFilter } from "@bulwark/client";
import { momentsOf } from "../ui/periods.ts";
import { uuid } from "../ui/uuid.ts";
import { type Filter, severities } from "./filter.ts";
import { typesOf } from "./groups.ts";

/** The part of the log that a filter asks for. */
export type Question = Pick<
  AuditFilter,
  | "organization_id"
  | "search"
  | "severities"
  | "event_types"
  | "actor_id"
  | "resource_id"
  | "since"
  | "until"
>;

/**
 * The question to the database, for entries and for their numbers alike. A severity means this one
 * and all above. A group needs the types that there are.
 */
export function questionOf(
  organization: string,
  filter: Filter,
  types: readonly string[] | undefined,
): Question {
  const { search, severity, group, type, actor, resource } = filter;
  const from = severities.findIndex((one) => one === severity);
  const { since, until } = momentsOf(filter);
  return {
    organization_id: organization,
    ...(search && search.length >= 2 ? { search } : {}),
    ...(from > 0 ? { severities: severities.slice(from) } : {}),
    ...(group ? { event_types: typesOf(group, types ?? []) } : {}),
    ...(type ? { event_types: [type] } : {}),
    ...(actor && uuid.test(actor) ? { actor_id: actor } : {}),
    ...(resource ? { resource_id: resource } : {}),
    ...(since ? { since } : {}),
    // The database counts the moment itself, too.
    ...(until ? { until: new Date(Date.parse(until) - 1).toISOString().replace("Z", "999Z") } : {}),
  };
}
