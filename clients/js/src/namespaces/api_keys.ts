import { type Calls, firstOrNull } from "../calls.ts";
import type { Args } from "../overlay.ts";
import { rowsOf } from "../pages.ts";
import type { Permission } from "../permissions.ts";

/** A filter of API keys. */
export type ApiKeyFilter = Omit<Args<"list_api_keys">, "organization_id">;

/** Members' keys for programs. */
export function apiKeys<T extends boolean>({ rpc, select }: Calls<T>, throwing: Calls<true>) {
  return {
    /** A page of the keys of an organization, newest first: all, or the caller's own. */
    list: (organization: string, filter: ApiKeyFilter = {}) =>
      rpc("list_api_keys", { organization_id: organization, ...filter }),
    /** All keys that match a filter, page by page. Throws a BulwarkError. */
    all: (organization: string, filter: ApiKeyFilter = {}) =>
      rowsOf(
        filter.before,
        (before) =>
          throwing.rpc("list_api_keys", {
            organization_id: organization,
            page_size: 100,
            ...filter,
            before,
          }),
        ({ id }) => id,
      ),
    /** The caller's choices for a new key. */
    options: (organization: string) => rpc("api_key_options", { organization_id: organization }),
    /** Issues a key and shows it, this once. */
    create: (
      organization: string,
      key: Omit<Args<"create_api_key">, "organization_id" | "scopes"> & {
        scopes: readonly Permission[];
      },
    ) => rpc("create_api_key", { organization_id: organization, ...key }),
    /** Issues the successor of the caller's own key; the old one goes on for the overlap. */
    rotate: (key: string, options: Omit<Args<"rotate_api_key">, "key_id"> = {}) =>
      rpc("rotate_api_key", { key_id: key, ...options }),
    revoke: (key: string, because: string) => rpc("revoke_api_key", { key_id: key, because }),
    /** The decisions of an organization about keys; null if it has decided nothing. */
    policy: (organization: string) =>
      select(
        "api_key_policies",
        (query) => query.eq("organization_id", organization),
        firstOrNull,
      ),
    setPolicy: (
      organization: string,
      policy: Omit<Args<"set_api_key_policy">, "organization_id">,
    ) => rpc("set_api_key_policy", { organization_id: organization, ...policy }),
  };
}
