import type { AuditEntry } from "@bulwark/client";
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { useBulwarkQueries, useOrganization } from "../blocks/provider.tsx";
import { uuid } from "../ui/uuid.ts";

/** Names an id; null if the reader may not know it, or nobody has it. */
export type NameOf = (id: unknown) => string | null;

/** Columns that have the id of a person. */
const people = /^(user_id|actor_id|assignee|assigned_to|.+_by)$/;

function columnsOf({ before, after, details }: AuditEntry): Record<string, unknown> {
  return { ...details, ...before, ...after };
}

function* peopleIn(entry: AuditEntry): Generator<string> {
  if (entry.resource_type === "auth.users" && entry.resource_id) yield entry.resource_id;
  for (const [name, value] of Object.entries(columnsOf(entry))) {
    if (people.test(name) && typeof value === "string") yield value;
  }
}

/** Names the people, roles and organizations of entries, as far as the reader may know them. */
export function useNamesOf(
  organization: string,
  entries: readonly AuditEntry[],
  actor: string | undefined,
): NameOf {
  const queries = useBulwarkQueries();
  const permissions = useOrganization(organization)?.permissions ?? [];
  const ids = useMemo(() => {
    const actors = [actor, ...entries.map(({ actor_id }) => actor_id)];
    const others = entries.flatMap((entry) => [...peopleIn(entry)]);
    // One question has room for a thousand; those who acted come first.
    return [...new Set([...actors, ...others])].filter((id) => typeof id === "string")
      .filter((id) => uuid.test(id)).slice(0, 1000).sort();
  }, [entries, actor]);
  const { data: names } = useQuery({
    ...queries.members.names(organization, ids),
    enabled: ids.length > 0 && permissions.includes("user:read"),
    placeholderData: (before) => before,
  });
  const { data: roles } = useQuery({
    ...queries.roles.list(organization),
    staleTime: 60_000,
  });
  const { data: me } = useQuery(queries.whoami());
  return (id) => {
    if (typeof id !== "string") return null;
    const person = names?.find(({ user_id }) => user_id === id);
    return person?.name ?? person?.email ?? roles?.find((role) => role.id === id)?.name ??
      me?.organizations.find((one) => one.id === id)?.name ?? null;
  };
}

/** The subject of an entry in words: its own name, or the person and the role of a grant. */
export function subjectOf(entry: AuditEntry, nameOf: NameOf): string | null {
  const { name, user_id, role_id } = columnsOf(entry);
  const known = nameOf(entry.resource_id);
  if (known) return known;
  const said = [name, entry.details?.["purpose"]].filter((one) =>
    typeof one === "string" && one !== "[redacted]"
  );
  return [...said, nameOf(user_id), nameOf(role_id)].filter(Boolean).join(" · ") || null;
}
