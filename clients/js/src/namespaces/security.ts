import type { Calls } from "../calls.ts";
import type { Args } from "../overlay.ts";
import { rowsOf } from "../pages.ts";

/** Security events: incidents that somebody reviews, assigns and resolves. */
export function security<T extends boolean>(
  { rpc, select }: Calls<T>,
  throwing: Calls<true>,
) {
  type Filter = Omit<Args<"list_security_events">, "organization_id" | "state"> & {
    state?: "open" | "assigned" | "resolved" | undefined;
  };
  return {
    /** A page of the open events, newest first; without an organization the installation's. */
    list: (organization: string | null, filter: Filter = {}) =>
      rpc("list_security_events", { organization_id: organization, ...filter }),
    /** All events, page by page. Throws a BulwarkError. */
    events: (organization: string | null, filter: Filter = {}) =>
      rowsOf(
        filter.before,
        (before) =>
          throwing.rpc("list_security_events", {
            organization_id: organization,
            page_size: 100,
            ...filter,
            before,
          }),
        ({ id }) => id,
      ),
    /** How many events are open by severity; counts the newest 1,000. */
    open: (organization: string | null) =>
      select(
        "security_events",
        (query) =>
          (organization === null
            ? query.is("organization_id", null)
            : query.eq("organization_id", organization))
            .is("resolved_at", null).order("raised_at", { ascending: false }).limit(1000),
        (rows) => {
          const counts = { low: 0, medium: 0, high: 0, critical: 0 };
          for (const { severity } of rows) counts[severity]++;
          return counts;
        },
        "severity",
      ),
    /** Assigns an event to a member, or to nobody. */
    assign: (event: string, assignee: string | null) =>
      rpc("assign_security_event", { event_id: event, assignee }),
    resolve: (event: string, note: string) =>
      rpc("resolve_security_event", { event_id: event, note }),
    types: () => select("security_event_types", (query) => query.order("name")),
  };
}
