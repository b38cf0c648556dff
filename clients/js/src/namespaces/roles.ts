import type { Calls } from "../calls.ts";
import type { Args } from "../overlay.ts";
import type { Permission } from "../permissions.ts";

type Holder = { user: string; role: string; organization?: string | null | undefined };
type Definition<Name extends "create_role" | "update_role"> =
  & Omit<Args<Name>, "organization_id" | "role" | "permissions">
  & { permissions?: readonly Permission[] | undefined };

/** Roles of an organization, and who holds them; without an organization system-wide ones. */
export function roles<T extends boolean>({ rpc, select }: Calls<T>) {
  return {
    /** The organization's own roles and the system's, highest first. */
    list: (organization: string) =>
      select(
        "roles",
        (query) => query.order("level", { ascending: false }).order("name"),
        (rows) => rows.filter((role) => [organization, null].includes(role.organization_id)),
      ),
    /** The permissions that there are, with what each allows. */
    permissions: () =>
      select(
        "permissions",
        (query) => query.order("name"),
        (rows) => rows as { name: Permission; description: string }[],
      ),
    /** The permissions that roles have by themselves. */
    contents: () => select("role_permissions", (query) => query.order("permission")),
    /** Pairs of a role and a role that it inherits from. */
    inheritance: () => select("role_inheritance", (query) => query.order("role_id")),
    create: (organization: string, role: Definition<"create_role">) =>
      rpc("create_role", { organization_id: organization, ...role }),
    update: (organization: string, role: string, change: Definition<"update_role">) =>
      rpc("update_role", { organization_id: organization, role, ...change }),
    delete: (organization: string, role: string) =>
      rpc("delete_role", { organization_id: organization, role }),
    /** Gives a member a role, for a time if it says so. */
    grant: (
      { user, role, organization, ...time }:
        & Holder
        & Pick<
          Args<"grant_role">,
          "starts_at" | "expires_at"
        >,
    ) => rpc("grant_role", { user_id: user, role, organization_id: organization, ...time }),
    revoke: ({ user, role, organization }: Holder) =>
      rpc("revoke_role", { user_id: user, role, organization_id: organization }),
    /** The roles granted to somebody, highest first. */
    of: (user: string, organization: string | null) =>
      rpc("get_user_roles", { user_id: user, organization_id: organization }),
    /** Why somebody has a permission or not. */
    explain: (user: string, permission: Permission, organization: string | null) =>
      rpc("explain_permission", { user_id: user, permission, organization_id: organization }),
  };
}
