import type { Calls } from "../calls.ts";
import type { Args } from "../overlay.ts";
import { rowsOf } from "../pages.ts";

/** A filter of members. */
export type MemberFilter = Omit<Args<"list_members">, "organization_id">;

/** Members of an organization. */
export function members<T extends boolean>({ rpc, select }: Calls<T>, throwing: Calls<true>) {
  return {
    /** A page of the members, with their roles; `page_key` of the last one continues as `after`. */
    list: (organization: string, filter: MemberFilter = {}) =>
      rpc("list_members", { organization_id: organization, ...filter }),
    /** All members that match a filter, page by page. Throws a BulwarkError. */
    all: (organization: string, filter: MemberFilter = {}) =>
      rowsOf(
        filter.after,
        (after) =>
          throwing.rpc("list_members", {
            organization_id: organization,
            page_size: 100,
            ...filter,
            after,
          }),
        ({ page_key }) => page_key,
      ),
    /** Names for ids, of members and of those who left. */
    names: (organization: string | null, users: readonly string[]) =>
      rpc("list_names", { organization_id: organization, user_ids: users }),
    /** Gives a member these roles and no others. */
    setRoles: (organization: string, user: string, roles: readonly string[]) =>
      rpc("set_member_roles", { organization_id: organization, user_id: user, roles }),
    remove: (organization: string, user: string) =>
      rpc("remove_member", { organization_id: organization, user_id: user }),
    /** The grants of roles in an organization that the caller may see, with their windows. */
    grants: (organization: string) =>
      select(
        "user_roles",
        (query) => query.eq("organization_id", organization).order("created_at"),
      ),
  };
}
