import type { Json } from "@bulwark/client";
import { useQuery } from "@tanstack/react-query";
import { queries } from "../connection.ts";

/** The last change of a setting. */
export interface Changed {
  at: string;
  /** Null: the owner of the database. */
  by: string | null;
  before: Json | undefined;
  /** The value before the first change, as far as the log is read. */
  installed?: Json | undefined;
}

/** The last change of each setting, from the newest 200 entries about settings. */
export function useChanges(): Map<string, Changed> {
  const { data: page } = useQuery(
    queries.audit.search({ event_types: ["settings.updated"], page_size: 200 }),
  );
  const changes = new Map<string, Changed>();
  for (const entry of page?.entries ?? []) {
    const { resource_type, resource_id, before, after, occurred_at, actor_id } = entry;
    if (resource_type !== "bulwark.settings" || !resource_id || !before || !after) continue;
    const newer = changes.get(resource_id);
    const value = before["value"];
    if (newer) newer.installed = value;
    else changes.set(resource_id, { at: occurred_at, by: actor_id, before: value });
  }
  return changes;
}
